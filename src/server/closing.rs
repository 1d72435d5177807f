//! The end of a connection that has something to say before it closes.

use super::connection::Connection;
#[cfg(feature = "tracing")]
use super::error::Chain;
use super::error::ServerError;
use super::refusal::OwnAnswer;
use crate::proto::ServerExchange;
use crate::trace::event;
use crate::wire::{END_RESPONSE_CLOSE, SendHeadersWriter, write_body_chunk};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a peer may take to close after our last byte.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and dropped meanwhile, beside what was asked for: what a web server
/// sends that was configured for the largest packets.
const LINGER_BYTES: usize = 0x2_0000;

/// A connection on its way out: its last bytes, the end of the write side, and what the
/// peer may still send. If we closed with that unread, a reset could cost our answer
/// (protocol chapter [exchange](crate::docs::protocol::exchange#errors)).
#[derive(Debug)]
pub(super) struct Closing {
    phase: Phase,
    error: Option<ServerError>,
    left: usize,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Flush,
    Shutdown,
    Drain,
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Ends the exchange, if one is running or was never begun, with End Response and
    /// reuse 0; [`poll_close`](Self::poll_close) does the rest. `error` is why.
    pub(super) fn close_with(&mut self, error: Option<ServerError>) {
        let owed = self.exchange.take().map_or(0, |exchange| exchange.owed());
        let owed = usize::from(owed).saturating_mul(self.io.size().bytes());
        self.meter.exchange_ends();
        self.io.queue(&END_RESPONSE_CLOSE);
        self.closing = Some(Box::new(Closing {
            phase: Phase::Flush,
            error,
            left: LINGER_BYTES.saturating_add(owed),
        }));
    }

    /// Ready when the connection can be dropped, with what it was closed for.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<ServerError>> {
        loop {
            let Some(closing) = self.closing.as_deref_mut() else {
                return Poll::Ready(None);
            };
            let next = match closing.phase {
                Phase::Flush => match ready!(self.poll_flush(cx)) {
                    Ok(()) => {
                        self.read_limit.set(Some(LINGER));
                        Phase::Shutdown
                    }
                    Err(error) => {
                        event!(
                            DEBUG,
                            error = %Chain(&error),
                            "the last AJP packets could not be sent"
                        );
                        // What the connection closes for is the better reason.
                        if let Some(closing) = self.closing.as_deref_mut() {
                            closing.error.get_or_insert(error);
                        }
                        Phase::Done
                    }
                },
                Phase::Done => return Poll::Ready(closing.error.take()),
                Phase::Shutdown | Phase::Drain if self.read_limit.poll(cx).is_ready() => {
                    Phase::Done
                }
                Phase::Shutdown => match ready!(self.io.poll_shutdown(cx)) {
                    Ok(()) => Phase::Drain,
                    Err(_) => Phase::Done,
                },
                Phase::Drain => {
                    // The connection is over either way.
                    let _ = ready!(self.io.poll_drain(cx, &mut closing.left));
                    Phase::Done
                }
            };
            if let Some(closing) = self.closing.as_deref_mut() {
                closing.phase = next;
            }
        }
    }

    /// Queues Send Headers and a one-line body. Closing without an answer would make a proxy take
    /// the container for dead (protocol chapter
    /// [security](crate::docs::protocol::security#taking-a-container-out)).
    pub(crate) fn queue_answer(&mut self, answer: OwnAnswer) {
        let size = self.io.size();
        let body = format!("{} {}\n", answer.status, answer.reason);
        let buffer = self.io.write_buffer();
        let head = SendHeadersWriter::new(buffer, size, answer.status).and_then(|mut writer| {
            writer.header(b"Content-Type", b"text/plain; charset=utf-8")?;
            writer.header(b"Content-Length", body.len().to_string().as_bytes())?;
            writer.finish();
            Ok(())
        });
        let has_body = self
            .exchange
            .as_ref()
            .is_none_or(ServerExchange::response_has_body);
        let chunk = match head {
            Ok(()) if has_body => write_body_chunk(self.io.write_buffer(), body.as_bytes(), size),
            result => result,
        };
        // A fixed short text fits every packet size.
        debug_assert_eq!(chunk, Ok(()));
        if let Some(exchange) = &mut self.exchange {
            exchange.headers_sent(answer.status, None);
        }
    }
}
