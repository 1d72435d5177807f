//! Requests that failed, told to the operator: once each kind, then how many more there were.
//! When all members are down every request fails, and a log of their number helps nobody.

use super::log::Entry;
use super::log::text::escaped;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long failures of one kind are counted before they are told again.
const PAUSE: Duration = Duration::from_secs(10);
/// Kinds that are counted at a time; more are counted together.
const MOST_KINDS: usize = 1000;
/// The kind of those beyond [`MOST_KINDS`].
const OTHERS: &str = "";
/// Characters of a path and of a reason that are shown.
const LONGEST: usize = 200;

static FAILURES: LazyLock<Failures> = LazyLock::new(Failures::default);

/// Whose fault it is that a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client's own: nothing that an operator could mend.
    Client,
    /// That of a member, of the network or of the configuration.
    Ours,
}

/// Tells of a request that failed for this reason. Neither its query nor its path parameters
/// are shown: they hold sessions.
#[cold]
pub(super) fn tell(entry: &Entry, map: Option<&str>, fault: Fault, reason: &str) {
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
    let reason = escaped(shortened(reason));
    let more = more_since(more);
    let text = format!("{client} {id} {method} {path}{map}: {reason}{more}");
    match fault {
        Fault::Client => tracing::info!("{text}"),
        Fault::Ours => tracing::error!("{text}"),
    }
}

/// Tells of a client that has sent no request, or none that can be read.
#[cold]
pub(super) fn tell_client(client: IpAddr, reason: &str) {
    let Some(more) = FAILURES.count(reason, Instant::now()) else {
        return;
    };
    let client = client.to_canonical();
    let (reason, more) = (escaped(shortened(reason)), more_since(more));
    tracing::warn!("{client}: {reason}{more}");
}

/// Tells of what failed on this machine before there was a client.
#[cold]
pub(super) fn tell_ours(reason: &str) {
    if let Some(more) = FAILURES.count(reason, Instant::now()) {
        let (reason, more) = (escaped(shortened(reason)), more_since(more));
        tracing::error!("{reason}{more}");
    }
}

/// How many of the kind were not told.
fn more_since(count: u64) -> String {
    match count {
        0 => String::new(),
        more => format!(" (and {more} more since)"),
    }
}

/// As much of a text as a line of the log has room for.
fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(LONGEST)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

/// What reasons have in common that differ in their numbers alone, which a client may choose:
/// lengths, offsets, times.
fn kind_of(reason: &str) -> String {
    let mut kind = String::with_capacity(reason.len().min(LONGEST));
    for c in shortened(reason).chars() {
        if !c.is_ascii_digit() {
            kind.push(c);
        } else if !kind.ends_with('#') {
            kind.push('#');
        }
    }
    kind
}

/// A path without its parameters and control characters.
fn bare(path: &str) -> String {
    let segments = shortened(path).split('/');
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
        let mut name = kind_of(reason);
        if kinds.len() >= MOST_KINDS && !kinds.contains_key(&name) {
            kinds.retain(|_, kind| !is_over(kind));
            if kinds.len() >= MOST_KINDS {
                OTHERS.clone_into(&mut name);
            }
        }
        if let Some(kind) = kinds.get_mut(&name) {
            if !is_over(kind) {
                kind.untold = kind.untold.saturating_add(1);
                return None;
            }
            kind.told = now;
            return Some(std::mem::take(&mut kind.untold));
        }
        let kind = Kind {
            told: now,
            untold: 0,
        };
        kinds.insert(name, kind);
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
        let letters = [
            'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
        ];
        let mut told = 0;
        for first in letters {
            for second in letters {
                for third in letters {
                    let reason: String = [first, second, third].iter().collect();
                    told += usize::from(failures.count(&reason, start) == Some(0));
                }
            }
        }
        // All of 2197 that are beyond are one.
        assert_eq!(told, MOST_KINDS + 1);
        assert_eq!(failures.0.lock().unwrap().len(), MOST_KINDS + 1);
        assert_eq!(failures.count("new", start + PAUSE), Some(0));
        assert_eq!(failures.0.lock().unwrap().len(), 1);
    }

    /// A client chooses the numbers of its requests, and not how often the operator is told.
    #[test]
    fn numbers_make_no_kinds() {
        let failures = Failures::default();
        let start = Instant::now();
        let told = (8200..10_200).filter(|length| {
            let reason = format!("path and query are {length} bytes, at most 8000 fit");
            failures.count(&reason, start) == Some(0)
        });
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn long_paths_are_cut() {
        assert_eq!(
            bare(&format!("/{}", "é".repeat(9000))).chars().count(),
            LONGEST
        );
    }

    #[test]
    fn paths_show_no_session() {
        assert_eq!(bare("/a;jsessionid=1.x/b;v=2/c"), "/a/b/c");
        assert_eq!(bare("/a\u{7f}b"), "/a\\x7fb");
        assert_eq!(bare("*"), "*");
    }
}
