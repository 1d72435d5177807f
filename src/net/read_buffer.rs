//! What has come of a stream and was not taken yet, and the reads that fill it.
//!
//! Each read goes to a large buffer that the thread lends, so that what has come needs one call,
//! and a connection that waits holds no buffer. When little has come it is copied to memory of
//! its own size; when much has come the connection takes the buffer over.

use super::scratch;
use bytes::BytesMut;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt};

/// With so many bytes the connection takes the lent buffer over; it copies fewer.
const TAKE_OVER_FROM: usize = 8192;
/// A piece of a packet up to this size is moved to make room for a larger read.
const MOVE_UP_TO: usize = 8192;

#[derive(Default)]
pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    /// `bytes` is a buffer that was lent and taken over.
    is_large: bool,
}

impl ReadBuffer {
    /// One read, of `wanted` bytes if there is a choice. `Ok(0)` is the end of the stream.
    pub(super) fn poll_fill<S>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        if self.is_large {
            self.poll_fill_large(io, cx, wanted)
        } else {
            self.poll_fill_lent(io, cx)
        }
    }

    /// A read into the buffer that was taken over.
    fn poll_fill_large<S>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let held = self.bytes.len();
        let enough = match held {
            0 => scratch::SIZE,
            1..=MOVE_UP_TO => wanted.max(MOVE_UP_TO),
            // Moving a large piece costs more than a small read.
            _ => wanted,
        };
        let room = self.bytes.capacity().saturating_sub(held);
        if room < enough && !self.bytes.try_reclaim(enough) {
            let mut fresh = scratch::take();
            fresh.extend_from_slice(&self.bytes);
            fresh.reserve(wanted);
            scratch::give_back(std::mem::replace(&mut self.bytes, fresh));
        }
        let filled = pin!(io.read_buf(&mut self.bytes)).poll(cx);
        // A peer that stops within a small packet does not keep us a large buffer.
        if filled.is_pending() && self.bytes.len() < TAKE_OVER_FROM {
            let rest = BytesMut::from(&self.bytes[..]);
            self.give_back();
            self.bytes = rest;
        }
        filled
    }

    /// A read into a lent buffer.
    fn poll_fill_lent<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let mut lent = scratch::take();
        let held = self.bytes.len();
        lent.extend_from_slice(&self.bytes);
        let filled = pin!(io.read_buf(&mut lent)).poll(cx);
        if lent.len() >= TAKE_OVER_FROM {
            self.bytes = lent;
            self.is_large = true;
        } else {
            let came = lent.get(held..).unwrap_or_default();
            if held > 0 {
                self.bytes.extend_from_slice(came);
            } else if !came.is_empty() {
                // Of its own size; room that is left of earlier packets is theirs.
                self.bytes = BytesMut::from(came);
            }
            scratch::give_back(lent);
        }
        filled
    }

    /// Gives a buffer that was taken over back.
    pub(super) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if std::mem::take(&mut self.is_large) {
            scratch::give_back(bytes);
        }
    }
}
