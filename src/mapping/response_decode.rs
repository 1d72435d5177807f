//! Send Headers as `http::Response`, without its body.

use super::ReasonPhrase;
use super::header_names::{append, is_hop_by_hop, is_nominated, response_name};
use crate::wire::SendHeaders;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// Headers that any response has room for: as many as the smallest table of a `HeaderMap` takes.
const LEAST_ROOM: usize = 6;

/// Builds an `http::Response`. Hop-by-hop headers are left out, and so is the length of a
/// 204. Of several `Content-Length` lines, which say the same, one is left. A reason phrase of
/// the container's own is in the extensions ([`ReasonPhrase`]).
///
/// Header values are slices of the packet, which they keep alive.
#[must_use]
pub fn response_parts(head: &SendHeaders) -> Response<()> {
    let mut response = Response::new(());
    // The view has checked that the status is 100..=999.
    let status = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.status_mut() = status;
    let mut headers = head.headers();
    // With room for what a caller adds. hyper's server takes the map for the headers of the
    // request that follows, too, and makes a new one where that has more.
    let map = response.headers_mut();
    map.reserve(headers.len().max(LEAST_ROOM));
    let mut nominates = false;
    while let Some((name, value)) = headers.next_sent() {
        let Some(name) = response_name(name) else {
            continue;
        };
        let is_connection = *name == header::CONNECTION;
        if is_hop_by_hop(&name) && !is_connection {
            continue;
        }
        nominates |= is_connection;
        let Ok(value) = HeaderValue::from_maybe_shared(head.slice_ref(value)) else {
            continue;
        };
        if *name == header::CONTENT_LENGTH {
            map.insert(header::CONTENT_LENGTH, value);
        } else {
            append(map, name, value);
        }
    }
    if nominates {
        let named: Vec<_> = map
            .keys()
            .filter(|name| is_nominated(map, name))
            .cloned()
            .collect();
        for name in named {
            map.remove(name);
        }
        map.remove(header::CONNECTION);
    }
    if status == StatusCode::NO_CONTENT {
        map.remove(header::CONTENT_LENGTH);
    }
    if let Some(reason) = ReasonPhrase::of(head) {
        response.extensions_mut().insert(reason);
    }
    response
}
