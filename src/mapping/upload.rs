//! The caller's request body, polled only when the container waits for data.

use crate::client::{ClientError, ErrorKind, Exchange};
use crate::wire::BodyFraming;
use bytes::{Buf, Bytes};
use http_body::Body;
use std::any::Any;
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

type BoxError = Box<dyn StdError + Send + Sync>;

/// A body without its type.
trait Source: Send {
    fn poll_data(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>>;

    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<B> Source for B
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    fn poll_data(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            return Poll::Ready(match std::task::ready!(self.as_mut().poll_frame(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error.into())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => Some(Ok(data.copy_to_bytes(data.remaining()))),
                    // AJP has no trailers.
                    Err(_) => continue,
                },
            });
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[derive(Default)]
enum Stage {
    /// Not polled yet: it can still be given back.
    Unread(Box<dyn Source>),
    Reading(Pin<Box<dyn Source>>),
    #[default]
    Ended,
}

/// What is left to send of a request body. `None`: nothing, as of most requests.
#[derive(Default)]
pub(super) struct Upload(Option<Box<Open>>);

/// On the heap: an upload is moved a lot on its way to its exchange.
#[derive(Default)]
struct Open {
    source: Stage,
    /// Data taken from the source and not sent yet.
    pending: VecDeque<Bytes>,
    pending_len: usize,
    touched: bool,
    /// The data of the first packet, as long as the request may turn out not to be sent.
    first: Vec<Bytes>,
    packets: u64,
    /// Whether the first packet is remembered in any case: the container may refuse the
    /// request's secret before it looks at the body.
    keeps_first: bool,
}

impl Upload {
    /// `framing` is how the request announces the body. A body that has nothing to give is
    /// left in place.
    pub(super) fn new<B>(body: &mut Option<B>, framing: BodyFraming) -> Self
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let empty = body.as_ref().is_none_or(Body::is_end_stream)
            && framing.length().is_none_or(|length| length == 0);
        let body = if empty { None } else { body.take() };
        Self(body.map(|body| {
            Box::new(Open {
                source: Stage::Unread(Box::new(body)),
                ..Open::default()
            })
        }))
    }

    /// The body as it was given, if it was never polled.
    pub(super) fn into_unread<B: 'static>(self) -> Option<B> {
        match self.0?.source {
            Stage::Unread(source) => source.into_any().downcast().ok().map(|body| *body),
            Stage::Reading(_) | Stage::Ended => None,
        }
    }

    /// Whether the source has given any data.
    pub(super) fn is_touched(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.touched)
    }

    /// Remembers the first packet over a fresh connection too.
    pub(super) fn keep_first(&mut self) {
        if let Some(open) = &mut self.0 {
            open.keeps_first = true;
        }
    }

    /// Takes back what was queued on a connection that turned out stale before the request
    /// was written. Whether that was possible.
    pub(super) fn rewind(&mut self) -> bool {
        self.0.as_mut().is_none_or(|open| open.rewind())
    }

    /// Answers what the container waits for, as far as the source is ready. A packet is
    /// filled with as much as is there at once.
    pub(super) fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), ClientError> {
        if let Some(open) = &mut self.0 {
            return open.poll_pump(cx, exchange);
        }
        while exchange.credit().is_some() {
            // Refused when Content-Length promised more.
            exchange.send_end_of_body()?;
        }
        Ok(())
    }
}

impl Open {
    fn rewind(&mut self) -> bool {
        let queued: usize = self.first.iter().map(Bytes::len).sum();
        let possible = match self.packets {
            0 => true,
            1 => queued > 0,
            _ => false,
        };
        if possible {
            self.pending_len += queued;
            for part in self.first.drain(..).rev() {
                self.pending.push_front(part);
            }
            self.packets = 0;
        }
        possible
    }

    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), ClientError> {
        while let Some(credit) = exchange.credit() {
            if credit == 0 {
                exchange.send_end_of_body()?;
                continue;
            }
            self.gather(cx, credit)?;
            let len = self.pending_len.min(credit);
            if len > 0 {
                self.remember(len, exchange);
                exchange.send_body(&mut self.pending, len)?;
                self.pending_len -= len;
            } else if self.has_ended() {
                // Refused when Content-Length promised more.
                exchange.send_end_of_body()?;
            } else {
                return Ok(());
            }
        }
        if exchange.body_left() == Some(0) {
            self.check_overrun(cx)?;
        }
        Ok(())
    }

    /// Only a connection that was used before is replaced, or one over which a secret was
    /// refused.
    fn remember(&mut self, mut len: usize, exchange: &Exchange) {
        self.first.clear();
        if self.packets == 0 && (self.keeps_first || exchange.is_reused()) {
            for part in &self.pending {
                let piece = part.slice(..len.min(part.len()));
                len -= piece.len();
                if piece.is_empty() {
                    break;
                }
                self.first.push(piece);
            }
        }
        self.packets += 1;
    }

    fn has_ended(&self) -> bool {
        matches!(self.source, Stage::Ended)
    }

    fn gather(&mut self, cx: &mut Context<'_>, wanted: usize) -> Result<(), ClientError> {
        while self.pending_len < wanted {
            if let Stage::Unread(_) = self.source {
                if let Stage::Unread(source) = std::mem::take(&mut self.source) {
                    self.source = Stage::Reading(Box::into_pin(source));
                }
            }
            let Stage::Reading(source) = &mut self.source else {
                break;
            };
            match source.as_mut().poll_data(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => self.source = Stage::Ended,
                Poll::Ready(Some(Err(error))) => {
                    self.source = Stage::Ended;
                    return Err(ClientError::new(ErrorKind::BodySource, error));
                }
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => {
                    self.touched = true;
                    self.pending_len += data.len();
                    self.pending.push_back(data);
                }
            }
        }
        Ok(())
    }

    /// After the last announced byte nothing may follow. The request is whole: a source that
    /// fails now, such as the stream of a client that has gone, is no fault of it any more.
    fn check_overrun(&mut self, cx: &mut Context<'_>) -> Result<(), ClientError> {
        if !self.has_ended() {
            let _ = self.gather(cx, 1);
        }
        if self.pending_len > 0 {
            return Err(ClientError::new(
                ErrorKind::BodyLength,
                "the body is longer than its Content-Length",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.0.as_ref();
        f.debug_struct("Upload")
            .field("open", &open.is_some_and(|open| !open.has_ended()))
            .field("pending_len", &open.map_or(0, |open| open.pending_len))
            .finish_non_exhaustive()
    }
}
