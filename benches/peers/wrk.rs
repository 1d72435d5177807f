//! Load by wrk.

use crate::support::need;
use std::net::SocketAddr;
use std::process::Command;

/// What wrk does.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) path: &'a str,
    /// Bytes of each request's body; 0 for GET.
    pub(crate) upload: usize,
    /// A script of wrk's for what is not said here.
    pub(crate) script: Option<&'a str>,
    pub(crate) tls: bool,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// What wrk tells, times in milliseconds.
pub(crate) struct Report {
    pub(crate) requests: f64,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Load<'_> {
    pub(crate) fn on(self, addr: SocketAddr) -> Report {
        let script = tempfile::NamedTempFile::new().unwrap();
        let post = format!(
            "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/octet-stream\"\n\
             wrk.body = string.rep(\"u\", {})\n",
            self.upload
        );
        let text = self.script.or((self.upload > 0).then_some(&*post));
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "--latency", "--timeout", "30s"]);
        wrk.args([
            format!("-c{}", self.connections),
            format!("-d{}s", self.seconds),
        ]);
        if let Some(text) = text {
            std::fs::write(script.path(), text).unwrap();
            wrk.arg("-s").arg(script.path());
        }
        let scheme = if self.tls { "https" } else { "http" };
        wrk.arg(format!("{scheme}://{addr}{}", self.path));
        let output = need::run(&mut wrk, "wrk");
        let text = String::from_utf8_lossy(&output.stdout);
        for trouble in ["Socket errors", "Non-2xx"] {
            assert!(!text.contains(trouble), "{addr}: {text}");
        }
        let after = |label: &str| {
            let line = text
                .lines()
                .find_map(|line| line.trim().strip_prefix(label));
            line.unwrap_or_else(|| panic!("no {label:?} in {text}"))
                .trim()
                .to_owned()
        };
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

fn milliseconds(text: &str) -> f64 {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().unwrap() * factor;
        }
    }
    panic!("no time: {text}")
}
