//! A container that answers every request with 200 and keeps what it was sent.

use ajp::wire::{
    Attribute, BodyFraming, BodyPacket, CPONG, DecodeOptions, Direction, END_RESPONSE_REUSE,
    ForwardRequest, PacketSize, SendHeadersWriter, ToContainer, get_body_chunk, split_packet,
};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// All that a Forward Request says, and its body, as text by name.
pub(crate) type Facts = BTreeMap<String, String>;

pub(crate) struct Recorder {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Facts>>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::default();
        let records = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&records)));
            }
        });
        Self { addr, seen }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What has come since the last time.
    pub(crate) fn take(&self) -> Vec<Facts> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// One packet; nothing at the end of the connection.
async fn packet(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Bytes> {
    loop {
        let split = split_packet(buffer, Direction::ToContainer, PacketSize::DEFAULT);
        if let Some(payload) = split.unwrap() {
            return Some(payload);
        }
        // A web server may close a connection in any way.
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Facts>>>) {
    let mut buffer = BytesMut::new();
    while let Some(payload) = packet(&mut stream, &mut buffer).await {
        let message = match ToContainer::parse(payload, &DecodeOptions::default()) {
            Ok(message) => message,
            Err(error) => {
                let facts = Facts::from([("refused".to_owned(), error.to_string())]);
                seen.lock().unwrap().push(facts);
                return;
            }
        };
        match message {
            ToContainer::CPing => stream.write_all(&CPONG).await.unwrap(),
            ToContainer::ForwardRequest(request) => {
                let Some(body) = body(&mut stream, &mut buffer, request.framing()).await else {
                    return;
                };
                let mut facts = facts(&request);
                facts.insert("body".into(), String::from_utf8_lossy(&body).into());
                seen.lock().unwrap().push(facts);
                let mut answer = BytesMut::new();
                let mut head =
                    SendHeadersWriter::new(&mut answer, PacketSize::DEFAULT, 200).unwrap();
                head.header(b"Content-Length", b"0").unwrap();
                head.finish();
                answer.extend_from_slice(&END_RESPONSE_REUSE);
                // The web server may have lost its client.
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// All of the body; nothing if the connection ends before.
async fn body(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    framing: BodyFraming,
) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    let length = match framing {
        BodyFraming::Absent | BodyFraming::Length(0) => return Some(data),
        BodyFraming::Length(length) => Some(usize::try_from(length).unwrap()),
        BodyFraming::Chunked => None,
    };
    // The first packet of a body of known length comes unasked.
    let mut asked = length.is_some();
    while length != Some(data.len()) {
        if !std::mem::take(&mut asked) {
            stream.write_all(&get_body_chunk(8186)).await.ok()?;
        }
        let payload = packet(stream, buffer).await?;
        match BodyPacket::parse(&payload).unwrap() {
            BodyPacket::Data(part) => data.extend_from_slice(&part),
            BodyPacket::End => break,
        }
    }
    Some(data)
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn facts(request: &ForwardRequest) -> Facts {
    let line = request.line();
    let mut out = Facts::new();
    let mut add = |name: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            match out.get_mut(name) {
                None => drop(out.insert(name.to_owned(), text(value))),
                Some(known) => *known = format!("{known} | {}", text(value)),
            }
        }
    };
    add("method", Some(line.method));
    add("protocol", Some(line.protocol));
    add("uri", Some(line.req_uri));
    add("remote_addr", line.remote_addr);
    add("remote_host", line.remote_host);
    add("server_name", line.server_name);
    // Two servers on one machine have different ones.
    let port = match line.server_port {
        own @ 1024.. if own != 8080 => format!("its own, {} digits", own.to_string().len().min(4)),
        other => other.to_string(),
    };
    add("server_port", Some(port.as_bytes()));
    add("is_ssl", Some(if line.is_ssl { b"1" } else { b"0" }));
    for header in request.headers() {
        let name = String::from_utf8_lossy(header.name).to_ascii_lowercase();
        add(&format!("header {name}"), Some(header.value));
    }
    for attribute in request.attributes() {
        match attribute {
            Attribute::Coded { code, value } => add(&format!("attribute {code}"), value),
            Attribute::SslKeySize(bits) => {
                add("attribute ssl_key_size", Some(bits.to_string().as_bytes()));
            }
            Attribute::Named { name, value } => {
                let name = format!("attribute {}", text(name));
                let is_port = name.ends_with("_PORT");
                add(&name, if is_port { Some(b"a port") } else { value });
            }
        }
    }
    out
}
