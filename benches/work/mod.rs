//! The work that the benches time and the instruction counts count, each piece beside the
//! piece of HTTP/1.1 it is compared with. The request is a browser's, 15 headers.

use ajp::client::RequestFacts;
use ajp::mapping::{
    parse_with_headers, request_parts_with_headers, write_forward_request, write_send_headers,
};
use ajp::server::{ServerConfig, Trust};
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, DecodeOptions, ForwardRequest, ForwardRequestWriter,
    PacketSize, RequestLine, SendHeaders, ToWebServer, write_body_chunk,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, request, response};

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

/// The request with the headers that `keep` wants.
pub(crate) fn parts(keep: impl Fn(&str) -> bool) -> request::Parts {
    let mut request = Request::get(TARGET);
    for (name, value) in HEADERS.into_iter().filter(|(name, _)| keep(name)) {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The payload of the request as `mod_proxy_ajp` would send it, hop-by-hop headers included.
pub(crate) fn ajp_payload() -> Bytes {
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

pub(crate) fn http1_head() -> Vec<u8> {
    let mut head = format!("GET {TARGET} HTTP/1.1\r\n").into_bytes();
    for (name, value) in HEADERS {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The same bytes at eight offsets.
pub(crate) fn placed(bytes: &[u8]) -> Vec<Bytes> {
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

pub(crate) fn decode_ajp(payload: Bytes) -> usize {
    let request = ForwardRequest::parse(payload).unwrap();
    sum(request.headers().map(|header| (header.name, header.value)))
}

pub(crate) fn decode_httparse(head: &[u8]) -> usize {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).unwrap();
    let headers = request.headers.iter();
    sum(headers.map(|header| (header.name.as_bytes(), header.value)))
}

pub(crate) fn encode_ajp(buffer: &mut BytesMut, parts: &request::Parts, facts: &RequestFacts) {
    let (size, framing) = (PacketSize::DEFAULT, BodyFraming::Length(0));
    write_forward_request(buffer, size, parts, facts, framing, None).unwrap();
}

pub(crate) fn encode_http1(buffer: &mut BytesMut, parts: &request::Parts) {
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
}

/// What a proxy writes to say the same as the Forward Request: hop-by-hop headers left out,
/// the length of the body announced, and the facts about the client in the usual headers.
pub(crate) fn encode_http1_proxy(buffer: &mut BytesMut, parts: &request::Parts) {
    buffer.extend_from_slice(parts.method.as_str().as_bytes());
    buffer.extend_from_slice(b" ");
    buffer.extend_from_slice(parts.uri.path_and_query().unwrap().as_str().as_bytes());
    buffer.extend_from_slice(b" HTTP/1.1\r\n");
    let connection = parts.headers.get(http::header::CONNECTION);
    let nominated = connection.is_some_and(|value| value != "keep-alive" && value != "close");
    assert!(
        !nominated,
        "the request of the benches names no header of its own"
    );
    for (name, value) in &parts.headers {
        let name = name.as_str();
        let left_out = matches!(
            name,
            "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "expect"
                | "content-length"
        );
        if left_out {
            continue;
        }
        for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            buffer.extend_from_slice(part);
        }
    }
    let host = parts.headers.get(http::header::HOST).unwrap().as_bytes();
    for (name, value) in [
        ("content-length", &b"0"[..]),
        ("x-forwarded-for", b"127.0.0.1"),
        ("x-forwarded-host", host),
        ("x-forwarded-port", b"80"),
        ("x-forwarded-proto", b"http"),
    ] {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            buffer.extend_from_slice(part);
        }
    }
    buffer.extend_from_slice(b"\r\n");
}

/// The head of an application's page.
const RESPONSE_HEADERS: [(&str, &str); 8] = [
    ("content-type", "text/html;charset=UTF-8"),
    ("cache-control", "private, no-cache"),
    (
        "set-cookie",
        "JSESSIONID=0123456789ABCDEF0123456789ABCDEF.jvm1; Path=/app; HttpOnly",
    ),
    ("content-language", "de-DE"),
    ("date", "Sun, 13 Sep 2020 12:26:40 GMT"),
    ("etag", "W/\"13-1600000000000\""),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-content-type-options", "nosniff"),
];

pub(crate) fn response_parts() -> response::Parts {
    let mut response = Response::builder();
    for (name, value) in RESPONSE_HEADERS {
        response = response.header(name, value);
    }
    response.body(()).unwrap().into_parts().0
}

/// The payload of that head as a container would send it.
pub(crate) fn response_payload() -> Bytes {
    let mut packet = BytesMut::new();
    let (size, length) = (PacketSize::DEFAULT, Some(13));
    write_send_headers(&mut packet, size, &response_parts(), false, length).unwrap();
    packet.freeze().slice(4..)
}

pub(crate) fn http1_response_head() -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in RESPONSE_HEADERS {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"content-length: 13\r\n\r\n");
    head
}

pub(crate) fn response_from_ajp(payload: Bytes) -> Response<()> {
    let head = SendHeaders::parse(payload).unwrap();
    ajp::mapping::response_parts(&head)
}

pub(crate) fn response_from_httparse(head: &Bytes) -> Response<()> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Response::new(&mut headers);
    parsed.parse(head).unwrap();
    let mut response = Response::new(());
    *response.status_mut() = parsed.code.unwrap().try_into().unwrap();
    let mut map = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).unwrap();
        map.append(
            name,
            HeaderValue::from_maybe_shared(head.slice_ref(header.value)).unwrap(),
        );
    }
    *response.headers_mut() = map;
    response
}

/// The payload of a full Send Body Chunk.
pub(crate) fn chunk_payload(size: PacketSize) -> Bytes {
    let mut packet = BytesMut::new();
    write_body_chunk(&mut packet, &vec![b'x'; size.max_body_chunk()], size).unwrap();
    packet.freeze().slice(4..)
}

pub(crate) fn decode_chunk(payload: Bytes) -> ToWebServer {
    ToWebServer::parse(payload).unwrap()
}

pub(crate) fn server_config() -> ServerConfig {
    ServerConfig::new(Trust::TrustedNetwork)
}

pub(crate) fn request_from_ajp(payload: Bytes, config: &ServerConfig) -> Request<()> {
    let (request, headers) = parse_with_headers(payload, &DecodeOptions::default()).unwrap();
    request_parts_with_headers(&request, headers, config).unwrap()
}

pub(crate) fn request_from_httparse(head: &Bytes) -> Request<()> {
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
}
