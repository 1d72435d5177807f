//! What a container answers, packet by packet and as a whole.

use crate::conform::check::{Step, wrong};
use crate::conform::connection::{Connection, NoPacket};
use ajp::client::{Address, Connect, Transport};
use ajp::wire::{Direction, PacketSize, SendHeaders, ToWebServer};
use std::time::Duration;

/// A connection to the container.
pub(super) async fn connect(
    address: &Address,
    limit: Duration,
) -> Result<Connection<Transport>, String> {
    let stream = tokio::time::timeout(limit, address.connect()).await;
    let stream = stream.map_err(|_| "no connection in time".to_owned())?;
    let stream = stream.map_err(|error| format!("no connection: {error}"))?;
    Ok(Connection::new(
        stream,
        Direction::ToWebServer,
        PacketSize::MAX,
        limit,
    ))
}

impl Connection<Transport> {
    pub(super) async fn next(&mut self) -> Result<ToWebServer, NoPacket> {
        self.next_within(self.limit).await
    }

    pub(super) async fn next_within(&mut self, limit: Duration) -> Result<ToWebServer, NoPacket> {
        let payload = self.payload(limit).await?;
        ToWebServer::parse(payload).map_err(|error| NoPacket::Broken(error.to_string()))
    }

    /// Reads an answer to its end, and answers each question for body data with the next of
    /// `parts`, or with the end of the body.
    pub(super) async fn answer(&mut self, mut parts: impl Iterator<Item = Vec<u8>>) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.next().await {
                Ok(ToWebServer::SendHeaders(head)) => {
                    if answer.head.is_some() {
                        answer.faults.push("two heads".to_owned());
                    }
                    answer.head = Some(head);
                }
                Ok(ToWebServer::SendBodyChunk(data)) => {
                    if answer.head.is_none() && !data.is_empty() {
                        answer.faults.push("data before the head".to_owned());
                    }
                    answer.data.extend_from_slice(&data);
                }
                Ok(ToWebServer::GetBodyChunk { requested }) => {
                    answer.questions.push(requested);
                    match parts.next() {
                        Some(part) => self.send(&part).await,
                        None => self.send(&ajp::wire::END_OF_BODY).await,
                    }
                }
                Ok(ToWebServer::EndResponse { reuse }) => {
                    answer.end = End::Done { reuse };
                    return answer;
                }
                Ok(_) => answer
                    .faults
                    .push("a packet that nobody asked for".to_owned()),
                Err(NoPacket::Broken(error)) => {
                    answer.end = End::Broken(error);
                    return answer;
                }
                Err(NoPacket::Closed) => {
                    answer.end = End::Closed;
                    return answer;
                }
                Err(NoPacket::TimedOut) => return answer,
            }
        }
    }

    /// Whether the other side closes, and does not send more.
    pub(super) async fn is_closed(&mut self) -> bool {
        matches!(
            self.next_within(Duration::from_millis(500)).await,
            Err(NoPacket::Closed)
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
    /// The rest did not come in time.
    #[default]
    TimedOut,
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
            End::TimedOut => "then nothing",
        };
        match self.faults.first() {
            Some(fault) => format!("{status}, {end}, {fault}"),
            None => format!("{status}, {end}"),
        }
    }

    /// An answer that ends well, with what was seen; otherwise what is wrong.
    pub(super) fn ends_well(&self) -> Step<String> {
        let is_well =
            self.head.is_some() && matches!(self.end, End::Done { .. }) && self.faults.is_empty();
        if is_well {
            Ok(self.shown())
        } else {
            Err(wrong(self.shown()))
        }
    }
}
