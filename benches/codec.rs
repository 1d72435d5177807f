//! The codec against an HTTP/1.1 parser, on the same request with the same checks.
//!
//! The request is a browser's, 15 headers. Buffers are taken from several offsets, because
//! the cost of a copy depends on where it lands.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark of our own data"
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a benchmark of our own data"
)]

use ajp::http::{RequestFacts, request_parts, write_forward_request};
use ajp::server::{ServerConfig, Trust};
use ajp::wire::{
    BodyFraming, ForwardRequest, PacketSize, ToWebServer, body_packet_header, write_body_chunk,
};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Request, request};
use std::hint::black_box;

const HEADERS: [(&str, &str); 15] = [
    ("host", "www.shop.example"),
    ("connection", "keep-alive"),
    ("cache-control", "max-age=0"),
    (
        "sec-ch-ua",
        "\"Not A;Brand\";v=\"99\", \"Chromium\";v=\"117\"",
    ),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/117.0.0.0 Safari/537.36",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("referer", "http://www.shop.example/app/start?page=1"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    (
        "cookie",
        "theme=dark; _lab=GA1.2.1234567890.1600000000; JSESSIONID=0123456789ABCDEF0123456789ABCDEF.jvm1",
    ),
    ("if-modified-since", "Sun, 13 Sep 2020 12:26:40 GMT"),
];
const TARGET: &str = "/app/echo/page?name=value&q=a%20b+c&empty=";

fn parts() -> request::Parts {
    let mut request = Request::get(TARGET);
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The payload of the request as `mod_proxy_ajp` would send it, hop-by-hop headers included.
fn ajp_payload() -> Bytes {
    use ajp::wire::{Attribute, AttributeCode, ForwardRequestWriter, RequestLine};
    let (path, query) = TARGET.split_once('?').unwrap();
    let mut buffer = BytesMut::new();
    let line = RequestLine {
        req_uri: path.as_bytes(),
        server_name: Some(b"www.shop.example"),
        ..RequestLine::default()
    };
    let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line).unwrap();
    for (name, value) in HEADERS {
        writer.header(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let value = Some(query.as_bytes());
    writer
        .attribute(Attribute::Coded {
            code: AttributeCode::QueryString,
            value,
        })
        .unwrap();
    let port = Attribute::Named {
        name: b"AJP_REMOTE_PORT",
        value: Some(b"51234"),
    };
    writer.attribute(port).unwrap();
    writer.finish().unwrap();
    buffer.freeze().slice(4..)
}

fn http1_head() -> Vec<u8> {
    let mut head = format!("GET {TARGET} HTTP/1.1\r\n").into_bytes();
    for (name, value) in HEADERS {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The same bytes at eight offsets.
fn placed(bytes: &[u8]) -> Vec<Bytes> {
    (0..8usize)
        .map(|i| {
            let mut buffer = BytesMut::zeroed(i * 61);
            buffer.extend_from_slice(bytes);
            buffer.freeze().slice(i * 61..)
        })
        .collect()
}

fn sum<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    headers.map(|(name, value)| name.len() + value.len()).sum()
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let payloads = placed(&ajp_payload());
    let mut turn = payloads.iter().cycle();
    group.bench_function("ajp", |b| {
        b.iter(|| {
            let request = ForwardRequest::parse(turn.next().unwrap().clone()).unwrap();
            sum(request.headers().map(|header| (header.name, header.value)))
        });
    });
    let heads = placed(&http1_head());
    let mut turn = heads.iter().cycle();
    group.bench_function("httparse", |b| {
        b.iter(|| {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut request = httparse::Request::new(&mut headers);
            request.parse(turn.next().unwrap()).unwrap();
            sum(request
                .headers
                .iter()
                .map(|header| (header.name.as_bytes(), header.value)))
        });
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let (parts, facts) = (parts(), RequestFacts::new());
    let mut buffer = BytesMut::with_capacity(8192);
    group.bench_function("ajp", |b| {
        b.iter(|| {
            buffer.clear();
            let (size, framing) = (PacketSize::DEFAULT, BodyFraming::Length(0));
            write_forward_request(&mut buffer, size, black_box(&parts), &facts, framing, None)
                .unwrap();
            buffer.len()
        });
    });
    group.bench_function("http1", |b| {
        b.iter(|| {
            buffer.clear();
            let parts = black_box(&parts);
            buffer.extend_from_slice(parts.method.as_str().as_bytes());
            buffer.extend_from_slice(b" ");
            buffer.extend_from_slice(parts.uri.path_and_query().unwrap().as_str().as_bytes());
            buffer.extend_from_slice(b" HTTP/1.1\r\n");
            for (name, value) in &parts.headers {
                buffer.extend_from_slice(name.as_str().as_bytes());
                buffer.extend_from_slice(b": ");
                buffer.extend_from_slice(value.as_bytes());
                buffer.extend_from_slice(b"\r\n");
            }
            buffer.extend_from_slice(b"\r\n");
            buffer.len()
        });
    });
    group.finish();
}

fn body(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    for size in [PacketSize::DEFAULT, PacketSize::MAX] {
        let mut packet = BytesMut::new();
        write_body_chunk(&mut packet, &vec![b'x'; size.max_body_chunk()], size).unwrap();
        let payload = packet.freeze().slice(4..);
        group.bench_function(format!("decode/{}", size.bytes()), |b| {
            b.iter(|| ToWebServer::parse(black_box(payload.clone())).unwrap());
        });
        group.bench_function(format!("encode/{}", size.bytes()), |b| {
            b.iter(|| body_packet_header(black_box(size.max_request_body()), size).unwrap());
        });
    }
    group.finish();
}

fn http(c: &mut Criterion) {
    let mut group = c.benchmark_group("http");
    let config = ServerConfig::new(Trust::TrustedNetwork);
    let payloads = placed(&ajp_payload());
    let mut turn = payloads.iter().cycle();
    group.bench_function("request_from_ajp", |b| {
        b.iter(|| {
            let request = ForwardRequest::parse(turn.next().unwrap().clone()).unwrap();
            request_parts(&request, &config).unwrap()
        });
    });
    let heads = placed(&http1_head());
    let mut turn = heads.iter().cycle();
    group.bench_function("request_from_httparse", |b| {
        b.iter(|| {
            let head = turn.next().unwrap();
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut parsed = httparse::Request::new(&mut headers);
            parsed.parse(head).unwrap();
            let mut request = Request::new(());
            *request.method_mut() = parsed.method.unwrap().parse().unwrap();
            let target = head.slice_ref(parsed.path.unwrap().as_bytes());
            *request.uri_mut() = http::Uri::from_maybe_shared(target).unwrap();
            let mut map = HeaderMap::with_capacity(parsed.headers.len());
            for header in parsed.headers.iter() {
                let name = HeaderName::from_bytes(header.name.as_bytes()).unwrap();
                map.append(
                    name,
                    HeaderValue::from_maybe_shared(head.slice_ref(header.value)).unwrap(),
                );
            }
            *request.headers_mut() = map;
            request
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode, body, http);
criterion_main!(benches);
