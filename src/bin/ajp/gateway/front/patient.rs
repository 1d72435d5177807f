//! A connection that is cut when its client takes too little of an answer, and that is not
//! closed in the face of a client that still sends.

use super::connection::State;
use super::limits::Limits;
use super::transport::Breakable;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client that has its answer may go on sending (RFC 9112, section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// How long it may be silent in that time.
pub(super) const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// A stream to a client, with time limits on what it takes.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    state: Arc<State>,
    write: WriteClock,
    linger: Option<Linger>,
}

impl<S> Patient<S> {
    /// The client takes nothing now.
    fn is_behind(&self, cx: &mut Context<'_>) {
        self.state.flushed(false);
        self.state.client_is_behind(cx);
    }

    pub(crate) fn new(stream: S, state: Arc<State>, limits: &Limits) -> Self {
        Self {
            stream,
            state,
            write: WriteClock {
                timeout: limits.write_timeout,
                least: limits.least_bytes_in(limits.write_timeout),
                taken: 0,
                alarm: None,
            },
            linger: None,
        }
    }
}

/// Runs while bytes wait for the client: in each span of `timeout` it must take the least
/// number of bytes. It stands still while there is nothing to send.
#[derive(Debug)]
struct WriteClock {
    timeout: Duration,
    least: u64,
    taken: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl WriteClock {
    /// Looks at the outcome of a write of `offered` bytes.
    fn check(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) if *count >= offered => {
                self.alarm = None;
                self.taken = 0;
            }
            Poll::Ready(Ok(count)) => self.taken = self.taken.saturating_add(*count as u64),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => return self.wait(cx).map(Err),
        }
        written
    }

    /// Completes with an error when the client has taken too little.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let timeout = self.timeout;
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(sleep_until(later(timeout))));
            ready!(alarm.as_mut().poll(cx));
            if self.taken < self.least {
                let text = format!(
                    "the client took {} bytes of the answer in {timeout:?}",
                    self.taken
                );
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.taken = 0;
            alarm.as_mut().reset(later(timeout));
        }
    }
}

fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}

/// The rest of what a client sends after its answer is read and dropped: a connection that is
/// closed with bytes unread is reset, and the client may lose the answer.
#[derive(Debug)]
struct Linger {
    end: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Linger {
    fn new() -> Self {
        Self {
            end: later(LINGER),
            alarm: Box::pin(sleep_until(later(LINGER_SILENCE))),
        }
    }

    /// Completes when the client has closed or the time is up.
    fn poll<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<()> {
        let mut space = [0; 8 * 1024];
        // So many reads at a time that other connections get their turn.
        for _ in 0..32 {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let next = later(LINGER_SILENCE).min(self.end);
                    self.alarm.as_mut().reset(next);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.alarm.as_mut().poll(cx),
            }
        }
        cx.waker().wake_by_ref();
        self.alarm.as_mut().poll(cx)
    }
}

impl<S: Breakable> Breakable for Patient<S> {
    fn break_off(&self) {
        self.stream.break_off();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if written.is_pending() {
            self.is_behind(cx);
        }
        self.write.check(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if written.is_pending() {
            self.is_behind(cx);
        }
        self.write.check(cx, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            // TLS has bytes of its own that wait for the client.
            Poll::Pending => {
                self.is_behind(cx);
                self.write.wait(cx).map(Err)
            }
            Poll::Ready(flushed) => {
                self.state.flushed(flushed.is_ok());
                Poll::Ready(flushed)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.state.flushed(false);
        if this.linger.is_none() {
            match Pin::new(&mut this.stream).poll_shutdown(cx) {
                Poll::Pending => return this.write.wait(cx).map(Err),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            if !this.state.has_unread_body() {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.linger.get_or_insert_with(Linger::new);
        linger.poll(cx, &mut this.stream).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    fn pair(limits: &Limits) -> (DuplexStream, Patient<DuplexStream>, Arc<State>) {
        let (client, server) = duplex(1000);
        let state = Arc::new(State::default());
        let patient = Patient::new(server, Arc::clone(&state), limits);
        (client, patient, state)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_too_little_is_cut_off() {
        // In 60 s 30 000 bytes; the socket takes 1000.
        for (every, cut) in [(1_u64, false), (3, true), (1000, true)] {
            let (mut client, mut server, _) = pair(&Limits::default());
            let reader = tokio::spawn(async move {
                let mut space = [0; 1000];
                loop {
                    sleep(Duration::from_secs(every)).await;
                    if client.read(&mut space).await.unwrap() == 0 {
                        return;
                    }
                }
            });
            let start = Instant::now();
            let sent = server.write_all(&vec![b'x'; 200_000]).await;
            assert_eq!(sent.is_err(), cut, "one read in {every} s");
            if let Err(error) = sent {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                assert_eq!(start.elapsed().as_secs(), 60);
            }
            drop(server);
            reader.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_application_is_not_the_clients() {
        let (mut client, mut server, _) = pair(&Limits::default());
        for _ in 0..3 {
            server.write_all(b"event").await.unwrap();
            let mut event = [0; 5];
            client.read_exact(&mut event).await.unwrap();
            sleep(Duration::from_secs(3600)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_gets_time_to_read() {
        let (mut client, mut server, state) = pair(&Limits::default());
        state.leave_body_unread();
        let closed = tokio::spawn(async move {
            server.write_all(b"413").await.unwrap();
            server.shutdown().await.unwrap();
        });
        for _ in 0..10 {
            client.write_all(&[b'x'; 5000]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "413");
        assert!(!closed.is_finished(), "the client has not closed");
        drop(client);
        closed.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_forever() {
        for (pause, end) in [(100, 5), (1, 30)] {
            let (mut client, mut server, state) = pair(&Limits::default());
            state.leave_body_unread();
            let start = Instant::now();
            let sender = tokio::spawn(async move {
                while client.write_all(b"x").await.is_ok() {
                    sleep(Duration::from_secs(pause)).await;
                }
            });
            server.shutdown().await.unwrap();
            assert_eq!(start.elapsed().as_secs(), end);
            drop(server);
            sender.await.unwrap();
        }
    }
}
