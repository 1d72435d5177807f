//! The request body in the container. The application polls it; the connection's task
//! asks the web server for a packet only then.

use crate::proto::BodyEvent;
use crate::wire::BodyFraming;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The body of a request from a web server.
///
/// At most one packet is buffered, and the next one is asked for when the body is polled
/// again, unless the server may ask ahead
/// ([`ServerConfig::with_body_requests`](../server/struct.ServerConfig.html#method.with_body_requests)).
/// It ends only when the web server has said that it is complete: everything else is an error.
pub struct RequestBody(Option<Arc<Shared>>);

/// Why a request body broke off. For one that is [too large](Self::is_too_large) the web server
/// still waits for an answer, such as 413; behind the others the connection is closed, or the
/// answer has been given already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestBodyError(&'static str);

impl RequestBodyError {
    pub(crate) const GONE: Self =
        Self("the web server went away before the end of the request body");
    pub(crate) const LATE: Self =
        Self("the web server did not go on in time before the end of the request body");
    pub(crate) const BROKEN: Self =
        Self("the web server broke the protocol before the end of the request body");
    pub(crate) const OVER: Self = Self("the response ended before the request body was read");
    pub(crate) const TOO_LARGE: Self = Self("the request body is larger than this server allows");

    /// Whether the body has more bytes than
    /// [`ServerConfig::with_max_body`](../server/struct.ServerConfig.html#method.with_max_body)
    /// allows: the status for that is 413. One whose length is announced is refused so before the
    /// application is asked.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        *self == Self::TOO_LARGE
    }
}

struct Shared(Mutex<Slot>);

struct Slot {
    /// The packet to be read next.
    data: Option<Bytes>,
    /// Those behind it.
    more: VecDeque<Bytes>,
    reading: Reading,
    ended: bool,
    error: Option<RequestBodyError>,
    left: Option<u64>,
    reader: Option<Waker>,
    driver: Option<Waker>,
    /// The connection's task polls the application right now and will look by itself.
    driving: bool,
}

/// How the application reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// It has not begun.
    NotYet,
    /// It waits.
    Waiting,
    /// It has waited, and was given something.
    DataGiven,
}

impl Reading {
    fn data_given(&mut self) {
        if *self == Self::Waiting {
            *self = Self::DataGiven;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestBody {
    /// A body for a request with this framing, and the connection's end of it unless the
    /// body is empty.
    pub(crate) fn new(framing: BodyFraming) -> (Self, Option<Feed>) {
        if framing == BodyFraming::Length(0) {
            return (Self(None), None);
        }
        let shared = Arc::new(Shared(Mutex::new(Slot {
            data: None,
            more: VecDeque::new(),
            reading: Reading::NotYet,
            ended: false,
            error: None,
            left: framing.length(),
            reader: None,
            driver: None,
            driving: false,
        })));
        (Self(Some(Arc::clone(&shared))), Some(Feed(shared)))
    }
}

impl Drop for RequestBody {
    /// Whoever waits for a packet on behalf of its reader need not wait any longer.
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else {
            return;
        };
        let driver = {
            let mut slot = shared.lock();
            if slot.driving {
                None
            } else {
                slot.driver.take()
            }
        };
        // First this handle goes, then the driver counts them.
        drop(shared);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(shared) = &self.0 else {
            return Poll::Ready(None);
        };
        let mut reader = None;
        loop {
            let mut slot = shared.lock();
            if let Some(data) = slot.data.take() {
                slot.data = slot.more.pop_front();
                slot.left = slot.left.map(|left| left.saturating_sub(data.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(error) = slot.error {
                return Poll::Ready(Some(Err(error)));
            }
            if slot.ended {
                return Poll::Ready(None);
            }
            let is_known = slot
                .reader
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()));
            // Cloning and dropping a waker may run any code: never under the lock.
            if !is_known && reader.is_none() {
                drop(slot);
                reader = Some(cx.waker().clone());
                continue;
            }
            let mut former = None;
            if !is_known {
                former = std::mem::replace(&mut slot.reader, reader.take());
            }
            slot.reading = Reading::Waiting;
            let driver = if slot.driving {
                None
            } else {
                slot.driver.take()
            };
            drop(slot);
            drop(former);
            if let Some(driver) = driver {
                driver.wake();
            }
            return Poll::Pending;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            let slot = shared.lock();
            slot.ended && slot.data.is_none() && slot.error.is_none()
        })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(shared) => shared
                .lock()
                .left
                .map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}

/// What the application wants of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing: it has not begun to read, or never will.
    None,
    /// It waits for data.
    Waiting,
    /// It reads, and has so many packets before it.
    Behind(usize),
}

/// The connection's end of a [`RequestBody`].
pub(crate) struct Feed(Arc<Shared>);

impl Feed {
    /// Before the application is polled.
    pub(crate) fn begin_drive(&self, cx: &Context<'_>) {
        let mut slot = self.0.lock();
        slot.driving = true;
        match &slot.driver {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => {
                drop(slot);
                let driver = cx.waker().clone();
                let former = self.0.lock().driver.replace(driver);
                drop(former);
            }
        }
    }

    /// Has this task woken when the body is read or dropped elsewhere.
    pub(crate) fn wake_when_dropped(&self, cx: &Context<'_>) {
        self.begin_drive(cx);
        self.0.lock().driving = false;
    }

    /// Whether anybody could still read the body.
    pub(crate) fn has_reader(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// After the application was polled: what it wants.
    pub(crate) fn end_drive(&self) -> Demand {
        let mut slot = self.0.lock();
        slot.driving = false;
        // Nobody reads once the application has let go of the body.
        match slot.reading {
            _ if !self.has_reader() => Demand::None,
            Reading::NotYet => Demand::None,
            Reading::Waiting => Demand::Waiting,
            Reading::DataGiven => {
                Demand::Behind(slot.more.len() + usize::from(slot.data.is_some()))
            }
        }
    }

    /// Hands over what the web server sent. `complete` tells that nothing follows.
    pub(crate) fn push(&self, event: BodyEvent, complete: bool) {
        let mut slot = self.0.lock();
        match event {
            BodyEvent::Data(data) if slot.data.is_none() => slot.data = Some(data),
            BodyEvent::Data(data) => slot.more.push_back(data),
            BodyEvent::End => slot.ended = true,
            BodyEvent::StrayEmpty => return,
        }
        slot.ended |= complete;
        slot.reading.data_given();
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Breaks the body off.
    pub(crate) fn fail(&self, error: RequestBodyError) {
        let mut slot = self.0.lock();
        if !slot.ended {
            // The first reason is the real one.
            slot.error.get_or_insert(error);
        }
        slot.reading.data_given();
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.fail(RequestBodyError::OVER);
    }
}
