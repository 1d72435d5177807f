//! What an error of the client says of the member that it happened at.

use crate::client::{Blame, ClientError, ErrorKind};
use crate::proto::Progress;

/// What an error says of the member (protocol chapters
/// [security](crate::docs::protocol::security#taking-a-container-out) and
/// [balancing](crate::docs::protocol::balancing)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the caller, its request or this machine is to blame.
    NotTheMembers,
    /// The pool had no free connection.
    PoolFull,
    /// The container cannot be reached.
    Unreachable,
    /// It did not answer CPing in time: it is dead, or all its threads are busy.
    Late,
    /// It closed before it answered. It may be dying, the connection may have been stale, or
    /// it chokes on the request.
    ClosedUnanswered,
    /// It took too long over the request.
    Slow,
    /// The application broke off its answer.
    BrokeOff,
}

impl Fault {
    pub(crate) fn of(error: &ClientError) -> Self {
        match (error.blame(), error.kind()) {
            (
                Blame::WebServer,
                ErrorKind::AcquireTimeout | ErrorKind::QueueFull | ErrorKind::PoolShut,
            ) => Self::PoolFull,
            (Blame::WebServer | Blame::Caller, _) => Self::NotTheMembers,
            (
                Blame::Container,
                ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::CPing,
            ) => Self::Unreachable,
            (Blame::Container, ErrorKind::CPingTimeout) => Self::Late,
            (
                Blame::Container,
                ErrorKind::WriteTimeout
                | ErrorKind::ResponseHeadTimeout
                | ErrorKind::BetweenPacketsTimeout,
            ) => Self::Slow,
            (Blame::Container, _) if error.progress() == Progress::Responding => Self::BrokeOff,
            (Blame::Container, _) => Self::ClosedUnanswered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_an_error_says_of_the_member() {
        use Progress::{BodySent, NotSent, RequestSent, Responding};
        for (kind, progress, fault) in [
            (ErrorKind::Connect, NotSent, Fault::Unreachable),
            (ErrorKind::ConnectTimeout, NotSent, Fault::Unreachable),
            (ErrorKind::ConnectCutShort, NotSent, Fault::NotTheMembers),
            (ErrorKind::LocalResources, NotSent, Fault::NotTheMembers),
            (ErrorKind::RuntimeShutDown, Responding, Fault::NotTheMembers),
            (ErrorKind::CPingTimeout, NotSent, Fault::Late),
            (ErrorKind::CPingCutShort, NotSent, Fault::NotTheMembers),
            (ErrorKind::AcquireTimeout, NotSent, Fault::PoolFull),
            (ErrorKind::QueueFull, NotSent, Fault::PoolFull),
            (ErrorKind::RequestTimeout, NotSent, Fault::NotTheMembers),
            (ErrorKind::Closed, RequestSent, Fault::ClosedUnanswered),
            (ErrorKind::Protocol, BodySent, Fault::ClosedUnanswered),
            (ErrorKind::Closed, Responding, Fault::BrokeOff),
            (ErrorKind::BodySource, Responding, Fault::NotTheMembers),
            (ErrorKind::ResponseHeadTimeout, RequestSent, Fault::Slow),
            (ErrorKind::HeadTooLarge, NotSent, Fault::NotTheMembers),
            (ErrorKind::BodySource, BodySent, Fault::NotTheMembers),
            (
                ErrorKind::UpgradeNotSupported,
                NotSent,
                Fault::NotTheMembers,
            ),
        ] {
            let error = ClientError::bare(kind).at(progress, &Arc::from("peer"));
            assert_eq!(Fault::of(&error), fault, "{kind:?}");
        }
    }
}
