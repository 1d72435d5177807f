//! What a container does that tells of settings which differ on both sides.

use super::error::kind::ErrorKind;
use crate::wire::PacketSize;

/// How the settings of a pool and of its container seem to differ. AJP has no word for it: the
/// container answers or closes, so this is what its doing most probably means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It answered 403 and closed: the secret is missing or wrong, or it does not allow a
    /// request attribute (Tomcat's `secret` and `allowedRequestAttributesPattern`).
    #[error("the container refused the secret or a request attribute")]
    Refused,
    /// It answered 400 or 500 and closed, or closed without an answer, after a request head that is
    /// longer than the 8192 bytes which every container takes: its packet size is probably
    /// smaller than the pool's (Tomcat's `packetSize`).
    #[error("the request head is probably longer than the container's packet size")]
    Cut,
}

impl Mismatch {
    /// What an answer with this status tells, after which the container closed. `refusal` is
    /// what the protocol says of it, `head` the length of the Forward Request in bytes.
    pub(super) fn of_answer(status: Option<u16>, refusal: bool, head: u64) -> Option<Self> {
        if refusal {
            Some(Self::Refused)
        } else {
            // Tomcat answers 500: it reads beyond the end of what it has taken.
            (matches!(status, Some(400 | 500)) && is_long(head)).then_some(Self::Cut)
        }
    }

    /// What it tells that an exchange failed in this way, without an answer and over a
    /// connection that was not stale.
    pub(super) fn of_failure(kind: ErrorKind, head: u64) -> Option<Self> {
        let broken = matches!(kind, ErrorKind::Closed | ErrorKind::Read | ErrorKind::Write);
        (broken && is_long(head)).then_some(Self::Cut)
    }
}

fn is_long(head: u64) -> bool {
    head > PacketSize::DEFAULT.bytes() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_settings_that_differ() {
        for (status, refusal, head, expected) in [
            (Some(403), true, 100, Some(Mismatch::Refused)),
            (Some(403), false, 9000, None),
            (Some(400), false, 8193, Some(Mismatch::Cut)),
            (Some(400), false, 8192, None),
            (Some(500), false, 8193, Some(Mismatch::Cut)),
            (Some(200), false, 9000, None),
        ] {
            assert_eq!(Mismatch::of_answer(status, refusal, head), expected);
        }
        for (kind, head, expected) in [
            (ErrorKind::Closed, 8193, Some(Mismatch::Cut)),
            (ErrorKind::Read, 8193, Some(Mismatch::Cut)),
            (ErrorKind::Closed, 8192, None),
            (ErrorKind::ResponseHeadTimeout, 9000, None),
            (ErrorKind::BodySource, 9000, None),
        ] {
            assert_eq!(Mismatch::of_failure(kind, head), expected);
        }
    }
}
