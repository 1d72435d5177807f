//! The body of an answer on its way to the client.

use super::record::Entry;
use crate::gateway::front::answer;
use crate::gateway::front::connection::Running;
use crate::gateway::front::counts::CountedRequest;
use crate::gateway::front::failures::{self, Fault};
use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response body whose end completes the entry of its request.
#[derive(Debug)]
pub(in crate::gateway::front) struct Sent<B: Body> {
    body: B,
    entry: Entry,
    ended: bool,
    /// The request counts as running as long as its answer is sent.
    running: Running,
    /// In the numbers of its site too. It is the last to be dropped.
    _counted: Option<CountedRequest>,
}

impl<B: Body> Sent<B> {
    /// Notes what of this body was sent.
    pub(in crate::gateway::front) fn new(
        body: B,
        entry: Entry,
        running: Running,
        counted: Option<CountedRequest>,
    ) -> Self {
        let is_head = entry
            .asked()
            .is_some_and(|asked| asked.method == Method::HEAD);
        Self {
            // The body of an answer to HEAD is never asked for.
            ended: is_head,
            body,
            entry,
            running,
            _counted: counted,
        }
    }
}

impl<B: Body> Drop for Sent<B> {
    fn drop(&mut self) {
        if self.ended || self.body.is_end_stream() {
            self.running.answered();
        } else {
            self.entry.aborted();
        }
    }
}

impl<B> Body for Sent<B>
where
    B: Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.entry.sent(bytes);
            }
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                let why = answer::chain(&**error);
                failures::tell(&self.entry, None, Fault::Ours, &why);
                self.entry.cut(&why);
            }
            Poll::Ready(None) => self.ended = true,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
