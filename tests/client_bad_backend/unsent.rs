//! Connections that break while a request is written, and requests that are handed back.

use crate::raw::backend::{Backend, Conn, Failure, config, limits};
use crate::raw::packets::{chunk, head};
use crate::raw::soon;
use ajp::client::{
    Address, Client, ClientError, Connect, Connecting, ErrorKind, Pool, Retry, SendError, Transport,
};
use ajp::proto::Progress;
use ajp::wire::END_RESPONSE_REUSE;
use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use std::io;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Takes this many bytes more and then breaks.
struct Breaking {
    inner: TcpStream,
    room: Arc<AtomicUsize>,
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = self.room.load(Ordering::SeqCst).min(bytes.len());
        if room == 0 {
            // The container sees the end, and so does whoever reads on.
            let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes[..room]);
        if let Poll::Ready(Ok(n)) = written {
            self.room.fetch_sub(n, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The first connection breaks, the others have room for everything.
struct FirstBreaks {
    to: Address,
    room: Arc<AtomicUsize>,
    opened: AtomicUsize,
}

impl Connect for FirstBreaks {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let authority = self.to.to_string();
            let inner = TcpStream::connect(authority.trim_start_matches("ajp://")).await?;
            let room = match self.opened.fetch_add(1, Ordering::SeqCst) {
                0 => Arc::clone(&self.room),
                _ => Arc::new(AtomicUsize::new(usize::MAX)),
            };
            Ok(Transport::new(Breaking { inner, room }))
        })
    }

    fn describe(&self) -> String {
        "breaking".into()
    }
}

/// A container that answers with the body it was sent, and a client whose first connection
/// served one request and then takes `room` bytes.
async fn breaking_after(room: usize) -> (Backend, Backend) {
    let container = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let Some(body) = conn.body(&request).await else {
                return;
            };
            let length = body.len().to_string();
            let mut answer = head(200, &[("content-length", &length)]);
            if !body.is_empty() {
                answer.extend(chunk(&body));
            }
            answer.extend(END_RESPONSE_REUSE);
            conn.write(&answer).await;
        }
    })
    .await;
    let first = FirstBreaks {
        to: container.client.pool().peer().parse().unwrap(),
        room: Arc::new(AtomicUsize::new(usize::MAX)),
        opened: AtomicUsize::new(0),
    };
    let left = Arc::clone(&first.room);
    let client = Backend::around(Client::for_own_requests(Pool::new(first, config())));
    assert_eq!(client.get("").await, Ok((200, String::new())));
    assert_eq!(client.idle(), 1);
    left.store(room, Ordering::SeqCst);
    (client, container)
}

/// As long as the container cannot have the request another connection is taken, whatever the
/// method; and the body that was already queued comes along.
#[tokio::test]
async fn a_request_that_was_not_written_goes_out_on_another_connection() {
    let mut seen = Vec::new();
    for room in 0.. {
        let (client, container) = breaking_after(room).await;
        let answer = client.post("post", Bytes::from_static(b"the body")).await;
        seen.push(match answer {
            Ok(answer) => {
                assert_eq!(answer, (200, "the body".into()), "{room}");
                assert_eq!(container.accepted(), 2, "{room}");
                Progress::NotSent
            }
            Err(Failure {
                progress,
                retry,
                kind,
                ..
            }) => {
                assert_eq!(kind, ErrorKind::Write, "{room}");
                let expected = match progress {
                    Progress::RequestSent => Retry::IfIdempotent,
                    _ => Retry::Never,
                };
                assert_eq!(retry, expected, "{room}");
                assert_eq!(container.accepted(), 1, "{room}");
                progress
            }
        });
        if seen.last() == Some(&Progress::BodySent) {
            break;
        }
    }
    // Byte for byte: not sent, sent, and from the next byte on part of the body is.
    assert!(seen.is_sorted(), "{seen:?}");
    let sent = seen.iter().filter(|&&p| p == Progress::RequestSent);
    assert_eq!(sent.count(), 1, "{seen:?}");
    assert!(seen.len() > 50, "{seen:?}");
}

/// A body that cannot be moved once it was polled.
struct Pinned(Option<Bytes>, PhantomPinned);

impl Body for Pinned {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("nobody has asked for the body")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

fn post<B>(body: B) -> Request<B> {
    Request::post("/x?y=z")
        .header("x-a", "1")
        .body(body)
        .unwrap()
}

async fn failing<B>(client: &Client, request: Request<B>) -> SendError<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    soon("an error", client.try_send(request))
        .await
        .unwrap_err()
}

fn kind<T>(refused: Result<T, ClientError>) -> ErrorKind {
    refused.err().unwrap().kind()
}

#[tokio::test]
async fn a_request_that_found_no_connection_comes_back_whole() {
    let nobody = Client::for_own_requests(Pool::new(Address::unix("/nonexistent/ajp"), config()));
    let request = post(Pinned(Some(Bytes::from_static(b"kept")), PhantomPinned));
    let error = failing(&nobody, request).await;
    assert_eq!(error.error().kind(), ErrorKind::Connect);
    assert_eq!(error.to_string(), error.error().to_string());
    let back = error.into_request().unwrap();
    assert_eq!(
        (back.method(), back.uri().query()),
        (&Method::POST, Some("y=z"))
    );
    assert_eq!(back.headers()["x-a"], "1");
    assert_eq!(back.body().0.as_deref(), Some(&b"kept"[..]));
    // A POST too: nobody has seen it.
    let back = failing(&nobody, back).await.into_retry().unwrap();
    assert!(back.body().0.is_some());

    // No place in the pool.
    let short = limits().with_acquire(Duration::from_millis(10));
    let config = config().with_max_connections(1).with_timeouts(short);
    let full = Backend::start(config, |_, conn| conn.serve_well()).await;
    let _held = full.client.pool().acquire().await.unwrap();
    let error = failing(&full.client, post(Full::from("kept"))).await;
    assert_eq!(error.error().kind(), ErrorKind::AcquireTimeout);
    let body = error.into_retry().unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "kept");
}

#[tokio::test]
async fn a_request_that_is_at_fault_comes_back_but_not_to_be_tried_again() {
    let backend = Backend::start(config(), |_, conn| conn.serve_well()).await;
    let faults = [
        (("x-huge", "h".repeat(9000)), ErrorKind::HeadTooLarge),
        (("content-length", "1, 1".into()), ErrorKind::InvalidRequest),
        (("content-length", "5".into()), ErrorKind::BodyLength),
        (
            ("transfer-encoding", "gzip".into()),
            ErrorKind::UnsupportedTransferEncoding,
        ),
        (
            ("upgrade", "websocket".into()),
            ErrorKind::UpgradeNotSupported,
        ),
    ];
    for ((name, value), expected) in faults {
        let mut request = post(Full::from("kept"));
        let value = http::HeaderValue::try_from(value).unwrap();
        request.headers_mut().insert(name, value);
        let error = failing(&backend.client, request).await;
        assert_eq!(error.error().kind(), expected);
        assert_eq!(error.error().progress(), Progress::NotSent);
        let mut back = error.into_request().unwrap();
        assert_eq!(
            kind(failing(&backend.client, back.clone()).await.into_retry()),
            expected
        );
        // What was wrong with it can be put right.
        back.headers_mut().remove(name);
        assert_eq!(backend.send(back).await, Ok((200, "x".into())));
    }
    assert_eq!(backend.idle(), 1);
}

#[tokio::test]
async fn a_request_that_was_sent_comes_back_only_to_be_repeated() {
    let backend = Backend::start(config(), |_, mut conn| async move {
        conn.request().await;
    })
    .await;
    let client = &backend.client;
    // The body was not asked for.
    let unknown = || Pinned(None, PhantomPinned);
    let error = failing(client, post(unknown())).await;
    assert_eq!(error.error().progress(), Progress::RequestSent);
    let gone = [ErrorKind::Closed, ErrorKind::Read];
    assert!(gone.contains(&kind(error.into_request())));
    assert!(gone.contains(&kind(failing(client, post(unknown())).await.into_retry())));
    let put = || Request::put("/x").body(unknown()).unwrap();
    assert!(gone.contains(&kind(failing(client, put()).await.into_request())));
    assert!(failing(client, put()).await.into_retry().is_ok());
    let get = Request::get("/x").body(Empty::<Bytes>::new()).unwrap();
    let back = failing(client, get).await.into_retry().unwrap();
    assert_eq!(back.method(), Method::GET);

    // The caller knows better than the method.
    for (method, idempotent) in [(Method::GET, false), (Method::POST, true)] {
        let mut request = Request::builder().method(method).uri("/x");
        let extensions = request.extensions_mut().unwrap();
        extensions.insert(ajp::client::Idempotent(idempotent));
        let error = failing(client, request.body(unknown()).unwrap()).await;
        assert_eq!(error.into_retry().is_ok(), idempotent);
    }

    // The body was taken.
    let put = Request::put("/x").body(Full::from("gone")).unwrap();
    let error = failing(client, put).await;
    assert_eq!(error.error().retry(), Retry::Never);
    assert_eq!(error.error().retry_with_body(), Retry::IfIdempotent);
    assert!(error.into_retry().is_err());
}

/// What is too long is named: the request target alone (414), or the head as a whole (431).
#[tokio::test]
async fn a_uri_that_alone_is_too_long_is_told_from_a_head_that_is() {
    let backend = Backend::start(config(), |_, conn| conn.serve_well()).await;
    for (path, query, header, kind, status) in [
        (9000, 1, 1, ErrorKind::UriTooLong, 414),
        (4000, 5000, 1, ErrorKind::UriTooLong, 414),
        (1, 9000, 9000, ErrorKind::UriTooLong, 414),
        (4000, 1, 5000, ErrorKind::HeadTooLarge, 431),
        (1, 4000, 5000, ErrorKind::HeadTooLarge, 431),
    ] {
        let uri = format!("/{}?{}", "p".repeat(path), "q".repeat(query));
        let request = Request::get(uri).header("x-long", "h".repeat(header));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let error = failing(&backend.client, request).await;
        assert_eq!(error.error().kind(), kind, "{path} {query} {header}");
        assert_eq!(error.error().suggested_status(), status);
        assert_eq!(error.error().retry(), Retry::Never);
    }
    assert_eq!(backend.idle(), 1, "it was not written to");
}
