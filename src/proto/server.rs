//! The container's side of a connection: what an idle connection may receive, and one
//! exchange (protocol chapter [exchange](crate::docs::protocol::exchange)).

mod idle;

pub use idle::{Idle, IdleEvent};

use super::error::ProtocolError;
use crate::wire::{
    BodyFraming, BodyPacket, Data, EncodeError, ForwardRequest, FromWebServer, PacketSize,
    SendHeaders, ToWebServer, body_chunk_header, get_body_chunk,
};
use bytes::Bytes;
use std::fmt;

fn unexpected(packet: &'static str, state: &'static str) -> ProtocolError {
    ProtocolError::Unexpected { packet, state }
}

/// What a body packet means to the exchange.
#[derive(Clone, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol is closed; a driver must handle every event"
)]
pub enum BodyEvent {
    /// Data, never empty.
    Data(Bytes),
    /// The body is complete.
    End,
    /// An empty packet that nobody asked for, tolerated once when no body is to come any more
    /// (lighttpd, nginx's AJP module). Skip it.
    StrayEmpty,
}

impl fmt::Debug for BodyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => f.debug_tuple("Data").field(&Data(data)).finish(),
            Self::End => f.write_str("End"),
            Self::StrayEmpty => f.write_str("StrayEmpty"),
        }
    }
}

/// What is left to do when the response is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "there is nothing else to do at the end"
)]
pub enum Finish {
    /// Read and drop a body packet first, or send End Response with reuse 0.
    ReadOwedBodyFirst,
    /// Send End Response now; with this reuse flag at most.
    End {
        /// Whether the connection may serve another request.
        reuse: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    NotStarted,
    Streaming { left: Option<u64> },
}

/// The state of one exchange in the container.
///
/// Whoever writes packets with [`ContainerCodec`](crate::wire::ContainerCodec) uses the methods
/// that end in `_packet`; the others are for those who write headers and data themselves.
///
/// ```
/// use ajp::proto::{BodyEvent, ServerExchange};
/// use ajp::wire::{BodyFraming, PacketSize};
/// let mut exchange = ServerExchange::new(BodyFraming::Chunked, false, PacketSize::DEFAULT);
/// assert!(!exchange.is_owed()); // nothing comes before it is asked for
/// let ask = exchange.request_body().unwrap();
/// assert_eq!(ask, [0x41, 0x42, 0, 3, 6, 0x1f, 0xfa]);
/// assert_eq!(exchange.receive(&bytes::Bytes::from_static(&[0, 0])), Ok(BodyEvent::End));
/// ```
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, not one state"
)]
pub struct ServerExchange {
    size: PacketSize,
    framing: BodyFraming,
    owed: u16,
    /// Most of them at a time.
    most_owed: u16,
    body_ended: bool,
    stray_seen: bool,
    failed: bool,
    received: u64,
    no_body: bool,
    response: Response,
}

impl ServerExchange {
    /// The state right after a Forward Request with this framing was accepted.
    #[must_use]
    pub fn new(framing: BodyFraming, head_request: bool, size: PacketSize) -> Self {
        Self {
            size,
            framing,
            owed: framing.is_eager().into(),
            most_owed: 1,
            body_ended: framing == BodyFraming::Length(0),
            stray_seen: false,
            failed: false,
            received: 0,
            no_body: head_request,
            response: Response::NotStarted,
        }
    }

    /// The state right after this request was accepted.
    #[must_use]
    pub fn for_request(request: &ForwardRequest, size: PacketSize) -> Self {
        Self::new(request.framing(), request.method() == b"HEAD", size)
    }

    /// Lets [`request_body`](Self::request_body) ask for more packets while the web server
    /// still owes some: so many at a time, the unasked one included, at least 1. Default 1.
    ///
    /// The protocol knows nothing but one question and one answer, and no container asks ahead;
    /// httpd, mod_jk and this crate's client answer each question in its turn all the same.
    /// More than one is owed only of a body of known length, and never more than its rest
    /// fills: an answer beyond the end is never asked for.
    #[must_use]
    pub fn with_body_requests(mut self, most: u16) -> Self {
        self.most_owed = most.max(1);
        self
    }

    /// Whether the web server owes a body packet.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// How many body packets the web server owes.
    #[must_use]
    pub fn owed(&self) -> u16 {
        self.owed
    }

    /// Whether the request body is complete.
    #[must_use]
    pub fn is_body_complete(&self) -> bool {
        self.body_ended
    }

    /// Body bytes received so far.
    #[must_use]
    pub fn body_received(&self) -> u64 {
        self.received
    }

    /// A Get Body Chunk packet to send, when the application wants data, none is owed (or
    /// fewer than [`body_requests`](Self::with_body_requests) allow) and more can come. One more
    /// packet is owed afterwards.
    pub fn request_body(&mut self) -> Option<[u8; 7]> {
        self.ask().map(get_body_chunk)
    }

    /// [`request_body`](Self::request_body) for a codec.
    pub fn request_body_packet(&mut self) -> Option<ToWebServer> {
        let requested = self.ask()?;
        Some(ToWebServer::GetBodyChunk { requested })
    }

    /// How many bytes to ask for; one more packet is owed afterwards.
    fn ask(&mut self) -> Option<u16> {
        if self.body_ended || self.failed || self.owed >= self.most_owed() {
            return None;
        }
        self.owed = self.owed.checked_add(1)?;
        Some(u16::try_from(self.size.max_request_body()).unwrap_or(u16::MAX))
    }

    /// Packets that may be owed now. What is left of a known length needs at least so many,
    /// however full the web server makes them.
    fn most_owed(&self) -> u16 {
        let BodyFraming::Length(expected) = self.framing else {
            return 1;
        };
        let left = expected.saturating_sub(self.received);
        let packets = left.div_ceil(self.size.max_request_body() as u64);
        let packets = u16::try_from(packets).unwrap_or(u16::MAX);
        packets.clamp(1, self.most_owed)
    }

    /// Takes the payload of one packet that arrived during the exchange.
    ///
    /// # Errors
    /// [`ProtocolError`]: the request fails and the connection closes.
    pub fn receive(&mut self, payload: &Bytes) -> Result<BodyEvent, ProtocolError> {
        let result = match payload.as_ref() {
            [] | [0, 0] if self.owed == 0 => self.unasked(&BodyPacket::End),
            _ if self.owed == 0 => Err(unexpected("a packet", "while none was owed")),
            _ => BodyPacket::parse(payload)
                .map_err(ProtocolError::Decode)
                .and_then(|body| self.body(body)),
        };
        self.failed |= result.is_err();
        result
    }

    /// Takes one packet of [`ContainerCodec`](crate::wire::ContainerCodec) that arrived during
    /// the exchange.
    ///
    /// # Errors
    /// [`ProtocolError`]: the request fails and the connection closes.
    pub fn receive_packet(&mut self, packet: FromWebServer) -> Result<BodyEvent, ProtocolError> {
        let result = match packet {
            FromWebServer::Body(body) if self.owed == 0 => self.unasked(&body),
            FromWebServer::Body(body) => self.body(body),
            FromWebServer::Message(_) => Err(unexpected("a message", "during an exchange")),
        };
        self.failed |= result.is_err();
        result
    }

    /// A body packet while none is owed. An empty one is tolerated once when no body is to come
    /// any more; the connection is not used again then.
    fn unasked(&mut self, body: &BodyPacket) -> Result<BodyEvent, ProtocolError> {
        let no_more = self.body_ended || self.framing == BodyFraming::Absent && self.received == 0;
        if *body == BodyPacket::End && no_more && !self.stray_seen {
            self.stray_seen = true;
            return Ok(BodyEvent::StrayEmpty);
        }
        Err(unexpected("a packet", "while none was owed"))
    }

    fn body(&mut self, body: BodyPacket) -> Result<BodyEvent, ProtocolError> {
        match body {
            BodyPacket::Data(data) => {
                self.owed -= 1;
                self.received += data.len() as u64;
                if let BodyFraming::Length(expected) = self.framing {
                    if self.received > expected {
                        return Err(ProtocolError::RequestTooLong { expected });
                    }
                    self.body_ended = self.received == expected;
                }
                Ok(BodyEvent::Data(data))
            }
            BodyPacket::End => {
                self.owed -= 1;
                match self.framing {
                    BodyFraming::Length(expected) if self.received < expected => {
                        Err(ProtocolError::RequestTooShort {
                            expected,
                            received: self.received,
                        })
                    }
                    _ => {
                        self.body_ended = true;
                        Ok(BodyEvent::End)
                    }
                }
            }
        }
    }

    /// Records that Send Headers was written. `content_length` is what it announced.
    pub fn headers_sent(&mut self, status: u16, content_length: Option<u64>) {
        self.no_body |= matches!(status, 100..=199 | 204 | 205 | 304);
        self.response = Response::Streaming {
            left: content_length,
        };
    }

    /// [`headers_sent`](Self::headers_sent) for a codec.
    pub fn head_packet(&mut self, head: SendHeaders) -> ToWebServer {
        self.headers_sent(head.status(), head.content_length());
        ToWebServer::SendHeaders(head)
    }

    /// Whether Send Headers was written.
    #[must_use]
    pub fn is_responding(&self) -> bool {
        self.response != Response::NotStarted
    }

    /// Whether response data may be sent: not for HEAD, 204, 205 and 304.
    #[must_use]
    pub fn response_has_body(&self) -> bool {
        !self.no_body
    }

    /// The header of a Send Body Chunk with `len` data bytes.
    ///
    /// # Errors
    /// [`EncodeError`] when `len` is 0, too large for the packet size, or goes beyond the
    /// Content-Length of the response.
    pub fn send_chunk(&mut self, len: usize) -> Result<[u8; 7], EncodeError> {
        let header = body_chunk_header(len, self.size)?;
        if let Response::Streaming { left: Some(left) } = &mut self.response {
            let Some(rest) = left.checked_sub(len as u64) else {
                let left = usize::try_from(*left).unwrap_or(usize::MAX);
                return Err(EncodeError::body_over_credit(len, left));
            };
            *left = rest;
        }
        Ok(header)
    }

    /// [`send_chunk`](Self::send_chunk) for a codec: one packet of not too much data, which is
    /// not empty.
    ///
    /// # Errors
    /// As [`send_chunk`](Self::send_chunk).
    pub fn chunk_packet(&mut self, data: Bytes) -> Result<ToWebServer, EncodeError> {
        self.send_chunk(data.len())?;
        Ok(ToWebServer::SendBodyChunk(data))
    }

    /// Response bytes that Content-Length still promises; `Some(0)` when nothing may follow.
    #[must_use]
    pub fn response_left(&self) -> Option<u64> {
        match self.response {
            _ if self.no_body => Some(0),
            Response::Streaming { left } => left,
            Response::NotStarted => None,
        }
    }

    /// [`finish`](Self::finish) for a codec: `None` when a body packet must be received first.
    /// `keep` is false when this side does not want another request.
    #[must_use]
    pub fn end_packet(&self, keep: bool) -> Option<ToWebServer> {
        match self.finish() {
            Finish::ReadOwedBodyFirst if keep => None,
            Finish::ReadOwedBodyFirst => Some(ToWebServer::EndResponse { reuse: false }),
            Finish::End { reuse } => Some(ToWebServer::EndResponse {
                reuse: reuse && keep,
            }),
        }
    }

    /// What remains once the response was written completely.
    #[must_use]
    pub fn finish(&self) -> Finish {
        if self.failed {
            Finish::End { reuse: false }
        } else if self.is_owed() {
            Finish::ReadOwedBodyFirst
        } else {
            Finish::End {
                reuse: !self.stray_seen,
            }
        }
    }
}

#[cfg(test)]
mod tests;
