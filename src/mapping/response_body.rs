//! The response body in the web server. Whoever polls it drives the exchange: it also
//! sends what is left of the request body.

use super::upload::Upload;
use crate::client::{Error, Exchange, Lease};
use crate::net::Deadline;
use crate::proto::ClientEvent;
use crate::wire::SendHeaders;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// How long the last data of a response waits for End Response.
const HOLD: Duration = Duration::from_millis(50);

/// The body of a response from a container.
///
/// It ends only when the container has said so: a connection that closes early, and a
/// body that does not have its announced length, are errors. When it ends the connection
/// goes back to its pool. Dropping it before that closes the connection, unless the end
/// has already arrived.
pub struct ResponseBody(Box<State>);

/// On the heap: responses are moved a lot on their way.
struct State {
    exchange: Exchange,
    // Bodies of requests need not be `Sync`, bodies of responses are expected to be.
    upload: Mutex<Upload>,
    /// The last data, until the end has come too.
    held: Option<Bytes>,
    hold: Deadline,
    done: bool,
}

impl ResponseBody {
    pub(super) fn new(exchange: Exchange, upload: Upload) -> Self {
        Self(Box::new(State {
            exchange,
            upload: Mutex::new(upload),
            held: None,
            hold: Deadline::default(),
            done: false,
        }))
    }

    /// What is left of a failed exchange.
    pub(super) fn into_parts(mut self) -> (Upload, Lease) {
        let state = &mut *self.0;
        state.done = true;
        let upload = std::mem::take(unlocked(&mut state.upload));
        (upload, state.exchange.take_lease())
    }

    /// Whether the exchange failed before one byte of an answer came.
    pub(super) fn is_unanswered(&self) -> bool {
        self.0.exchange.is_unanswered()
    }

    /// The head of the response. Of a response without body also its end, so that the
    /// connection is free again and a caller that never polls the body loses nothing.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Option<SendHeaders>,
    ) -> Poll<Result<(), Error>> {
        self.0.poll_head(cx, head)
    }
}

impl State {
    /// Both directions, up to the next event that concerns the caller.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, Error>> {
        // Of several questions that have come together all answers leave together.
        let mut asked = false;
        loop {
            let more = asked && self.exchange.has_packet();
            if !more && !self.exchange.is_ended() {
                let upload = unlocked(&mut self.upload);
                if let Err(error) = upload.poll_pump(cx, &mut self.exchange) {
                    return Poll::Ready(Err(self.exchange.abandon(error)));
                }
            }
            let full = self.exchange.is_backed_up();
            match self.exchange.poll_event(cx) {
                Poll::Ready(Ok(ClientEvent::BodyRequested)) => asked = true,
                Poll::Ready(Ok(ClientEvent::Ignored)) => asked = false,
                // There is room again for the rest of the answers.
                Poll::Pending if full && !self.exchange.is_backed_up() => asked = false,
                other => return other,
            }
        }
    }

    /// Whether the last data has waited for the end long enough, from the first look on.
    fn is_held_enough(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.hold.is_set() {
            self.hold.set(Some(HOLD));
        }
        self.hold.poll(cx).is_ready()
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Option<SendHeaders>,
    ) -> Poll<Result<(), Error>> {
        loop {
            if head.is_some() && self.exchange.response_left() != Some(0) {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_event(cx))? {
                ClientEvent::Head(packet) => *head = Some(packet),
                ClientEvent::End => {
                    self.done = true;
                    return Poll::Ready(Ok(()));
                }
                // Data beyond what was announced is an error of the exchange.
                _ => {}
            }
        }
    }
}

/// Nobody else can hold the lock: it is there for `Sync` alone.
fn unlocked(upload: &mut Mutex<Upload>) -> &mut Upload {
    upload.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self.0;
        if this.done {
            return Poll::Ready(None);
        }
        loop {
            return match this.poll_event(cx) {
                Poll::Ready(Ok(ClientEvent::Data(data))) => {
                    if this.exchange.response_left() != Some(0) {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    // HTTP writers stop asking once Content-Length is reached. The end comes
                    // right behind, though not always in the same read: wait for it a
                    // little, so that the connection can be reused.
                    this.held = Some(data);
                    continue;
                }
                Poll::Ready(Ok(ClientEvent::End)) => {
                    this.done = true;
                    Poll::Ready(this.held.take().map(|data| Ok(Frame::data(data))))
                }
                // What is asked to be flushed does not wait.
                Poll::Ready(Ok(ClientEvent::Flush)) if this.held.is_some() => {
                    Poll::Ready(this.held.take().map(|data| Ok(Frame::data(data))))
                }
                Poll::Ready(Ok(_)) => continue,
                Poll::Ready(Err(error)) => {
                    this.done = true;
                    Poll::Ready(Some(Err(error)))
                }
                Poll::Pending if this.held.is_some() && this.is_held_enough(cx) => {
                    Poll::Ready(this.held.take().map(|data| Ok(Frame::data(data))))
                }
                Poll::Pending => Poll::Pending,
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.done
    }

    fn size_hint(&self) -> SizeHint {
        let state = &*self.0;
        let held = state.held.as_ref().map_or(0, Bytes::len) as u64;
        match state.exchange.response_left() {
            _ if state.done => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left.saturating_add(held)),
            None => SizeHint::new(),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // All data was delivered and only the end was not polled for: it may be here by now.
        if !self.done && self.exchange.response_left() == Some(0) {
            let _ = self.poll_event(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("peer", &self.0.exchange.peer())
            .field("left", &self.0.exchange.response_left())
            .field("done", &self.0.done)
            .finish_non_exhaustive()
    }
}
