//! Load on a front, and what it costs.

use crate::handshakes::{self, Until};
use crate::starts::Front;
use crate::support::need;
use std::process::Command;
use std::time::Duration;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Kept connections, without TLS.
    Http,
    /// Kept connections over TLS.
    Tls,
    /// A TLS handshake for each request.
    Handshakes,
    /// The same, and clients take up the session of the connection before.
    Resumed,
    /// HTTP/2 over TLS, four requests at a time over each connection.
    Http2,
}

impl Kind {
    pub(crate) fn is_tls(self) -> bool {
        self != Self::Http
    }

    /// Whether each request has a connection of its own.
    pub(crate) fn is_one_by_one(self) -> bool {
        matches!(self, Self::Handshakes | Self::Resumed)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS, connections kept",
            Self::Handshakes => "TLS, a handshake for each request",
            Self::Resumed => "TLS, a session resumed for each request",
            Self::Http2 => "HTTP/2 over TLS",
        }
    }
}

/// What wrk tells, times in milliseconds.
pub(crate) struct Report {
    pub(crate) requests: f64,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Loads a front for so long.
pub(crate) fn load(
    front: &Front,
    kind: Kind,
    path: &str,
    connections: u32,
    seconds: u32,
) -> Report {
    if kind == Kind::Http2 {
        return h2load(front, path, connections, seconds);
    }
    if kind.is_one_by_one() {
        let until = Until::Time(Duration::from_secs(seconds.into()));
        let resumes = kind == Kind::Resumed;
        return handshakes::load(front, path, connections, until, resumes);
    }
    let mut wrk = Command::new("wrk");
    wrk.args([
        "-t1",
        "--latency",
        &format!("-c{connections}"),
        &format!("-d{seconds}s"),
    ]);
    let scheme = if kind.is_tls() { "https" } else { "http" };
    wrk.arg(format!("{scheme}://{}{path}", front.addr));
    let output = need::run(&mut wrk, "wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label:?} in {text}"))
            .trim()
            .to_owned()
    };
    for trouble in ["Socket errors", "Non-2xx"] {
        assert!(!text.contains(trouble), "{}: {text}", front.name);
    }
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .map(|(count, _)| count.parse().unwrap());
    Report {
        requests: requests.unwrap_or_else(|| panic!("no count in {text}")),
        rate: after("Requests/sec:").parse().unwrap(),
        p50: milliseconds(&after("50%")),
        p99: milliseconds(&after("99%")),
    }
}

fn milliseconds(text: &str) -> f64 {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().unwrap() * factor;
        }
    }
    panic!("no time: {text}")
}

/// The same over HTTP/2: as many requests at a time, over a quarter of the connections.
fn h2load(front: &Front, path: &str, connections: u32, seconds: u32) -> Report {
    let log = tempfile::NamedTempFile::new().unwrap();
    let clients = (connections / 4).max(1);
    let mut h2load = Command::new("h2load");
    h2load
        .args([
            "-t1",
            "-m4",
            &format!("-c{clients}"),
            &format!("-D{seconds}"),
        ])
        .arg(format!("--log-file={}", log.path().display()))
        .arg(format!("https://{}{path}", front.addr));
    let output = need::run(&mut h2load, "nghttp2-client");
    let text = String::from_utf8_lossy(&output.stdout);
    for good in [" 0 failed", " 0 errored", " 0 3xx, 0 4xx, 0 5xx"] {
        assert!(text.contains(good), "{}: {text}", front.name);
    }
    // Start, status and microseconds of each request.
    let log = std::fs::read_to_string(log.path()).unwrap();
    let times = log.lines().filter_map(|line| line.split('\t').nth(2));
    let times = times.map(|time| time.parse::<f64>().unwrap() / 1000.0);
    let times: Vec<_> = times.collect();
    let rate = times.len() as f64 / f64::from(seconds);
    Report::of(times, rate)
}

impl Report {
    /// Of requests that took so long each, in milliseconds.
    pub(crate) fn of(mut times: Vec<f64>, rate: f64) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        Self {
            requests: times.len() as f64,
            rate,
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

/// Sends a front so many requests.
pub(crate) fn exactly(front: &Front, kind: Kind, path: &str, connections: u32, requests: u64) {
    if kind.is_one_by_one() {
        let until = Until::Requests(requests);
        handshakes::load(front, path, 1, until, kind == Kind::Resumed);
        return;
    }
    let (clients, streams) = match kind {
        Kind::Http2 => ((connections / 4).max(1), "-m4"),
        _ => (connections, "-m1"),
    };
    let mut h2load = Command::new("h2load");
    h2load.args([
        "-t1",
        streams,
        &format!("-c{clients}"),
        &format!("-n{requests}"),
    ]);
    if kind != Kind::Http2 {
        h2load.arg("--h1");
    }
    let scheme = if kind.is_tls() { "https" } else { "http" };
    h2load.arg(format!("{scheme}://{}{path}", front.addr));
    let output = need::run(&mut h2load, "nghttp2-client");
    let text = String::from_utf8_lossy(&output.stdout);
    let good = format!("{requests} succeeded, 0 failed, 0 errored");
    assert!(text.contains(&good), "{}: {text}", front.name);
}

/// CPU seconds of a process and its group so far, in user space and in the kernel.
pub(crate) fn cpu(pid: u32) -> [f64; 2] {
    let mut ticks = [0u64; 2];
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(stat) = std::fs::read_to_string(entry.unwrap().path().join("stat")) else {
            continue;
        };
        let is_it = stat.split(' ').next().and_then(|id| id.parse().ok()) == Some(pid);
        // After the name, which may hold anything: state, parent, group, ...
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
        let in_group = fields.get(2).and_then(|group| group.parse().ok()) == Some(pid);
        if is_it || in_group {
            ticks[0] += fields[11].parse::<u64>().unwrap();
            ticks[1] += fields[12].parse::<u64>().unwrap();
        }
    }
    // Of user space, the kernel shows a hundredth of a second everywhere.
    ticks.map(|ticks| ticks as f64 / 100.0)
}
