//! One connection with a service: one task owns the socket and polls the service.

use crate::http::request_body::{Feed, RequestBody, RequestBodyError};
use crate::http::{request_parts, write_send_headers};
use crate::proto::ServerExchange;
use crate::server::{Connection, Error, Refusal, ServerConfig};
use crate::wire::ForwardRequest;
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Serves one connection that a web server has opened, over any byte stream.
///
/// `draining` completes when the server shuts down: an idle connection closes then, a
/// running exchange ends with reuse 0. Pass [`std::future::pending`] to serve until the
/// web server closes.
///
/// # Errors
/// [`Error`] when the connection ended otherwise than by the web server closing it
/// between requests.
///
/// # Cancel safety
/// Dropping the future cuts the connection.
pub async fn serve_connection<I, S, B>(
    io: I,
    mut service: S,
    config: Arc<ServerConfig>,
    draining: impl Future<Output = ()>,
) -> Result<(), Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    let mut connection = Connection::new(io, config);
    let mut draining = pin!(draining);
    let mut stop = false;
    loop {
        let request = {
            let mut next = pin!(connection.next_request());
            poll_fn(|cx| {
                if draining.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(None));
                }
                next.as_mut().poll(cx)
            })
            .await?
        };
        let Some(request) = request else {
            return Ok(());
        };
        let mut exchange = Running {
            connection: &mut connection,
            feed: None,
        };
        let refusal = exchange.run(&mut service, &request).await?;
        drop(exchange);
        drop(request);
        // A long answer may still be on its way; ask about shutdown when it is out. A short
        // one leaves together with End Response.
        if connection.is_backed_up() {
            poll_fn(|cx| connection.poll_flush(cx)).await?;
        }
        poll_fn(|cx| {
            stop |= draining.as_mut().poll(cx).is_ready();
            Poll::Ready(())
        })
        .await;
        let kept = connection.finish(refusal.is_none() && !stop).await?;
        if let Some(Refusal { status, reason }) = refusal {
            return Err(Error::Refused { status, reason });
        }
        if !kept {
            return Ok(());
        }
    }
}

/// One exchange.
struct Running<'c, I> {
    connection: &'c mut Connection<I>,
    feed: Option<Feed>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Running<'_, I> {
    /// Answers one request. A refusal is what it was answered with instead of by the
    /// application; the connection closes then.
    async fn run<S, B>(
        &mut self,
        service: &mut S,
        request: &ForwardRequest,
    ) -> Result<Option<Refusal>, Error>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
        B: Body<Data: Buf, Error: Into<BoxError>>,
    {
        let head_request = request.method() == b"HEAD";
        let Ok(parts) = request_parts(request, self.connection.config()) else {
            self.connection.queue_refusal(Refusal::URI);
            return Ok(Some(Refusal::URI));
        };
        let (body, feed) = RequestBody::new(request.framing());
        self.feed = feed;
        let parts = parts.map(|()| body);
        let response = {
            let mut call = pin!(async {
                poll_fn(|cx| service.poll_ready(cx))
                    .await
                    .map_err(Into::into)?;
                service.call(parts).await.map_err(Into::<BoxError>::into)
            });
            self.drive(|cx| call.as_mut().poll(cx)).await?
        };
        let Ok(response) = response else {
            self.connection.queue_refusal(Refusal::FAILED);
            return Ok(None);
        };
        self.respond(response, head_request).await?;
        Ok(None)
    }

    /// Polls the application, and moves bytes in both directions meanwhile. Ends early
    /// when the web server goes away or breaks the protocol.
    async fn drive<T>(
        &mut self,
        mut application: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Error> {
        poll_fn(|cx| {
            loop {
                let (result, wanted) = self.poll_application(cx, &mut application);
                if let Poll::Ready(result) = result {
                    return Poll::Ready(Ok(result));
                }
                if !self.poll_io(cx, wanted)? {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls a part of the application; tells also whether it waits for request body.
    fn poll_application<T>(
        &self,
        cx: &mut Context<'_>,
        application: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, bool) {
        if let Some(feed) = &self.feed {
            feed.begin_drive(cx);
        }
        let result = application(cx);
        (result, self.feed.as_ref().is_some_and(Feed::end_drive))
    }

    /// Moves bytes; true when the application should be polled again.
    fn poll_io(&mut self, cx: &mut Context<'_>, wanted: bool) -> Result<bool, Error> {
        if wanted {
            self.connection.request_body();
        }
        match self.connection.poll_exchange(cx, wanted) {
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
                    feed.fail(RequestBodyError::GONE);
                }
                Err(error)
            }
        }
    }

    async fn respond<B>(&mut self, response: Response<B>, head_request: bool) -> Result<(), Error>
    where
        B: Body<Data: Buf, Error: Into<BoxError>>,
    {
        let (parts, body) = response.into_parts();
        let mut body = pin!(body);
        let length = body.size_hint().exact();
        let status = parts.status.as_u16();
        if status < 200 {
            // AJP cannot carry an interim response.
            self.connection.queue_refusal(Refusal::FAILED);
            return Ok(());
        }
        let sent = self.connection.send_headers(status, |buffer, size| {
            write_send_headers(buffer, size, &parts, head_request, length)
        });
        if sent.is_err() {
            self.connection.queue_refusal(Refusal::HEAD);
            return Ok(());
        }
        if !self
            .connection
            .exchange()
            .is_some_and(ServerExchange::response_has_body)
        {
            return Ok(());
        }
        while !body.is_end_stream() {
            match self.drive_body(&mut body).await? {
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        self.connection
                            .send_data(data.copy_to_bytes(data.remaining()))?;
                    }
                }
                None => break,
                Some(Err(error)) => return Err(self.abort("the body failed", Some(error)).await),
            }
        }
        match self
            .connection
            .exchange()
            .and_then(ServerExchange::response_left)
        {
            Some(left) if left > 0 => Err(self
                .abort("the body is shorter than its Content-Length", None)
                .await),
            _ => Ok(()),
        }
    }

    /// The next frame of the response body. Not asked for while more than the high-water
    /// mark waits to be written; a body that has nothing ready makes a flush packet.
    async fn drive_body<B>(
        &mut self,
        body: &mut Pin<&mut B>,
    ) -> Result<Option<Result<http_body::Frame<B::Data>, BoxError>>, Error>
    where
        B: Body<Error: Into<BoxError>>,
    {
        poll_fn(|cx| {
            loop {
                let full = self.connection.is_backed_up();
                let mut wanted = false;
                if !full || self.connection.poll_flush(cx)?.is_ready() {
                    let frame;
                    (frame, wanted) = self.poll_application(cx, |cx| body.as_mut().poll_frame(cx));
                    if let Poll::Ready(frame) = frame {
                        return Poll::Ready(Ok(frame.map(|frame| frame.map_err(Into::into))));
                    }
                    if self.connection.config().flush_when_pending {
                        self.connection.send_flush();
                    }
                }
                if !self.poll_io(cx, wanted)? {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Sends what was promised so far and closes without End Response, so that the web
    /// server sees a truncated response and not a complete one.
    async fn abort(&mut self, why: &'static str, source: Option<BoxError>) -> Error {
        // The connection is lost either way.
        let _ = poll_fn(|cx| self.connection.poll_flush(cx)).await;
        Error::Aborted(why, source)
    }
}
