//! The limits in time that a balancer and a map write alike.

use super::balancer_tables as tables;
use super::values::{Limit, Text};
use ajp::client::{RequestTimeouts, Timeouts};

/// Both types of the library have setters of the same names, but no trait.
macro_rules! set {
    ($limits:expr, $table:expr, $($key:ident $setter:ident),+ $(,)?) => {{
        let mut limits = $limits;
        $(if let Some(Text(Limit(limit))) = $table.$key {
            limits = limits.$setter(limit);
        })+
        limits
    }};
}

macro_rules! set_all {
    ($limits:expr, $table:expr) => {
        set!(
            $limits,
            $table,
            acquire with_acquire,
            connect with_connect,
            cping with_cping,
            write with_write,
            request_body with_request_body,
            response_head with_response_head,
            between_packets with_between_packets,
            response_read with_response_read,
            request with_request,
        )
    };
}

/// The limits of a balancer's members.
pub(super) fn of_balancer(limits: Timeouts, table: &tables::Timeouts) -> Timeouts {
    set_all!(limits, table)
}

/// What a map has in their place.
pub(super) fn of_map(limits: RequestTimeouts, table: &tables::Timeouts) -> RequestTimeouts {
    set_all!(limits, table)
}
