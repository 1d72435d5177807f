//! Where the request body comes from.

use crate::exit::Failure;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at a time.
const PIECE: usize = 64 * 1024;

/// What `--data` names.
pub(crate) enum Source {
    Text(String),
    File(String),
    Stdin,
}

impl Source {
    pub(crate) fn of(data: &str) -> Self {
        match data.strip_prefix('@') {
            Some("-") => Self::Stdin,
            Some(path) => Self::File(path.to_owned()),
            None => Self::Text(data.to_owned()),
        }
    }

    /// Several texts in one.
    pub(crate) fn joined(several: &[String]) -> Result<Self, Failure> {
        if several.iter().any(|data| data.starts_with('@')) {
            return Err(Failure::usage(
                "of several --data all must be text; a file can be sent alone",
            ));
        }
        Ok(Self::Text(several.join("&")))
    }

    /// The body; `chunked` leaves its length open.
    pub(crate) async fn open(self, chunked: bool) -> Result<RequestBody, Failure> {
        let (rest, left): (Box<dyn AsyncRead + Send + Unpin>, _) = match self {
            Self::Text(text) => {
                let len = text.len() as u64;
                (Box::new(io::Cursor::new(text)), Some(len))
            }
            Self::Stdin => (Box::new(tokio::io::stdin()), None),
            Self::File(path) => {
                let failed = |error| Failure::file(Path::new(&path), &error);
                let file = tokio::fs::File::open(&path).await.map_err(failed)?;
                let facts = file.metadata().await.map_err(failed)?;
                if facts.is_dir() {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                // A pipe has a length of 0 and yet something in it.
                let len = facts.is_file().then_some(facts.len());
                (Box::new(file), len)
            }
        };
        Ok(RequestBody {
            rest: Some(rest),
            left: left.filter(|_| !chunked),
        })
    }
}

/// A request body that is read while it is sent.
pub(crate) struct RequestBody {
    rest: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Bytes to come, if that is known.
    left: Option<u64>,
}

impl RequestBody {
    pub(crate) fn empty() -> Self {
        Self {
            rest: None,
            left: Some(0),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let Some(rest) = &mut this.rest else {
            return Poll::Ready(None);
        };
        let mut piece = BytesMut::zeroed(PIECE);
        let mut buffer = ReadBuf::new(&mut piece);
        let read = Pin::new(rest).poll_read(cx, &mut buffer);
        let len = buffer.filled().len();
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) if len == 0 => {
                this.rest = None;
                Poll::Ready(None)
            }
            Poll::Ready(Ok(())) => {
                piece.truncate(len);
                this.left = this.left.map(|left| left.saturating_sub(len as u64));
                Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}
