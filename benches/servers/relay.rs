//! Proxies that look at nothing: each request becomes the same Forward Request, each answer
//! the same response. What any proxy pays for its system calls, and none can go below; and
//! what one pays that has hyper in front.

use super::parent_gone;
use ajp::http::{RequestFacts, write_forward_request};
use ajp::wire::{BodyFraming, END_RESPONSE_REUSE, PacketSize};
use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// The name of this server, beside those of the protocols.
pub(crate) const NAME: &str = "relay";

/// As this one, with hyper for what comes from the client and goes to it.
pub(crate) const HYPER: &str = "hyper-relay";

/// Set in its process: the container.
pub(crate) const TO: &str = "AJP_BENCH_TO";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\
    date: Tue, 24 Nov 2026 00:00:00 GMT\r\n\r\nHello, world!";

/// With hyper if `by_hyper`.
pub(super) async fn serve(by_hyper: bool) {
    let to = std::env::var(TO).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let accept = async move {
        loop {
            let (front, _) = listener.accept().await.unwrap();
            let back = TcpStream::connect(&to).await.unwrap();
            front.set_nodelay(true).unwrap();
            back.set_nodelay(true).unwrap();
            if by_hyper {
                tokio::spawn(hyper_relay(front, back));
            } else {
                tokio::spawn(relay(front, back));
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = parent_gone() => {}
    }
}

async fn relay(mut front: TcpStream, mut back: TcpStream) {
    let request = forward_request();
    let mut buffer = vec![0; 8192];
    while until(&mut front, &mut buffer, b"\r\n\r\n").await {
        back.write_all(&request).await.unwrap();
        assert!(until(&mut back, &mut buffer, &END_RESPONSE_REUSE).await);
        front.write_all(RESPONSE).await.unwrap();
    }
}

/// As the gateway has it, with a limit for slow heads.
async fn hyper_relay(front: TcpStream, back: TcpStream) {
    let request = forward_request().freeze();
    let back = Mutex::new((back, vec![0; 8192]));
    let service = service_fn(|_| async {
        let (back, buffer) = &mut *back.lock().await;
        back.write_all(&request).await.unwrap();
        assert!(until(back, buffer, &END_RESPONSE_REUSE).await);
        let response = Response::builder().header("content-type", "text/plain");
        let body = Full::new(Bytes::from_static(b"Hello, world!"));
        Ok::<_, Infallible>(response.body(body).unwrap())
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(front), service)
        .await;
    // A client that is gone is no error here.
    drop(served);
}

/// Reads until the bytes end so. `false` if the stream ended before.
async fn until(from: &mut TcpStream, buffer: &mut [u8], end: &[u8]) -> bool {
    let mut len = 0;
    while !buffer[..len].ends_with(end) {
        let read = from.read(&mut buffer[len..]).await.unwrap_or_default();
        if read == 0 {
            return false;
        }
        len += read;
    }
    true
}

fn forward_request() -> BytesMut {
    let request = http::Request::get("/small").header("host", "127.0.0.1:8080");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let (mut buffer, facts) = (BytesMut::new(), RequestFacts::new());
    let framing = BodyFraming::Length(0);
    write_forward_request(
        &mut buffer,
        PacketSize::DEFAULT,
        &parts,
        &facts,
        framing,
        None,
    )
    .unwrap();
    buffer
}
