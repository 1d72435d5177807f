//! The name of one request, by which logs and traces of several programs are put together.

use std::fmt;
use std::sync::Arc;

/// Longer names are not worth their room in every line of a log.
const LONGEST: usize = 128;

/// A request extension: the name of this request in spans, errors and reports to an
/// [`Observer`](super::Observer). It is told to nobody else: what the container is to know of it
/// goes into a header.
///
/// ```
/// use ajp::client::RequestId;
/// let mut request = http::Request::get("/").body(())?;
/// request.extensions_mut().insert(RequestId::new("8a4e-17")?);
/// assert!(RequestId::new("two\nlines").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// A text cannot be a [`RequestId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request id has 1 to {LONGEST} visible ASCII characters")]
pub struct InvalidRequestId(());

impl RequestId {
    /// A name of 1 to 128 visible ASCII characters.
    ///
    /// # Errors
    /// [`InvalidRequestId`] when it is something else.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidRequestId> {
        let text = text.into();
        let fits = (1..=LONGEST).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(InvalidRequestId(()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
