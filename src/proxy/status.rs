//! Which status an error becomes.

use crate::client::ClientError;
use http::StatusCode;
use std::error::Error as StdError;

/// The HTTP status that a proxy answers with when a request failed: what
/// [`ClientError::suggested_status`](crate::client::ClientError::suggested_status), or that of a balancer's
/// error, says, also if other errors wrap it, as layers of tower do; 502 for everything else.
///
/// ```
/// use ajp::proxy::status_of;
/// let error = std::io::Error::other("broken");
/// assert_eq!(status_of(&error), http::StatusCode::BAD_GATEWAY);
/// ```
#[must_use]
pub fn status_of(error: &(dyn StdError + 'static)) -> StatusCode {
    let mut next = Some(error);
    while let Some(error) = next {
        #[cfg(feature = "balancer")]
        if let Some(error) = error.downcast_ref::<crate::balancer::BalancerError>() {
            return error.suggested_status();
        }
        if let Some(error) = error.downcast_ref::<ClientError>() {
            return error.suggested_status();
        }
        next = error.source();
    }
    StatusCode::BAD_GATEWAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ErrorKind;

    #[derive(Debug, thiserror::Error)]
    #[error("wrapped")]
    struct Wrapped(#[source] Box<dyn StdError + Send + Sync>);

    #[test]
    fn errors_are_found_inside_of_others() {
        let error = || ClientError::bare(ErrorKind::QueueFull);
        assert_eq!(status_of(&error()), StatusCode::SERVICE_UNAVAILABLE);
        let wrapped = Wrapped(Wrapped(error().into()).into());
        assert_eq!(status_of(&wrapped), StatusCode::SERVICE_UNAVAILABLE);
        let other = Wrapped(std::io::Error::other("x").into());
        assert_eq!(status_of(&other), StatusCode::BAD_GATEWAY);
    }
}
