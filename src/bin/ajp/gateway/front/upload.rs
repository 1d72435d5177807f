//! The body of a request: how large it may be, how long it is waited for, and what the
//! connection is told when it was not read to its end.

use super::connection::State;
use super::limits::{Budget, Limits, Reserved};
use super::patient::{LINGER, LINGER_SILENCE};
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// How long the rest of a body may take that nobody wants.
const DISCARD_LIMIT: Duration = Duration::from_millis(500);

/// Why a request body is not read any further.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// It is larger than allowed.
    TooLarge,
    /// The client sends too slowly: so many bytes in this time of waiting.
    TooSlow(u64, Duration),
    /// The client broke off, or broke HTTP's framing.
    Client(hyper::Error),
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the request body is larger than allowed"),
            Self::TooSlow(bytes, time) => {
                write!(f, "the client sent {bytes} bytes of the body in {time:.0?}")
            }
            Self::Client(_) => f.write_str("the client broke the request body off"),
        }
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => Some(error),
            Self::TooLarge | Self::TooSlow(..) => None,
        }
    }
}

/// The body of a client's request on its way to a container. `None`: it has none, as most requests.
#[derive(Debug)]
pub(crate) struct Upload<B>(Option<Box<Open<B>>>);

/// On the heap: bodies are moved a lot on their way to a container.
#[derive(Debug)]
struct Open<B> {
    /// There until it is dropped.
    body: Option<B>,
    /// Has the rest read where nobody wants it, over HTTP/2.
    linger: Option<fn(B)>,
    state: Arc<State>,
    /// Bytes that may still come.
    room: u64,
    clock: Clock,
    /// What was read before a container was asked.
    held: VecDeque<Bytes>,
    held_bytes: u64,
    reserved: Option<Reserved>,
    ended: bool,
    /// It is of HTTP/1, and nobody but the chunks tells where it ends. HTTP/2 has frames.
    is_chunked: bool,
}

/// Runs while the client is waited for. Each second that it may take longer is paid for with
/// the least number of bytes of a second.
#[derive(Debug)]
struct Clock {
    timeout: Duration,
    rate: u64,
    received: u64,
    waited: Duration,
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
    }

    /// Completes when the client has been waited for too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<UploadError> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let paid = self.received.checked_div(self.rate).unwrap_or(0);
        let allowed = self.timeout.saturating_add(Duration::from_secs(paid));
        let left = allowed.saturating_sub(self.waited);
        let end = since.checked_add(left).unwrap_or(now);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if alarm.deadline() != end {
            alarm.as_mut().reset(end);
        }
        ready!(alarm.as_mut().poll(cx));
        let waited = self.waited.saturating_add(since.elapsed());
        Poll::Ready(UploadError::TooSlow(self.received, waited))
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
{
    pub(crate) fn new(body: B, version: Version, state: &Arc<State>, limits: &Limits) -> Self {
        let ended = body.is_end_stream();
        state.expects_body(!ended);
        Self((!ended).then(|| Box::new(Open::new(body, version, Arc::clone(state), limits))))
    }

    /// No more than so many bytes of it are taken.
    pub(crate) fn allow(&mut self, most: Option<u64>) {
        if let Some(open) = &mut self.0 {
            open.room = most.unwrap_or(u64::MAX);
        }
    }

    /// Whether its announced length is at most so many bytes.
    pub(crate) fn fits(&self, most: usize) -> bool {
        self.0.as_ref().is_none_or(|open| open.fits(most))
    }

    /// Waits for the body as far as it fits a buffer of `room` bytes, so that no container waits
    /// for a slow client.
    pub(crate) async fn hold(
        &mut self,
        room: usize,
        budget: &Arc<Budget>,
    ) -> Result<(), UploadError> {
        match &mut self.0 {
            Some(open) => open.hold(room, budget).await,
            None => Ok(()),
        }
    }

    /// Reads the rest for nobody, if it is at most so many bytes and comes at once: the
    /// connection can be used again then.
    pub(crate) async fn discard(self, most: usize) {
        if let Some(open) = self.0 {
            open.discard(most).await;
        }
    }
}

impl<B> Open<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
{
    fn new(body: B, version: Version, state: Arc<State>, limits: &Limits) -> Self {
        Self {
            ended: false,
            is_chunked: version <= Version::HTTP_11 && body.size_hint().exact().is_none(),
            linger: (version > Version::HTTP_11)
                .then_some(|body| drop(tokio::spawn(discard(body)))),
            body: Some(body),
            state,
            room: u64::MAX,
            clock: Clock {
                timeout: limits.body_timeout,
                rate: limits.rate,
                received: 0,
                waited: Duration::ZERO,
                since: None,
                alarm: None,
            },
            held: VecDeque::new(),
            held_bytes: 0,
            reserved: None,
        }
    }

    /// What is known of the length of what has not been read yet.
    fn body_size(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(SizeHint::default, Body::size_hint)
    }

    fn fits(&self, most: usize) -> bool {
        let length = self.body_size().exact();
        length.is_some_and(|length| length <= most as u64)
    }

    async fn hold(&mut self, room: usize, budget: &Arc<Budget>) -> Result<(), UploadError> {
        let length = self.body_size().exact();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let most = length.unwrap_or(usize::MAX).min(room);
        if self.ended || most == 0 {
            return Ok(());
        }
        // What is not there any more is streamed.
        let Some(reserved) = budget.reserve(most) else {
            return Ok(());
        };
        self.reserved = Some(reserved);
        while self.held_bytes < most as u64 {
            let frame = poll_fn(|cx| self.poll_client(cx)).await;
            let Some(frame) = frame.transpose()? else {
                break;
            };
            if let Ok(data) = frame.into_data() {
                self.held_bytes = self.held_bytes.saturating_add(data.len() as u64);
                self.held.push_back(data);
            }
        }
        Ok(())
    }

    /// Nothing more comes.
    fn end(&mut self) {
        self.ended = true;
        self.state.expects_body(false);
    }

    async fn discard(mut self: Box<Self>, most: usize) {
        if self.body_size().lower() > most as u64 {
            return;
        }
        self.room = most as u64;
        let rest = async { while let Some(Ok(_)) = poll_fn(|cx| self.poll_client(cx)).await {} };
        let _ = timeout(DISCARD_LIMIT, rest).await;
    }

    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return self.clock.poll(cx).map(|error| Some(Err(error))),
        };
        Poll::Ready(match frame {
            None => {
                self.end();
                None
            }
            Some(Err(error)) => Some(Err(UploadError::Client(error))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.clock.received(length);
                if frame.is_trailers() && self.is_chunked {
                    // hyper takes a bare line feed in trailers for the end of a line, a proxy
                    // in front may not: what follows may not be a request of this client.
                    self.state.distrust();
                }
                match self.room.checked_sub(length as u64) {
                    Some(room) => {
                        self.room = room;
                        if self.body.as_ref().is_none_or(Body::is_end_stream) {
                            self.end();
                        }
                        Some(Ok(frame))
                    }
                    None => Some(Err(UploadError::TooLarge)),
                }
            }
        })
    }
}

/// Reads the rest of a body of HTTP/2 for nobody. A stream whose body is given up is reset behind
/// its answer (RFC 9113, section 8.1), and clients that still send take that for an error and
/// lose the answer. The connection of HTTP/1 [lingers](super::patient) for them.
async fn discard<B: Body + Unpin>(mut body: B) {
    let rest = async {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            match timeout(LINGER_SILENCE, frame).await {
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) | Err(_) => return,
            }
        }
    };
    let _ = timeout(LINGER, rest).await;
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(open) = &mut self.0 else {
            return Poll::Ready(None);
        };
        if let Some(data) = open.held.pop_front() {
            open.held_bytes = open.held_bytes.saturating_sub(data.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        drop(open.reserved.take());
        loop {
            match ready!(open.poll_client(cx)) {
                // AJP has no trailers.
                Some(Ok(frame)) if frame.is_trailers() => {}
                frame => return Poll::Ready(frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let open = self.0.as_ref();
        open.is_none_or(|open| open.ended && open.held.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(open) = &self.0 else {
            return SizeHint::with_exact(0);
        };
        let rest = open.body_size();
        match (open.ended, rest.exact()) {
            (true, _) => SizeHint::with_exact(open.held_bytes),
            (false, Some(rest)) => SizeHint::with_exact(rest.saturating_add(open.held_bytes)),
            (false, None) => SizeHint::default(),
        }
    }
}

impl<B> Drop for Open<B> {
    fn drop(&mut self) {
        if !self.ended {
            self.state.leave_body_unread();
            if let (Some(body), Some(linger)) = (self.body.take(), self.linger) {
                linger(body);
            }
            if self.is_chunked {
                // Trailers may follow that nobody has looked at.
                self.state.distrust();
            }
        }
    }
}
