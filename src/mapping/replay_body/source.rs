//! The source of a body that can be sent again, and what is kept of it.

use bytes::{Buf, Bytes};
use http_body::{Body, SizeHint};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What all clones share. The lock is never held while code of others runs, such as the source,
/// wakers, or what is dropped: any of them may come back here.
pub(super) struct Shared<B> {
    pub(super) source: Source<B>,
    /// What the source said after it was polled last.
    pub(super) size_hint: SizeHint,
    pub(super) is_end_stream: bool,
    /// Pieces taken from the source.
    pub(super) taken: usize,
    /// All of them, unless they were too much.
    pub(super) kept: Option<Vec<Bytes>>,
    /// Bytes that may still be kept.
    pub(super) room: usize,
    /// Whoever waits for the source; it wakes only one of them.
    pub(super) waiting: Vec<Waker>,
}

pub(super) enum Source<B> {
    Open(Pin<Box<B>>),
    /// A handle has taken it out and polls it at this moment.
    Polled,
    Complete,
    Failed,
}

impl<B> Shared<B> {
    /// What follows the first `position` pieces and was kept; `None` when it was let go.
    pub(super) fn after(&self, position: usize) -> Option<&[Bytes]> {
        match &self.kept {
            Some(kept) => kept.get(position..),
            None if position == self.taken => Some(&[]),
            None => None,
        }
    }

    /// Keeps a piece that was taken from the source. Returns what is let go, to be dropped
    /// without the lock.
    #[must_use]
    pub(super) fn keep(&mut self, piece: Bytes) -> Option<Vec<Bytes>> {
        self.taken = self.taken.wrapping_add(1);
        match (self.room.checked_sub(piece.len()), &mut self.kept) {
            (Some(room), Some(kept)) => {
                self.room = room;
                kept.push(piece);
                None
            }
            (None, _) | (_, None) => Some(self.kept.take().unwrap_or_default()),
        }
    }
}

pub(super) fn lock<B>(shared: &Mutex<Shared<B>>) -> MutexGuard<'_, Shared<B>> {
    // Nothing that can panic runs with the lock held.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The source while a handle polls it. If that panics the body has failed.
pub(super) struct TakenSource<'a, B: Body> {
    pub(super) shared: &'a Mutex<Shared<B>>,
    pub(super) source: Option<Pin<Box<B>>>,
}

impl<B: Body> TakenSource<'_, B> {
    /// The next piece of data that is not empty. Trailers are left out.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        loop {
            match std::task::ready!(source.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        let data = data.copy_to_bytes(data.remaining());
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            }
        }
    }

    /// Gives the source back after a poll that found nothing; `waker` is to be woken as well as
    /// whoever the source knows.
    pub(super) fn give_back_waiting(mut self, waker: Waker) {
        let Some(source) = self.source.take() else {
            return;
        };
        let (size_hint, is_end_stream) = (source.size_hint(), source.is_end_stream());
        let mut shared = lock(self.shared);
        shared.source = Source::Open(source);
        shared.size_hint = size_hint;
        shared.is_end_stream = is_end_stream;
        let is_known = shared.waiting.iter().any(|known| known.will_wake(&waker));
        let superfluous = if is_known {
            Some(waker)
        } else {
            shared.waiting.push(waker);
            None
        };
        drop(shared);
        drop(superfluous);
    }

    /// Gives the source back with a piece of its data.
    pub(super) fn give_back_with(mut self, piece: &Bytes) {
        let Some(source) = self.source.take() else {
            return;
        };
        let piece = if piece.len() < COPY_BELOW {
            Bytes::copy_from_slice(piece)
        } else {
            piece.clone()
        };
        let (size_hint, is_end_stream) = (source.size_hint(), source.is_end_stream());
        let mut shared = lock(self.shared);
        shared.source = Source::Open(source);
        shared.size_hint = size_hint;
        shared.is_end_stream = is_end_stream;
        let let_go = shared.keep(piece);
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        drop(let_go);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Leaves the source behind: it has come to its end, or failed.
    pub(super) fn end(mut self, source: Source<B>) {
        self.leave(source);
    }

    pub(super) fn leave(&mut self, source: Source<B>) {
        let ended = self.source.take();
        let mut shared = lock(self.shared);
        shared.source = source;
        shared.size_hint = SizeHint::with_exact(0);
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        drop(ended);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<B: Body> Drop for TakenSource<'_, B> {
    fn drop(&mut self) {
        if self.source.is_some() {
            self.leave(Source::Failed);
        }
    }
}

/// Pieces of fewer bytes are kept as copies: as they are, each could hold a whole read buffer.
const COPY_BELOW: usize = 1024;
