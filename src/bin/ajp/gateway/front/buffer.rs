//! Answers are taken from the container as fast as it gives them, up to a limit, and from here
//! as fast as the client takes them: a container's thread is free as soon as it has written.

use super::limits::{Budget, Reserved};
use ajp::balancer::BalancedBody;
use ajp::client::ClientError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Smaller pieces are copied, so that they do not keep the whole packet that they came in.
const SMALL: usize = 2048;
/// What the packets of a container hold at least, beside the last one of an answer.
const PACKET: usize = 8 * 1024;

/// A piece of an answer, and its part of the budget.
type Piece = (Bytes, Option<Reserved>);

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Buffered {
    /// What was at hand at once.
    first: VecDeque<Piece>,
    rest: Rest,
    length: SizeHint,
}

/// What has not come yet.
#[derive(Debug)]
enum Rest {
    /// The answer was at hand as a whole.
    Nothing,
    /// The answer is not buffered.
    Direct(BalancedBody),
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
    /// Takes what is at hand, up to `room` bytes, and lets a task take the rest. Without room
    /// nothing is taken ahead of the client.
    ///
    /// # Errors
    /// The answer breaks off in what is at hand: the client can still be told so.
    pub(crate) async fn new(
        mut body: BalancedBody,
        mut room: usize,
        budget: &Arc<Budget>,
    ) -> Result<Self, ClientError> {
        let length = body.size_hint();
        let mut first = VecDeque::new();
        if room == 0 {
            let rest = Rest::Direct(body);
            return Ok(Self {
                first,
                rest,
                length,
            });
        }
        let ended = poll_fn(|cx| {
            while room > 0 && !body.is_end_stream() {
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Pending => return Poll::Ready(Ok(false)),
                    Poll::Ready(None) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Some(Ok(frame))) => {
                        let Ok(data) = frame.into_data() else {
                            continue;
                        };
                        let reserved = budget.reserve(data.len());
                        let is_last = reserved.is_none();
                        room = room.saturating_sub(data.len());
                        first.push_back((own(data), reserved));
                        if is_last {
                            break;
                        }
                    }
                }
            }
            Poll::Ready(Ok(body.is_end_stream()))
        })
        .await?;
        let rest = if ended {
            Rest::Nothing
        } else {
            let packets = room.checked_div(PACKET).unwrap_or(0).max(1);
            let (sender, receiver) = mpsc::channel(packets);
            let task = tokio::spawn(read(body, sender, Arc::clone(budget)));
            Rest::Running {
                pieces: receiver,
                _task: Running(task),
            }
        };
        Ok(Self {
            first,
            rest,
            length,
        })
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
async fn read(mut body: BalancedBody, sender: mpsc::Sender<Message>, budget: Arc<Budget>) {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let message = match frame {
            None => Message::End,
            Some(Err(error)) => Message::Failed(error),
            Some(Ok(frame)) => match frame.into_data() {
                Err(_) => continue,
                Ok(data) => {
                    let reserved = budget.reserve(data.len());
                    if reserved.is_none() {
                        // Without a part of the budget one piece at a time is on its way.
                        let most = sender.max_capacity();
                        if sender.reserve_many(most).await.is_err() {
                            return;
                        }
                    }
                    Message::Piece((own(data), reserved))
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
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match (this.first.pop_front(), &mut this.rest) {
            (Some((data, _)), _) => Some(Ok(Frame::data(data))),
            (None, Rest::Nothing) => None,
            (None, Rest::Direct(body)) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                frame.map(|frame| frame.map_err(BodyError::Container))
            }
            (None, Rest::Running { pieces, .. }) => match ready!(pieces.poll_recv(cx)) {
                Some(Message::Piece((data, _))) => Some(Ok(Frame::data(data))),
                Some(Message::Failed(error)) => Some(Err(BodyError::Container(error))),
                Some(Message::End) => {
                    this.rest = Rest::Nothing;
                    None
                }
                None => Some(Err(BodyError::Stopped)),
            },
        };
        if let Some(Ok(frame)) = &frame {
            let count = frame.data_ref().map_or(0, Bytes::len) as u64;
            if let Some(length) = this.length.exact() {
                this.length = SizeHint::with_exact(length.saturating_sub(count));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && matches!(self.rest, Rest::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Direct(body) => body.size_hint(),
            Rest::Nothing => {
                let bytes = self.first.iter().map(|(data, _)| data.len() as u64).sum();
                SizeHint::with_exact(bytes)
            }
            Rest::Running { .. } => {
                let mut rest = SizeHint::new();
                rest.set_lower(self.length.lower());
                if let Some(upper) = self.length.upper() {
                    rest.set_upper(upper);
                }
                rest
            }
        }
    }
}
