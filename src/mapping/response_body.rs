//! The response body in the web server. Whoever polls it drives the exchange: it also
//! sends what is left of the request body.

use super::response_decode::response_parts;
use super::upload::Upload;
use crate::client::{ClientError, ErrorKind, Exchange, Lease, Phases, RequestId};
use crate::net::Deadline;
use crate::proto::ClientEvent;
use crate::wire::SendHeaders;
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// How long a response of which all has come waits for End Response.
const HOLD: Duration = Duration::from_millis(50);

/// How long it is waited whether a 403 is the container's own.
const HOLD_REFUSAL: Duration = Duration::from_secs(1);

/// Most bytes of a container's page about a refusal, which may be one of the operator's.
const MOST_OF_A_REFUSAL: usize = 64 * 1024;

/// The body of a response from a container.
///
/// With a `Content-Length` it ends when all promised bytes have come, whether the container
/// then says that this was the end or not; without, only when the container says so: a
/// connection that closes early is an error, and so is a body that is longer or shorter than
/// promised. When the container has ended the response the connection goes back to its pool.
/// Dropping the body before that closes the connection, unless the end has already arrived.
///
/// An error never comes in the same turn as what was given before it: the body is pending once
/// in between. So a server that writes when there is nothing to read, as hyper does, has sent
/// the head and the data by then, and its client sees a response that was cut off. Without
/// that hyper would close a kept-alive connection without a single byte, which clients take
/// for a connection that was stale, and they would send a POST again.
///
/// Errors say who caused them ([`ClientError::blame`]), after the head as before it.
pub struct ResponseBody(Box<State>);

/// On the heap: responses are moved a lot on their way.
struct State {
    exchange: Exchange,
    /// The head, from its coming until a `Response` is made of it: as long as only the library has
    /// the answer, it is one pointer.
    head: Option<SendHeaders>,
    // Bodies of requests need not be `Sync`, bodies of responses are expected to be.
    upload: Mutex<Upload>,
    stage: Stage,
    hold: Deadline,
    /// Whether the container has asked for a packet of the request body.
    body_asked: bool,
    /// Whether the reader was given something, and has not been told to wait since.
    has_given: bool,
}

/// What a 403 says of the secret that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The container answers so itself, or an application does and the connection is closed
    /// for another reason.
    Refused,
    /// An application answers so.
    Taken,
    /// The end did not come in time, or not at all, or after more than any refusal has.
    Unknown,
}

enum Stage {
    /// More of the head or of the data is to come.
    Receiving,
    /// As [`Receiving`](Self::Receiving), behind this data, which came while it was waited
    /// whether the container refuses the request.
    Held(VecDeque<Bytes>),
    /// All data has come, End Response has not. The last data is held back meanwhile, unless
    /// it was to be flushed: HTTP writers stop asking once Content-Length is reached, and the
    /// end comes right behind, though not always in the same read.
    Complete(Option<Bytes>),
    /// The exchange failed, and the reader does not know yet.
    Failed(ClientError),
    /// The reader has got everything.
    Done,
}

impl ResponseBody {
    #[inline]
    pub(super) fn new(exchange: Exchange, upload: Upload) -> Self {
        Self(Box::new(State {
            exchange,
            head: None,
            upload: Mutex::new(upload),
            stage: Stage::Receiving,
            hold: Deadline::default(),
            body_asked: false,
            has_given: false,
        }))
    }

    /// Names the request in what is told of the exchange.
    pub(super) fn set_request_id(&mut self, id: Option<&RequestId>) {
        self.0.exchange.set_request_id(id);
    }

    /// The status, while the head is here.
    pub(super) fn status(&self) -> Option<u16> {
        self.0.head.as_ref().map(SendHeaders::status)
    }

    /// The response, with the head that came. Of one whose head has not come, nothing is known yet.
    pub(super) fn into_response(mut self) -> Response<Self> {
        let head = self.0.head.take();
        let head = head.as_ref().map_or_else(Response::default, response_parts);
        head.map(|()| self)
    }

    /// Takes back what was sent of the request body; nothing if that is not possible.
    pub(super) fn rewind(&mut self) -> Option<Upload> {
        let upload = unlocked(&mut self.0.upload);
        upload.rewind().then(|| std::mem::take(upload))
    }

    /// How long the phases of the exchange took so far. Those of the exchange itself, from
    /// writing the request on, are measured where the pool has an
    /// [`Observer`](crate::client::Observer) that wants them, or a span is recorded.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.0.exchange.phases()
    }

    /// What is left of a failed exchange.
    pub(super) fn into_parts(mut self) -> (Upload, Lease) {
        let state = &mut *self.0;
        state.stage = Stage::Done;
        let upload = std::mem::take(unlocked(&mut state.upload));
        (upload, state.exchange.take_lease())
    }

    /// Whether the exchange failed before one byte of an answer came.
    pub(super) fn is_unanswered(&self) -> bool {
        self.0.exchange.is_unanswered()
    }

    /// Whether the container has asked for a packet of the request body.
    pub(super) fn is_body_asked(&self) -> bool {
        self.0.body_asked
    }

    /// Waits until it is known whether a 403 is the container's refusal: until its end, if
    /// that comes soon. What comes before is held back.
    pub(super) fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        self.0.in_hand(|state| state.poll_refusal(cx))
    }

    /// Ready when the head of the response has come. Of a response without body also its end, if
    /// that comes soon, so that the connection is free again and a caller that never polls the body
    /// loses nothing.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.0.in_hand(|state| state.poll_head(cx))
    }
}

impl State {
    /// Runs one poll with the connection in hand.
    fn in_hand<T>(&mut self, poll: impl FnOnce(&mut Self) -> Poll<T>) -> Poll<T> {
        self.exchange.resume();
        let polled = poll(self);
        self.has_given = polled.is_ready();
        if self.has_given {
            self.exchange.pause_ready();
        } else {
            self.exchange.pause();
        }
        polled
    }

    /// Both directions, up to the next event that concerns the caller.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, ClientError>> {
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
            match self.exchange.poll_in_hand(cx) {
                Poll::Ready(Ok(ClientEvent::BodyRequested)) => {
                    asked = true;
                    self.body_asked = true;
                }
                Poll::Ready(Ok(ClientEvent::Ignored)) => asked = false,
                // There is room again for the rest of the answers.
                Poll::Pending if full && !self.exchange.is_backed_up() => asked = false,
                other => return other,
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        while self.head.is_none() {
            if let ClientEvent::Head(packet) = ready!(self.poll_event(cx))? {
                self.head = Some(packet);
            }
        }
        if self.exchange.response_left() != Some(0) {
            return Poll::Ready(Ok(()));
        }
        self.stage = Stage::Complete(None);
        loop {
            if let Release::Response = ready!(self.poll_release(cx))? {
                self.stage = Stage::Done;
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        let refusal = ready!(self.poll_end_of_refusal(cx));
        // The wait for the end of the response is another one.
        self.hold.set(None);
        Poll::Ready(refusal)
    }

    fn poll_end_of_refusal(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        if let Stage::Receiving = self.stage {
            self.stage = Stage::Held(VecDeque::new());
        }
        while !self.exchange.is_ended() {
            let Stage::Held(held) = &self.stage else {
                return Poll::Ready(Refusal::Unknown);
            };
            let len: usize = held.iter().map(Bytes::len).sum();
            if len > MOST_OF_A_REFUSAL {
                return Poll::Ready(Refusal::Unknown);
            }
            match self.poll_event(cx) {
                Poll::Ready(Ok(ClientEvent::Data(data))) => {
                    if let Stage::Held(held) = &mut self.stage {
                        held.push_back(data);
                    }
                }
                Poll::Ready(Ok(_)) => {}
                // Whoever reads on is told the same.
                Poll::Ready(Err(_)) => return Poll::Ready(Refusal::Unknown),
                Poll::Pending => {
                    if !self.hold.is_set() {
                        self.hold.set(Some(HOLD_REFUSAL));
                    }
                    ready!(self.hold.poll(cx));
                    return Poll::Ready(Refusal::Unknown);
                }
            }
        }
        Poll::Ready(if self.exchange.is_refusal() {
            Refusal::Refused
        } else {
            Refusal::Taken
        })
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        loop {
            match &mut self.stage {
                Stage::Held(held) => match held.pop_front() {
                    Some(data) => return Poll::Ready(Some(Ok(data))),
                    None if self.exchange.response_left() == Some(0) => {
                        self.stage = Stage::Complete(None);
                    }
                    None => self.stage = Stage::Receiving,
                },
                Stage::Receiving => match ready!(self.poll_event(cx)) {
                    Ok(ClientEvent::Data(data)) if self.exchange.response_left() != Some(0) => {
                        return Poll::Ready(Some(Ok(data)));
                    }
                    Ok(ClientEvent::Data(data)) => self.stage = Stage::Complete(Some(data)),
                    Ok(ClientEvent::End) => self.stage = Stage::Done,
                    Ok(_) => {}
                    Err(error) => self.stage = Stage::Failed(error),
                },
                Stage::Complete(_) => {
                    let release = ready!(self.poll_release(cx));
                    let next = match release {
                        Ok(Release::Data) => Stage::Complete(None),
                        Ok(Release::Response) => Stage::Done,
                        Err(error) => Stage::Failed(error),
                    };
                    match std::mem::replace(&mut self.stage, next) {
                        Stage::Complete(Some(data)) if !self.is_failed() => {
                            return Poll::Ready(Some(Ok(data)));
                        }
                        _ => {}
                    }
                }
                Stage::Failed(_) if self.has_given => {
                    // What was given leaves before the connection is cut: see the type.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stage::Failed(_) => match std::mem::replace(&mut self.stage, Stage::Done) {
                    Stage::Failed(error) => return Poll::Ready(Some(Err(error))),
                    _ => return Poll::Ready(None),
                },
                Stage::Done => return Poll::Ready(None),
            }
        }
    }

    /// After all data: until it need not be held back any longer, or the whole response is
    /// over, or has waited for that long enough. Nothing that goes wrong now changes a response
    /// that is complete, except that it turns out to be longer than promised.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<Result<Release, ClientError>> {
        loop {
            match self.poll_event(cx) {
                Poll::Ready(Ok(ClientEvent::Flush)) => return Poll::Ready(Ok(Release::Data)),
                Poll::Ready(Ok(ClientEvent::End)) => return Poll::Ready(Ok(Release::Response)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Protocol => {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(Release::Response)),
                Poll::Pending => {
                    if !self.hold.is_set() {
                        self.hold.set(Some(HOLD));
                    }
                    return self.hold.poll(cx).map(|()| Ok(Release::Response));
                }
            }
        }
    }

    fn is_failed(&self) -> bool {
        matches!(self.stage, Stage::Failed(_))
    }
}

/// What need not be held back any longer.
enum Release {
    /// The last data: it is to be flushed.
    Data,
    /// All of the response.
    Response,
}

/// Nobody else can hold the lock: it is there for `Sync` alone.
fn unlocked(upload: &mut Mutex<Upload>) -> &mut Upload {
    upload.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let state = &mut *self.0;
        if let Stage::Done = state.stage {
            return Poll::Ready(None);
        }
        let data = ready!(state.in_hand(|state| state.poll_data(cx)));
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0.stage, Stage::Done)
    }

    fn size_hint(&self) -> SizeHint {
        let state = &*self.0;
        let held = match &state.stage {
            Stage::Complete(Some(data)) => data.len() as u64,
            Stage::Held(held) => held.iter().map(|data| data.len() as u64).sum(),
            Stage::Complete(None) | Stage::Done => return SizeHint::with_exact(0),
            Stage::Receiving | Stage::Failed(_) => 0,
        };
        match state.exchange.response_left() {
            Some(left) => SizeHint::with_exact(left + held),
            None => SizeHint::new(),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // All data was delivered and only the end was not polled for: it may be here by now.
        if self.exchange.response_left() == Some(0) && !self.exchange.is_ended() {
            self.exchange.resume();
            let _ = self.poll_event(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("peer", &self.0.exchange.peer())
            .field("left", &self.0.exchange.response_left())
            .field("ended", &self.0.exchange.is_ended())
            .finish_non_exhaustive()
    }
}
