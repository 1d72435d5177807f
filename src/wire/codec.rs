//! A codec for each role: packets out of a receive buffer, and into a send buffer. With the
//! feature `tokio-codec` they are `Decoder` and `Encoder` of tokio-util, so that `Framed` works.
//!
//! A body packet carries no type byte: [`ContainerCodec`] counts how many the web server owes,
//! from the requests it has decoded and the Get Body Chunks it has encoded. It is meant for
//! relays and tests; it enforces framing, not the order of an exchange, which is
//! [`crate::proto`]'s.

use super::body::{BodyPacket, END_OF_BODY, FLUSH, write_body_chunk, write_request_body};
use super::control::{
    CPING, CPONG, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, PING, SHUTDOWN, get_body_chunk,
};
use super::error::{DecodeError, EncodeError, EncodeRule, Field};
use super::limits::{DecodeOptions, PacketSize};
use super::message::{FromWebServer, ToContainer, ToWebServer};
use super::packet::{Direction, split_packet};
use super::writer::write_payload;
use bytes::BytesMut;

/// The container's side: decodes what web servers send, encodes what containers send.
///
/// ```
/// use ajp::wire::{ContainerCodec, FromWebServer, PacketSize, ToContainer, ToWebServer};
/// let mut codec = ContainerCodec::new(PacketSize::DEFAULT);
/// let mut buffer = bytes::BytesMut::from(&ajp::wire::CPING[..]);
/// let packet = codec.decode_packet(&mut buffer)?;
/// assert_eq!(packet, Some(FromWebServer::Message(ToContainer::CPing)));
/// codec.encode_packet(ToWebServer::CPong, &mut buffer)?;
/// assert_eq!(buffer, &ajp::wire::CPONG[..]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ContainerCodec {
    size: PacketSize,
    options: DecodeOptions,
    /// Body packets that the web server is to send before its next message.
    owed: u16,
}

impl ContainerCodec {
    /// A codec for a new connection.
    #[must_use]
    pub fn new(size: PacketSize) -> Self {
        Self {
            size,
            options: DecodeOptions::default(),
            owed: 0,
        }
    }

    /// What is accepted beyond the strict rules.
    #[must_use]
    pub fn with_decode_options(mut self, options: DecodeOptions) -> Self {
        self.options = options;
        self
    }

    /// How many body packets the web server owes: so many packets are decoded as bodies before
    /// the next message. One follows a request with a Content-Length above 0, and one answers
    /// each Get Body Chunk.
    #[must_use]
    pub fn owed(&self) -> u16 {
        self.owed
    }

    /// Takes the next packet off the front of `buffer`, without copying it. `Ok(None)` means
    /// that more bytes are needed.
    ///
    /// An empty packet that is not owed is a [`BodyPacket::End`] too, for it can be nothing
    /// else. Some web servers send one after a request; whether it may be there,
    /// [`proto::Idle`](crate::proto::Idle) and [`proto::ServerExchange`](crate::proto::ServerExchange)
    /// know.
    ///
    /// # Errors
    /// [`DecodeError`]: the connection must close. When a Forward Request is malformed a
    /// container answers 400 before.
    pub fn decode_packet(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<FromWebServer>, DecodeError> {
        let Some(payload) = split_packet(buffer, Direction::ToContainer, self.size)? else {
            return Ok(None);
        };
        if let Some(owed) = self.owed.checked_sub(1) {
            self.owed = owed;
            return Ok(Some(FromWebServer::Body(BodyPacket::parse(&payload)?)));
        }
        if matches!(payload.as_ref(), [] | [0, 0]) {
            return Ok(Some(FromWebServer::Body(BodyPacket::End)));
        }
        let message = ToContainer::parse(payload, &self.options)?;
        if let ToContainer::ForwardRequest(request) = &message {
            self.owed = request.framing().is_eager().into();
        }
        Ok(Some(FromWebServer::Message(message)))
    }

    /// Appends a packet to `buffer`.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing was added to the buffer. Data has to fit one packet:
    /// [`PacketSize::max_body_chunk`].
    pub fn encode_packet(
        &mut self,
        packet: ToWebServer,
        buffer: &mut BytesMut,
    ) -> Result<(), EncodeError> {
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
                self.owed = self
                    .owed
                    .checked_add(1)
                    .ok_or_else(|| EncodeError::new(Field::RequestedLength, EncodeRule::TooMany))?;
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

    /// Takes the next packet off the front of `buffer`, without copying it. `Ok(None)` means
    /// that more bytes are needed.
    ///
    /// # Errors
    /// [`DecodeError`]: the connection must close.
    #[allow(
        clippy::unused_self,
        reason = "as ContainerCodec, whose packets depend on its state"
    )]
    pub fn decode_packet(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<ToWebServer>, DecodeError> {
        match split_packet(buffer, Direction::ToWebServer, self.size)? {
            Some(payload) => Ok(Some(ToWebServer::parse(payload)?)),
            None => Ok(None),
        }
    }

    /// Appends a packet to `buffer`.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing was added to the buffer. Data has to fit one packet:
    /// [`PacketSize::max_request_body`].
    pub fn encode_packet(
        &mut self,
        packet: FromWebServer,
        buffer: &mut BytesMut,
    ) -> Result<(), EncodeError> {
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
            FromWebServer::Body(BodyPacket::Data(data)) => {
                write_request_body(buffer, &data, self.size)?;
            }
            FromWebServer::Body(BodyPacket::End) => buffer.extend_from_slice(&END_OF_BODY),
        }
        Ok(())
    }
}

#[cfg(feature = "tokio-codec")]
mod tokio_codec {
    use super::{
        BytesMut, ContainerCodec, DecodeError, EncodeError, FromWebServer, ToWebServer,
        WebServerCodec,
    };
    use std::io;
    use tokio_util::codec::{Decoder, Encoder};

    /// Why a `Framed` stream failed.
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

    impl Decoder for ContainerCodec {
        type Item = FromWebServer;
        type Error = CodecError;

        fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<FromWebServer>, CodecError> {
            Ok(self.decode_packet(buffer)?)
        }
    }

    impl Encoder<ToWebServer> for ContainerCodec {
        type Error = CodecError;

        fn encode(&mut self, packet: ToWebServer, buffer: &mut BytesMut) -> Result<(), CodecError> {
            Ok(self.encode_packet(packet, buffer)?)
        }
    }

    impl Decoder for WebServerCodec {
        type Item = ToWebServer;
        type Error = CodecError;

        fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<ToWebServer>, CodecError> {
            Ok(self.decode_packet(buffer)?)
        }
    }

    impl Encoder<FromWebServer> for WebServerCodec {
        type Error = CodecError;

        fn encode(
            &mut self,
            packet: FromWebServer,
            buffer: &mut BytesMut,
        ) -> Result<(), CodecError> {
            Ok(self.encode_packet(packet, buffer)?)
        }
    }
}

#[cfg(feature = "tokio-codec")]
pub use tokio_codec::CodecError;

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
        let request = container.decode_packet(&mut request).unwrap().unwrap();
        assert_eq!(container.owed(), 1);
        let mut copy = BytesMut::new();
        web.encode_packet(request, &mut copy).unwrap();
        assert_eq!(copy, original);

        // 0x02 first: as a message it would be a Forward Request.
        let data = FromWebServer::Body(BodyPacket::Data(Bytes::from_static(b"\x02\x02")));
        let mut buffer = BytesMut::new();
        web.encode_packet(data.clone(), &mut buffer).unwrap();
        assert_eq!(container.decode_packet(&mut buffer).unwrap(), Some(data));
        assert_eq!(container.owed(), 0);

        let mut head = BytesMut::new();
        SendHeadersWriter::new(&mut head, size, 200)
            .unwrap()
            .finish();
        let head = web.decode_packet(&mut head).unwrap().unwrap();
        for packet in [
            ToWebServer::GetBodyChunk { requested: 8186 },
            head,
            ToWebServer::SendBodyChunk(Bytes::from_static(b"ok")),
            ToWebServer::SendBodyChunk(Bytes::new()),
            ToWebServer::EndResponse { reuse: true },
            ToWebServer::EndResponse { reuse: false },
            ToWebServer::CPong,
        ] {
            container
                .encode_packet(packet.clone(), &mut buffer)
                .unwrap();
            assert_eq!(web.decode_packet(&mut buffer).unwrap(), Some(packet));
            assert!(buffer.is_empty());
        }
        assert_eq!(container.owed(), 1, "Get Body Chunk was sent");
        web.encode_packet(FromWebServer::Body(BodyPacket::End), &mut buffer)
            .unwrap();
        assert_eq!(
            container.decode_packet(&mut buffer).unwrap(),
            Some(FromWebServer::Body(BodyPacket::End))
        );
        for message in [ToContainer::CPing, ToContainer::Shutdown, ToContainer::Ping] {
            web.encode_packet(FromWebServer::Message(message.clone()), &mut buffer)
                .unwrap();
            assert_eq!(
                container.decode_packet(&mut buffer).unwrap(),
                Some(FromWebServer::Message(message))
            );
        }
    }
    /// A container that asks ahead is owed several packets, and none of them is a message,
    /// whatever an uploader has put into it.
    #[test]
    fn every_packet_that_is_owed_is_a_body_packet() {
        let size = PacketSize::DEFAULT;
        let (mut web, mut container) = (WebServerCodec::new(size), ContainerCodec::new(size));
        let mut buffer = BytesMut::new();
        let line = RequestLine {
            method: b"POST",
            ..RequestLine::default()
        };
        let mut writer = ForwardRequestWriter::new(&mut buffer, size, &line).unwrap();
        writer.header(b"content-length", b"30000").unwrap();
        writer.finish().unwrap();
        container.decode_packet(&mut buffer).unwrap().unwrap();
        let mut asked = BytesMut::new();
        for owed in 2..=3 {
            let ask = ToWebServer::GetBodyChunk { requested: 8186 };
            container.encode_packet(ask, &mut asked).unwrap();
            assert_eq!(container.owed(), owed);
        }
        // 0x0202 bytes of data: read as a message, it is a Forward Request.
        let mut hidden = BytesMut::new();
        let line = RequestLine {
            req_uri: b"/admin",
            ..RequestLine::default()
        };
        let mut writer = ForwardRequestWriter::new(&mut hidden, size, &line).unwrap();
        writer.header(b"x-pad", &[b'p'; 0x0202 - 63]).unwrap();
        writer.finish().unwrap();
        let hidden = hidden.split_off(6).freeze();
        assert_eq!(hidden.len(), 0x0202);
        for owed in (0..3).rev() {
            let body = FromWebServer::Body(BodyPacket::Data(hidden.clone()));
            web.encode_packet(body.clone(), &mut buffer).unwrap();
            assert_eq!(container.decode_packet(&mut buffer).unwrap(), Some(body));
            assert_eq!(container.owed(), owed);
        }
        web.encode_packet(FromWebServer::Message(ToContainer::CPing), &mut buffer)
            .unwrap();
        assert_eq!(
            container.decode_packet(&mut buffer).unwrap(),
            Some(FromWebServer::Message(ToContainer::CPing))
        );
    }

    #[test]
    fn an_empty_packet_that_is_not_owed_is_an_end_of_body() {
        for form in [&[0x12, 0x34, 0, 0][..], &END_OF_BODY] {
            let mut container = ContainerCodec::new(PacketSize::DEFAULT);
            let mut buffer = BytesMut::from(form);
            assert_eq!(
                container.decode_packet(&mut buffer).unwrap(),
                Some(FromWebServer::Body(BodyPacket::End))
            );
            assert_eq!((container.owed(), buffer.len()), (0, 0));
        }
    }

    #[cfg(feature = "tokio-codec")]
    #[test]
    fn the_codecs_are_those_of_tokio_too() {
        use tokio_util::codec::{Decoder, Encoder};
        let size = PacketSize::DEFAULT;
        let (mut web, mut container) = (WebServerCodec::new(size), ContainerCodec::new(size));
        let mut buffer = BytesMut::new();
        let ask = FromWebServer::Message(ToContainer::CPing);
        Encoder::encode(&mut web, ask.clone(), &mut buffer).unwrap();
        let asked = Decoder::decode(&mut container, &mut buffer).unwrap();
        assert_eq!(asked, Some(ask));
        assert_eq!(Decoder::decode(&mut container, &mut buffer).unwrap(), None);
        Encoder::encode(&mut container, ToWebServer::CPong, &mut buffer).unwrap();
        let answer = Decoder::decode(&mut web, &mut buffer).unwrap();
        assert_eq!(answer, Some(ToWebServer::CPong));
    }
}
