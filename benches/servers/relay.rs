//! Proxies that look at nothing: each request becomes the same Forward Request, each answer
//! the same response. What any proxy pays for its system calls, and none can go below; what
//! one pays that has hyper in front; and what it pays if it translates both ways, and does
//! nothing else that a proxy must do.

use super::parent_gone;
use ajp::client::RequestFacts;
use ajp::mapping::{response_parts, write_forward_request};
use ajp::wire::{
    BodyFraming, Direction, END_RESPONSE_REUSE, PacketSize, ToWebServer, split_packet,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
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

/// As that one, with every request and response translated by the codec.
pub(crate) const CODEC: &str = "codec-relay";

pub(crate) const NAMES: [&str; 3] = [NAME, HYPER, CODEC];

/// Set in its process: the container.
pub(crate) const TO: &str = "AJP_BENCH_TO";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\
    date: Tue, 24 Nov 2026 00:00:00 GMT\r\n\r\nHello, world!";

pub(super) async fn serve(name: &str) {
    let to = std::env::var(TO).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let accept = async move {
        loop {
            let (front, _) = listener.accept().await.unwrap();
            let back = TcpStream::connect(&to).await.unwrap();
            front.set_nodelay(true).unwrap();
            back.set_nodelay(true).unwrap();
            match name {
                NAME => tokio::spawn(relay(front, back)),
                HYPER => tokio::spawn(hyper_relay(front, back)),
                _ => tokio::spawn(codec_relay(front, back)),
            };
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
    http(front, service).await;
}

/// As the gateway has it, with a limit for slow heads.
async fn http<S>(front: TcpStream, service: S)
where
    S: HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible>,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(front), service)
        .await;
    // A client that is gone is no error here.
    drop(served);
}

async fn codec_relay(front: TcpStream, back: TcpStream) {
    let facts =
        RequestFacts::from_connection(front.peer_addr().unwrap(), front.local_addr().unwrap());
    let back = Mutex::new((back, BytesMut::new(), BytesMut::new()));
    let service = service_fn(|request: Request<Incoming>| async {
        let (back, out, buffer) = &mut *back.lock().await;
        let (parts, _) = request.into_parts();
        let (size, framing) = (PacketSize::DEFAULT, BodyFraming::Length(0));
        out.clear();
        write_forward_request(out, size, &parts, &facts, framing, None).unwrap();
        back.write_all(out).await.unwrap();
        let (mut head, mut body) = (None, Bytes::new());
        loop {
            let packet = split_packet(buffer, Direction::ToWebServer, size).unwrap();
            match packet.map(|payload| ToWebServer::parse(payload).unwrap()) {
                None => assert!(back.read_buf(buffer).await.unwrap() > 0),
                Some(ToWebServer::SendHeaders(packet)) => head = Some(response_parts(&packet)),
                Some(ToWebServer::SendBodyChunk(data)) if body.is_empty() => body = data,
                Some(ToWebServer::EndResponse { reuse: true }) => break,
                other => panic!("{other:?}"),
            }
        }
        Ok::<_, Infallible>(head.unwrap().map(|()| Full::new(body)))
    });
    http(front, service).await;
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
    let (mut buffer, facts) = (BytesMut::new(), RequestFacts::own_request());
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
