//! A stream of packets over a byte stream: capped reads, queued writes, one flush point.
//!
//! Reads: each goes to a large buffer that the thread lends, so that what has come needs one
//! call, and a connection that waits holds no buffer. When little has come it is copied
//! to memory of its own size; when much has come the connection takes the buffer over, and
//! packets are slices of it.
//!
//! Writes: small pieces are copied behind each other, larger ones are queued as they
//! are, and everything leaves with as few vectored writes as the stream takes.

use super::scratch;
use super::segment::Segment;
use crate::wire::{
    DecodeError, Direction, Field, HEADER_LEN, OtherProtocol, PacketSize, packet_len, split_packet,
};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// With so many bytes the connection takes the lent buffer over; it copies fewer.
const TAKE_OVER_FROM: usize = 8192;
/// A piece of a packet up to this size is moved to make room for a larger read.
const MOVE_UP_TO: usize = 8192;
/// Size of a read whose bytes nobody wants, in bytes.
#[cfg(feature = "server")]
const DRAIN: usize = 4096;
/// Data of at least this many bytes is queued as its own slice instead of copied.
const GATHER_FROM: usize = 4096;
/// Most slices of one write.
const MAX_SLICES: usize = 64;

/// Why no packet could be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The stream failed.
    Io(io::Error),
    /// The peer closed inside a packet.
    Truncated,
    /// The packet header is wrong.
    Frame(DecodeError),
    /// The first bytes of the connection are those of another protocol.
    OtherProtocol(OtherProtocol),
}

pub(crate) struct Buffered<S> {
    io: S,
    reads: Direction,
    size: PacketSize,
    read: BytesMut,
    /// `read` is a buffer that was lent and taken over.
    is_large: bool,
    segments: VecDeque<Segment>,
    tail: BytesMut,
    segment_bytes: usize,
    /// The stream has taken bytes that it has not flushed yet.
    flushing: bool,
    bytes_in: u64,
    bytes_out: u64,
}

/// What a stream says while nothing is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Open, and nothing has come.
    Kept,
    /// Bytes have come.
    Broken,
    /// The peer has closed in order.
    Closed,
    /// The stream has failed, by a reset for example.
    Failed,
}

impl From<io::Result<usize>> for Silence {
    /// The result of a read that does not wait.
    fn from(read: io::Result<usize>) -> Self {
        match read {
            Ok(0) => Self::Closed,
            Ok(_) => Self::Broken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Kept,
            Err(_) => Self::Failed,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffered<S> {
    /// `reads` is the direction of the packets this side receives.
    pub(crate) fn new(io: S, reads: Direction, size: PacketSize) -> Self {
        Self {
            io,
            reads,
            size,
            read: BytesMut::new(),
            is_large: false,
            segments: VecDeque::new(),
            tail: BytesMut::new(),
            segment_bytes: 0,
            flushing: false,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    #[cfg(feature = "client")]
    pub(crate) fn stream(&self) -> &S {
        &self.io
    }

    pub(crate) fn size(&self) -> PacketSize {
        self.size
    }

    /// Bytes received and sent so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out)
    }

    /// Bytes of the packets taken so far, and bytes sent.
    #[cfg(feature = "server")]
    pub(crate) fn consumed(&self) -> (u64, u64) {
        let unread = self.read.len() as u64;
        (self.bytes_in.saturating_sub(unread), self.bytes_out)
    }

    /// The payload of the next packet; `None` when the peer closed between packets.
    ///
    /// Safe to drop at any time: partial packets stay buffered.
    pub(crate) fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        loop {
            match split_packet(&mut self.read, self.reads, self.size) {
                Ok(Some(payload)) => return Poll::Ready(Ok(Some(payload))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.frame_error(error))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) if self.read.is_empty() => return Poll::Ready(Ok(None)),
                Ok(0) => return Poll::Ready(Err(ReadError::Truncated)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(ReadError::Io(error))),
            }
        }
    }

    /// What a wrong packet header means: in the first packet of a connection it may show that
    /// the peer speaks another protocol.
    #[cold]
    fn frame_error(&self, error: DecodeError) -> ReadError {
        let is_first = self.bytes_in == self.read.len() as u64;
        match OtherProtocol::guess(&self.read) {
            Some(other) if is_first && error.field() == Field::Magic => {
                ReadError::OtherProtocol(other)
            }
            _ => ReadError::Frame(error),
        }
    }

    /// One read. `Ok(0)` is the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = match packet_len(&self.read, self.reads, self.size) {
            Ok(Some(len)) => len
                .saturating_add(HEADER_LEN)
                .saturating_sub(self.read.len()),
            _ => HEADER_LEN,
        };
        let n = if self.is_large {
            ready!(self.poll_fill_large(cx, wanted))?
        } else {
            ready!(self.poll_fill_lent(cx))?
        };
        self.bytes_in = self.bytes_in.saturating_add(n as u64);
        Poll::Ready(Ok(n))
    }

    /// A read into the buffer that was taken over.
    fn poll_fill_large(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let held = self.read.len();
        let enough = match held {
            0 => scratch::SIZE,
            1..=MOVE_UP_TO => wanted.max(MOVE_UP_TO),
            // Moving a large piece costs more than a small read.
            _ => wanted,
        };
        let room = self.read.capacity().saturating_sub(held);
        if room < enough && !self.read.try_reclaim(enough) {
            let mut fresh = scratch::take();
            fresh.extend_from_slice(&self.read);
            fresh.reserve(wanted);
            scratch::give_back(std::mem::replace(&mut self.read, fresh));
        }
        let filled = pin!(self.io.read_buf(&mut self.read)).poll(cx);
        // A peer that stops within a small packet does not keep us a large buffer.
        if filled.is_pending() && self.read.len() < TAKE_OVER_FROM {
            let rest = BytesMut::from(&self.read[..]);
            self.give_back();
            self.read = rest;
        }
        filled
    }

    /// A read into a lent buffer.
    fn poll_fill_lent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut lent = scratch::take();
        let held = self.read.len();
        lent.extend_from_slice(&self.read);
        let filled = pin!(self.io.read_buf(&mut lent)).poll(cx);
        if lent.len() >= TAKE_OVER_FROM {
            self.read = lent;
            self.is_large = true;
        } else {
            let came = lent.get(held..).unwrap_or_default();
            if held > 0 {
                self.read.extend_from_slice(came);
            } else if !came.is_empty() {
                // Of its own size; room that is left of earlier packets is theirs.
                self.read = BytesMut::from(came);
            }
            scratch::give_back(lent);
        }
        filled
    }

    fn give_back(&mut self) {
        let read = std::mem::take(&mut self.read);
        if std::mem::take(&mut self.is_large) {
            scratch::give_back(read);
        }
    }

    /// What the peer says while nothing is asked of it. Registers interest in later bytes.
    pub(crate) fn silence(&mut self, cx: &mut Context<'_>) -> Silence {
        if !self.read.is_empty() {
            return Silence::Broken;
        }
        let mut byte = [MaybeUninit::uninit(); 1];
        let mut chunk = ReadBuf::uninit(&mut byte);
        match Pin::new(&mut self.io).poll_read(cx, &mut chunk) {
            Poll::Pending => Silence::Kept,
            Poll::Ready(result) => result.map(|()| chunk.filled().len()).into(),
        }
    }

    /// Whether the peer has been silent and has not closed.
    #[cfg(feature = "server")]
    pub(crate) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.silence(cx) == Silence::Kept
    }

    /// Whether bytes were received that no packet was made of yet.
    pub(crate) fn has_unread(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether a whole packet was received that was not taken yet.
    #[cfg(feature = "client")]
    pub(crate) fn has_packet(&self) -> bool {
        let len = packet_len(&self.read, self.reads, self.size);
        matches!(len, Ok(Some(len)) if self.read.len() >= HEADER_LEN.saturating_add(len))
    }

    /// The buffer that writers append packets to.
    pub(crate) fn write_buffer(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail = scratch::take_write();
        }
        &mut self.tail
    }

    /// Queues a few bytes.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.write_buffer().extend_from_slice(bytes);
    }

    /// Queues data without copying it if it is large.
    pub(crate) fn queue_data(&mut self, data: Bytes) {
        if data.len() < GATHER_FROM {
            self.queue(&data);
            return;
        }
        let mut segment = Segment::new(data);
        if segment.lead_with(&self.tail) {
            self.tail.clear();
        } else {
            let tail = self.tail.split().freeze();
            self.push(Segment::new(tail));
        }
        self.push(segment);
    }

    fn push(&mut self, segment: Segment) {
        self.segment_bytes = self.segment_bytes.saturating_add(segment.len());
        self.segments.push_back(segment);
    }

    /// Bytes queued and not yet taken by the stream.
    pub(crate) fn queued(&self) -> usize {
        self.segment_bytes.saturating_add(self.tail.len())
    }

    /// Whether everything was taken by the stream and flushed. A stream that buffers, such
    /// as TLS, takes bytes before they leave.
    pub(crate) fn is_flushed(&self) -> bool {
        self.queued() == 0 && !self.flushing
    }

    /// Writes everything that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.queued() > 0 {
            self.flushing = true;
            let io = Pin::new(&mut self.io);
            let n = match self.segments.front() {
                None => ready!(io.poll_write(cx, &self.tail))?,
                Some(front) if !io.is_write_vectored() => ready!(io.poll_write(cx, front.next()))?,
                Some(_) => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let parts = self
                        .segments
                        .iter()
                        .flat_map(|segment| [segment.lead(), &segment.data])
                        .chain([self.tail.as_ref()])
                        .filter(|part| !part.is_empty());
                    let mut count = 0usize;
                    for (slot, part) in slices.iter_mut().zip(parts) {
                        *slot = IoSlice::new(part);
                        count = count.saturating_add(1);
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
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut n: usize) {
        self.bytes_out = self.bytes_out.saturating_add(n as u64);
        while let Some(front) = self.segments.front_mut() {
            let part = n.min(front.len());
            self.segment_bytes = self.segment_bytes.saturating_sub(part);
            n = n.saturating_sub(part);
            front.advance(part);
            if front.len() > 0 {
                return;
            }
            self.segments.pop_front();
        }
        self.tail.advance(n.min(self.tail.len()));
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn release_buffers(&mut self) {
        if self.read.is_empty() {
            self.give_back();
        }
        self.segments.shrink_to(4);
        if self.tail.is_empty() {
            scratch::give_back_write(std::mem::take(&mut self.tail));
        }
    }

    /// Ends the write side.
    #[cfg(feature = "server")]
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads and drops bytes until the peer closes or `limit` bytes came.
    #[cfg(feature = "server")]
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        limit: &mut usize,
    ) -> Poll<io::Result<()>> {
        self.read.clear();
        self.give_back();
        let mut stack = [MaybeUninit::uninit(); DRAIN];
        while *limit > 0 {
            let mut chunk = ReadBuf::uninit(&mut stack);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))?;
            let n = chunk.filled().len();
            if n == 0 {
                break;
            }
            *limit = limit.saturating_sub(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> fmt::Debug for Buffered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes themselves may be anything, secrets too.
        f.debug_struct("Buffered")
            .field("reads", &self.reads)
            .field("unread", &self.read.len())
            .field(
                "queued",
                &self.segment_bytes.saturating_add(self.tail.len()),
            )
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;

    fn pair(capacity: usize) -> (Buffered<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        (
            Buffered::new(ours, Direction::ToWebServer, PacketSize::DEFAULT),
            theirs,
        )
    }

    #[tokio::test]
    async fn packets_arrive_whole_whatever_the_split() {
        let (mut ours, mut theirs) = pair(3);
        let mut big = vec![0x41, 0x42, 0x1f, 0xfc];
        big.extend(vec![7u8; 8188]);
        let sent = [&[0x41, 0x42, 0, 1, 9][..], &big, &[0x41, 0x42, 0, 2, 5, 1]].concat();
        let writer = tokio::spawn(async move { theirs.write_all(&sent).await.unwrap() });
        for expected in [1, 8188, 2] {
            let payload = poll_fn(|cx| ours.poll_payload(cx)).await.unwrap().unwrap();
            assert_eq!(payload.len(), expected);
        }
        writer.await.unwrap();
        assert!(
            poll_fn(|cx| ours.poll_payload(cx)).await.unwrap().is_none(),
            "closed between packets"
        );
        assert_eq!(ours.traffic().0, 5 + 8192 + 6);
    }

    #[tokio::test]
    async fn a_close_inside_a_packet_is_truncation() {
        let (mut ours, mut theirs) = pair(64);
        theirs.write_all(&[0x41, 0x42, 0, 2, 5]).await.unwrap();
        drop(theirs);
        let error = poll_fn(|cx| ours.poll_payload(cx)).await.unwrap_err();
        assert!(matches!(error, ReadError::Truncated));
    }

    /// Takes everything, and notes where the slices of each write lay.
    #[derive(Default)]
    struct Slices(Vec<Vec<(*const u8, usize)>>);

    impl AsyncRead for Slices {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Slices {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let places = slices.iter().map(|slice| (slice.as_ptr(), slice.len()));
            self.0.push(places.collect());
            Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn large_data_is_written_from_where_the_caller_has_it() {
        let mut ours = Buffered::new(
            Slices::default(),
            Direction::ToWebServer,
            PacketSize::DEFAULT,
        );
        let small = Bytes::from(vec![b's'; GATHER_FROM - 1]);
        let large = Bytes::from(vec![b'l'; GATHER_FROM]);
        ours.queue(b"a header");
        ours.queue_data(small.clone());
        ours.queue_data(large.clone());
        ours.queue(b"\0");
        ours.queue_data(large.clone());
        poll_fn(|cx| ours.poll_flush(cx)).await.unwrap();

        let [slices] = &ours.io.0[..] else {
            panic!("one write: {:?}", ours.io.0)
        };
        let lens: Vec<_> = slices.iter().map(|&(_, len)| len).collect();
        assert_eq!(lens, [8 + small.len(), large.len(), 1, large.len()]);
        for (place, &(at, _)) in slices.iter().enumerate() {
            assert_eq!(at == large.as_ptr(), place % 2 == 1, "slice {place}");
        }
    }

    #[tokio::test]
    async fn queued_pieces_leave_in_order_through_a_narrow_pipe() {
        let (mut ours, mut theirs) = pair(10);
        let large = Bytes::from(vec![b'x'; 10_000]);
        ours.queue(b"head");
        ours.queue_data(large.clone());
        ours.queue_data(Bytes::from_static(b"small"));
        ours.queue_data(large.clone());
        ours.queue(b"end");
        assert_eq!(ours.queued(), 4 + 10_000 + 5 + 10_000 + 3);
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            got
        });
        poll_fn(|cx| ours.poll_flush(cx)).await.unwrap();
        assert_eq!(ours.queued(), 0);
        drop(ours);
        let expected = [b"head", large.as_ref(), b"small", large.as_ref(), b"end"].concat();
        assert_eq!(reader.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn silence_is_told_from_bytes_and_from_a_close() {
        let (mut ours, mut theirs) = pair(64);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(ours.silence(&mut cx), Silence::Kept);
        theirs.write_all(&[0x41]).await.unwrap();
        assert_eq!(ours.silence(&mut cx), Silence::Broken);
        let (mut ours, theirs) = pair(64);
        drop(theirs);
        assert_eq!(ours.silence(&mut cx), Silence::Closed);
    }
}
