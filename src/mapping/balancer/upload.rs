//! The request body on its way to one member after the other.

use crate::balancer::Choice;
use crate::client::{ReplayBody, ReplayError};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The caller's body. `None`: it is empty.
pub(super) struct Original<B>(Option<(ReplayBody<B>, LastRead)>);

/// When a part of it was read last.
type LastRead = Arc<Mutex<Option<Instant>>>;

impl<B: Body> Original<B> {
    /// Keeps `limit` bytes at most.
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self((!body.is_end_stream()).then(|| (ReplayBody::new(body, limit), LastRead::default())))
    }

    /// The body from its start, for one member.
    pub(super) fn copy(&self, choice: &Choice) -> MemberUpload<B> {
        MemberUpload(self.0.as_ref().map(|(body, last_read)| Reading {
            body: body.clone(),
            choice: choice.clone(),
            last_read: Arc::clone(last_read),
        }))
    }

    /// Whether all of it can be given once more.
    pub(super) fn is_at_hand(&self) -> bool {
        let body = self.0.as_ref();
        body.is_none_or(|(body, _)| body.is_replayable())
    }

    /// When a part of it was read last, if it has any.
    pub(super) fn last_read(&self) -> Option<Instant> {
        let (_, last_read) = self.0.as_ref()?;
        *last_read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reading of an [`Original`]; it counts for the member.
pub(super) struct MemberUpload<B>(Option<Reading<B>>);

struct Reading<B> {
    body: ReplayBody<B>,
    choice: Choice,
    last_read: LastRead,
}

impl<B> Body for MemberUpload<B>
where
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let Some(copy) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut copy.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let len = frame.data_ref().map_or(0, Bytes::len) as u64;
            copy.choice.add_sent(len);
            let now = tokio::time::Instant::now().into_std();
            let mut last_read = copy
                .last_read
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *last_read = Some(now);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.as_ref();
        body.is_none_or(|copy| copy.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), |copy| copy.body.size_hint())
    }
}
