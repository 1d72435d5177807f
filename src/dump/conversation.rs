//! What a packet is, from those before it.

use super::record::{Content, Note};
use crate::wire::{
    BodyFraming, BodyPacket, DecodeError, DecodeOptions, Direction, HEADER_LEN, ToContainer,
    ToWebServer,
};
use bytes::Bytes;

/// Accepts everything that some peer sends.
pub(super) fn lenient() -> DecodeOptions {
    DecodeOptions::default()
        .with_max_headers(u16::MAX)
        .with_lenient_uri(true)
        .with_absolute_uri(true)
        .with_der_certificate(true)
}

/// As much of an exchange as tells body packets from messages.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) options: DecodeOptions,
    /// Body packets that the web server owes: one follows a request with a length, and one
    /// answers each Get Body Chunk.
    owed: u32,
    /// Whether `owed` is known and not just assumed.
    certain: bool,
    /// The last request has no body, and nothing came after it: lighttpd sends an empty packet
    /// there without being asked.
    may_add_empty: bool,
    container_seen: bool,
    expects: Direction,
}

impl Conversation {
    pub(super) fn new() -> Self {
        Self {
            options: lenient(),
            owed: 0,
            certain: true,
            may_add_empty: false,
            container_seen: false,
            expects: Direction::ToContainer,
        }
    }

    pub(super) fn expects(&self) -> Direction {
        self.expects
    }

    pub(super) fn sees(&mut self, direction: Direction) {
        self.container_seen |= direction == Direction::ToWebServer;
    }

    /// Packets are missing.
    pub(super) fn lose_track(&mut self) {
        self.owed = 0;
        self.certain = false;
        self.may_add_empty = false;
    }

    /// What a whole packet is.
    pub(super) fn tell(&mut self, direction: Direction, bytes: &Bytes) -> (Content, Option<Note>) {
        let payload = bytes.slice(HEADER_LEN.min(bytes.len())..);
        match direction {
            Direction::ToContainer => self.request_side(&payload),
            Direction::ToWebServer => (self.response_side(payload), None),
        }
    }

    fn request_side(&mut self, payload: &Bytes) -> (Content, Option<Note>) {
        let may_add_empty = std::mem::take(&mut self.may_add_empty);
        self.expects = Direction::ToWebServer;
        let body = BodyPacket::parse(payload);
        if let Some(owed) = self.owed.checked_sub(1) {
            self.owed = owed;
            if owed > 0 {
                self.expects = Direction::ToContainer;
            }
            match body {
                Ok(body) => return (Content::RequestBody(body), None),
                Err(error) => {
                    return match self.message(payload) {
                        Ok((message, _)) => (Content::ToContainer(message), Some(Note::BodyWasDue)),
                        Err(_) => (Content::Undecodable(error), None),
                    };
                }
            }
        }
        match (self.message(payload), body) {
            (Ok((message, note)), _) => (Content::ToContainer(message), note),
            // With one direction only, nobody can be seen asking.
            (Err(_), Ok(body)) => {
                let unasked = self.certain && self.container_seen;
                let is_usual = may_add_empty && body == BodyPacket::End;
                let note = (unasked && !is_usual).then_some(Note::NotAskedFor);
                (Content::RequestBody(body), note)
            }
            (Err(error), Err(_)) => (Content::Undecodable(error), None),
        }
    }

    fn message(&mut self, payload: &Bytes) -> Result<(ToContainer, Option<Note>), DecodeError> {
        let strict = ToContainer::parse(payload.clone(), &DecodeOptions::default());
        let (message, note) = match strict {
            Ok(message) => (message, None),
            Err(error) => {
                let message = ToContainer::parse(payload.clone(), &self.options)?;
                (message, Some(Note::Lenient(error)))
            }
        };
        if let ToContainer::ForwardRequest(request) = &message {
            self.certain = true;
            let is_eager = request.framing().is_eager();
            self.owed = is_eager.into();
            self.may_add_empty = matches!(
                request.framing(),
                BodyFraming::Absent | BodyFraming::Length(0)
            );
            if is_eager {
                self.expects = Direction::ToContainer;
            }
        }
        Ok((message, note))
    }

    fn response_side(&mut self, payload: Bytes) -> Content {
        let packet = match ToWebServer::parse(payload) {
            Ok(packet) => packet,
            Err(error) => return Content::Undecodable(error),
        };
        self.expects = match packet {
            ToWebServer::GetBodyChunk { .. } => {
                // Nobody asks so often; a recording that says so is of something else.
                self.owed = self.owed.saturating_add(1);
                Direction::ToContainer
            }
            ToWebServer::EndResponse { .. } => {
                // A packet that is still due would be read as a message (protocol chapter "reuse").
                self.owed = 0;
                Direction::ToContainer
            }
            ToWebServer::CPong => Direction::ToContainer,
            ToWebServer::SendHeaders(_) | ToWebServer::SendBodyChunk(_) => Direction::ToWebServer,
        };
        Content::ToWebServer(packet)
    }
}
