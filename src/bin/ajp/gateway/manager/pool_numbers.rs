//! The numbers of a pool as JSON.

use ajp::client::{CloseCause, ErrorKind, Mismatch, PoolStats};
use ajp::wire::PacketSize;
use serde_json::{Map, Value, json};

/// All of [`PoolStats`]. Of the causes and kinds only those that occurred.
pub(super) fn pool_numbers(stats: &PoolStats) -> Value {
    let counts = |all: Vec<(&'static str, u64)>| -> Map<String, Value> {
        let some = all.into_iter().filter(|(_, count)| *count > 0);
        some.map(|(label, count)| (label.to_owned(), count.into()))
            .collect()
    };
    let closed_by = CloseCause::ALL.iter();
    let closed_by = closed_by.map(|cause| (cause.label(), stats.closed_by(*cause)));
    let failed_with = ErrorKind::ALL.iter();
    let failed_with = failed_with.map(|kind| (kind.label(), stats.failed_with(*kind)));
    let mismatched = Mismatch::ALL.iter();
    let mismatched = mismatched.map(|mismatch| (mismatch.label(), stats.mismatched(*mismatch)));
    let timeouts = timeouts(stats);
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
    json!({
        "name": &*stats.name,
        "max": stats.max_connections,
        "in_use": stats.in_use,
        "idle": stats.idle,
        "waiting": stats.waiting,
        "created": stats.created,
        "reused": stats.reused,
        "closed": stats.closed,
        "closed_by": counts(closed_by.collect()),
        "completed": stats.completed,
        "failed": stats.failed,
        "failed_with": counts(failed_with.collect()),
        "timeouts": counts(timeouts.to_vec()),
        "mismatched": counts(mismatched.collect()),
        "cping_last": seconds(stats.cping_last),
        "cping_average": seconds(stats.cping_average),
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "largest_in": stats.largest_in,
        "largest_out": stats.largest_out,
        "keep_alive_learned": seconds(stats.keep_alive_learned),
        "packet_size_learned": stats.packet_size_learned.map(PacketSize::bytes),
        "secret_in_use": stats.secret_in_use,
        "secret_changes": stats.secret_changes,
    })
}

/// Limits that ran out, by their names.
pub(super) fn timeouts(stats: &PoolStats) -> [(&'static str, u64); 9] {
    let counts = &stats.timeouts;
    [
        ("acquire", counts.acquire),
        ("connect", counts.connect),
        ("cping", counts.cping),
        ("write", counts.write),
        ("request_body", counts.request_body),
        ("response_read", counts.response_read),
        ("response_head", counts.response_head),
        ("between_packets", counts.between_packets),
        ("request", counts.request),
    ]
}
