//! A stream of packets over a byte stream: capped reads, queued writes, one flush point.

use super::read_buffer::ReadBuffer;
use super::write_queue::WriteQueue;
use crate::wire::{
    DecodeError, Direction, Field, HEADER_LEN, OtherProtocol, PacketSize, packet_len, split_packet,
};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of a read whose bytes nobody wants, in bytes.
const DRAIN: usize = 4096;
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
    read: ReadBuffer,
    writes: WriteQueue,
    bytes_in: u64,
}

/// What a stream says while nothing is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerState {
    /// Open, and nothing has come.
    Quiet,
    /// Bytes have come.
    SentData,
    /// The peer has closed in order.
    Closed,
    /// The stream has failed, by a reset for example.
    Failed,
}

impl From<io::Result<usize>> for PeerState {
    /// The result of a read that does not wait.
    fn from(read: io::Result<usize>) -> Self {
        match read {
            Ok(0) => Self::Closed,
            Ok(_) => Self::SentData,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Quiet,
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
            read: ReadBuffer::default(),
            writes: WriteQueue::default(),
            bytes_in: 0,
        }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.io
    }

    pub(crate) fn size(&self) -> PacketSize {
        self.size
    }

    /// Bytes received and sent so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_in, self.writes.bytes_written())
    }

    /// Bytes of the packets taken so far, and bytes sent.
    pub(crate) fn consumed(&self) -> (u64, u64) {
        let unread = self.read.bytes.len() as u64;
        (self.bytes_in - unread, self.writes.bytes_written())
    }

    /// The payload of the next packet; `None` when the peer closed between packets.
    ///
    /// Safe to drop at any time: partial packets stay buffered.
    pub(crate) fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        loop {
            match split_packet(&mut self.read.bytes, self.reads, self.size) {
                Ok(Some(payload)) => return Poll::Ready(Ok(Some(payload))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.frame_error(error))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) if self.read.bytes.is_empty() => return Poll::Ready(Ok(None)),
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
        let is_first = self.bytes_in == self.read.bytes.len() as u64;
        match OtherProtocol::guess(&self.read.bytes) {
            Some(other) if is_first && error.field() == Field::Magic => {
                ReadError::OtherProtocol(other)
            }
            _ => ReadError::Frame(error),
        }
    }

    /// One read. `Ok(0)` is the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = match packet_len(&self.read.bytes, self.reads, self.size) {
            Ok(Some(len)) => (len + HEADER_LEN).saturating_sub(self.read.bytes.len()),
            _ => HEADER_LEN,
        };
        let n = ready!(self.read.poll_fill(&mut self.io, cx, wanted))?;
        self.bytes_in += n as u64;
        Poll::Ready(Ok(n))
    }

    /// What the peer says while nothing is asked of it. Registers interest in later bytes.
    pub(crate) fn peer_state(&mut self, cx: &mut Context<'_>) -> PeerState {
        if !self.read.bytes.is_empty() {
            return PeerState::SentData;
        }
        let mut byte = [MaybeUninit::uninit(); 1];
        let mut chunk = ReadBuf::uninit(&mut byte);
        match Pin::new(&mut self.io).poll_read(cx, &mut chunk) {
            Poll::Pending => PeerState::Quiet,
            Poll::Ready(result) => result.map(|()| chunk.filled().len()).into(),
        }
    }

    /// Whether the peer has been silent and has not closed.
    pub(crate) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.peer_state(cx) == PeerState::Quiet
    }

    /// Whether bytes were received that no packet was made of yet.
    pub(crate) fn has_unread(&self) -> bool {
        !self.read.bytes.is_empty()
    }

    /// Whether a whole packet was received that was not taken yet.
    pub(crate) fn has_packet(&self) -> bool {
        let len = packet_len(&self.read.bytes, self.reads, self.size);
        matches!(len, Ok(Some(len)) if self.read.bytes.len() >= HEADER_LEN + len)
    }

    /// The buffer that writers append packets to.
    pub(crate) fn write_buffer(&mut self) -> &mut BytesMut {
        self.writes.buffer()
    }

    /// Queues a few bytes.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.writes.push(bytes);
    }

    /// Queues data without copying it if it is large.
    pub(crate) fn queue_data(&mut self, data: Bytes) {
        self.writes.push_data(data);
    }

    /// Bytes queued and not yet taken by the stream.
    pub(crate) fn queued(&self) -> usize {
        self.writes.len()
    }

    /// Whether everything was taken by the stream and flushed. A stream that buffers, such
    /// as TLS, takes bytes before they leave.
    pub(crate) fn is_flushed(&self) -> bool {
        self.writes.is_flushed()
    }

    /// Writes everything that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.poll_flush(&mut self.io, cx)
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn release_buffers(&mut self) {
        if self.read.bytes.is_empty() {
            self.read.give_back();
        }
        self.writes.release_buffers();
    }

    /// Ends the write side.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads and drops bytes until the peer closes or `limit` bytes came.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        limit: &mut usize,
    ) -> Poll<io::Result<()>> {
        self.read.bytes.clear();
        self.read.give_back();
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
            .field("unread", &self.read.bytes.len())
            .field("queued", &self.writes.len())
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.writes.bytes_written())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::write_queue::GATHER_FROM;
    use super::*;
    use std::future::poll_fn;
    use std::io::IoSlice;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        assert_eq!(ours.peer_state(&mut cx), PeerState::Quiet);
        theirs.write_all(&[0x41]).await.unwrap();
        assert_eq!(ours.peer_state(&mut cx), PeerState::SentData);
        let (mut ours, theirs) = pair(64);
        drop(theirs);
        assert_eq!(ours.peer_state(&mut cx), PeerState::Closed);
    }
}
