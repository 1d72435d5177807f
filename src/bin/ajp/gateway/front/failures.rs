//! Requests that failed, told to the operator: once each kind, then how many more there were.
//! When all members are down every request fails, and a log of their number helps nobody.

use super::log::Entry;
use super::log::text::escaped;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long failures of one kind are counted before they are told again.
const PAUSE: Duration = Duration::from_secs(10);
/// Kinds that are counted at a time; more are told each time.
const MOST_KINDS: usize = 1000;

static FAILURES: LazyLock<Failures> = LazyLock::new(Failures::default);

/// Tells of a request that failed for this reason. Neither its query nor its path parameters
/// are shown: they hold sessions.
pub(super) fn tell(entry: &Entry, map: Option<&str>, reason: &str) {
    let Some(more) = FAILURES.count(reason, Instant::now()) else {
        return;
    };
    let Some(asked) = entry.asked() else {
        return;
    };
    let client = asked.client.map(|client| client.to_canonical().to_string());
    let client = client.as_deref().unwrap_or("-");
    let (method, id) = (&asked.method, asked.id.as_str());
    let path = bare(asked.uri.path());
    let map = map.map(|map| format!(" (map {map})")).unwrap_or_default();
    let reason = escaped(reason);
    match more {
        0 => tracing::error!("{client} {id} {method} {path}{map}: {reason}"),
        more => {
            tracing::error!("{client} {id} {method} {path}{map}: {reason} (and {more} more since)");
        }
    }
}

/// A path without its parameters and control characters.
fn bare(path: &str) -> String {
    let segments = path.split('/');
    let bare: Vec<_> = segments
        .map(|segment| escaped(segment.split(';').next().unwrap_or_default()))
        .collect();
    bare.join("/")
}

#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<String, Kind>>);

/// Failures for the same reason.
#[derive(Debug)]
struct Kind {
    told: Instant,
    untold: u64,
}

impl Failures {
    /// Whether a failure for this reason is told now, and how many were not since the last one
    /// that was.
    fn count(&self, reason: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |kind: &Kind| now.saturating_duration_since(kind.told) >= PAUSE;
        if let Some(kind) = kinds.get_mut(reason) {
            if !is_over(kind) {
                kind.untold = kind.untold.saturating_add(1);
                return None;
            }
            kind.told = now;
            return Some(std::mem::take(&mut kind.untold));
        }
        if kinds.len() >= MOST_KINDS {
            kinds.retain(|_, kind| !is_over(kind));
        }
        if kinds.len() < MOST_KINDS {
            let kind = Kind {
                told: now,
                untold: 0,
            };
            kinds.insert(reason.to_owned(), kind);
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_and_then_counted() {
        let failures = Failures::default();
        let start = Instant::now();
        assert_eq!(failures.count("a is down", start), Some(0));
        for _ in 0..300_000 {
            assert_eq!(failures.count("a is down", start), None);
        }
        assert_eq!(failures.count("b is down", start), Some(0));
        let later = start + PAUSE;
        assert_eq!(failures.count("a is down", later), Some(300_000));
        assert_eq!(failures.count("a is down", later), None);
    }

    #[test]
    fn the_kinds_themselves_are_limited() {
        let failures = Failures::default();
        let start = Instant::now();
        for kind in 0..MOST_KINDS + 10 {
            assert_eq!(failures.count(&kind.to_string(), start), Some(0));
        }
        assert_eq!(failures.0.lock().unwrap().len(), MOST_KINDS);
        assert_eq!(failures.count("new", start + PAUSE), Some(0));
        assert_eq!(failures.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn paths_show_no_session() {
        assert_eq!(bare("/a;jsessionid=1.x/b;v=2/c"), "/a/b/c");
        assert_eq!(bare("/a\u{7f}b"), "/a\\x7fb");
        assert_eq!(bare("*"), "*");
    }
}
