//! One poll of an exchange: it writes, reads a packet, and waits if there is none.

use super::super::cause::CloseCause;
use super::super::connection::read_error;
use super::super::error::{ClientError, ErrorKind};
use super::super::waits::{ExchangeStep, Expired};
use super::{ConnectionCheck, Exchange, Stage, Writing};
use crate::net::{PeerState, ReadError};
use crate::proto::{ClientEvent, ProtocolError};
use crate::wire::ToWebServer;
use bytes::Bytes;
use std::task::{Context, Poll, ready};

impl Exchange {
    /// The next event. After an error the exchange must [fail](Exchange::fail).
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, ClientError>> {
        if let Stage::New(check) = self.stage {
            self.start(cx, check)?;
        }
        self.write(cx);
        let Some(connection) = &mut self.lease.connection else {
            return Poll::Ready(Err(self.gone()));
        };
        match connection.poll_payload(cx) {
            Poll::Ready(Ok(Some(payload))) => Poll::Ready(self.receive(cx, payload)),
            Poll::Ready(Ok(None)) => Poll::Ready(Err(self.closed(None))),
            Poll::Ready(Err(ReadError::Io(error))) => Poll::Ready(Err(self.closed(Some(error)))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_error(error, ErrorKind::Closed))),
            Poll::Pending => self.wait(cx).map(Err),
        }
    }

    /// The first poll: whether the connection is fit, unless that is known.
    fn start(&mut self, cx: &mut Context<'_>, check: ConnectionCheck) -> Result<(), ClientError> {
        let Some(connection) = &mut self.lease.connection else {
            return Err(self.gone());
        };
        self.stage = Stage::AwaitingFirstPacket;
        self.waits.use_timer(std::mem::take(&mut connection.timer));
        if check == ConnectionCheck::Skip {
            return Ok(());
        }
        let state = connection.io.peer_state(cx);
        let Some(cause) = CloseCause::of(state) else {
            return Ok(());
        };
        self.lease.close(cause);
        Err(match state {
            PeerState::SentData => ClientError::protocol(unasked()),
            _ => ClientError::bare(ErrorKind::Closed),
        })
    }

    /// Writes what is queued, as far as the transport takes it.
    fn write(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.lease.connection else {
            return;
        };
        if matches!(self.writing, Writing::Failed(_)) || connection.io.is_flushed() {
            return;
        }
        let flushed = connection.io.poll_flush(cx);
        let sent = connection.io.traffic().1;
        self.bytes.sent = sent;
        match flushed {
            Poll::Ready(Ok(())) => {
                self.writing = Writing::Flowing;
                self.machine.request_written();
                self.waits.stop_if(ExchangeStep::Write);
                self.lease.stopwatch.written();
            }
            Poll::Ready(Err(error)) => self.writing = Writing::Failed(error),
            Poll::Pending => match self.writing {
                Writing::Stalled { sent: before } if before == sent => {}
                _ => {
                    self.writing = Writing::Stalled { sent };
                    self.waits
                        .start(ExchangeStep::Write, self.lease.timeouts().write);
                }
            },
        }
    }

    /// Takes one packet of the container.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        payload: Bytes,
    ) -> Result<ClientEvent, ClientError> {
        let Some(connection) = &self.lease.connection else {
            return Err(self.gone());
        };
        if self.bytes.sent < self.bytes.head_sent_at {
            // Nobody can answer a request before it is there.
            return Err(match self.take_write_error() {
                Some(error) => ClientError::io(ErrorKind::Write, error),
                None => ClientError::protocol(unasked()),
            });
        }
        let is_writing = !connection.io.is_flushed() && !matches!(self.writing, Writing::Failed(_));
        if let Stage::AwaitingFirstPacket = self.stage {
            self.stage = Stage::AwaitingHead;
            self.lease.stopwatch.first_packet();
        }
        let packet =
            ToWebServer::parse(payload).map_err(|error| ClientError::protocol(error.into()))?;
        let reuse = matches!(packet, ToWebServer::EndResponse { reuse: true });
        let asks_for_body = matches!(packet, ToWebServer::GetBodyChunk { .. });
        if asks_for_body && is_writing && self.lease.shared.config.body_requests == 1 {
            return Err(ClientError::protocol(ProtocolError::BodyRequestedTwice));
        }
        let event = self
            .machine
            .receive(packet)
            .map_err(ClientError::protocol)?;
        if asks_for_body {
            self.note_packet_size();
        }
        match &event {
            // Before the head these are no progress: the time for the head goes on.
            ClientEvent::Ignored if !matches!(self.stage, Stage::Responding) => {}
            ClientEvent::Head(head) => {
                self.status = Some(head.status());
                self.stage = Stage::Responding;
                self.waits.stop_unless(ExchangeStep::Write);
                // It is here, however late: while it was waited for there was a timer.
                return Ok(event);
            }
            ClientEvent::End => {
                self.end(cx, reuse);
                return Ok(event);
            }
            ClientEvent::Ignored
            | ClientEvent::Flush
            | ClientEvent::Data(_)
            | ClientEvent::BodyRequested => self.waits.stop_unless(ExchangeStep::Write),
        }
        if self.waits.is_over() {
            // A stream that is never behind waits for no timer.
            return Err(ClientError::bare(ErrorKind::RequestTimeout));
        }
        Ok(event)
    }

    /// Keeps for later requests what the container has shown of its packet size.
    fn note_packet_size(&mut self) {
        let size = self.machine.packet_size();
        if let Some(connection) = &mut self.lease.connection {
            if connection.body_size < size {
                connection.body_size = size;
                self.lease.shared.container_size.shown(size);
            }
        }
    }

    /// Nothing has come: ready with an error when that has taken too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        let is_flushed = match (&self.writing, &self.lease.connection) {
            // Nothing reaches the container any more: now its silence is a fault.
            (Writing::Failed(_), _) => None,
            (_, connection) => connection
                .as_ref()
                .map(|connection| connection.io.is_flushed()),
        };
        let timeouts = self.lease.timeouts();
        match (is_flushed, self.stage) {
            (Some(false), _) => self.waits.wait_for(ExchangeStep::Write, timeouts.write),
            (Some(true), _) if self.machine.credit().is_some() => {
                self.waits
                    .wait_for(ExchangeStep::RequestBody, timeouts.request_body);
            }
            (_, Stage::Responding) => {
                self.waits
                    .wait_for(ExchangeStep::NextPacket, timeouts.between_packets);
            }
            _ => self
                .waits
                .wait_for(ExchangeStep::ResponseHead, timeouts.response_head),
        }
        let expired = ready!(self.waits.poll(cx));
        Poll::Ready(match (expired, is_flushed) {
            (Expired::Request, _) => ClientError::bare(ErrorKind::RequestTimeout),
            (Expired::Step(ExchangeStep::Write), _) => ClientError::bare(ErrorKind::WriteTimeout),
            (Expired::Step(ExchangeStep::RequestBody), _) => {
                ClientError::bare(ErrorKind::RequestBodyTimeout)
            }
            (Expired::Step(_), None) => self.closed(None),
            (Expired::Step(ExchangeStep::ResponseHead), _) => {
                ClientError::bare(ErrorKind::ResponseHeadTimeout)
            }
            (Expired::Step(ExchangeStep::NextPacket), _) => {
                ClientError::bare(ErrorKind::BetweenPacketsTimeout)
            }
        })
    }
}

/// Bytes that came before the request was sent.
#[cold]
fn unasked() -> ProtocolError {
    ProtocolError::Unexpected {
        packet: "data",
        state: "before the request was sent",
    }
}
