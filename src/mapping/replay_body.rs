//! A request body that can be sent more than once.

mod source;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use source::{Shared, Source, TakenSource, lock};
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

type BoxError = Box<dyn StdError + Send + Sync>;

/// A request body that keeps what it streams, up to a limit, so that it can be sent again.
///
/// A clone begins at the first byte, whatever was read before, and goes on from the source
/// where the kept data ends. Nothing is read ahead. Once more data came than may be kept,
/// all of it is let go, and only whoever read it can read on: a clone that would need it
/// fails, and [`is_replayable`](Self::is_replayable) says so beforehand.
///
/// AJP has no trailers, so they are left out.
///
/// ```
/// use ajp::client::ReplayBody;
/// use http_body_util::{BodyExt, Full};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let body = ReplayBody::new(Full::<bytes::Bytes>::from("again"), 65536);
/// let again = body.clone();
/// assert_eq!(body.collect().await.unwrap().to_bytes(), "again");
/// assert!(again.is_replayable());
/// assert_eq!(again.collect().await.unwrap().to_bytes(), "again");
/// # }
/// ```
pub struct ReplayBody<B> {
    shared: Arc<Mutex<Shared<B>>>,
    /// Pieces read through this handle.
    position: usize,
}

/// Why a [`ReplayBody`] broke off.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReplayError(Failure);

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("its source failed")]
    Source(#[source] BoxError),
    #[error("the request body failed before")]
    FailedBefore,
    #[error("the request body is larger than what is kept of it to be sent again")]
    NotKept,
}

impl<B: Body> ReplayBody<B> {
    /// Keeps at most `limit` bytes of `body`. When it says that it is larger, nothing is.
    pub fn new(body: B, limit: usize) -> Self {
        let fits = usize::try_from(body.size_hint().lower()).is_ok_and(|len| len <= limit);
        Self {
            shared: Arc::new(Mutex::new(Shared {
                size_hint: body.size_hint(),
                is_end_stream: body.is_end_stream(),
                source: Source::Open(Box::pin(body)),
                taken: 0,
                kept: fits.then(Vec::new),
                room: limit,
                waiting: Vec::new(),
            })),
            position: 0,
        }
    }
}

impl<B> ReplayBody<B> {
    /// Whether a clone made now can give the whole body: nothing was let go so far, and the
    /// source has not failed.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        let shared = self.lock();
        let kept = shared.taken == 0 || shared.kept.is_some();
        kept && !matches!(shared.source, Source::Failed)
    }

    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        lock(&self.shared)
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let this = &mut *self;
        let mut waker = None;
        let mut taken = loop {
            let mut shared = lock(&this.shared);
            let Some(kept) = shared.after(this.position) else {
                return Poll::Ready(Some(Err(ReplayError(Failure::NotKept))));
            };
            if let Some(data) = kept.first() {
                let data = data.clone();
                this.position = this.position.wrapping_add(1);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match std::mem::replace(&mut shared.source, Source::Polled) {
                Source::Open(source) => {
                    break TakenSource {
                        shared: &this.shared,
                        source: Some(source),
                    };
                }
                // Whoever polls it wakes all who wait.
                Source::Polled => {
                    if let Some(waker) = waker.take() {
                        shared.waiting.push(waker);
                        return Poll::Pending;
                    }
                    drop(shared);
                    waker = Some(cx.waker().clone());
                }
                Source::Complete => {
                    shared.source = Source::Complete;
                    return Poll::Ready(None);
                }
                Source::Failed => {
                    shared.source = Source::Failed;
                    return Poll::Ready(Some(Err(ReplayError(Failure::FailedBefore))));
                }
            }
        };
        match taken.poll_data(cx) {
            Poll::Pending => {
                taken.give_back_waiting(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(None) => {
                taken.end(Source::Complete);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                taken.end(Source::Failed);
                let failure = Failure::Source(error.into());
                Poll::Ready(Some(Err(ReplayError(failure))))
            }
            Poll::Ready(Some(Ok(data))) => {
                taken.give_back_with(&data);
                this.position = this.position.wrapping_add(1);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        self.position == shared.taken
            && match &shared.source {
                Source::Open(_) | Source::Polled => shared.is_end_stream,
                Source::Complete => true,
                Source::Failed => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let Some(kept) = shared.after(self.position) else {
            return SizeHint::new();
        };
        let kept: u64 = kept.iter().map(|data| data.len() as u64).sum();
        let rest = &shared.size_hint;
        let mut hint = SizeHint::new();
        // A source may say any number.
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(kept)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> Clone for ReplayBody<B> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            position: 0,
        }
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        // The source may know only the waker of this one.
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody")
            .field("is_replayable", &self.is_replayable())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::convert::Infallible;

    fn parts(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from(*part))))
            .collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Bytes
    where
        B::Error: fmt::Debug,
    {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn a_clone_begins_at_the_first_byte_and_goes_on_from_the_source() {
        let mut first = ReplayBody::new(parts(&["a", "bc", "d"]), 100);
        assert_eq!(next(&mut first).await, "a");
        assert_eq!(next(&mut first).await, "bc");
        let mut second = first.clone();
        drop(first);
        assert_eq!(next(&mut second).await, "a");
        assert!(!second.is_end_stream());
        let third = second.clone();
        assert_eq!(second.collect().await.unwrap().to_bytes(), "bcd");
        assert!(third.is_replayable());
        assert_eq!(third.size_hint().exact(), Some(4));
        assert_eq!(third.clone().collect().await.unwrap().to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn beyond_the_limit_only_the_reader_goes_on() {
        for (limit, replayable) in [(0, false), (3, false), (4, true)] {
            let mut first = ReplayBody::new(parts(&["a", "bc", "d"]), limit);
            let mut second = first.clone();
            assert!(first.is_replayable(), "nothing was read yet");
            assert_eq!(next(&mut first).await, "a");
            assert_eq!(first.collect().await.unwrap().to_bytes(), "bcd");
            assert_eq!(second.is_replayable(), replayable);
            match second.frame().await.unwrap() {
                Ok(frame) if replayable => assert_eq!(frame.into_data().unwrap(), "a"),
                Err(error) if !replayable => {
                    assert!(error.to_string().contains("larger than what is kept"));
                    assert!(second.frame().await.unwrap().is_err(), "and stays so");
                }
                other => panic!("{limit}: {other:?}"),
            }
        }
    }

    /// Both read at the same place when the limit is passed: the data goes to one of them and
    /// never to both in turns.
    #[tokio::test]
    async fn two_readers_at_the_limit() {
        let mut first = ReplayBody::new(parts(&["a", "b", "c"]), 1);
        let mut second = first.clone();
        assert_eq!(next(&mut first).await, "a");
        assert_eq!(next(&mut second).await, "a");
        assert_eq!(next(&mut second).await, "b");
        assert!(first.frame().await.unwrap().is_err());
        assert_eq!(next(&mut second).await, "c");
        assert!(second.frame().await.is_none());
    }

    #[tokio::test]
    async fn lengths_stay_exact() {
        let body = ReplayBody::new(Full::<Bytes>::from("12345"), 10);
        assert_eq!(body.size_hint().exact(), Some(5));
        let mut first = body.clone();
        next(&mut first).await;
        assert_eq!(first.size_hint().exact(), Some(0));
        assert!(first.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());

        // Known to be too large: not kept at all, and not to be repeated once begun.
        let body = ReplayBody::new(Full::<Bytes>::from("12345"), 4);
        let again = body.clone();
        assert!(again.is_replayable());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "12345");
        assert!(!again.is_replayable());
        assert!(ReplayBody::new(http_body_util::Empty::<Bytes>::new(), 0).is_end_stream());
    }

    #[tokio::test]
    async fn a_failed_source_stays_failed() {
        let frames = [
            Ok(Frame::data(Bytes::from("a"))),
            Err(std::io::Error::other("gone")),
        ];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let mut first = ReplayBody::new(body, 100);
        let second = first.clone();
        next(&mut first).await;
        let error = first.frame().await.unwrap().unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "gone");
        assert!(!second.is_replayable());
        assert!(second.collect().await.is_err(), "not a short body");
    }

    /// A task that is dropped when it is woken, as executors do with one that was cancelled.
    struct Cancelled<B>(Mutex<Option<ReplayBody<B>>>);

    impl<B: Send> std::task::Wake for Cancelled<B> {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }

    /// Has nothing at first, and then its end.
    struct Late {
        polled: bool,
        /// A clone of the body itself, which it polls in its turn.
        inner: Arc<Mutex<Option<ReplayBody<Late>>>>,
    }

    impl Body for Late {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if let Some(inner) = &mut *self.inner.lock().unwrap() {
                assert!(Pin::new(inner).poll_frame(cx).is_pending());
            }
            if std::mem::replace(&mut self.polled, true) {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    }

    /// Runs on a thread of its own, so that a deadlock is a failure.
    fn without_deadlock(test: impl FnOnce() + Send + 'static) {
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            test();
            done.send(()).unwrap();
        });
        let patience = std::time::Duration::from_secs(10);
        is_done.recv_timeout(patience).expect("no deadlock");
    }

    #[test]
    fn wakers_run_without_the_lock() {
        without_deadlock(|| {
            let inner = Arc::default();
            let mut first = ReplayBody::new(
                Late {
                    polled: false,
                    inner,
                },
                100,
            );
            let mut second = first.clone();
            let task = Arc::new(Cancelled(Mutex::new(None)));
            let waker = Waker::from(Arc::clone(&task));
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut first).poll_frame(&mut cx).is_pending());
            *task.0.lock().unwrap() = Some(first);
            let ended = Pin::new(&mut second).poll_frame(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(ended, Poll::Ready(None)));
            assert!(task.0.lock().unwrap().is_none(), "woken");
        });
    }

    #[test]
    fn the_source_runs_without_the_lock() {
        without_deadlock(|| {
            let inner = Arc::<Mutex<Option<ReplayBody<Late>>>>::default();
            let late = Late {
                polled: true,
                inner: Arc::clone(&inner),
            };
            let mut body = ReplayBody::new(late, 100);
            *inner.lock().unwrap() = Some(body.clone());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(
                Pin::new(&mut body).poll_frame(&mut cx),
                Poll::Ready(None)
            ));
            let again = inner.lock().unwrap().take().unwrap();
            assert!(again.is_end_stream());
        });
    }

    #[test]
    fn a_source_that_panics_has_failed() {
        let stream =
            futures_util::stream::poll_fn(|_| -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                panic!("on purpose")
            });
        let mut body = ReplayBody::new(StreamBody::new(stream), 100);
        let again = body.clone();
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(polled.is_err());
        assert!(!again.is_replayable());
        let mut cx = Context::from_waker(Waker::noop());
        let next = Pin::new(&mut body).poll_frame(&mut cx);
        assert!(matches!(next, Poll::Ready(Some(Err(_)))));
    }

    /// The source wakes whoever polled it last; that one is dropped.
    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken() {
        let (sender, pieces) = tokio::sync::mpsc::channel::<Bytes>(1);
        let pieces = tokio_stream::wrappers::ReceiverStream::new(pieces);
        let body = StreamBody::new(pieces.map(|data| Ok::<_, Infallible>(Frame::data(data))));
        let first = ReplayBody::new(body, 100);
        let second = first.clone();
        let reader = tokio::spawn(first.collect());
        tokio::task::yield_now().await;
        let other = tokio::spawn(second.collect());
        tokio::task::yield_now().await;
        other.abort();
        assert!(other.await.is_err());
        sender.send("data".into()).await.unwrap();
        drop(sender);
        let body = tokio::time::timeout(std::time::Duration::from_secs(1), reader).await;
        assert_eq!(body.unwrap().unwrap().unwrap().to_bytes(), "data");
    }
}
