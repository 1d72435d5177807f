//! HTTP/2 streams whose client does not take its answer.
//!
//! A client grants a window for each stream, and hyper asks an answer for its next piece only
//! when there is room in it. While the window is closed nobody looks at the answer, and nothing
//! is written that the time limit of the [socket](super::patient) could measure. So the answers
//! of a connection are looked at from outside: each must take the least number of bytes in each
//! span of time, as a connection of HTTP/1 must. One that does not is dropped, and with it all
//! that it holds: its part of the buffers, and the member's connection. Its stream is reset as
//! soon as hyper asks again. The other streams go on: behind a proxy they are other visitors'.

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// So many answers are remembered before those that are over are forgotten.
const FEW: usize = 64;

/// What a stream is reset for.
const STALLED: &str = "the client did not take its answer in time";

/// The answers of an HTTP/2 connection that are not over.
#[derive(Default)]
pub(crate) struct Streams(Mutex<Known>);

#[derive(Default)]
struct Known {
    answers: Vec<Weak<dyn Stream>>,
    /// When there are so many, those that are over are forgotten.
    full: usize,
}

/// An answer, whatever its body is.
trait Stream: Send + Sync {
    /// Drops it if its client has taken less than `least` bytes in `timeout`.
    fn drop_stalled(&self, now: Instant, timeout: Duration, least: u64);
}

/// The body of an answer; dropped at once where the client does not take it.
pub(crate) enum Watched<B> {
    /// Of HTTP/1, where the socket tells. Or it is empty.
    Direct(B),
    /// Of HTTP/2.
    Shared(Arc<Mutex<Shared<B>>>),
}

/// A body that its stream and its connection know.
pub(crate) struct Shared<B> {
    /// `None` when it was dropped.
    body: Option<B>,
    /// Runs while the client is waited for.
    clock: Option<Clock>,
}

/// The bytes that were taken since a time.
#[derive(Clone, Copy)]
struct Clock {
    since: Instant,
    taken: u64,
}

impl Clock {
    fn start() -> Self {
        Self {
            since: Instant::now(),
            taken: 0,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    /// This body, watched if it is one of HTTP/2.
    pub(super) fn watched<B>(&self, body: B, version: Version) -> Watched<B>
    where
        B: Body + Send + 'static,
    {
        if version <= Version::HTTP_11 || body.is_end_stream() {
            return Watched::Direct(body);
        }
        let shared = Arc::new(Mutex::new(Shared {
            body: Some(body),
            clock: Some(Clock::start()),
        }));
        let answer = Arc::downgrade(&shared);
        let mut known = locked(&self.0);
        if known.answers.len() >= known.full {
            known.answers.retain(|answer| answer.strong_count() > 0);
            known.full = known.answers.len().saturating_mul(2).max(FEW);
        }
        known.answers.push(answer);
        drop(known);
        Watched::Shared(shared)
    }

    /// Drops answers whose clients take less than `least` bytes in `timeout`, as long as it is
    /// polled.
    pub(super) async fn watch(&self, timeout: Duration, least: u64) -> Infallible {
        let pause = timeout.checked_div(4).unwrap_or(timeout);
        loop {
            sleep(pause.max(Duration::from_millis(10))).await;
            let answers: Vec<_> = {
                let known = locked(&self.0);
                known.answers.iter().filter_map(Weak::upgrade).collect()
            };
            let now = Instant::now();
            for answer in answers {
                answer.drop_stalled(now, timeout, least);
            }
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = locked(&self.0).answers.len();
        f.debug_struct("Streams").field("known", &known).finish()
    }
}

impl<B: Send> Stream for Mutex<Shared<B>> {
    fn drop_stalled(&self, now: Instant, timeout: Duration, least: u64) {
        let mut shared = locked(self);
        let Some(clock) = &mut shared.clock else {
            return;
        };
        if now.saturating_duration_since(clock.since) < timeout {
            return;
        }
        if clock.taken >= least {
            *clock = Clock {
                since: now,
                taken: 0,
            };
            return;
        }
        shared.clock = None;
        let body = shared.body.take();
        drop(shared);
        drop(body);
    }
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut shared = match &mut *self {
            Self::Direct(body) => return Pin::new(body).poll_frame(cx),
            Self::Shared(shared) => locked(shared),
        };
        let Some(body) = &mut shared.body else {
            return Poll::Ready(Some(Err(STALLED.into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = frame.data_ref().map_or(0, Bytes::len) as u64;
                let clock = shared.clock.get_or_insert_with(Clock::start);
                clock.taken = clock.taken.saturating_add(taken);
            }
            // It is the application that is waited for, or all is over.
            Poll::Pending | Poll::Ready(_) => shared.clock = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Direct(body) => body.is_end_stream(),
            Self::Shared(shared) => {
                let shared = locked(shared);
                shared.body.as_ref().is_some_and(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Direct(body) => body.size_hint(),
            Self::Shared(shared) => {
                let shared = locked(shared);
                shared
                    .body
                    .as_ref()
                    .map(Body::size_hint)
                    .unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use std::time::Duration;
    use tokio::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(60);

    /// An answer of pieces that come from here.
    type Pieces = mpsc::UnboundedSender<usize>;

    fn answer(
        streams: &Streams,
        version: Version,
    ) -> (
        Pieces,
        impl Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin + use<>,
    ) {
        let (pieces, mut coming) = mpsc::unbounded_channel::<usize>();
        let stream = futures_util::stream::poll_fn(move |cx| {
            coming
                .poll_recv(cx)
                .map(|piece| piece.map(|length| Ok(Frame::data(Bytes::from(vec![b'x'; length])))))
        });
        (pieces, streams.watched(StreamBody::new(stream), version))
    }

    async fn with_watch<T>(streams: &Streams, what: impl Future<Output = T>) -> T {
        tokio::select! {
            never = streams.watch(LIMIT, 30_000) => match never {},
            result = what => result,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_loses_the_answer_and_all_that_it_holds() {
        let streams = Streams::default();
        let (pieces, mut body) = answer(&streams, Version::HTTP_2);
        pieces.send(8192).unwrap();
        let start = Instant::now();
        with_watch(&streams, pieces.closed()).await;
        let took = start.elapsed();
        assert!(took >= LIMIT && took <= LIMIT * 5 / 4, "{took:?}");
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), STALLED);
        assert!(!body.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_enough_and_who_waits_for_the_application_keeps_it() {
        for (length, every, is_kept) in [(8192, 10, true), (8192, 30, false), (1, 100, false)] {
            let streams = Streams::default();
            let (pieces, mut body) = answer(&streams, Version::HTTP_2);
            for _ in 0..100 {
                pieces.send(length).unwrap();
            }
            let taken = with_watch(&streams, async {
                for _ in 0..50 {
                    sleep(Duration::from_secs(every)).await;
                    if body.frame().await.unwrap().is_err() {
                        return false;
                    }
                }
                true
            });
            assert_eq!(taken.await, is_kept, "{length} bytes every {every} s");
        }
        // Events with long pauses between them, as they come.
        let streams = Streams::default();
        let (pieces, mut body) = answer(&streams, Version::HTTP_2);
        with_watch(&streams, async {
            for _ in 0..3 {
                let (event, ()) = tokio::join!(body.frame(), async {
                    sleep(Duration::from_secs(3600)).await;
                    pieces.send(5).unwrap();
                });
                assert_eq!(event.unwrap().unwrap().into_data().unwrap().len(), 5);
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn http_1_is_left_to_its_socket_and_what_is_over_is_forgotten() {
        let streams = Streams::default();
        let (pieces, mut body) = answer(&streams, Version::HTTP_11);
        pieces.send(1).unwrap();
        with_watch(&streams, sleep(LIMIT * 10)).await;
        assert!(body.frame().await.unwrap().is_ok());
        for _ in 0..10_000 {
            drop(answer(&streams, Version::HTTP_2));
        }
        assert!(locked(&streams.0).answers.len() <= FEW);
    }
}
