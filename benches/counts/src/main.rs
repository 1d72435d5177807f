//! What the test `counted_costs` counts under valgrind: a piece of work, so many times. Without
//! arguments it lists the pieces. Sockets are made in the current directory.
//!
//! ```text
//! ajp-counts exchange/get 300
//! ```

#[path = "../../work/mod.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod work;

use ajp::balancer::{Balancer, BalancerConfig, Member};
use ajp::client::{Address, Client, Pool, PoolConfig, RequestFacts};
use ajp::mapping::write_send_headers;
use ajp::server::{ServerConfig, Trust};
use ajp::wire::PacketSize;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::hint::black_box;
use tokio::net::UnixListener;

const PIECES: [&str; 12] = [
    "decode/request",
    "encode/request",
    "http/request",
    "encode/response",
    "http/response",
    "decode/chunk",
    "exchange/get",
    "exchange/post-10k",
    "exchange/get-100k",
    "exchange/get-100k-65536",
    "balancer/get",
    "balancer/get-sticky",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [piece, count] = &arguments[..] else {
        PIECES.iter().for_each(|piece| println!("{piece}"));
        return;
    };
    let count = count.parse().expect("a number");
    assert!(
        PIECES.contains(&piece.as_str()),
        "no piece is called {piece}"
    );
    match piece.split_once('/') {
        Some(("exchange" | "balancer", _)) => exchanges(piece, count),
        _ => codec(piece, count),
    }
}

fn codec(piece: &str, count: usize) {
    let payload = work::ajp_payload();
    let parts = work::parts(|_| true);
    let (facts, config) = (RequestFacts::own_request(), work::server_config());
    let response = work::response_parts();
    let head = work::response_payload();
    let chunk = work::chunk_payload(PacketSize::DEFAULT);
    let mut buffer = BytesMut::with_capacity(8192);
    for _ in 0..count {
        buffer.clear();
        match piece {
            "decode/request" => drop(black_box(work::decode_ajp(payload.clone()))),
            "encode/request" => work::encode_ajp(&mut buffer, black_box(&parts), &facts),
            "http/request" => drop(black_box(work::request_from_ajp(payload.clone(), &config))),
            "encode/response" => {
                let size = PacketSize::DEFAULT;
                write_send_headers(&mut buffer, size, black_box(&response), false, Some(13))
                    .expect("it fits");
            }
            "http/response" => drop(black_box(work::response_from_ajp(head.clone()))),
            "decode/chunk" => drop(black_box(work::decode_chunk(chunk.clone()))),
            other => unreachable!("{other}"),
        }
    }
}

/// Client and server on one thread, over a Unix socket, which delivers at once: nothing depends
/// on when the kernel gets to it.
fn exchanges(piece: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let size = match piece {
            "exchange/get-100k-65536" => PacketSize::MAX,
            _ => PacketSize::DEFAULT,
        };
        // In the directory that this runs in, which has a short name.
        let pools = ["a.sock", "b.sock"].map(|path| {
            let listener = UnixListener::bind(path).expect("a socket");
            let config = ServerConfig::new(Trust::TrustedNetwork).with_packet_size(size);
            let server =
                ajp::server::serve(listener, tower::service_fn(answer)).with_config(config);
            tokio::spawn(IntoFuture::into_future(server));
            let config = PoolConfig::default().with_packet_size(size);
            Pool::new(Address::unix(path), config)
        });
        if piece.starts_with("balancer/") {
            let balancer = Balancer::new(BalancerConfig::new("b").with_own_requests(true));
            for (route, pool) in ["jvm1", "jvm2"].into_iter().zip(pools) {
                balancer
                    .add(Member::new(route).with_route(route), pool)
                    .expect("a new member");
            }
            for _ in 0..count {
                let response = balancer.send(request(piece)).await.expect("an answer");
                let body = response.into_body().collect().await.expect("a body");
                assert_eq!(body.to_bytes().len(), 13);
            }
        } else {
            let [pool, _] = pools;
            let client = Client::for_own_requests(pool);
            let len = if piece.contains("100k") {
                100 << 10
            } else {
                13
            };
            for _ in 0..count {
                let response = client.send(request(piece)).await.expect("an answer");
                // As a server passes it on: piece by piece.
                let (mut body, mut received) = (response.into_body(), 0);
                while let Some(frame) = body.frame().await {
                    received += frame.expect("a frame").data_ref().map_or(0, Bytes::len);
                }
                assert_eq!(received, len);
            }
        }
    });
}

/// A browser's request.
fn request(piece: &str) -> Request<Full<Bytes>> {
    let (mut parts, ()) = Request::new(()).into_parts();
    let headers = work::parts(|name| !name.starts_with("sec-")).headers;
    parts.headers = headers;
    let target = if piece.contains("100k") {
        "/100k"
    } else {
        "/small"
    };
    parts.uri = http::Uri::from_static(target);
    let cookie = match piece {
        "balancer/get-sticky" => "theme=dark; JSESSIONID=0123456789ABCDEF0123456789ABCDEF.jvm2",
        _ => "theme=dark",
    };
    parts
        .headers
        .insert(http::header::COOKIE, HeaderValue::from_static(cookie));
    static UPLOAD: [u8; 10 << 10] = [b'u'; 10 << 10];
    let body = match piece {
        "exchange/post-10k" => {
            parts.method = http::Method::POST;
            Bytes::from_static(&UPLOAD)
        }
        _ => Bytes::new(),
    };
    Request::from_parts(parts, Full::new(body))
}

async fn answer(
    request: Request<ajp::server::RequestBody>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    static LARGE: [u8; 100 << 10] = [b'd'; 100 << 10];
    let is_large = request.uri().path() == "/100k";
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame.expect("a frame");
    }
    let data = if is_large {
        &LARGE[..]
    } else {
        b"Hello, world!"
    };
    let response = Response::builder()
        .header("content-type", "text/plain")
        .header("cache-control", "no-store");
    Ok(response
        .body(Full::new(Bytes::from_static(data)))
        .expect("a response"))
}
