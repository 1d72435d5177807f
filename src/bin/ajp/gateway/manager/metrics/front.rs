//! Numbers of the HTTP side: requests by site, connections, TLS.

use super::write::Families;
use crate::gateway::front::{BOUNDS, SiteCounts, Traffic};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn write(
    families: &mut Families<'_>,
    traffic: &Traffic,
    sites: &[Arc<SiteCounts>],
) -> fmt::Result {
    requests(families, sites)?;
    connections(families, traffic)
}

fn requests(families: &mut Families<'_>, sites: &[Arc<SiteCounts>]) -> fmt::Result {
    let answered = sites.iter().map(|site| (site, site.answered()));
    let answered: Vec<(String, &str, u64)> = answered
        .flat_map(|(site, counts)| {
            let counts = counts.into_iter();
            counts.map(|(status, count)| (status.to_string(), &*site.name, count))
        })
        .collect();
    let samples = answered.iter();
    let samples =
        samples.map(|(code, site, count)| (vec![("site", *site), ("code", code)], *count));
    let help = "Requests that are over or being answered, by site and status; 499: it ended without \
                an answer, as its client had gone; 503 also: a stop broke it off.";
    families.counter("ajp_front_requests", help, samples)?;
    let running = sites
        .iter()
        .map(|site| (vec![("site", &*site.name)], number(site.running())));
    families.gauge(
        "ajp_front_requests_in_flight",
        "Requests that are not over.",
        running,
    )?;
    let times = sites.iter().map(|site| {
        let (counts, sum) = site.times();
        (vec![("site", &*site.name)], counts.to_vec(), sum)
    });
    let help = "Time from the head of a request to the end of its answer.";
    families.histogram("ajp_front_request_seconds", help, &BOUNDS, times)
}

fn connections(families: &mut Families<'_>, traffic: &Traffic) -> fmt::Result {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let open = u64::try_from(traffic.connections.open()).unwrap_or(u64::MAX);
    families.gauge(
        "ajp_front_connections",
        "Open connections of clients.",
        [(vec![], number(open))],
    )?;
    for (name, help, counter) in [
        (
            "ajp_front_accepted",
            "Connections accepted.",
            &traffic.accepted,
        ),
        (
            "ajp_front_crowded",
            "Connections closed because there were too many, in all or of an address.",
            &traffic.crowded,
        ),
        (
            "ajp_front_tls_handshakes",
            "TLS handshakes that succeeded.",
            &traffic.handshakes,
        ),
        (
            "ajp_front_tls_failed_handshakes",
            "TLS handshakes that failed.",
            &traffic.failed_handshakes,
        ),
        (
            "ajp_front_without_proxy_protocol",
            "Connections closed because they did not begin with the PROXY protocol of a trusted proxy.",
            &traffic.unproxied,
        ),
    ] {
        families.counter(name, help, [(vec![], get(counter))])?;
    }
    refused(families, traffic)
}

fn refused(families: &mut Families<'_>, traffic: &Traffic) -> fmt::Result {
    let requests = traffic.refused.requests().into_iter();
    let requests: Vec<_> = requests
        .map(|((http, status), count)| (http, status.to_string(), count))
        .collect();
    let samples = requests.iter();
    let samples =
        samples.map(|(http, status, count)| (vec![("http", *http), ("code", status)], *count));
    let help = "What came over connections and was no request, by version of HTTP and status.";
    families.counter("ajp_front_refused", help, samples)?;
    let connections = traffic.refused.connections().into_iter();
    let samples = connections.map(|(error, count)| (vec![("error", error)], count));
    let help = "Connections of HTTP/2 that were ended with an error.";
    families.counter("ajp_front_http2_errors", help, samples)
}

#[allow(clippy::cast_precision_loss, reason = "no gauge is that large")]
fn number(count: u64) -> f64 {
    count as f64
}
