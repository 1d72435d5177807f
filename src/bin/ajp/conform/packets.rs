//! Packets as no writer would make them, and what comes back.

use super::check::Seen;
use ajp::client::{Address, Connect, Transport};
use ajp::wire::{Direction, PacketSize, SendHeaders, ToWebServer, split_packet};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// A Forward Request, right or wrong.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: u8,
    pub(super) protocol: Vec<u8>,
    pub(super) path: Vec<u8>,
    /// The code or the name as bytes, and the value.
    pub(super) headers: Vec<(Name, Vec<u8>)>,
    /// In place of their number.
    pub(super) header_count: Option<u16>,
    /// Bytes before the terminator.
    pub(super) attributes: Vec<u8>,
    /// The terminator, and what follows.
    pub(super) end: Vec<u8>,
}

/// A header's name.
#[derive(Debug, Clone)]
pub(super) enum Name {
    Code(u16),
    Text(Vec<u8>),
}

pub(super) const CONTENT_LENGTH: Name = Name::Code(0xa008);
pub(super) const HOST: Name = Name::Code(0xa00b);

impl Head {
    /// A GET of a path that tells its length.
    pub(super) fn get(path: &str, secret: Option<&[u8]>) -> Self {
        Self::of(2, path, secret).with(CONTENT_LENGTH, "0")
    }

    /// A POST without a length.
    pub(super) fn post(path: &str, secret: Option<&[u8]>) -> Self {
        Self::of(4, path, secret)
    }

    fn of(method: u8, path: &str, secret: Option<&[u8]>) -> Self {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut head = Self {
            method,
            protocol: b"HTTP/1.1".to_vec(),
            path: path.as_bytes().to_vec(),
            headers: vec![(HOST, b"conform.example".to_vec())],
            header_count: None,
            attributes: Vec::new(),
            end: vec![0xff],
        };
        if let Some(secret) = secret {
            head = head.with_attribute(0x0c, secret);
        }
        if let Some(query) = query {
            head = head.with_attribute(5, query.as_bytes());
        }
        head
    }

    pub(super) fn with(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(super) fn with_text(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(Name::Text(name.as_bytes().to_vec()), value)
    }

    pub(super) fn with_attribute(mut self, code: u8, value: &[u8]) -> Self {
        self.attributes.push(code);
        string(&mut self.attributes, value);
        self
    }

    /// `req_attribute`.
    pub(super) fn with_named(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(0x0a);
        string(&mut self.attributes, name.as_bytes());
        string(&mut self.attributes, value.as_bytes());
        self
    }

    /// The packet.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut payload = vec![2, self.method];
        string(&mut payload, &self.protocol);
        string(&mut payload, &self.path);
        string(&mut payload, b"192.0.2.7");
        // No name of the client.
        payload.extend([0xff, 0xff]);
        string(&mut payload, b"conform.example");
        payload.extend([0, 80, 0]);
        let count = u16::try_from(self.headers.len()).unwrap_or(u16::MAX);
        payload.extend(self.header_count.unwrap_or(count).to_be_bytes());
        for (name, value) in &self.headers {
            match name {
                Name::Code(code) => payload.extend(code.to_be_bytes()),
                Name::Text(name) => string(&mut payload, name),
            }
            string(&mut payload, value);
        }
        payload.extend(&self.attributes);
        payload.extend(&self.end);
        packet(&payload)
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text);
    out.push(0);
}

/// A payload in a packet to the container.
pub(super) fn packet(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    [&[0x12, 0x34], &len.to_be_bytes()[..], payload].concat()
}

/// A body packet.
pub(super) fn body(data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
    packet(&[&len.to_be_bytes()[..], data].concat())
}

/// How a conversation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Packet(ToWebServer),
    /// Bytes that are no packet.
    Broken(String),
    Closed,
    Silence,
}

/// A connection of one check.
pub(super) struct Line {
    stream: Transport,
    buffer: BytesMut,
    limit: Duration,
}

impl Line {
    pub(super) async fn open(address: &Address, limit: Duration) -> Result<Self, String> {
        let stream = tokio::time::timeout(limit, address.connect()).await;
        let stream = stream.map_err(|_| "no connection in time".to_owned())?;
        Ok(Self {
            stream: stream.map_err(|error| format!("no connection: {error}"))?,
            buffer: BytesMut::new(),
            limit,
        })
    }

    /// What the peer does not take any more it does not take.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    pub(super) async fn next(&mut self) -> Next {
        self.next_within(self.limit).await
    }

    pub(super) async fn next_within(&mut self, limit: Duration) -> Next {
        let deadline = Instant::now()
            .checked_add(limit)
            .unwrap_or_else(Instant::now);
        loop {
            match split_packet(&mut self.buffer, Direction::ToWebServer, PacketSize::MAX) {
                Ok(Some(payload)) => {
                    return match ToWebServer::parse(payload) {
                        Ok(packet) => Next::Packet(packet),
                        Err(error) => Next::Broken(error.to_string()),
                    };
                }
                Ok(None) => {}
                Err(error) => return Next::Broken(error.to_string()),
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Next::Silence,
                Ok(Ok(0) | Err(_)) => return Next::Closed,
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Reads an answer to its end, and answers each question for body data from `body`.
    pub(super) async fn answer(&mut self, mut parts: impl Iterator<Item = Vec<u8>>) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.next().await {
                Next::Packet(ToWebServer::SendHeaders(head)) => {
                    if answer.head.is_some() {
                        answer.faults.push("two heads".to_owned());
                    }
                    answer.head = Some(head);
                }
                Next::Packet(ToWebServer::SendBodyChunk(data)) => {
                    if answer.head.is_none() && !data.is_empty() {
                        answer.faults.push("data before the head".to_owned());
                    }
                    answer.data.extend_from_slice(&data);
                }
                Next::Packet(ToWebServer::GetBodyChunk { requested }) => {
                    answer.questions.push(requested);
                    match parts.next() {
                        Some(part) => self.send(&part).await,
                        None => self.send(&ajp::wire::END_OF_BODY).await,
                    }
                }
                Next::Packet(ToWebServer::EndResponse { reuse }) => {
                    answer.end = End::Done { reuse };
                    return answer;
                }
                Next::Packet(_) => answer
                    .faults
                    .push("a packet that nobody asked for".to_owned()),
                Next::Broken(error) => {
                    answer.end = End::Broken(error);
                    return answer;
                }
                Next::Closed => {
                    answer.end = End::Closed;
                    return answer;
                }
                Next::Silence => return answer,
            }
        }
    }

    /// Whether the other side closes, and does not send more.
    pub(super) async fn is_closed(&mut self) -> bool {
        matches!(
            self.next_within(Duration::from_millis(500)).await,
            Next::Closed
        )
    }
}

/// How an answer ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum End {
    Done {
        reuse: bool,
    },
    Closed,
    Broken(String),
    #[default]
    Silence,
}

/// Everything of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) head: Option<SendHeaders>,
    pub(super) data: Vec<u8>,
    /// How many bytes were asked for, each time.
    pub(super) questions: Vec<u16>,
    pub(super) end: End,
    /// What no rule allows.
    pub(super) faults: Vec<String>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, SendHeaders::status)
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.end == End::Done { reuse: true }
    }

    /// In words.
    pub(super) fn shown(&self) -> String {
        let status = match &self.head {
            Some(head) => format!("status {}", head.status()),
            None => "no answer".to_owned(),
        };
        let end = match &self.end {
            End::Done { reuse: true } => "connection kept",
            End::Done { reuse: false } => "connection ended",
            End::Closed => "closed without End Response",
            End::Broken(error) => return format!("{status}, broken: {error}"),
            End::Silence => "then nothing",
        };
        match self.faults.first() {
            Some(fault) => format!("{status}, {end}, {fault}"),
            None => format!("{status}, {end}"),
        }
    }

    /// An answer that ends well, with what was seen; otherwise what is wrong.
    pub(super) fn ends_well(&self) -> Result<String, Seen> {
        let is_well =
            self.head.is_some() && matches!(self.end, End::Done { .. }) && self.faults.is_empty();
        if is_well {
            Ok(self.shown())
        } else {
            Err(super::check::wrong(self.shown()))
        }
    }
}

/// Data in body packets of at most this size.
pub(super) fn parts(data: &[u8], size: usize) -> Vec<Vec<u8>> {
    data.chunks(size).map(body).collect()
}
