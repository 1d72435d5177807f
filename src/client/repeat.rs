//! Whether a request may be sent a second time. This is the one place that decides it: the
//! client that finds its connection stale, the balancer that has another member,
//! `RetryPolicy` and [`SendError`](super::SendError) all ask here.
//!
//! Four things count: how far the request got, whether acting on it twice does harm (its
//! method, or what the caller said with [`Idempotent`]), whether the whole body can be given
//! again, and whether the request itself was at fault. Each caller may be stricter than this;
//! none may be laxer.

use super::error::{ClientError, ErrorKind, Retry};
use http::{Extensions, Method};

/// A request extension with which a caller says whether its request may be acted on twice,
/// where the method does not tell: a GET that orders something, a POST that only asks.
///
/// Whoever sends requests with this crate respects it: [`Client`](super::Client),
/// `RetryPolicy` and `Balancer::send`.
///
/// ```
/// use ajp::client::Idempotent;
/// let mut request = http::Request::get("/order?item=1").body(())?;
/// assert!(Idempotent::of(request.method(), request.extensions()));
/// request.extensions_mut().insert(Idempotent(false));
/// assert!(!Idempotent::of(request.method(), request.extensions()));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "it is one bit")]
pub struct Idempotent(pub bool);

impl Idempotent {
    /// Whether a request with this method and these extensions may be acted on twice: what
    /// its caller said, or else what its method says (RFC 9110 section 9.2.2).
    #[must_use]
    pub fn of(method: &Method, extensions: &Extensions) -> bool {
        match extensions.get() {
            Some(Self(idempotent)) => *idempotent,
            None => method.is_idempotent(),
        }
    }
}

/// Whether a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    No,
    /// No container has seen it, so that sending it again repeats nothing.
    Unseen,
    /// A container may have acted on it, and acting on it again does no harm.
    Harmless,
}

/// Whether a request that failed with `error` may be sent again. `idempotent` is what
/// [`Idempotent::of`] said of it, `whole_body` whether its body can be given again from the
/// first byte.
pub(crate) fn after_error(error: &ClientError, idempotent: bool, whole_body: bool) -> Repeat {
    let may_follow = match error.kind() {
        // The time of the whole request is over: there is none left for another attempt.
        ErrorKind::RequestTimeout => Retry::Never,
        _ => error.retry_with_body(),
    };
    match may_follow {
        _ if !whole_body => Repeat::No,
        Retry::Safe => Repeat::Unseen,
        Retry::IfIdempotent if idempotent => Repeat::Harmless,
        Retry::IfIdempotent | Retry::Never => Repeat::No,
    }
}

/// Whether a request that was answered may be sent to another container as well, in the hope
/// of a better answer.
pub(crate) fn after_answer(idempotent: bool, whole_body: bool) -> bool {
    idempotent && whole_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Progress;
    use std::sync::Arc;

    #[test]
    fn the_caller_overrules_the_method() {
        for (method, said, expected) in [
            (Method::GET, None, true),
            (Method::PUT, None, true),
            (Method::POST, None, false),
            (Method::GET, Some(false), false),
            (Method::POST, Some(true), true),
        ] {
            let mut extensions = Extensions::new();
            if let Some(said) = said {
                extensions.insert(Idempotent(said));
            }
            assert_eq!(
                Idempotent::of(&method, &extensions),
                expected,
                "{method} {said:?}"
            );
        }
    }

    #[test]
    fn how_far_it_got_decides() {
        use Progress::{BodySent, NotSent, RequestSent, Responding};
        use Repeat::{Harmless, No, Unseen};
        for (kind, progress, idempotent, other) in [
            (ErrorKind::Connect, NotSent, Unseen, Unseen),
            (ErrorKind::AcquireTimeout, NotSent, Unseen, Unseen),
            (ErrorKind::Write, NotSent, Unseen, Unseen),
            (ErrorKind::Closed, RequestSent, Harmless, No),
            (ErrorKind::Closed, BodySent, Harmless, No),
            (ErrorKind::Closed, Responding, No, No),
            (ErrorKind::ResponseHeadTimeout, RequestSent, Harmless, No),
            (ErrorKind::RequestTimeout, NotSent, No, No),
            (ErrorKind::RequestTimeout, RequestSent, No, No),
            (ErrorKind::HeadTooLarge, NotSent, No, No),
            (ErrorKind::BodySource, BodySent, No, No),
        ] {
            let error = ClientError::bare(kind).at(progress, &Arc::from("peer"));
            assert_eq!(
                after_error(&error, true, true),
                idempotent,
                "{kind:?} {progress:?}"
            );
            assert_eq!(
                after_error(&error, false, true),
                other,
                "{kind:?} {progress:?}"
            );
            assert_eq!(after_error(&error, true, false), No, "the body is gone");
        }
    }
}
