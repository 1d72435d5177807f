//! A request body that can be sent more than once.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Pieces of fewer bytes are kept as copies: as they are, each could hold a whole read buffer.
const COPY_BELOW: usize = 1024;

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

struct Shared<B> {
    source: Source<B>,
    /// Pieces taken from the source.
    taken: usize,
    /// All of them, unless they were too much.
    kept: Option<Vec<Bytes>>,
    /// Bytes that may still be kept.
    room: usize,
    /// Whoever waits for the source; it wakes only one of them.
    waiting: Vec<Waker>,
}

enum Source<B> {
    Open(Pin<Box<B>>),
    Complete,
    Failed,
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
        // A source that panicked is polled again, or not, as without this.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Shared<B> {
    /// What follows the first `position` pieces and was kept; `None` when it was let go.
    fn after(&self, position: usize) -> Option<&[Bytes]> {
        match &self.kept {
            Some(kept) => kept.get(position..),
            None if position == self.taken => Some(&[]),
            None => None,
        }
    }

    fn keep(&mut self, data: &Bytes) {
        self.taken = self.taken.saturating_add(1);
        match (self.room.checked_sub(data.len()), &mut self.kept) {
            (Some(room), Some(kept)) => {
                self.room = room;
                kept.push(if data.len() < COPY_BELOW {
                    Bytes::copy_from_slice(data)
                } else {
                    data.clone()
                });
            }
            _ => self.kept = None,
        }
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
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
        let mut shared = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = shared.after(this.position) else {
            return Poll::Ready(Some(Err(ReplayError(Failure::NotKept))));
        };
        if let Some(data) = kept.first() {
            let data = data.clone();
            this.position = this.position.saturating_add(1);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let outcome = loop {
            let source = match &mut shared.source {
                Source::Open(source) => source.as_mut(),
                Source::Complete => return Poll::Ready(None),
                Source::Failed => {
                    return Poll::Ready(Some(Err(ReplayError(Failure::FailedBefore))));
                }
            };
            match source.poll_frame(cx) {
                Poll::Pending => {
                    if !shared
                        .waiting
                        .iter()
                        .any(|waker| waker.will_wake(cx.waker()))
                    {
                        shared.waiting.push(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                Poll::Ready(None) => {
                    shared.source = Source::Complete;
                    break None;
                }
                Poll::Ready(Some(Err(error))) => {
                    shared.source = Source::Failed;
                    break Some(Err(ReplayError(Failure::Source(error.into()))));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(mut data) = frame.into_data() {
                        let data = data.copy_to_bytes(data.remaining());
                        if data.is_empty() {
                            continue;
                        }
                        shared.keep(&data);
                        this.position = this.position.saturating_add(1);
                        break Some(Ok(Frame::data(data)));
                    }
                }
            }
        };
        shared.wake();
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        self.position == shared.taken
            && match &shared.source {
                Source::Open(source) => source.is_end_stream(),
                Source::Complete => true,
                Source::Failed => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let Some(kept) = shared.after(self.position) else {
            return SizeHint::new();
        };
        let kept = kept
            .iter()
            .fold(0u64, |sum, data| sum.saturating_add(data.len() as u64));
        let rest = match &shared.source {
            Source::Open(source) => source.size_hint(),
            Source::Complete | Source::Failed => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
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
        self.lock().wake();
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
