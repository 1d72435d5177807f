//! A timer for one connection at a time, whose waits hardly ever last to their end.

use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time;

/// Gives out one wait after the other, all on the same alarm of the runtime. The alarm stays
/// set when a wait is given up, and is moved only when it rings too early or would ring too
/// late: hyper begins a wait for every request, and moving the alarm each time costs more
/// than one idle wake-up of the connection now and then.
///
/// Of several waits at a time only the one polled last is woken.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptTimer(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    alarm: Option<Alarm>,
    /// The end of the last wait that was asked for.
    deadline: Option<time::Instant>,
    /// When the next wait ends at the latest.
    first_ends: Option<time::Instant>,
}

type Alarm = Pin<Box<time::Sleep>>;

impl KeptTimer {
    /// The first wait ends by then, however long it is asked to be: it began before there was
    /// this timer.
    pub(super) fn ending_by(deadline: time::Instant) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            first_ends: Some(deadline),
            ..Kept::default()
        })))
    }

    /// The end of the last wait. Now, if there was none.
    pub(super) fn deadline(&self) -> time::Instant {
        self.kept().deadline.unwrap_or_else(time::Instant::now)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for KeptTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        // A wait beyond what the clock can express is as good as the longest.
        let long = Duration::from_secs(u32::MAX.into());
        let now = self.now();
        self.sleep_until(now.checked_add(duration.min(long)).unwrap_or(now))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let mut kept = self.kept();
        let asked: time::Instant = deadline.into();
        let until = kept.first_ends.take().map_or(asked, |end| end.min(asked));
        kept.deadline = Some(until);
        let timer = self.clone();
        Box::pin(Wait { until, timer })
    }

    /// The runtime's clock, which tests can stop.
    fn now(&self) -> Instant {
        time::Instant::now().into()
    }
}

struct Wait {
    until: time::Instant,
    timer: KeptTimer,
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut kept = self.timer.kept();
        let alarm = kept
            .alarm
            .get_or_insert_with(|| Box::pin(time::sleep_until(self.until)));
        loop {
            if alarm.deadline() > self.until {
                alarm.as_mut().reset(self.until);
            }
            match alarm.as_mut().poll(cx) {
                Poll::Ready(()) if alarm.deadline() < self.until => {
                    alarm.as_mut().reset(self.until);
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn elapsed(wait: Pin<Box<dyn Sleep>>) -> Duration {
        let start = time::Instant::now();
        wait.await;
        start.elapsed()
    }

    async fn gives_up(timer: &KeptTimer, seconds: u64) {
        let mut wait = timer.sleep(Duration::from_secs(seconds));
        std::future::poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_lasts_as_long_as_asked_whatever_was_given_up_before() {
        let second = Duration::from_secs(1);
        for before in [1, 5, 30] {
            let timer = KeptTimer::default();
            gives_up(&timer, before).await;
            assert_eq!(elapsed(timer.sleep(second * 5)).await, second * 5);
            // The alarm has rung and is behind the clock.
            time::advance(second * 3).await;
            assert_eq!(elapsed(timer.sleep(second * 2)).await, second * 2);
            assert_eq!(elapsed(timer.sleep(Duration::ZERO)).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_is_cut_off_on_the_minute_after_many_quick_ones() {
        use http_body_util::Empty;
        use hyper::server::conn::http1;
        use hyper::service::service_fn;
        use hyper_util::rt::TokioIo;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (mut client, server) = tokio::io::duplex(4096);
        let answer = |_| async {
            let body = Empty::<bytes::Bytes>::new();
            Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
        };
        let connection = http1::Builder::new()
            .timer(KeptTimer::default())
            .header_read_timeout(Duration::from_secs(60))
            .serve_connection(TokioIo::new(server), service_fn(answer));
        let running = tokio::spawn(connection);
        let mut buffer = [0; 4096];
        for _ in 0..10 {
            time::sleep(Duration::from_secs(7)).await;
            client
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            assert!(client.read(&mut buffer).await.unwrap() > 0);
        }
        let start = time::Instant::now();
        client.write_all(b"GET / HTT").await.unwrap();
        let end = client.read(&mut buffer).await.unwrap();
        assert_eq!((end, start.elapsed().as_secs()), (0, 60));
        assert!(running.await.unwrap().unwrap_err().is_timeout());
    }
}
