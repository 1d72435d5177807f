//! Load on a front, and what it costs.

use crate::handshakes::{self, Until};
use crate::peers::Peer;
use crate::peers::wrk::{Load, Report};
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

/// Loads a front for so long.
pub(crate) fn load(front: &Peer, kind: Kind, path: &str, connections: u32, seconds: u32) -> Report {
    if kind == Kind::Http2 {
        return h2load(front, path, connections, seconds);
    }
    if kind.is_one_by_one() {
        let until = Until::Time(Duration::from_secs(seconds.into()));
        let resumes = kind == Kind::Resumed;
        return handshakes::load(front, path, connections, until, resumes);
    }
    Load {
        path,
        upload: 0,
        script: None,
        tls: kind.is_tls(),
        connections,
        seconds,
    }
    .on(front.addr)
}

/// The same over HTTP/2: as many requests at a time, over a quarter of the connections.
fn h2load(front: &Peer, path: &str, connections: u32, seconds: u32) -> Report {
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

/// Sends a front so many requests.
pub(crate) fn exactly(front: &Peer, kind: Kind, path: &str, connections: u32, requests: u64) {
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
