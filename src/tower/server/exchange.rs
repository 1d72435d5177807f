//! One exchange with a service: a request, the service's answer, and what is said instead
//! when either fails.

use super::connection::BoxError;
use super::packing::Packing;
use super::span::ExchangeSpan;
use crate::mapping::request_body::{Demand, Feed, RequestBody, RequestBodyError};
use crate::mapping::{request_parts_with_headers, write_send_headers};
use crate::proto::ServerExchange;
use crate::server::{Connection, Refusal, ServerError, Step};
use crate::wire::ForwardRequest;
use bytes::Buf;
use http::header::EXPECT;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// Bytes waiting to be written that may take a while to leave.
const LONG: usize = 256 << 10;

/// Answers one request; tells whether the connection may serve another.
pub(super) async fn exchange<I, S, B>(
    connection: &mut Connection<I>,
    service: &mut S,
    (request, headers): (ForwardRequest, HeaderMap),
    draining: Pin<&mut impl Future<Output = ()>>,
    stop: &mut bool,
) -> Result<bool, ServerError>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    let span = ExchangeSpan::new(&request, connection.consumed());
    let mut running = RunningExchange {
        connection: &mut *connection,
        feed: None,
        body_awaits_continue: false,
        packing: Packing::default(),
        span: &span,
    };
    let answered = caught(running.run(service, &request, headers)).await;
    // Also what came before the body broke off.
    let answered = answered.and(running.packing.send(running.connection));
    drop(running);
    drop(request);
    let ended = match answered {
        Ok(()) => finish(connection, draining, stop).await,
        Err(error) => {
            give_up(connection, &error, &span).await;
            Err(error)
        }
    };
    span.ended(&ended, connection.consumed());
    ended
}

/// Runs what calls the application, its services and bodies. A panic would close the connection
/// without an answer, which a proxy takes for the failure of the whole container; what it left
/// half done is dropped with the connection.
async fn caught<T>(
    running: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    let mut running = pin!(running);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(Err(ServerError::Panicked)))
    })
    .await
}

/// Whether the client waits for `100 Continue` before it sends its body (RFC 9110 10.1.1).
fn expects_continue(headers: &HeaderMap) -> bool {
    let expect = headers.get(EXPECT);
    expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The end of an exchange that was answered. Asks about shutdown as late as possible: a
/// long answer goes out first, any other leaves together with End Response, in one call.
async fn finish<I>(
    connection: &mut Connection<I>,
    mut draining: Pin<&mut impl Future<Output = ()>>,
    stop: &mut bool,
) -> Result<bool, ServerError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    if connection.queued() >= LONG {
        poll_fn(|cx| connection.poll_flush(cx)).await?;
    }
    poll_fn(|cx| {
        if !*stop && draining.as_mut().poll(cx).is_ready() {
            *stop = true;
            connection.drain();
        }
        Poll::Ready(())
    })
    .await;
    connection.finish(true).await
}

/// The end of an exchange that failed: an answer that names the reason if the web server
/// has none yet; else what was promised so far and no End Response, so that it sees a
/// truncated response and not a complete one.
async fn give_up<I>(connection: &mut Connection<I>, error: &ServerError, span: &ExchangeSpan)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let responding = connection
        .exchange()
        .is_some_and(ServerExchange::is_responding);
    // The connection is lost either way, and `error` is what it is lost for.
    match error.answer() {
        Some(answer) if !responding => {
            span.status(answer.status);
            connection.queue_answer(answer);
            let _ = connection.finish(false).await;
        }
        _ if error.is_applications() => {
            let _ = poll_fn(|cx| connection.poll_flush(cx)).await;
        }
        _ => {}
    }
}

struct RunningExchange<'c, I> {
    connection: &'c mut Connection<I>,
    feed: Option<Feed>,
    /// The client sends its body only when it is told to, and no body packet came unasked.
    body_awaits_continue: bool,
    packing: Packing,
    span: &'c ExchangeSpan,
}

impl<I: AsyncRead + AsyncWrite + Unpin> RunningExchange<'_, I> {
    /// Answers one request, all but End Response.
    async fn run<S, B>(
        &mut self,
        service: &mut S,
        request: &ForwardRequest,
        headers: HeaderMap,
    ) -> Result<(), ServerError>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
        B: Body<Data: Buf, Error: Into<BoxError>>,
    {
        let head_request = request.method() == b"HEAD";
        let config = self.connection.config();
        let Ok(parts) = request_parts_with_headers(request, headers, config) else {
            self.connection.count_refusal(&Refusal::Target);
            return Err(ServerError::Refused(Refusal::Target));
        };
        let (body, feed) = RequestBody::new(request.framing());
        self.feed = feed;
        self.body_awaits_continue = self.feed.is_some()
            && !request.framing().is_eager()
            && expects_continue(parts.headers());
        let parts = parts.map(|()| body);
        let failed = |error: S::Error| ServerError::Application(error.into());
        self.drive(|cx| service.poll_ready(cx))
            .await?
            .map_err(failed)?;
        let response = {
            let mut call = pin!(self.span.in_scope(|| service.call(parts)));
            self.drive(|cx| call.as_mut().poll(cx)).await?
        };
        self.respond(response.map_err(failed)?, head_request).await
    }

    /// Polls the application, and moves bytes in both directions meanwhile. Ends early
    /// when the web server goes away or breaks the protocol.
    async fn drive<T>(
        &mut self,
        mut application: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, ServerError> {
        poll_fn(|cx| {
            loop {
                let (result, demand) = self.poll_application(cx, &mut application);
                if let Poll::Ready(result) = result {
                    return Poll::Ready(Ok(result));
                }
                if !self.poll_io(cx, demand)? {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls a part of the application; tells also what it wants of the request body.
    fn poll_application<T>(
        &self,
        cx: &mut Context<'_>,
        application: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, Demand) {
        if let Some(feed) = &self.feed {
            feed.begin_drive(cx);
        }
        let result = self.span.in_scope(|| application(cx));
        let demand = self.feed.as_ref().map_or(Demand::None, Feed::end_drive);
        (result, demand)
    }

    /// Moves bytes; true when the application should be polled again.
    fn poll_io(&mut self, cx: &mut Context<'_>, demand: Demand) -> Result<bool, ServerError> {
        match demand {
            Demand::Waiting => self.connection.request_body(0),
            Demand::Behind(packets) if self.connection.config().body_requests > 1 => {
                self.connection.request_body(packets);
            }
            Demand::None | Demand::Behind(_) => {}
        }
        let waiting = demand == Demand::Waiting;
        match self.connection.poll_exchange(cx, waiting) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(event)) => {
                let limit = self.connection.config().max_body;
                let (received, complete) =
                    self.connection.exchange().map_or((0, true), |exchange| {
                        (exchange.body_received(), exchange.is_body_complete())
                    });
                if let Some(feed) = &self.feed {
                    if limit.is_some_and(|limit| received > limit) {
                        feed.fail(RequestBodyError::TOO_LARGE);
                    } else {
                        feed.push(event, complete);
                    }
                }
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                if let Some(feed) = &self.feed {
                    feed.fail(match &error {
                        ServerError::Timeout(_) => RequestBodyError::LATE,
                        ServerError::Protocol(_) => RequestBodyError::BROKEN,
                        _ => RequestBodyError::GONE,
                    });
                }
                Err(error)
            }
        }
    }

    /// Before the head of an answer whose body may read the request's: has the client told to
    /// send that now, by asking for its first packet. httpd, with either module, would
    /// else write `100 Continue` into the answer when the packet is asked for later. It goes on
    /// without the packet when nobody can read it any more, and when it does not come in time.
    async fn request_awaited_body(&mut self) -> Result<(), ServerError> {
        let is_untouched = |exchange: &ServerExchange| {
            exchange.body_received() == 0 && !exchange.is_body_complete()
        };
        poll_fn(|cx| {
            while self.connection.exchange().is_some_and(is_untouched) {
                // First the waker, so that no drop of the body is missed.
                let has_reader = |feed: &Feed| {
                    feed.wake_when_dropped(cx);
                    feed.has_reader()
                };
                if !self.feed.as_ref().is_some_and(has_reader) {
                    break;
                }
                match self.poll_io(cx, Demand::Waiting) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    Err(ServerError::Timeout(Step::Body)) => break,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    async fn respond<B>(
        &mut self,
        response: Response<B>,
        head_request: bool,
    ) -> Result<(), ServerError>
    where
        B: Body<Data: Buf, Error: Into<BoxError>>,
    {
        let (parts, body) = response.into_parts();
        let mut body = pin!(body);
        let length = body.size_hint().exact();
        let status = parts.status.as_u16();
        if status < 200 {
            let interim = format!("it answered with status {status}, which AJP cannot carry");
            return Err(ServerError::Application(interim.into()));
        }
        if self.body_awaits_continue && !body.is_end_stream() {
            Box::pin(self.request_awaited_body()).await?;
        }
        self.connection
            .send_headers(status, |buffer, size| {
                write_send_headers(buffer, size, &parts, head_request, length)
            })
            .map_err(ServerError::ResponseHead)?;
        self.span.status(status);
        if !self
            .connection
            .exchange()
            .is_some_and(ServerExchange::response_has_body)
        {
            return Ok(());
        }
        while !body.is_end_stream() {
            if self.is_complete() {
                self.look_behind_the_end(&mut body).await?;
                break;
            }
            match self.drive_body(&mut body).await? {
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        let data = data.copy_to_bytes(data.remaining());
                        if self.packing.is_empty() && body.is_end_stream() {
                            self.connection.send_data(data)?;
                        } else {
                            self.packing.add(data, self.connection)?;
                        }
                    }
                }
                None => break,
                Some(Err(error)) => {
                    return Err(ServerError::Aborted("the body failed", Some(error)));
                }
            }
        }
        self.packing.send(self.connection)?;
        match self
            .connection
            .exchange()
            .and_then(ServerExchange::response_left)
        {
            Some(left) if left > 0 => Err(ServerError::Aborted(
                "the body is shorter than its Content-Length",
                None,
            )),
            _ => Ok(()),
        }
    }

    /// Whether the body has given as many bytes as `Content-Length` promises. The response is over
    /// then, as in hyper: what the body does behind that, to wait or to fail, is nothing that the
    /// web server could be told.
    fn is_complete(&self) -> bool {
        let exchange = self.connection.exchange();
        let left = exchange.and_then(ServerExchange::response_left);
        left.is_some_and(|left| left <= self.packing.len() as u64)
    }

    /// Asks a body that has given all that was promised once more, without waiting for it.
    ///
    /// # Errors
    /// It has more at once, which would be cut off.
    async fn look_behind_the_end<B>(&mut self, body: &mut Pin<&mut B>) -> Result<(), ServerError>
    where
        B: Body<Data: Buf, Error: Into<BoxError>>,
    {
        let (frame, _) = poll_fn(move |cx| {
            let poll = |cx: &mut Context<'_>| body.as_mut().poll_frame(cx);
            Poll::Ready(self.poll_application(cx, poll))
        })
        .await;
        match frame {
            Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Buf::has_remaining) => {
                Err(ServerError::Aborted(
                    "the body is longer than its Content-Length",
                    None,
                ))
            }
            _ => Ok(()),
        }
    }

    /// The next frame of the response body. Not asked for while more than the high-water
    /// mark waits to be written; a body that has nothing ready makes a flush packet.
    async fn drive_body<B>(
        &mut self,
        body: &mut Pin<&mut B>,
    ) -> Result<Option<Result<Frame<B::Data>, BoxError>>, ServerError>
    where
        B: Body<Error: Into<BoxError>>,
    {
        poll_fn(|cx| {
            loop {
                let full = self.connection.is_backed_up();
                let mut demand = Demand::None;
                if !full || self.connection.poll_flush(cx)?.is_ready() {
                    let frame;
                    (frame, demand) = self.poll_application(cx, |cx| body.as_mut().poll_frame(cx));
                    if let Poll::Ready(frame) = frame {
                        return Poll::Ready(Ok(frame.map(|frame| frame.map_err(Into::into))));
                    }
                    self.packing.send(self.connection)?;
                    if self.connection.config().flush_when_pending {
                        self.connection.send_flush();
                    }
                }
                if !self.poll_io(cx, demand)? {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
