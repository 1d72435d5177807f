//! Answers are taken from the container as fast as it gives them, up to a limit, and from here
//! as fast as the client takes them: a container's thread is free as soon as it has written.
//!
//! With HTTP/1.1 one task does both: it reads ahead when the client takes no more
//! ([`ReadAhead`], which the stream asks then). Streams of HTTP/2 share their connection, so each
//! answer has a task that reads.
//!
//! What a client of HTTP/2 has no window for waits in the connection, 64 KiB for each of many
//! streams. So a piece counts in the budget until it has left, not only until it is taken from
//! here; without a budget one piece of each answer is on its way at a time.

use super::connection::State;
use super::limits::{Budget, Reserved};
use ajp::balancer::BalancedBody;
use ajp::client::ClientError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// Smaller pieces are copied, so that they do not keep the whole packet that they came in.
const SMALL: usize = 2048;
/// What the packets of a container hold at least, beside the last one of an answer.
const PACKET: usize = 8 * 1024;

/// So many bytes of an answer leave in one write, and are taken from the container before it.
pub(crate) const WRITE: usize = 128 * 1024;

/// So much memory the library takes for what it reads at a time. It stays as long as any part of it.
const READ_BUFFER: usize = 68 * 1024;
/// Smaller pieces are copied by the connection when it is given them.
const KEPT_BY_HTTP2: usize = 256;

/// A piece of an answer, and what it counts as.
type Piece = (Bytes, Option<Counted>);

/// What a piece of an answer counts as.
#[derive(Debug)]
enum Counted {
    /// A part of the budget.
    InBudget {
        _part: Reserved,
        /// What it keeps beside itself, with other pieces of its answer.
        _read_buffer: Option<Arc<Reserved>>,
    },
    /// There was none left for it: the only such piece of its answer.
    Alone { _permit: OwnedSemaphorePermit },
}

/// Counts the pieces of an answer over HTTP/2.
#[derive(Debug)]
struct Counting {
    budget: Arc<Budget>,
    /// Counts for all pieces that are parts of what was read from the container at a time.
    /// It is free again with the last of them.
    read_buffer: Weak<Reserved>,
    /// Who may be without a part of the budget.
    alone: Option<Arc<Semaphore>>,
}

impl Counting {
    fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            read_buffer: Weak::new(),
            alone: None,
        }
    }

    /// A part of the budget for these bytes, if it is left.
    fn in_budget(&mut self, data: &Bytes) -> Option<Counted> {
        let read_buffer = if data.len() < SMALL {
            // It is copied.
            None
        } else if let Some(known) = self.read_buffer.upgrade() {
            Some(known)
        } else {
            Some(Arc::new(self.budget.reserve(READ_BUFFER)?))
        };
        let part = self.budget.reserve(data.len())?;
        if let Some(reserved) = &read_buffer {
            self.read_buffer = Arc::downgrade(reserved);
        }
        Some(Counted::InBudget {
            _part: part,
            _read_buffer: read_buffer,
        })
    }

    fn alone(&mut self) -> Arc<Semaphore> {
        let alone = self
            .alone
            .get_or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(alone)
    }

    /// These bytes as a piece; whether it is one without a part of the budget.
    fn first(&mut self, data: Bytes) -> (Piece, bool) {
        if let Some(counted) = self.in_budget(&data) {
            return ((own(data), Some(counted)), false);
        }
        let permit = self.alone().try_acquire_owned().ok();
        let counted = permit.map(|permit| Counted::Alone { _permit: permit });
        ((Bytes::copy_from_slice(&data), counted), true)
    }

    /// As [`first`](Self::first), as soon as it may be on its way. `None`: never.
    async fn next(&mut self, data: Bytes) -> Option<Piece> {
        if let Some(counted) = self.in_budget(&data) {
            return Some((own(data), Some(counted)));
        }
        let permit = self.alone().acquire_owned().await.ok()?;
        Some((
            Bytes::copy_from_slice(&data),
            Some(Counted::Alone { _permit: permit }),
        ))
    }
}

/// Bytes that count until they are dropped.
struct CountedBytes {
    data: Bytes,
    _counted: Counted,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// The bytes of a piece on their way to a client of HTTP/2: they count until they have left.
fn until_sent((data, counted): Piece) -> Bytes {
    match counted {
        Some(counted) if data.len() >= KEPT_BY_HTTP2 => Bytes::from_owner(CountedBytes {
            data,
            _counted: counted,
        }),
        _ => data,
    }
}

/// A piece of an answer over HTTP/1, which counts until it is taken from here.
fn until_taken(data: Bytes, budget: &Arc<Budget>) -> Piece {
    let counted = budget.reserve(data.len()).map(|part| Counted::InBudget {
        _part: part,
        _read_buffer: None,
    });
    (own(data), counted)
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Buffered {
    /// What was at hand at once. A small answer is this one piece.
    first: Option<Piece>,
    /// What comes behind it. On the heap: answers are moved a lot on their way, and most have no
    /// more than one piece.
    more: Option<Box<More>>,
    /// Whether pieces are kept by the connection until its client has a window for them.
    is_http2: bool,
}

/// All of an answer but its first piece.
#[derive(Debug)]
struct More {
    pieces: VecDeque<Piece>,
    rest: Rest,
    /// Of all that was not given yet, the first piece included.
    length: SizeHint,
}

impl More {
    /// So many bytes were given.
    fn given(&mut self, bytes: usize) {
        if let Some(length) = self.length.exact() {
            self.length = SizeHint::with_exact(length.saturating_sub(bytes as u64));
        }
    }

    fn is_over(&self) -> bool {
        let rest_is_over = match &self.rest {
            Rest::Nothing => true,
            Rest::Ahead(ahead) => ahead.lock().is_over(),
            Rest::Direct(_) | Rest::Running { .. } => false,
        };
        self.pieces.is_empty() && rest_is_over
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Direct(body) => body.size_hint(),
            Rest::Nothing | Rest::Ahead(_) | Rest::Running { .. } => {
                let mut rest = SizeHint::new();
                rest.set_lower(self.length.lower());
                if let Some(upper) = self.length.upper() {
                    rest.set_upper(upper);
                }
                rest
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        let uncounted = |data| (data, None);
        Poll::Ready(match &mut self.rest {
            Rest::Nothing => None,
            Rest::Direct(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                // AJP has no trailers.
                let data =
                    frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()));
                data.map(|data| data.map(uncounted).map_err(BodyError::Container))
            }
            Rest::Ahead(ahead) => {
                let data = ready!(ahead.lock().poll_frame(cx));
                data.map(|data| data.map(uncounted).map_err(BodyError::Container))
            }
            Rest::Running { pieces, .. } => match ready!(pieces.poll_recv(cx)) {
                Some(Message::Piece(piece)) => Some(Ok(piece)),
                Some(Message::Failed(error)) => Some(Err(BodyError::Container(error))),
                Some(Message::End) => {
                    self.rest = Rest::Nothing;
                    self.length = SizeHint::with_exact(0);
                    None
                }
                None => Some(Err(BodyError::Stopped)),
            },
        })
    }
}

/// What has not come yet.
#[derive(Debug)]
enum Rest {
    /// The answer was at hand as a whole.
    Nothing,
    /// The answer is not buffered.
    Direct(BalancedBody),
    /// It is read while the client does not take what there is.
    Ahead(Arc<ReadAhead>),
    /// A task reads it.
    Running {
        pieces: mpsc::Receiver<Message>,
        _task: Running,
    },
}

/// The task that reads an answer; it ends with it.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
enum Message {
    Piece(Piece),
    End,
    Failed(ClientError),
}

/// Why an answer breaks off.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The container, or the way to it, failed.
    Container(ClientError),
    /// The gateway stopped reading it.
    Stopped,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(_) => f.write_str("the container broke the answer off"),
            Self::Stopped => f.write_str("the gateway stopped in the middle of the answer"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Container(error) => Some(error),
            Self::Stopped => None,
        }
    }
}

impl Buffered {
    /// Takes what is at hand, up to `room` bytes, and has the rest read ahead: while the client of
    /// this connection takes nothing, or by a task if there is none. Without room nothing is taken
    /// ahead of the client.
    ///
    /// # Errors
    /// The answer breaks off in what is at hand: the client can still be told so.
    pub(crate) async fn new(
        mut body: BalancedBody,
        room: usize,
        budget: &Arc<Budget>,
        connection: Option<&State>,
    ) -> Result<Self, ClientError> {
        let length = body.size_hint();
        let (mut first, mut pieces) = (None, VecDeque::new());
        let is_http2 = connection.is_none();
        let mut counting = is_http2.then(|| Counting::new(budget));
        if room == 0 {
            let rest = Rest::Direct(body);
            return Ok(Self::with_more(first, pieces, rest, length, is_http2));
        }
        // What leaves in one write: more would wait for it.
        let mut left = match connection {
            Some(_) => room.min(WRITE),
            None => room,
        };
        let ended = poll_fn(|cx| {
            while left > 0 && !body.is_end_stream() {
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Pending => return Poll::Ready(Ok(false)),
                    Poll::Ready(None) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Some(Ok(frame))) => {
                        let Ok(data) = frame.into_data() else {
                            continue;
                        };
                        left = left.saturating_sub(data.len());
                        let (piece, is_last) = if let Some(counting) = &mut counting {
                            counting.first(data)
                        } else {
                            let piece = until_taken(data, budget);
                            let is_last = piece.1.is_none();
                            (piece, is_last)
                        };
                        if first.is_none() {
                            first = Some(piece);
                        } else {
                            pieces.push_back(piece);
                        }
                        if is_last {
                            break;
                        }
                    }
                }
            }
            Poll::Ready(Ok(body.is_end_stream()))
        })
        .await?;
        if ended && pieces.is_empty() {
            return Ok(Self {
                first,
                more: None,
                is_http2,
            });
        }
        if ended {
            let all = first.iter().chain(&pieces);
            let length = SizeHint::with_exact(all.map(|(data, _)| data.len() as u64).sum());
            let rest = Rest::Nothing;
            return Ok(Self::with_more(first, pieces, rest, length, is_http2));
        }
        let rest = if let Some(connection) = connection {
            let pieces = first.take().into_iter().chain(pieces.drain(..)).collect();
            let ahead = ReadAhead::new(body, pieces, room, budget);
            connection.reads_ahead(&ahead);
            Rest::Ahead(ahead)
        } else {
            let packets = left.checked_div(PACKET).unwrap_or(0).max(1);
            let (sender, receiver) = mpsc::channel(packets);
            let counting = counting.unwrap_or_else(|| Counting::new(budget));
            let task = tokio::spawn(read(body, sender, counting));
            Rest::Running {
                pieces: receiver,
                _task: Running(task),
            }
        };
        Ok(Self::with_more(first, pieces, rest, length, is_http2))
    }

    fn with_more(
        first: Option<Piece>,
        pieces: VecDeque<Piece>,
        rest: Rest,
        length: SizeHint,
        is_http2: bool,
    ) -> Self {
        let more = More {
            pieces,
            rest,
            length,
        };
        Self {
            first,
            more: Some(Box::new(more)),
            is_http2,
        }
    }
}

/// An answer that is taken from the container by whoever sends it to the client: as it is sent,
/// and up to a limit while the client takes nothing.
#[derive(Debug)]
pub(crate) struct ReadAhead(Mutex<Ahead>);

#[derive(Debug)]
struct Ahead {
    /// What the client has not been given yet.
    pieces: VecDeque<Piece>,
    /// Bytes in the pieces.
    held: usize,
    /// How many of them there may be, beside those of the last one.
    room: usize,
    /// What has not come yet.
    body: Option<BalancedBody>,
    /// What broke it off, behind the pieces.
    error: Option<ClientError>,
    /// The head, or a piece, was given since it was last waited for more. hyper writes what it was
    /// given when it has to wait, and drops it when it is told of an error instead: the client
    /// would take a connection without one byte of an answer for a stale one, and send again.
    has_given: bool,
    budget: Arc<Budget>,
}

impl ReadAhead {
    fn new(
        body: BalancedBody,
        pieces: VecDeque<Piece>,
        room: usize,
        budget: &Arc<Budget>,
    ) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Ahead {
            held: pieces.iter().map(|(data, _)| data.len()).sum(),
            pieces,
            room,
            body: Some(body),
            error: None,
            has_given: true,
            budget: Arc::clone(budget),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Ahead> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client takes nothing: takes what the container gives, and has the task woken for more.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) {
        let mut ahead = self.lock();
        let room = ahead.room;
        ahead.take(cx, room);
    }
}

impl Ahead {
    /// Takes what is at hand until there are so many bytes.
    fn take(&mut self, cx: &mut Context<'_>, enough: usize) {
        while self.held < enough && self.is_in_budget() {
            let Some(body) = &mut self.body else {
                return;
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return,
                // The container is free, whenever the client takes the rest.
                Poll::Ready(None) => self.body = None,
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    self.error = Some(error);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.held = self.held.saturating_add(data.len());
                        self.pieces.push_back(until_taken(data, &self.budget));
                    }
                }
            }
        }
    }

    /// Without a part of the budget one piece at a time is on its way.
    fn is_in_budget(&self) -> bool {
        let last = self.pieces.back();
        last.is_none_or(|(_, counted)| counted.is_some())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        if self.pieces.is_empty() {
            self.take(cx, WRITE.min(self.room));
        }
        if let Some((data, _)) = self.pieces.pop_front() {
            self.held = self.held.saturating_sub(data.len());
            self.has_given = true;
            return Poll::Ready(Some(Ok(data)));
        }
        let has_given = std::mem::take(&mut self.has_given);
        if self.error.is_some() && has_given {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.error.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None if self.body.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_over(&self) -> bool {
        let ended = self.body.as_ref().is_none_or(Body::is_end_stream);
        self.pieces.is_empty() && self.error.is_none() && ended
    }
}

/// In memory of its own if it is small.
fn own(data: Bytes) -> Bytes {
    if data.len() < SMALL {
        Bytes::copy_from_slice(&data)
    } else {
        data
    }
}

/// Reads an answer to its end, as far ahead of the client as the channel and the budget allow.
async fn read(mut body: BalancedBody, sender: mpsc::Sender<Message>, mut counting: Counting) {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let message = match frame {
            None => Message::End,
            Some(Err(error)) => Message::Failed(error),
            Some(Ok(frame)) => match frame.into_data() {
                Err(_) => continue,
                Ok(data) => {
                    let Some(piece) = counting.next(data).await else {
                        return;
                    };
                    Message::Piece(piece)
                }
            },
        };
        let is_last = !matches!(message, Message::Piece(_));
        if is_last {
            // The container is free, whenever the client takes the rest.
            drop(body);
            let _ = sender.send(message).await;
            return;
        }
        // The client has gone.
        if sender.send(message).await.is_err() {
            return;
        }
    }
}

impl Body for Buffered {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let piece = match (this.first.take(), &mut this.more) {
            (Some(piece), _) => piece,
            (None, None) => return Poll::Ready(None),
            (None, Some(more)) => match ready!(more.poll(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            },
        };
        if let Some(more) = &mut this.more {
            more.given(piece.0.len());
        }
        let data = if this.is_http2 {
            until_sent(piece)
        } else {
            piece.0
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.is_over())
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |(data, _)| data.len());
        let whole = || SizeHint::with_exact(first as u64);
        self.more
            .as_ref()
            .map_or_else(whole, |more| more.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_counts_until_it_has_left_and_so_does_what_it_keeps() {
        let budget = Budget::new(200_000);
        let mut counting = Counting::new(&budget);
        let piece = || Bytes::from(vec![b'x'; 8000]);
        let (one, is_alone) = counting.first(piece());
        let (two, _) = counting.first(piece());
        assert!(!is_alone);
        assert!(budget.used() >= READ_BUFFER + 16_000);
        let (one, two) = (until_sent(one), until_sent(two));
        drop(one);
        assert!(budget.used() >= READ_BUFFER + 8000);
        // The answer may go on for hours.
        drop(two);
        let taken_ahead = budget.used();
        let rest = budget.reserve(200_000);
        assert!(rest.is_some(), "{taken_ahead}");
        // Nothing is left: one is on its way, and nothing else is held for it.
        let (alone, is_alone) = counting.first(piece());
        assert!(is_alone && alone.1.is_some());
        let (none, _) = counting.first(piece());
        assert!(none.1.is_none());
        drop(until_sent(alone));
        assert!(counting.first(piece()).0.1.is_some());
        drop(rest);
        assert!(budget.reserve(200_000).is_some());
    }
}
