//! Packets, right and wrong ones.

use ajp::wire::{
    Attribute, Direction, END_RESPONSE_CLOSE, ForwardRequestWriter, PacketSize, RequestLine,
    SendHeadersWriter, ToWebServer, split_packet, write_body_chunk, write_request_body,
};
use bytes::{Bytes, BytesMut};

/// A well-formed Forward Request.
pub(crate) fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    request_with(method, uri, headers, &[])
}

/// A well-formed Forward Request with attributes.
pub(crate) fn request_with(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    attributes: &[Attribute<'_>],
) -> Vec<u8> {
    let line = RequestLine {
        method: method.as_bytes(),
        req_uri: uri.as_bytes(),
        ..RequestLine::default()
    };
    let mut buffer = BytesMut::new();
    let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line).unwrap();
    for (name, value) in headers {
        writer.header(name.as_bytes(), value.as_bytes()).unwrap();
    }
    for attribute in attributes {
        writer.attribute(*attribute).unwrap();
    }
    writer.finish().unwrap();
    buffer.to_vec()
}

/// Where `num_headers` of a [`crude`] request lies.
pub(crate) const CRUDE_HEADERS: usize = 41;

/// A Forward Request for `/hello` whose tail, from `num_headers` to the last byte, is
/// given as it is.
pub(crate) fn crude(method: u8, tail: &[u8]) -> Vec<u8> {
    let mut payload = vec![2, method];
    payload.extend(string("HTTP/1.1"));
    payload.extend(string("/hello"));
    payload.extend(string("::1"));
    payload.extend([0xff, 0xff]);
    payload.extend(string("a"));
    payload.extend([0, 80, 0]);
    assert_eq!(payload.len() + 4, CRUDE_HEADERS);
    payload.extend(tail);
    packet(&payload)
}

/// A `crude` GET with these headers, name and value as they are on the wire, and no attribute.
pub(crate) fn crude_headers(headers: &[(&[u8], &str)]) -> Vec<u8> {
    let mut tail = (headers.len() as u16).to_be_bytes().to_vec();
    for (name, value) in headers {
        tail.extend(*name);
        tail.extend(string(value));
    }
    tail.push(0xff);
    crude(2, &tail)
}

/// A `crude` GET without headers and with these attributes, as they are on the wire.
pub(crate) fn crude_attributes(attributes: &[Vec<u8>]) -> Vec<u8> {
    crude(
        2,
        &[&[0, 0], attributes.concat().as_slice(), &[0xff]].concat(),
    )
}

/// A string as it is on the wire.
pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend(text.as_bytes());
    out.push(0);
    out
}

/// Any payload with the header of a web server.
pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    framed([0x12, 0x34], payload)
}

/// Any payload with the header of a container.
pub(crate) fn answer_packet(payload: &[u8]) -> Vec<u8> {
    framed([0x41, 0x42], payload)
}

fn framed(magic: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    [&magic[..], &len, payload].concat()
}

/// A request body packet.
pub(crate) fn body(data: &[u8]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write_request_body(&mut buffer, data, PacketSize::DEFAULT).unwrap();
    buffer.to_vec()
}

/// TV-16 made worse: a body packet of 514 data bytes that, taken for a message, is a complete
/// and valid GET for `/smuggled`.
pub(crate) fn smuggled() -> Vec<u8> {
    let mut data = string("HTTP/1.1");
    data.extend(string("/smuggled"));
    data.extend(string("::1"));
    data.extend([0xff, 0xff]);
    data.extend(string("a"));
    data.extend([0, 80, 0, 0, 1]);
    data.extend(string("x-pad"));
    let room = 514 - data.len() - 2 - 1 - 1;
    data.extend(string(&"A".repeat(room)));
    data.push(0xff);
    assert_eq!(data.len(), 0x0202);
    body(&data)
}

/// Send Headers.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let mut writer = SendHeadersWriter::new(&mut buffer, PacketSize::DEFAULT, status).unwrap();
    for (name, value) in headers {
        writer.header(name.as_bytes(), value.as_bytes()).unwrap();
    }
    writer.finish();
    buffer.to_vec()
}

/// Send Body Chunk.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write_body_chunk(&mut buffer, data, PacketSize::DEFAULT).unwrap();
    buffer.to_vec()
}

/// A whole 200 with Content-Length and this reuse flag.
pub(crate) fn response(text: &str, reuse: u8) -> Vec<u8> {
    let length = text.len().to_string();
    let mut out = head(200, &[("content-length", &length)]);
    if !text.is_empty() {
        out.extend(chunk(text.as_bytes()));
    }
    out.extend([0x41, 0x42, 0, 2, 5, reuse]);
    out
}

/// The whole answer of a container that refuses a request (protocol chapter "exchange").
pub(crate) fn refusal(status: u16, reason: &str) -> Vec<u8> {
    let text = format!("{status} {reason}\n");
    let length = text.len().to_string();
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", length.as_str()),
    ];
    [
        head(status, &headers),
        chunk(text.as_bytes()),
        END_RESPONSE_CLOSE.to_vec(),
    ]
    .concat()
}

/// Takes one packet off a container's stream.
pub(crate) fn next_answer(buffer: &mut BytesMut) -> Option<ToWebServer> {
    let payload = split_packet(buffer, Direction::ToWebServer, PacketSize::DEFAULT).unwrap()?;
    Some(ToWebServer::parse(payload).unwrap())
}

/// One response, decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) reuse: Option<bool>,
    /// Get Body Chunks among it.
    pub(crate) asked: usize,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &'static str, reuse: bool, asked: usize) -> Self {
        Self {
            status,
            body: Bytes::from_static(body.as_bytes()),
            reuse: Some(reuse),
            asked,
        }
    }
}

/// All packets of a container's stream; nothing may be left over.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Answer> {
    let mut buffer = BytesMut::from(bytes);
    let mut all = Vec::new();
    let mut open = None::<Answer>;
    while let Some(packet) = next_answer(&mut buffer) {
        let answer = open.get_or_insert_default();
        match packet {
            ToWebServer::SendHeaders(head) => {
                assert_eq!(answer.status, 0, "two heads in one response");
                answer.status = head.status();
            }
            ToWebServer::SendBodyChunk(data) => {
                answer.body = [answer.body.as_ref(), &data].concat().into();
            }
            ToWebServer::GetBodyChunk { .. } => answer.asked += 1,
            ToWebServer::EndResponse { reuse } => {
                answer.reuse = Some(reuse);
                all.extend(open.take());
            }
            ToWebServer::CPong => panic!("CPong inside a response"),
        }
    }
    assert!(buffer.is_empty(), "half a packet at the end");
    all.extend(open);
    all
}
