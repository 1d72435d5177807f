//! A failed request, and what of it can be sent again.

use crate::client::ClientError;
use crate::client::repeat::{self, Idempotent, Repeat};
use crate::proto::Progress;
use http::Request;
use std::error::Error as StdError;
use std::fmt;

/// A request failed. It holds the request as long as its body was not read from.
///
/// `Display` and `source` are those of the [`ClientError`].
pub struct SendError<B>(Box<Inner<B>>);

struct Inner<B> {
    error: ClientError,
    request: Option<Request<B>>,
}

impl<B> SendError<B> {
    /// `request` is `None` when its body was read from.
    pub(super) fn new(error: ClientError, request: Option<Request<B>>) -> Self {
        Self(Box::new(Inner { error, request }))
    }

    /// What failed.
    #[must_use]
    pub fn error(&self) -> &ClientError {
        &self.0.error
    }

    /// What failed, without the request.
    #[must_use]
    pub fn into_error(self) -> ClientError {
        self.0.error
    }

    /// The request as it was given, if the container has not seen it: it was refused here, no
    /// connection was to be had, or the connection broke before the request was written.
    ///
    /// # Errors
    /// The [`ClientError`] when the container may have the request, or its body was read from.
    pub fn into_request(self) -> Result<Request<B>, ClientError> {
        let unsent = self.0.error.progress() == Progress::NotSent;
        self.0.request.filter(|_| unsent).ok_or(self.0.error)
    }

    /// The request as it was given, if it may be sent again as it is, to this container or
    /// another: the container has not seen it, or it is idempotent ([`Idempotent`], or else
    /// its method) and no answer began.
    ///
    /// # Errors
    /// The [`ClientError`] when that is not so, the request itself is at fault, or its body was
    /// read from.
    pub fn into_retry(self) -> Result<Request<B>, ClientError> {
        let Inner { error, request } = *self.0;
        // The body is whole: otherwise the request would not be here.
        let may = |request: &Request<B>| {
            let idempotent = Idempotent::of(request.method(), request.extensions());
            repeat::after_error(&error, idempotent, true) != Repeat::No
        };
        match request {
            Some(request) if may(&request) => Ok(request),
            _ => Err(error),
        }
    }
}

impl<B> From<SendError<B>> for ClientError {
    fn from(error: SendError<B>) -> Self {
        error.into_error()
    }
}

impl<B> fmt::Display for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.error, f)
    }
}

impl<B> fmt::Debug for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("error", &self.0.error)
            .field("has_request", &self.0.request.is_some())
            .finish()
    }
}

impl<B> StdError for SendError<B> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.error.source()
    }
}
