//! Names for metrics, and lists to go through: one place, so that none is forgotten.

use super::cause::CloseCause;
use super::error::ErrorKind;
use super::mismatch::Mismatch;

macro_rules! labels {
    ($type:ident { $($variant:ident $label:literal)* }) => {
        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// A short name for metrics and logs, in lower case.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }
        }
    };
}

labels!(ErrorKind {
    AcquireTimeout "acquire_timeout"
    QueueFull "queue_full"
    PoolShut "pool_shut"
    Connect "connect"
    ConnectTimeout "connect_timeout"
    ConnectCutShort "connect_cut_short"
    LocalResources "local_resources"
    RuntimeShutDown "runtime_shut_down"
    CPing "cping"
    CPingTimeout "cping_timeout"
    CPingCutShort "cping_cut_short"
    UriTooLong "uri_too_long"
    HeadTooLarge "head_too_large"
    InvalidRequest "invalid_request"
    MissingFacts "missing_facts"
    UnsupportedTransferEncoding "unsupported_transfer_encoding"
    UpgradeNotSupported "upgrade_not_supported"
    BodySource "body_source"
    BodyLength "body_length"
    RequestBodyTimeout "request_body_timeout"
    ResponseReadTimeout "response_read_timeout"
    Write "write"
    WriteTimeout "write_timeout"
    ResponseHeadTimeout "response_head_timeout"
    BetweenPacketsTimeout "between_packets_timeout"
    RequestTimeout "request_timeout"
    Read "read"
    Closed "closed"
    Protocol "protocol"
});

labels!(CloseCause {
    IdleTimeout "idle_timeout"
    KeepAlive "keep_alive"
    Surplus "surplus"
    Lifetime "lifetime"
    MaxRequests "max_requests"
    ClosedByPeer "closed_by_peer"
    Reset "reset"
    StrayData "stray_data"
    CPing "cping"
    Unresponsive "unresponsive"
    Stale "stale"
    NoReuse "no_reuse"
    Unclean "unclean"
    Protocol "protocol"
    Broken "broken"
    Timeout "timeout"
    Request "request"
    Dropped "dropped"
    PoolShut "pool_shut"
});

labels!(Mismatch {
    Refused "refused"
    Cut "cut"
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_in_the_order_of_the_types() {
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index, "{kind:?}");
        }
        for (index, cause) in CloseCause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index, "{cause:?}");
        }
    }

    #[test]
    fn labels_differ() {
        let mut labels: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), ErrorKind::ALL.len());
        let mut labels: Vec<_> = CloseCause::ALL.iter().map(|cause| cause.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), CloseCause::ALL.len());
    }
}
