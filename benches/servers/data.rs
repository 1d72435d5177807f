//! Bodies of any length whose bytes are there once.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The same frame again and again, until it is enough.
pub(crate) struct Data {
    frame: Bytes,
    left: u64,
}

impl Data {
    pub(crate) fn new(frame: Bytes, len: u64) -> Self {
        Self { frame, left: len }
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::new(bytes, len)
    }
}

impl Body for Data {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let len = self.left.min(self.frame.len() as u64);
        self.left -= len;
        let data = self.frame.slice(..usize::try_from(len).unwrap());
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
