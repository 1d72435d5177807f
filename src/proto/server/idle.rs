//! What an idle connection may receive.

use super::{ServerExchange, unexpected};
use crate::proto::ProtocolError;
use crate::wire::{
    BodyPacket, DecodeError, DecodeOptions, FORWARD_REQUEST, ForwardRequest, FromWebServer,
    HeaderSink, NoSink, ToContainer,
};
use bytes::Bytes;

/// What a packet on an idle connection means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol is closed; a driver must handle every event"
)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every event is a request; boxing it would allocate"
)]
pub enum IdleEvent {
    /// A request. Its exchange begins.
    Request(ForwardRequest),
    /// A probe: answer [`CPONG`](crate::wire::CPONG).
    CPing,
    /// An empty packet that answers nothing: lighttpd sends one after a request without a body,
    /// nginx's AJP module after a chunked upload. Skip it.
    StrayEmpty,
    /// A request that is malformed: answer 400 and close.
    BadRequest(DecodeError),
    /// SHUTDOWN, PING or an unknown type: close without an answer.
    Close(ProtocolError),
}

/// The idle state of a connection in the container.
#[derive(Debug, Default)]
pub struct Idle {
    stray_allowed: bool,
}

impl Idle {
    /// The state of a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that an exchange ended. Directly after it one empty packet is tolerated, if
    /// none came during the exchange.
    ///
    /// That is safe: such a packet carries no data and cannot be a message, and the web server
    /// has written it before its next request. Two in a row are a sign that the two sides do
    /// not count alike, and so is one at any other time.
    pub fn exchange_ended(&mut self, exchange: &ServerExchange) {
        self.stray_allowed = !exchange.stray_seen;
    }

    /// Takes the payload of one packet.
    pub fn receive(&mut self, payload: Bytes, options: &DecodeOptions) -> IdleEvent {
        self.receive_into(payload, *options, &mut NoSink)
    }

    /// As [`receive`](Self::receive), and gives the headers of a request to `sink`.
    pub(crate) fn receive_into<S: HeaderSink>(
        &mut self,
        payload: Bytes,
        options: DecodeOptions,
        sink: &mut S,
    ) -> IdleEvent {
        if matches!(payload.as_ref(), [] | [0, 0]) {
            return self.empty_packet();
        }
        let is_request = payload.first() == Some(&FORWARD_REQUEST);
        match ToContainer::parse_into(payload, options, sink) {
            Ok(message) => self.message(message),
            Err(error) if is_request => IdleEvent::BadRequest(error),
            Err(error) => IdleEvent::Close(error.into()),
        }
    }

    /// Takes one packet of [`ContainerCodec`](crate::wire::ContainerCodec), which has found out
    /// before whether it is malformed: there is no [`IdleEvent::BadRequest`].
    pub fn receive_packet(&mut self, packet: FromWebServer) -> IdleEvent {
        match packet {
            FromWebServer::Message(message) => self.message(message),
            FromWebServer::Body(BodyPacket::End) => self.empty_packet(),
            FromWebServer::Body(BodyPacket::Data(_)) => {
                IdleEvent::Close(unexpected("a body packet", "between exchanges"))
            }
        }
    }

    fn message(&mut self, message: ToContainer) -> IdleEvent {
        self.stray_allowed = false;
        match message {
            ToContainer::ForwardRequest(request) => IdleEvent::Request(request),
            ToContainer::CPing => IdleEvent::CPing,
            ToContainer::Shutdown => refuse("SHUTDOWN"),
            ToContainer::Ping => refuse("PING"),
        }
    }

    fn empty_packet(&mut self) -> IdleEvent {
        if std::mem::take(&mut self.stray_allowed) {
            IdleEvent::StrayEmpty
        } else {
            IdleEvent::Close(unexpected("an empty packet", "between exchanges"))
        }
    }
}

fn refuse(packet: &'static str) -> IdleEvent {
    IdleEvent::Close(unexpected(packet, "which is never obeyed"))
}
