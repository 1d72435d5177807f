//! A small HTTP/1.1 client on one keep-alive connection.
//!
//! A body that breaks off is not swallowed: it is the `Err` of the response's body, together
//! with what had arrived.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::need;

type Outgoing = UnsyncBoxBody<Bytes, Infallible>;

/// What a request carries.
pub enum Body {
    /// No body, and no header about one.
    None,
    /// Under a `Content-Length`.
    Full(Bytes),
    /// Chunked, one chunk each.
    Chunked(Vec<Bytes>),
    /// Chunked, at the pace of the sender, until it is dropped.
    Paced(mpsc::Receiver<Bytes>),
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body, or how it broke off.
    pub body: Result<Bytes, Truncated>,
}

/// A body that ended before its end.
#[derive(Debug)]
pub struct Truncated {
    /// What came before.
    pub received: Bytes,
    /// How the client learned of it.
    pub error: hyper::Error,
}

impl Response {
    /// A header's only or first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The whole body; panics when it broke off.
    pub fn bytes(&self) -> &Bytes {
        self.body.as_ref().unwrap_or_else(|e| {
            panic!(
                "status {}, body broke off after {} bytes: {}",
                self.status,
                e.received.len(),
                e.error
            )
        })
    }

    /// The whole body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap()
    }

    /// The whole body as JSON.
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(text).unwrap_or_else(|e| panic!("status {}, {e}: {text}", self.status))
    }
}

/// A client of one server. It keeps its connection, and opens another when the server closed it.
pub struct Client {
    addr: SocketAddr,
    sender: Option<SendRequest<Outgoing>>,
    connections: usize,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            sender: None,
            connections: 0,
        }
    }

    /// How many connections it has opened.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// A GET; panics when there is no answer.
    pub async fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[], Body::None).await
    }

    /// Any request; panics when there is no answer.
    pub async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response {
        let answer = self.try_request(method, target, headers, body).await;
        answer.unwrap_or_else(|e| panic!("{method} {target} to {}: {e:?}", self.addr))
    }

    /// Any request; the error is for an answer that never began.
    pub async fn try_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Response, hyper::Error> {
        let (parts, incoming) = self.send(method, target, headers, body).await?.into_parts();
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body: collect(incoming).await,
        })
    }

    /// Any request; the body of the answer is left to the caller, frame by frame.
    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<hyper::Response<Incoming>, hyper::Error> {
        let mut request = hyper::Request::builder().method(method).uri(target);
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            request = request.header("Host", self.addr.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(outgoing(body)).unwrap();
        self.sender().await?.send_request(request).await
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Outgoing>, hyper::Error> {
        let mut kept = self.sender.take();
        if let Some(sender) = &mut kept {
            if sender.ready().await.is_err() {
                kept = None;
            }
        }
        let sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        Ok(self.sender.insert(sender))
    }

    async fn connect(&mut self) -> Result<SendRequest<Outgoing>, hyper::Error> {
        let stream = TcpStream::connect(self.addr).await;
        let stream = stream.unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.addr));
        self.connections += 1;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Its failures show up at the requests it carries.
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn collect(mut incoming: Incoming) -> Result<Bytes, Truncated> {
    let mut received = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => received.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(error) => {
                return Err(Truncated {
                    received: received.freeze(),
                    error,
                });
            }
        }
    }
    Ok(received.freeze())
}

fn outgoing(body: Body) -> Outgoing {
    let chunk = |data| Ok(Frame::data(data));
    match body {
        Body::None => Empty::new().boxed_unsync(),
        Body::Full(data) => Full::new(data).boxed_unsync(),
        Body::Chunked(parts) => StreamBody::new(stream::iter(parts).map(chunk)).boxed_unsync(),
        Body::Paced(parts) => StreamBody::new(ReceiverStream::new(parts).map(chunk)).boxed_unsync(),
    }
}

/// Sends bytes as they are, and reads until the server closes: for what no client library sends.
/// The request should say `Connection: close`.
pub async fn raw(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// Runs curl: for TLS with client certificates. Its exit status is the caller's to judge.
pub async fn curl<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> std::process::Output {
    let mut command = tokio::process::Command::new("curl");
    command
        .args(["-sS", "--max-time", "60", "--noproxy", "*"])
        .args(args)
        .kill_on_drop(true);
    let output = command.output().await;
    output.unwrap_or_else(|e| panic!("{}", need::no_start("curl".as_ref(), "curl", &e)))
}
