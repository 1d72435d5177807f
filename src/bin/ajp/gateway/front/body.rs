//! The body of an answer, whoever gives it.

use super::buffer::Buffered;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

type BoxError = Box<dyn Error + Send + Sync>;

/// What is sent to a client. One type and not one around the other: each turn of a body that it is asked
/// through costs what a small answer costs.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of a container.
    Container(Buffered),
    /// The gateway's own.
    Own(Full<Bytes>),
    /// Of a member's HTTP server, which was asked for an upgrade.
    Upgrade(Incoming),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Container(body) => Pin::new(body).poll_frame(cx),
            Self::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Upgrade(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Container(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
            Self::Upgrade(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Container(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
            Self::Upgrade(body) => body.size_hint(),
        }
    }
}
