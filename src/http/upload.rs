//! The caller's request body, polled only when the container waits for data.

use crate::client::{Error, ErrorKind, Exchange};
use crate::wire::BodyFraming;
use bytes::{Buf, Bytes};
use http_body::Body;
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
}

impl<B> Source for B
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send,
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
}

#[derive(Default)]
pub(super) struct Upload {
    source: Option<Pin<Box<dyn Source>>>,
    /// Data taken from the source and not sent yet.
    pending: VecDeque<Bytes>,
    pending_len: usize,
    touched: bool,
}

impl Upload {
    /// `framing` is how the request announces the body.
    pub(super) fn new<B>(body: B, framing: BodyFraming) -> Self
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let empty = body.is_end_stream() && framing.length().is_none_or(|length| length == 0);
        Self {
            source: if empty { None } else { Some(Box::pin(body)) },
            pending: VecDeque::new(),
            pending_len: 0,
            touched: false,
        }
    }

    /// Whether the source has given any data.
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Answers what the container waits for, as far as the source is ready. A packet is
    /// filled with as much as is there at once.
    pub(super) fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), Error> {
        while let Some(credit) = exchange.credit() {
            if credit == 0 {
                exchange.send_end_of_body()?;
                continue;
            }
            self.gather(cx, credit)?;
            let len = self.pending_len.min(credit);
            if len > 0 {
                exchange.send_body(&mut self.pending, len)?;
                self.pending_len = self.pending_len.saturating_sub(len);
            } else if self.source.is_none() {
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

    fn gather(&mut self, cx: &mut Context<'_>, wanted: usize) -> Result<(), Error> {
        while self.pending_len < wanted {
            let Some(source) = &mut self.source else {
                break;
            };
            match source.as_mut().poll_data(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => self.source = None,
                Poll::Ready(Some(Err(error))) => {
                    self.source = None;
                    return Err(Error::new(ErrorKind::BodySource, error));
                }
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => {
                    self.touched = true;
                    self.pending_len = self.pending_len.saturating_add(data.len());
                    self.pending.push_back(data);
                }
            }
        }
        Ok(())
    }

    /// After the last announced byte nothing may follow.
    fn check_overrun(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.source.is_some() {
            self.gather(cx, 1)?;
        }
        if self.pending_len > 0 {
            return Err(Error::new(
                ErrorKind::BodyLength,
                "the body is longer than its Content-Length",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("open", &self.source.is_some())
            .field("pending_len", &self.pending_len)
            .finish_non_exhaustive()
    }
}
