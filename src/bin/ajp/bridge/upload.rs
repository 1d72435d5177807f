//! The body of a request on its way to the application, and how long the application has done
//! nothing.

use ajp::server::RequestBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// The next piece of its body, for which the server has a limit of its own.
    Visitor,
    /// The application: to take the body on, or to answer. Since when.
    Application(Instant),
}

/// How long the application has done nothing, as the upload sees it: the time in which a visitor
/// sends is not the application's.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<WaitsFor>>);

impl Progress {
    pub(super) fn new() -> Self {
        let waits = WaitsFor::Application(Instant::now());
        Self(Arc::new(Mutex::new(waits)))
    }

    fn set(&self, waits: WaitsFor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }

    fn get(&self) -> WaitsFor {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the application has done nothing for this long.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let since = match self.get() {
                WaitsFor::Visitor => Instant::now(),
                WaitsFor::Application(since) => since,
            };
            tokio::time::sleep_until(since + limit).await;
            if self.get() == WaitsFor::Application(since) {
                return;
            }
        }
    }
}

/// The body, which notes its progress.
#[derive(Debug)]
pub(super) struct Upload {
    /// Nothing for a request without one.
    body: Option<RequestBody>,
    progress: Progress,
}

impl Upload {
    pub(super) fn new(body: RequestBody, progress: Progress) -> Self {
        Self {
            body: Some(body).filter(|body| !body.is_end_stream()),
            progress,
        }
    }

    /// That of a request without one.
    pub(super) fn empty(progress: Progress) -> Self {
        Self {
            body: None,
            progress,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = <RequestBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        self.progress.set(match polled {
            Poll::Pending => WaitsFor::Visitor,
            Poll::Ready(_) => WaitsFor::Application(Instant::now()),
        });
        Poll::Ready(ready!(polled))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An application that answers, or goes away, before it has all is waited for from then on.
impl Drop for Upload {
    fn drop(&mut self) {
        self.progress.set(WaitsFor::Application(Instant::now()));
    }
}
