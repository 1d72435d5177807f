//! The web server's side of one exchange (protocol chapter
//! [exchange](crate::docs::protocol::exchange)).

use super::error::ProtocolError;
use crate::wire::{
    BodyFraming, BodyPacket, Data, END_OF_BODY, EncodeError, ForwardRequest, FromWebServer,
    PacketSize, SendHeaders, ToWebServer, body_packet_header,
};
use bytes::Bytes;
use std::fmt;

/// How far an exchange has got, as seen from the web server. Decides what may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Progress {
    /// The Forward Request was not handed over completely; the container cannot have acted on it.
    NotSent,
    /// The Forward Request was sent, no byte of body.
    RequestSent,
    /// Some of the request body was sent.
    BodySent,
    /// Send Headers came back.
    Responding,
}

/// What a packet from the container means to the exchange.
#[derive(Clone, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol is closed; a driver must handle every event"
)]
pub enum ClientEvent {
    /// Status and headers. Comes once.
    Head(SendHeaders),
    /// Response data, never empty.
    Data(Bytes),
    /// The container asks to flush what came so far towards the HTTP client.
    Flush,
    /// A body packet is due now: see [`ClientExchange::credit`].
    BodyRequested,
    /// The packet has no meaning here and was dropped: a flush before the head, data of
    /// a response that has no body, an interim status.
    Ignored,
    /// The response is complete.
    End,
}

impl fmt::Debug for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(head) => f.debug_tuple("Head").field(head).finish(),
            Self::Data(data) => f.debug_tuple("Data").field(&Data(data)).finish(),
            Self::Flush => f.write_str("Flush"),
            Self::BodyRequested => f.write_str("BodyRequested"),
            Self::Ignored => f.write_str("Ignored"),
            Self::End => f.write_str("End"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitHead,
    Streaming,
    Ended { reuse: bool },
    Failed,
}

/// The state of one exchange in the web server. Feed it every packet of the container
/// with [`receive`](Self::receive), send a body packet whenever [`credit`](Self::credit)
/// says one is due, and ask [`is_reusable`](Self::is_reusable) at the end.
///
/// Whoever writes packets with [`WebServerCodec`](crate::wire::WebServerCodec) uses the methods
/// that end in `_packet`; the others are for those who write headers and data themselves.
///
/// ```
/// use ajp::proto::{ClientEvent, ClientExchange};
/// use ajp::wire::{BodyFraming, PacketSize, ToWebServer};
/// let mut exchange = ClientExchange::new(BodyFraming::Length(5), false, PacketSize::DEFAULT);
/// assert_eq!(exchange.credit(), Some(5)); // the first body packet is owed unasked
/// let header = exchange.send_data(5).unwrap();
/// assert_eq!(header, [0x12, 0x34, 0, 7, 0, 5]);
/// assert_eq!(exchange.credit(), None);
/// exchange.receive(ToWebServer::GetBodyChunk { requested: 8186 }).unwrap();
/// assert_eq!(exchange.credit(), Some(0)); // nothing left: end of body is due
/// exchange.send_end().unwrap();
/// ```
#[derive(Debug)]
pub struct ClientExchange {
    size: PacketSize,
    /// Up to which size the container may show that it takes longer packets.
    learns_up_to: Option<PacketSize>,
    phase: Phase,
    progress: Progress,
    /// Body bytes not sent yet, `None` when the length is unknown.
    left: Option<u64>,
    source_ended: bool,
    /// Body packets that the container waits for.
    due: u16,
    /// How many it may wait for at a time.
    most_due: u16,
    /// Most bytes that each of them may carry.
    asked_for: u16,
    head_request: bool,
    no_body: bool,
    status: u16,
    expected: Option<u64>,
    received: u64,
    sent: u64,
}

impl ClientExchange {
    /// The state right after the Forward Request was put into the write buffer.
    /// `framing` is what the request really announced
    /// ([`ForwardRequestWriter::finish`](crate::wire::ForwardRequestWriter::finish)),
    /// `head_request` whether the method is HEAD.
    #[must_use]
    pub fn new(framing: BodyFraming, head_request: bool, size: PacketSize) -> Self {
        let left = match framing {
            BodyFraming::Length(n) => Some(n),
            BodyFraming::Chunked => None,
            BodyFraming::Absent => Some(0),
        };
        let all = u16::try_from(size.max_request_body()).unwrap_or(u16::MAX);
        Self {
            size,
            learns_up_to: None,
            phase: Phase::AwaitHead,
            progress: Progress::NotSent,
            left,
            source_ended: false,
            due: framing.is_eager().into(),
            most_due: 1,
            asked_for: all,
            head_request,
            no_body: head_request,
            status: 0,
            expected: None,
            received: 0,
            sent: 0,
        }
    }

    /// The state right after this request, written by somebody else, was put into the write
    /// buffer: for relays. Without a length header the body has an unknown length here, for
    /// whoever wrote the request may still have one.
    #[must_use]
    pub fn for_request(request: &ForwardRequest, size: PacketSize) -> Self {
        let framing = match request.framing() {
            BodyFraming::Absent => BodyFraming::Chunked,
            known => known,
        };
        Self::new(framing, request.method() == b"HEAD", size)
    }

    /// Lets the container wait for so many body packets at a time, the unasked one included,
    /// at least 1. Default 1; see [`ServerExchange::with_body_requests`](super::ServerExchange::with_body_requests).
    #[must_use]
    pub fn with_body_requests(mut self, most: u16) -> Self {
        self.most_due = most.max(1);
        self
    }

    /// Lets the container raise the packet size by what it asks for, up to `most`: one that asks
    /// for more bytes than a packet of this size holds has longer packets
    /// ([`PacketSize::of_body_request`]). AJP has no other way to tell.
    #[must_use]
    pub fn with_packet_size_up_to(mut self, most: PacketSize) -> Self {
        self.learns_up_to = Some(most);
        self
    }

    /// The size of packets to the container: the one that the exchange began with, or a larger one
    /// that the container has shown ([`with_packet_size_up_to`](Self::with_packet_size_up_to)).
    #[must_use]
    pub fn packet_size(&self) -> PacketSize {
        self.size
    }

    /// Records that the last byte of the Forward Request was handed to the kernel.
    pub fn request_written(&mut self) {
        self.progress = self.progress.max(Progress::RequestSent);
    }

    /// How far the exchange has got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Most data bytes the next body packet may carry, `None` when none is due.
    /// `Some(0)` means that end of body is due ([`send_end`](Self::send_end)).
    ///
    /// Never more than was asked for, than fits, or than Content-Length leaves. After the end of
    /// the exchange nothing is due: the container would read it as a message (protocol chapter
    /// [reuse](crate::docs::protocol::reuse#early-end)).
    #[must_use]
    pub fn credit(&self) -> Option<usize> {
        if matches!(self.phase, Phase::Ended { .. } | Phase::Failed) {
            return None;
        }
        if self.due == 0 {
            return None;
        }
        let due = usize::from(self.asked_for).min(self.size.max_request_body());
        if self.source_ended {
            return Some(0);
        }
        match self.left {
            Some(left) => Some(usize::try_from(left).map_or(due, |left| left.min(due))),
            None => Some(due),
        }
    }

    /// Body bytes that Content-Length still promises, `None` when the length is unknown.
    #[must_use]
    pub fn body_left(&self) -> Option<u64> {
        self.left
    }

    /// Uses the credit for a packet of `len` data bytes; the result goes before them.
    ///
    /// # Errors
    /// [`EncodeError`] when `len` is 0 or more than [`credit`](Self::credit).
    pub fn send_data(&mut self, len: usize) -> Result<[u8; 6], EncodeError> {
        let allowed = self.credit().unwrap_or(0);
        if len > allowed {
            return Err(crate::wire::EncodeError::body_over_credit(len, allowed));
        }
        let header = body_packet_header(len, self.size)?;
        let len = len as u64;
        self.due -= 1;
        self.left = self.left.map(|left| left - len);
        self.sent += len;
        self.progress = self.progress.max(Progress::BodySent);
        Ok(header)
    }

    /// [`send_data`](Self::send_data) for a codec.
    ///
    /// # Errors
    /// As [`send_data`](Self::send_data).
    pub fn data_packet(&mut self, data: Bytes) -> Result<FromWebServer, EncodeError> {
        self.send_data(data.len())?;
        Ok(FromWebServer::Body(BodyPacket::Data(data)))
    }

    /// [`send_end`](Self::send_end) for a codec.
    ///
    /// # Errors
    /// As [`send_end`](Self::send_end).
    pub fn end_packet(&mut self) -> Result<FromWebServer, ProtocolError> {
        self.send_end()?;
        Ok(FromWebServer::Body(BodyPacket::End))
    }

    /// Uses the credit for an end-of-body packet. It means "complete": a body that is cut short
    /// must close the connection instead (protocol chapter
    /// [exchange](crate::docs::protocol::exchange#the-end-of-a-body)).
    ///
    /// # Errors
    /// [`ProtocolError::RequestTooShort`] when Content-Length promised more, and
    /// [`ProtocolError::Unexpected`] when no packet is due.
    pub fn send_end(&mut self) -> Result<[u8; 6], ProtocolError> {
        if self.credit().is_none() {
            return Err(ProtocolError::Unexpected {
                packet: "end of body",
                state: "without being asked",
            });
        }
        if let Some(left) = self.left.filter(|&left| left > 0) {
            return Err(ProtocolError::RequestTooShort {
                expected: self.sent + left,
                received: self.sent,
            });
        }
        self.source_ended = true;
        self.due -= 1;
        Ok(END_OF_BODY)
    }

    /// Takes one packet of the container.
    ///
    /// # Errors
    /// [`ProtocolError`]: the connection must close, and the exchange is over.
    pub fn receive(&mut self, packet: ToWebServer) -> Result<ClientEvent, ProtocolError> {
        let result = self.step(packet);
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    fn step(&mut self, packet: ToWebServer) -> Result<ClientEvent, ProtocolError> {
        let state = match self.phase {
            Phase::AwaitHead => "before Send Headers",
            Phase::Streaming => "after Send Headers",
            Phase::Ended { .. } | Phase::Failed => {
                return Err(unexpected(&packet, "after the end of the exchange"));
            }
        };
        match packet {
            ToWebServer::SendHeaders(head) if self.phase == Phase::AwaitHead => self.head(head),
            ToWebServer::SendBodyChunk(data) if data.is_empty() => Ok(match self.phase {
                Phase::Streaming => ClientEvent::Flush,
                _ => ClientEvent::Ignored,
            }),
            ToWebServer::SendBodyChunk(data) if self.phase == Phase::Streaming => self.data(data),
            ToWebServer::GetBodyChunk { requested } => {
                if self.due >= self.most_due {
                    return Err(ProtocolError::BodyRequestedTwice);
                }
                self.learn_packet_size(requested);
                // The smallest one holds for all that are due.
                self.asked_for = match self.due {
                    0 => requested,
                    _ => self.asked_for.min(requested),
                };
                self.due += 1;
                Ok(ClientEvent::BodyRequested)
            }
            ToWebServer::EndResponse { reuse } if self.phase == Phase::Streaming => {
                if let Some(expected) = self
                    .expected
                    .filter(|&expected| !self.no_body && self.received < expected)
                {
                    return Err(ProtocolError::ResponseTooShort {
                        expected,
                        received: self.received,
                    });
                }
                self.phase = Phase::Ended { reuse };
                Ok(ClientEvent::End)
            }
            // Without another head behind it an interim status was meant to be the response's.
            ToWebServer::SendBodyChunk(_) | ToWebServer::EndResponse { .. }
                if (100..200).contains(&self.status) =>
            {
                Err(ProtocolError::InformationalStatus(self.status))
            }
            packet => Err(unexpected(&packet, state)),
        }
    }

    fn learn_packet_size(&mut self, requested: u16) {
        let shown = PacketSize::of_body_request(requested);
        if let Some((most, shown)) = self.learns_up_to.zip(shown) {
            self.size = self.size.max(shown.min(most));
        }
    }

    fn head(&mut self, head: SendHeaders) -> Result<ClientEvent, ProtocolError> {
        self.progress = Progress::Responding;
        self.status = head.status();
        match self.status {
            // Protocol chapter "exchange": nobody is known to send these; waiting for the final
            // head is safe.
            100 | 102 | 103 => return Ok(ClientEvent::Ignored),
            status @ 101..=199 => return Err(ProtocolError::InformationalStatus(status)),
            204 | 205 | 304 => self.no_body = true,
            _ => {}
        }
        self.expected = head.content_length();
        self.phase = Phase::Streaming;
        Ok(ClientEvent::Head(head))
    }

    fn data(&mut self, data: Bytes) -> Result<ClientEvent, ProtocolError> {
        if self.no_body {
            return Ok(ClientEvent::Ignored);
        }
        self.received += data.len() as u64;
        match self.expected {
            Some(expected) if self.received > expected => {
                Err(ProtocolError::ResponseTooLong { expected })
            }
            _ => Ok(ClientEvent::Data(data)),
        }
    }

    /// Whether a response body can follow the head: not for HEAD, 204, 205 and 304.
    #[must_use]
    pub fn response_has_body(&self) -> bool {
        !self.no_body
    }

    /// Response bytes still promised by Content-Length, if it is known.
    #[must_use]
    pub fn response_left(&self) -> Option<u64> {
        if self.no_body {
            return Some(0);
        }
        self.expected
            .map(|expected| expected.saturating_sub(self.received))
    }

    /// Whether End Response came.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Whether the machine's conditions of protocol chapter
    /// [reuse](crate::docs::protocol::reuse#conditions) hold: End Response with reuse 1 and no body
    /// packet due. The caller must add its own: everything that was sent has reached the kernel and
    /// no byte is unread.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.phase == (Phase::Ended { reuse: true })
            && self.due == 0
            && self.progress >= Progress::RequestSent
    }

    /// Whether the container answered 403 and closes: Tomcat does so when the secret is missing or
    /// wrong, or when a request attribute is not allowed (protocol chapter
    /// [security](crate::docs::protocol::security#ghostcat)). A 403 of an application keeps the
    /// connection.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status == 403 && self.phase == (Phase::Ended { reuse: false })
    }

    /// Whether the request was HEAD.
    #[must_use]
    pub fn is_head_request(&self) -> bool {
        self.head_request
    }
}

fn unexpected(packet: &ToWebServer, state: &'static str) -> ProtocolError {
    let packet = match packet {
        ToWebServer::SendHeaders(_) => "Send Headers",
        ToWebServer::SendBodyChunk(data) if data.is_empty() => "a flush",
        ToWebServer::SendBodyChunk(_) => "Send Body Chunk",
        ToWebServer::EndResponse { .. } => "End Response",
        ToWebServer::GetBodyChunk { .. } => "Get Body Chunk",
        ToWebServer::CPong => "CPong",
    };
    ProtocolError::Unexpected { packet, state }
}

#[cfg(test)]
mod tests;
