//! What waits to be written to a stream: small pieces are copied behind each other, larger ones
//! are queued as they are.

use super::scratch;
use super::segment::Segment;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Data of at least this many bytes is queued as its own slice instead of copied.
pub(super) const GATHER_FROM: usize = 4096;
/// Most slices of one write.
const MAX_SLICES: usize = 64;

#[derive(Default)]
pub(super) struct WriteQueue {
    segments: VecDeque<Segment>,
    /// What comes behind the segments.
    tail: BytesMut,
    /// Bytes in the segments.
    segment_bytes: usize,
    /// The stream has taken bytes that it has not flushed yet.
    flushing: bool,
    bytes_written: u64,
}

impl WriteQueue {
    /// Bytes that the stream has taken so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// The buffer that writers append packets to.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail = scratch::take_write();
        }
        &mut self.tail
    }

    /// Queues a few bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }

    /// Queues data without copying it if it is large.
    pub(super) fn push_data(&mut self, data: Bytes) {
        if data.len() < GATHER_FROM {
            self.push(&data);
            return;
        }
        let mut segment = Segment::new(data);
        if segment.set_prefix(&self.tail) {
            self.tail.clear();
        } else {
            let tail = self.tail.split().freeze();
            self.push_segment(Segment::new(tail));
        }
        self.push_segment(segment);
    }

    fn push_segment(&mut self, segment: Segment) {
        self.segment_bytes += segment.len();
        self.segments.push_back(segment);
    }

    /// Bytes queued and not yet taken by the stream.
    pub(super) fn len(&self) -> usize {
        self.segment_bytes + self.tail.len()
    }

    /// Whether everything was taken by the stream and flushed. A stream that buffers, such
    /// as TLS, takes bytes before they leave.
    pub(super) fn is_flushed(&self) -> bool {
        self.len() == 0 && !self.flushing
    }

    /// Writes everything that is queued, with as few vectored writes as the stream takes.
    pub(super) fn poll_flush<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while self.len() > 0 {
            self.flushing = true;
            let io = Pin::new(&mut *io);
            let n = match self.segments.front() {
                None => ready!(io.poll_write(cx, &self.tail))?,
                Some(front) if !io.is_write_vectored() => ready!(io.poll_write(cx, front.next()))?,
                Some(_) => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let parts = self
                        .segments
                        .iter()
                        .flat_map(|segment| [segment.prefix(), &segment.data])
                        .chain([self.tail.as_ref()])
                        .filter(|part| !part.is_empty());
                    let mut count = 0usize;
                    for (slot, part) in slices.iter_mut().zip(parts) {
                        *slot = IoSlice::new(part);
                        count += 1;
                    }
                    ready!(io.poll_write_vectored(cx, slices.get(..count).unwrap_or_default()))?
                }
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written(n);
        }
        self.tail.clear();
        ready!(Pin::new(io).poll_flush(cx))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut n: usize) {
        self.bytes_written += n as u64;
        while let Some(front) = self.segments.front_mut() {
            let part = n.min(front.len());
            self.segment_bytes -= part;
            n -= part;
            front.advance(part);
            if front.len() > 0 {
                return;
            }
            self.segments.pop_front();
        }
        self.tail.advance(n.min(self.tail.len()));
    }

    /// Gives back what an idle connection does not need.
    pub(super) fn release_buffers(&mut self) {
        self.segments.shrink_to(4);
        if self.tail.is_empty() {
            scratch::give_back_write(std::mem::take(&mut self.tail));
        }
    }
}
