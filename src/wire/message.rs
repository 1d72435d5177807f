//! The packets that begin with a type byte, one enum per direction.

use super::body::{BodyPacket, SEND_BODY_CHUNK, parse_body_chunk};
use super::control::{CPING_CODE, CPONG_CODE, END_RESPONSE, GET_BODY_CHUNK, PING, SHUTDOWN};
use super::error::{DecodeError, Field, Rule};
use super::header_sink::{HeaderSink, NoSink};
use super::limits::DecodeOptions;
use super::reader::Reader;
use super::request::{FORWARD_REQUEST, ForwardRequest};
use super::response::{SEND_HEADERS, SendHeaders};
use bytes::Bytes;

/// What a web server may send to an idle connection. A body packet is not among them:
/// see [`BodyPacket`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the protocol is closed")]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every message is a ForwardRequest; boxing it would allocate"
)]
pub enum ToContainer {
    /// A request (2).
    ForwardRequest(ForwardRequest),
    /// A liveness probe (10), answered by `CPong`.
    CPing,
    /// SHUTDOWN (7). Never obeyed: close.
    Shutdown,
    /// The start of a login that was never specified (8): close.
    Ping,
}

impl ToContainer {
    /// Checks a payload that arrived on an idle connection.
    ///
    /// # Errors
    /// [`DecodeError`]. When [`DecodeError::field`] is [`Field::MessageCode`] the type is unknown
    /// and the connection closes without an answer; otherwise the request is malformed and gets a
    /// 400 (protocol chapter [exchange](crate::docs::protocol::exchange#errors)).
    pub fn parse(payload: Bytes, options: &DecodeOptions) -> Result<Self, DecodeError> {
        Self::parse_into(payload, *options, &mut NoSink)
    }

    /// As [`parse`](Self::parse), and gives the headers of a request to `sink` on the way.
    pub(crate) fn parse_into<S: HeaderSink>(
        payload: Bytes,
        options: DecodeOptions,
        sink: &mut S,
    ) -> Result<Self, DecodeError> {
        let message = match payload.first() {
            Some(&FORWARD_REQUEST) => {
                return ForwardRequest::parse_into(payload, options, sink)
                    .map(Self::ForwardRequest);
            }
            Some(&CPING_CODE) => Self::CPing,
            Some(&SHUTDOWN) => Self::Shutdown,
            Some(&PING) => Self::Ping,
            first => return Err(unknown(first)),
        };
        code_only(&payload)?;
        Ok(message)
    }
}

/// Whatever a web server may send: which of the two it is, only the state of the connection
/// tells ([`ContainerCodec`](super::ContainerCodec) keeps it).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the protocol is closed")]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every message is a ForwardRequest; boxing it would allocate"
)]
pub enum FromWebServer {
    /// A packet with a type byte.
    Message(ToContainer),
    /// A request body packet.
    Body(BodyPacket),
}

impl From<ForwardRequest> for FromWebServer {
    fn from(request: ForwardRequest) -> Self {
        Self::Message(ToContainer::ForwardRequest(request))
    }
}

impl From<BodyPacket> for FromWebServer {
    fn from(body: BodyPacket) -> Self {
        Self::Body(body)
    }
}

/// What a container may send.
#[derive(Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the protocol is closed")]
pub enum ToWebServer {
    /// Status and headers (4).
    SendHeaders(SendHeaders),
    /// Response data (3), a slice of the payload; empty means flush.
    SendBodyChunk(Bytes),
    /// The response is complete (5).
    EndResponse {
        /// Whether the flag was exactly 1: the container takes another request.
        reuse: bool,
    },
    /// Asks for the next request body packet (6).
    GetBodyChunk {
        /// Most data bytes wanted, at least 1.
        requested: u16,
    },
    /// The answer to CPing (9).
    CPong,
}

impl ToWebServer {
    /// Checks a payload.
    ///
    /// # Errors
    /// [`DecodeError`]: a protocol error, the connection closes.
    pub fn parse(payload: Bytes) -> Result<Self, DecodeError> {
        match payload.first() {
            Some(&SEND_BODY_CHUNK) => parse_body_chunk(&payload).map(Self::SendBodyChunk),
            Some(&SEND_HEADERS) => SendHeaders::parse(payload).map(Self::SendHeaders),
            Some(&END_RESPONSE) => {
                let mut r = after_code(&payload)?;
                let flag = r.u8(Field::Reuse)?;
                r.finish()?;
                // Nobody sends anything but 0 and 1; doubt means no reuse (protocol chapter
                // "reuse").
                Ok(Self::EndResponse { reuse: flag == 1 })
            }
            Some(&GET_BODY_CHUNK) => {
                let mut r = after_code(&payload)?;
                let at = r.position();
                let requested = r.u16(Field::RequestedLength)?;
                if requested == 0 {
                    return Err(r.error_at(at, Field::RequestedLength, Rule::OutOfRange(0)));
                }
                r.finish()?;
                Ok(Self::GetBodyChunk { requested })
            }
            Some(&CPONG_CODE) => code_only(&payload).map(|()| Self::CPong),
            first => Err(unknown(first)),
        }
    }
}

fn unknown(first: Option<&u8>) -> DecodeError {
    let rule = match first {
        Some(&code) => Rule::UnknownCode(code.into()),
        None => Rule::Truncated { needed: 1, left: 0 },
    };
    DecodeError::new(super::HEADER_LEN, Field::MessageCode, rule)
}

fn after_code(payload: &Bytes) -> Result<Reader<'_>, DecodeError> {
    let mut r = Reader::new(payload);
    r.u8(Field::MessageCode)?;
    Ok(r)
}

fn code_only(payload: &Bytes) -> Result<(), DecodeError> {
    after_code(payload)?.finish()
}
