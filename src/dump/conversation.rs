//! What a packet is, from those before it.

use super::record::{Content, Note};
use crate::wire::{
    DecodeError, DecodeOptions, Direction, HEADER_LEN, RequestBody, ToContainer, ToWebServer,
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
    /// The web server owes a body packet: it follows a request with a length, or was asked
    /// for.
    body_due: bool,
    /// Whether `body_due` is known and not just assumed.
    certain: bool,
    container_seen: bool,
    expects: Direction,
}

impl Conversation {
    pub(super) fn new() -> Self {
        Self {
            options: lenient(),
            body_due: false,
            certain: true,
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
        self.body_due = false;
        self.certain = false;
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
        let was_due = std::mem::take(&mut self.body_due);
        self.expects = Direction::ToWebServer;
        let body = RequestBody::parse(payload);
        if was_due {
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
                let note = unasked.then_some(Note::NotAskedFor);
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
            self.body_due = request.framing().is_eager();
            if self.body_due {
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
                self.body_due = true;
                Direction::ToContainer
            }
            ToWebServer::EndResponse { .. } => {
                // A packet that is still due would be read as a message (section 4.12).
                self.body_due = false;
                Direction::ToContainer
            }
            ToWebServer::CPong => Direction::ToContainer,
            ToWebServer::SendHeaders(_) | ToWebServer::SendBodyChunk(_) => Direction::ToWebServer,
        };
        Content::ToWebServer(packet)
    }
}
