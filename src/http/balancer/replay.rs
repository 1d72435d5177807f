//! A request body that can be sent more than once: what was read of it is kept until the
//! response begins, up to a limit.

use crate::balancer::Traffic;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The caller's body. `None`: it is empty.
pub(super) struct Original<B>(Option<Arc<Shared<B>>>);

struct Shared<B> {
    hint: SizeHint,
    slot: Mutex<Slot<B>>,
}

struct Slot<B> {
    body: Pin<Box<B>>,
    /// What was read, from the start, unless it was given up.
    kept: Option<Vec<Bytes>>,
    /// How many pieces were read, kept or not.
    read: usize,
    /// How many bytes may still be kept.
    room: usize,
    ended: bool,
    failed: bool,
}

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, Slot<B>> {
        // A body that panics when it is polled has taken the request with it.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> Original<B> {
    /// Keeps `limit` bytes at most.
    pub(super) fn new(body: B, limit: usize) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        Self(Some(Arc::new(Shared {
            hint: body.size_hint(),
            slot: Mutex::new(Slot {
                body: Box::pin(body),
                kept: Some(Vec::new()),
                read: 0,
                room: limit,
                ended: false,
                failed: false,
            }),
        })))
    }

    /// The body from its start.
    pub(super) fn copy(&self, traffic: &Arc<Traffic>) -> Copied<B> {
        Copied {
            shared: self.0.clone(),
            at: 0,
            bytes: 0,
            traffic: Arc::clone(traffic),
        }
    }

    /// Whether all of it is there: nothing was read, or everything that was is kept.
    pub(super) fn is_at_hand(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            let slot = shared.lock();
            !slot.failed && (slot.read == 0 || slot.kept.is_some())
        })
    }

    /// Keeps nothing any more.
    pub(super) fn release(&self) {
        if let Some(shared) = &self.0 {
            shared.lock().kept = None;
        }
    }
}

/// One reading of an [`Original`].
pub(super) struct Copied<B> {
    shared: Option<Arc<Shared<B>>>,
    /// The next piece.
    at: usize,
    bytes: u64,
    traffic: Arc<Traffic>,
}

impl<B> Slot<B>
where
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        at: usize,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        if at < self.read {
            let piece = self.kept.as_ref().and_then(|kept| kept.get(at));
            return Poll::Ready(Some(piece.cloned().ok_or_else(|| {
                // Whoever sends a body again has asked before.
                "the start of the request body was not kept".into()
            })));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    (self.ended, self.failed) = (true, true);
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => {
                    // AJP has no trailers.
                    let Ok(mut data) = frame.into_data() else {
                        continue;
                    };
                    let piece = data.copy_to_bytes(data.remaining());
                    self.keep(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
            }
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        self.read = self.read.saturating_add(1);
        match (self.room.checked_sub(piece.len()), &mut self.kept) {
            (Some(room), Some(kept)) => {
                self.room = room;
                kept.push(piece.clone());
            }
            _ => self.kept = None,
        }
    }
}

impl<B> Body for Copied<B>
where
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(shared) = &this.shared else {
            return Poll::Ready(None);
        };
        let piece = ready!(shared.lock().poll_piece(cx, this.at));
        Poll::Ready(piece.map(|piece| {
            let piece = piece?;
            let len = piece.len() as u64;
            this.at = this.at.saturating_add(1);
            this.bytes = this.bytes.saturating_add(len);
            this.traffic.add_sent(len);
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let slot = shared.lock();
            self.at >= slot.read && !slot.failed && (slot.ended || slot.body.is_end_stream())
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else {
            return SizeHint::with_exact(0);
        };
        let left = |total: u64| total.saturating_sub(self.bytes);
        if let Some(exact) = shared.hint.exact() {
            return SizeHint::with_exact(left(exact));
        }
        let mut hint = SizeHint::new();
        if let Some(upper) = shared.hint.upper() {
            hint.set_upper(left(upper));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::Waker;

    /// A body of pieces; an `Err` fails.
    struct Pieces(VecDeque<Result<&'static str, &'static str>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let piece = self.0.pop_front();
            let frame = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
            Poll::Ready(piece.map(|piece| piece.map(frame).map_err(Into::into)))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            let sizes = self.0.iter().flatten().map(|text| text.len() as u64);
            SizeHint::with_exact(sizes.sum())
        }
    }

    fn original(pieces: &[Result<&'static str, &'static str>], limit: usize) -> Original<Pieces> {
        Original::new(Pieces(pieces.iter().copied().collect()), limit)
    }

    fn read(body: &mut Copied<Pieces>, most: usize) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while all.len() < most {
            match Pin::new(&mut *body).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap();
                    all.push(String::from_utf8(data.to_vec()).unwrap());
                }
                Poll::Ready(Some(Err(error))) => {
                    all.push(format!("! {error}"));
                    break;
                }
                Poll::Ready(None) => break,
                Poll::Pending => panic!(),
            }
        }
        all
    }

    #[test]
    fn a_body_is_read_again_from_the_start() {
        let traffic = Arc::new(Traffic::default());
        let body = original(&[Ok("ab"), Ok("c"), Ok("d")], 100);
        let mut first = body.copy(&traffic);
        assert_eq!(first.size_hint().exact(), Some(4));
        assert_eq!(read(&mut first, 2), ["ab", "c"]);
        assert_eq!(first.size_hint().exact(), Some(1));
        assert!(body.is_at_hand());
        let mut second = body.copy(&traffic);
        assert!(!second.is_end_stream());
        assert_eq!(second.size_hint().exact(), Some(4));
        assert_eq!(read(&mut second, 9), ["ab", "c", "d"]);
        assert!(second.is_end_stream());
        // The first one is where it was.
        assert!(!first.is_end_stream());
        assert_eq!(read(&mut first, 9), ["d"]);
        assert!(body.is_at_hand());
    }

    #[test]
    fn beyond_the_limit_nothing_is_kept() {
        let traffic = Arc::new(Traffic::default());
        let body = original(&[Ok("ab"), Ok("c"), Ok("d")], 2);
        let mut first = body.copy(&traffic);
        assert_eq!(read(&mut first, 1), ["ab"]);
        assert!(body.is_at_hand());
        assert_eq!(read(&mut first, 1), ["c"]);
        assert!(!body.is_at_hand());
        let mut second = body.copy(&traffic);
        assert_eq!(
            read(&mut second, 9),
            ["! the start of the request body was not kept"]
        );
        assert_eq!(read(&mut first, 9), ["d"], "the first one goes on");
    }

    #[test]
    fn after_release_only_the_running_one_goes_on() {
        let traffic = Arc::new(Traffic::default());
        let body = original(&[Ok("ab"), Ok("c")], 9);
        let mut first = body.copy(&traffic);
        assert_eq!(read(&mut first, 1), ["ab"]);
        body.release();
        assert!(!body.is_at_hand());
        assert_eq!(read(&mut first, 9), ["c"]);
    }

    #[test]
    fn a_body_that_failed_is_not_at_hand() {
        let traffic = Arc::new(Traffic::default());
        let body = original(&[Ok("ab"), Err("broken")], 9);
        assert_eq!(read(&mut body.copy(&traffic), 9), ["ab", "! broken"]);
        assert!(!body.is_at_hand());
    }

    #[test]
    fn an_empty_body_is_always_at_hand() {
        let traffic = Arc::new(Traffic::default());
        let body = original(&[], 0);
        body.release();
        assert!(body.is_at_hand());
        let mut copy = body.copy(&traffic);
        assert!(copy.is_end_stream());
        assert_eq!(copy.size_hint().exact(), Some(0));
        assert!(read(&mut copy, 9).is_empty());
    }
}
