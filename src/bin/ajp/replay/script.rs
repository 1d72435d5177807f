//! Recorded conversations as exchanges.

use crate::decode::{Recordings, Sink, SinkFailure};
use crate::exit::Failure;
use crate::ui;
use ajp::dump::{Content, Record};
use ajp::wire::{Attribute, AttributeCode, DecodeOptions, HEADER_LEN, ToContainer, ToWebServer};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// All connections by their number.
#[derive(Default)]
pub(super) struct Script {
    pub(super) connections: BTreeMap<u32, Vec<Exchange>>,
    /// Exchanges without an end.
    pub(super) left_out: u64,
    file: u32,
    open: BTreeMap<u32, Exchange>,
}

/// One request, and what came of it.
#[derive(Default)]
pub(super) struct Exchange {
    pub(super) title: String,
    /// The packet with its header.
    pub(super) request: Bytes,
    /// Its body packets with their headers.
    pub(super) bodies: Vec<Bytes>,
    /// The first of them was sent unasked.
    pub(super) is_eager: bool,
    pub(super) answer: Answer,
    asked: bool,
}

/// What is compared.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    len: u64,
    hash: DefaultHasher,
}

impl Answer {
    pub(super) fn body(&mut self, data: &[u8]) {
        self.len = self.len.saturating_add(data.len() as u64);
        self.hash.write(data);
    }

    pub(super) fn of_status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn header(&mut self, name: &[u8], value: &[u8]) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        self.headers.push((name, value.to_vec()));
    }

    /// Bytes of the body.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Tells bodies of the same length apart.
    pub(super) fn digest(&self) -> u64 {
        self.hash.finish()
    }

    /// In what the other one differs from what was recorded.
    pub(super) fn difference(&self, other: &Self, ignore_body: bool) -> Option<String> {
        if self.status != other.status {
            Some(format!("was {}", self.status))
        } else if ignore_body {
            None
        } else if self.len != other.len {
            Some(format!("had {} bytes", self.len))
        } else if self.hash.finish() != other.hash.finish() {
            Some("had another body of this length".to_owned())
        } else {
            None
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.status, self.len)
    }
}

impl Script {
    pub(super) fn read(recordings: &Recordings) -> Result<Self, Failure> {
        let mut script = Self::default();
        recordings
            .read(&mut script)
            .map_err(|failure| match failure {
                SinkFailure::Usage(text) => Failure::usage(text),
                SinkFailure::OutputClosed => Failure::OutputClosed,
            })?;
        let open = std::mem::take(&mut script.open);
        script.left_out = script.left_out.saturating_add(open.len() as u64);
        Ok(script)
    }

    fn packet(&mut self, number: u32, record: &Record) {
        match record.content() {
            Content::ToContainer(ToContainer::ForwardRequest(request)) => {
                let unfinished = self.open.insert(
                    number,
                    Exchange {
                        title: format!(
                            "{} {}",
                            request.method().escape_ascii(),
                            request.req_uri().escape_ascii()
                        ),
                        request: record.raw().clone(),
                        ..Exchange::default()
                    },
                );
                if unfinished.is_some() {
                    self.left_out = self.left_out.saturating_add(1);
                }
            }
            Content::RequestBody(_) => {
                if let Some(exchange) = self.open.get_mut(&number) {
                    exchange.is_eager |= exchange.bodies.is_empty() && !exchange.asked;
                    exchange.bodies.push(record.raw().clone());
                }
            }
            Content::ToWebServer(packet) => self.answer(number, packet),
            _ => {}
        }
    }

    fn answer(&mut self, number: u32, packet: &ToWebServer) {
        let Some(exchange) = self.open.get_mut(&number) else {
            return;
        };
        match packet {
            ToWebServer::GetBodyChunk { .. } => exchange.asked = true,
            ToWebServer::SendHeaders(head) => exchange.answer.status = head.status(),
            ToWebServer::SendBodyChunk(data) => exchange.answer.body(data),
            ToWebServer::EndResponse { .. } => {
                if let Some(exchange) = self.open.remove(&number) {
                    self.connections.entry(number).or_default().push(exchange);
                }
            }
            ToWebServer::CPong => {}
        }
    }
}

impl Sink for Script {
    fn file(&mut self, _: &str) -> Result<(), SinkFailure> {
        // Numbers of connections begin anew with each file.
        self.file = self.file.saturating_add(1);
        Ok(())
    }

    fn begin(&mut self, _: u32, _: SocketAddr, _: SocketAddr, _: bool) -> Result<(), SinkFailure> {
        Ok(())
    }

    fn record(&mut self, number: Option<u32>, record: &Record) -> Result<(), SinkFailure> {
        let number = self
            .file
            .saturating_mul(100_000)
            .saturating_add(number.unwrap_or(1));
        self.packet(number, record);
        Ok(())
    }

    fn remark(&mut self, _: u32, _: Option<Duration>, _: &str) -> Result<(), SinkFailure> {
        Ok(())
    }

    fn error(&mut self, text: &str) -> Result<(), SinkFailure> {
        ui::error(text);
        Ok(())
    }
}

/// The packet with this secret instead of its own; `None` if it does not fit.
pub(super) fn with_secret(packet: &Bytes, secret: &[u8]) -> Option<Bytes> {
    let payload = packet.slice_ref(packet.get(HEADER_LEN..)?);
    let options = DecodeOptions::default()
        .with_lenient_uri(true)
        .with_absolute_uri(true);
    let ToContainer::ForwardRequest(request) = ToContainer::parse(payload, &options).ok()? else {
        return Some(packet.clone());
    };
    let mut field = u16::try_from(secret.len()).ok()?.to_be_bytes().to_vec();
    field.extend_from_slice(secret);
    let old = request.attributes().find_map(|attribute| match attribute {
        Attribute::Coded {
            code: AttributeCode::Secret,
            value,
        } => value,
        _ => None,
    });
    let mut bytes = packet.to_vec();
    if let Some(old) = old {
        // The value lies in the packet, behind its length.
        let start = (old.as_ptr() as usize).checked_sub(packet.as_ptr() as usize)?;
        let end = start.checked_add(old.len())?;
        bytes.get(start.checked_sub(2)?..end)?;
        bytes.splice(start.checked_sub(2)?..end, field);
    } else {
        let end = bytes.iter().rposition(|byte| *byte == 0xff)?;
        let attribute = [&[0x0c][..], &field, &[0]].concat();
        bytes.splice(end..end, attribute);
    }
    let len = u16::try_from(bytes.len().checked_sub(HEADER_LEN)?).ok()?;
    bytes
        .get_mut(2..HEADER_LEN)?
        .copy_from_slice(&len.to_be_bytes());
    Some(bytes.into())
}
