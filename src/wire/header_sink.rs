//! Who takes the headers of a request while the walk over its packet checks them, so that who
//! makes something of all of them needs no second walk.

use super::headers::SentName;
use bytes::Bytes;

/// Takes the headers of a request.
pub(crate) trait HeaderSink {
    /// Whether [`add`](Self::add) refuses exactly the values that hold a byte which
    /// [`Class::Value`](super::byte_class::Class::Value) does not allow. The walk leaves them to it then.
    const CHECKS_VALUES: bool;

    /// A request begins that claims to have so many headers. What the sink has of another is
    /// dropped.
    fn begin(&mut self, count: u16);

    /// The request is refused: nothing is kept of it.
    fn discard(&mut self);

    /// Takes a header whose name was checked; or refuses it for a byte of its value.
    #[must_use]
    fn add(&mut self, payload: &Bytes, name: SentName<'_>, value: &[u8]) -> bool;
}

/// Nobody takes the headers: they are only checked.
pub(crate) struct NoSink;

impl HeaderSink for NoSink {
    const CHECKS_VALUES: bool = false;

    fn begin(&mut self, _: u16) {}

    fn discard(&mut self) {}

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "asked for every header")]
    fn add(&mut self, _: &Bytes, _: SentName<'_>, _: &[u8]) -> bool {
        true
    }
}
