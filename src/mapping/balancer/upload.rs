//! The request body on its way to one member after the other.

use crate::balancer::Choice;
use crate::client::{ReplayBody, ReplayError};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The caller's body. `None`: it is empty.
pub(super) struct Original<B>(Option<ReplayBody<B>>);

impl<B: Body> Original<B> {
    /// Keeps `limit` bytes at most.
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self((!body.is_end_stream()).then(|| ReplayBody::new(body, limit)))
    }

    /// The body from its start, for one member.
    pub(super) fn copy(&self, choice: &Choice) -> Copied<B> {
        let body = self.0.clone();
        Copied(body.map(|body| (body, choice.clone())))
    }

    /// Whether all of it can be given once more.
    pub(super) fn is_at_hand(&self) -> bool {
        self.0.as_ref().is_none_or(ReplayBody::is_replayable)
    }
}

/// One reading of an [`Original`]; it counts for the member.
pub(super) struct Copied<B>(Option<(ReplayBody<B>, Choice)>);

impl<B> Body for Copied<B>
where
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let Some((body, choice)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let len = frame.data_ref().map_or(0, Bytes::len) as u64;
            choice.add_sent(len);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.as_ref();
        body.is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}
