//! `Decoder` and `Encoder` of tokio-util for both roles, so that `Framed` works.
//!
//! A body packet carries no type byte: [`ContainerCodec`] remembers whether one is owed,
//! from the requests it has decoded and the Get Body Chunks it has encoded. It is meant
//! for relays and tests; it enforces framing, not the order of an exchange, which is
//! [`crate::proto`]'s.

use super::body::{END_OF_BODY, FLUSH, RequestBody, write_body_chunk, write_request_body};
use super::control::{
    CPING, CPONG, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, PING, SHUTDOWN, get_body_chunk,
};
use super::error::{DecodeError, EncodeError};
use super::limits::{DecodeOptions, PacketSize};
use super::message::{ToContainer, ToWebServer};
use super::packet::{Direction, split_packet};
use super::writer::write_payload;
use bytes::BytesMut;
use std::io;
use tokio_util::codec::{Decoder, Encoder};

/// Whatever a web server may send.
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
    Body(RequestBody),
}

/// Why a codec failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A packet is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A packet cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The container's side: decodes what web servers send, encodes what containers send.
///
/// ```
/// use ajp::wire::{ContainerCodec, FromWebServer, PacketSize, ToContainer, ToWebServer};
/// use tokio_util::codec::{Decoder, Encoder};
/// let mut codec = ContainerCodec::new(PacketSize::DEFAULT);
/// let mut buffer = bytes::BytesMut::from(&ajp::wire::CPING[..]);
/// let packet = codec.decode(&mut buffer)?;
/// assert_eq!(packet, Some(FromWebServer::Message(ToContainer::CPing)));
/// codec.encode(ToWebServer::CPong, &mut buffer)?;
/// assert_eq!(buffer, &ajp::wire::CPONG[..]);
/// # Ok::<(), ajp::wire::CodecError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ContainerCodec {
    size: PacketSize,
    options: DecodeOptions,
    body_owed: bool,
}

impl ContainerCodec {
    /// A codec for a new connection.
    #[must_use]
    pub fn new(size: PacketSize) -> Self {
        Self {
            size,
            options: DecodeOptions::default(),
            body_owed: false,
        }
    }

    /// What is accepted beyond the strict rules.
    #[must_use]
    pub fn with_decode_options(mut self, options: DecodeOptions) -> Self {
        self.options = options;
        self
    }

    /// Whether the next packet is a body packet.
    #[must_use]
    pub fn is_body_owed(&self) -> bool {
        self.body_owed
    }
}

impl Decoder for ContainerCodec {
    type Item = FromWebServer;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<FromWebServer>, CodecError> {
        let Some(payload) = split_packet(buffer, Direction::ToContainer, self.size)? else {
            return Ok(None);
        };
        if std::mem::take(&mut self.body_owed) {
            return Ok(Some(FromWebServer::Body(RequestBody::parse(&payload)?)));
        }
        let message = ToContainer::parse(payload, &self.options)?;
        if let ToContainer::ForwardRequest(request) = &message {
            self.body_owed = request.framing().is_eager();
        }
        Ok(Some(FromWebServer::Message(message)))
    }
}

impl Encoder<ToWebServer> for ContainerCodec {
    type Error = CodecError;

    fn encode(&mut self, packet: ToWebServer, buffer: &mut BytesMut) -> Result<(), CodecError> {
        match packet {
            ToWebServer::SendHeaders(head) => {
                write_payload(buffer, Direction::ToWebServer, self.size, head.payload())?;
            }
            ToWebServer::SendBodyChunk(data) if data.is_empty() => buffer.extend_from_slice(&FLUSH),
            ToWebServer::SendBodyChunk(data) => write_body_chunk(buffer, &data, self.size)?,
            ToWebServer::EndResponse { reuse: true } => {
                buffer.extend_from_slice(&END_RESPONSE_REUSE);
            }
            ToWebServer::EndResponse { reuse: false } => {
                buffer.extend_from_slice(&END_RESPONSE_CLOSE);
            }
            ToWebServer::GetBodyChunk { requested } => {
                self.body_owed = true;
                buffer.extend_from_slice(&get_body_chunk(requested));
            }
            ToWebServer::CPong => buffer.extend_from_slice(&CPONG),
        }
        Ok(())
    }
}

/// The web server's side: decodes what containers send, encodes what web servers send.
#[derive(Debug, Clone)]
pub struct WebServerCodec {
    size: PacketSize,
}

impl WebServerCodec {
    /// A codec for a new connection.
    #[must_use]
    pub fn new(size: PacketSize) -> Self {
        Self { size }
    }
}

impl Decoder for WebServerCodec {
    type Item = ToWebServer;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<ToWebServer>, CodecError> {
        match split_packet(buffer, Direction::ToWebServer, self.size)? {
            Some(payload) => Ok(Some(ToWebServer::parse(payload)?)),
            None => Ok(None),
        }
    }
}

impl Encoder<FromWebServer> for WebServerCodec {
    type Error = CodecError;

    fn encode(&mut self, packet: FromWebServer, buffer: &mut BytesMut) -> Result<(), CodecError> {
        match packet {
            FromWebServer::Message(ToContainer::ForwardRequest(request)) => {
                write_payload(buffer, Direction::ToContainer, self.size, request.payload())?;
            }
            FromWebServer::Message(ToContainer::CPing) => buffer.extend_from_slice(&CPING),
            FromWebServer::Message(ToContainer::Shutdown) => {
                write_payload(buffer, Direction::ToContainer, self.size, &[SHUTDOWN])?;
            }
            FromWebServer::Message(ToContainer::Ping) => {
                write_payload(buffer, Direction::ToContainer, self.size, &[PING])?;
            }
            FromWebServer::Body(RequestBody::Data(data)) => {
                write_request_body(buffer, &data, self.size)?;
            }
            FromWebServer::Body(RequestBody::End) => buffer.extend_from_slice(&END_OF_BODY),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ForwardRequestWriter, RequestLine, SendHeadersWriter};
    use bytes::Bytes;

    #[test]
    fn a_conversation_crosses_both_codecs_unchanged() {
        let size = PacketSize::DEFAULT;
        let (mut web, mut container) = (WebServerCodec::new(size), ContainerCodec::new(size));
        let mut request = BytesMut::new();
        let line = RequestLine {
            method: b"POST",
            ..RequestLine::default()
        };
        let mut writer = ForwardRequestWriter::new(&mut request, size, &line).unwrap();
        writer.header(b"content-length", b"6").unwrap();
        writer.finish().unwrap();
        let original = request.clone();
        let request = container.decode(&mut request).unwrap().unwrap();
        assert!(container.is_body_owed());
        let mut copy = BytesMut::new();
        web.encode(request, &mut copy).unwrap();
        assert_eq!(copy, original);

        // 0x02 first: as a message it would be a Forward Request.
        let data = FromWebServer::Body(RequestBody::Data(Bytes::from_static(b"\x02\x02")));
        let mut buffer = BytesMut::new();
        web.encode(data.clone(), &mut buffer).unwrap();
        assert_eq!(container.decode(&mut buffer).unwrap(), Some(data));
        assert!(!container.is_body_owed());

        let mut head = BytesMut::new();
        SendHeadersWriter::new(&mut head, size, 200)
            .unwrap()
            .finish();
        let head = web.decode(&mut head).unwrap().unwrap();
        for packet in [
            ToWebServer::GetBodyChunk { requested: 8186 },
            head,
            ToWebServer::SendBodyChunk(Bytes::from_static(b"ok")),
            ToWebServer::SendBodyChunk(Bytes::new()),
            ToWebServer::EndResponse { reuse: true },
            ToWebServer::EndResponse { reuse: false },
            ToWebServer::CPong,
        ] {
            container.encode(packet.clone(), &mut buffer).unwrap();
            assert_eq!(web.decode(&mut buffer).unwrap(), Some(packet));
            assert!(buffer.is_empty());
        }
        assert!(container.is_body_owed(), "Get Body Chunk was sent");
        web.encode(FromWebServer::Body(RequestBody::End), &mut buffer)
            .unwrap();
        assert_eq!(
            container.decode(&mut buffer).unwrap(),
            Some(FromWebServer::Body(RequestBody::End))
        );
        for message in [ToContainer::CPing, ToContainer::Shutdown, ToContainer::Ping] {
            web.encode(FromWebServer::Message(message.clone()), &mut buffer)
                .unwrap();
            assert_eq!(
                container.decode(&mut buffer).unwrap(),
                Some(FromWebServer::Message(message))
            );
        }
    }
}
