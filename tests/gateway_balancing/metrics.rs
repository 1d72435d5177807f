//! The metrics as Prometheus' own tool judges them, and what they count.

use crate::balancing::site;
use crate::container::{Container, member};
use crate::support::gateway::Gateway;
use crate::support::http1::Body;
use crate::support::need;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What `promtool check metrics` finds wrong.
fn promtool(text: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics", "--extended"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}",
                need::no_start("promtool".as_ref(), "prometheus", &error)
            )
        });
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let found = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), found.is_empty(), "{found}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say() {
    let a = Container::start("a").await;
    // A route may have these.
    let members = a.member("") + &member("ajp://127.0.0.1:1", "<b>'&lt<i>", "set = 1");
    let health = "health = { check = \"cping\", interval = \"200ms\" }";
    let gateway = Gateway::start(&site(health, &members)).await;
    let mut client = gateway.client();
    for path in ["/", "/?status=404", "/?status=503"] {
        client.get(path).await;
    }
    let upload = Body::Full(vec![b'x'; 5000].into());
    assert_eq!(client.request("POST", "/", &[], upload).await.status, 200);
    let mut operator = gateway.operator();
    let metrics = operator.get("/metrics").await;
    let text = metrics.text();
    assert_eq!(promtool(text), "");
    for line in [
        "ajp_pool_timeouts_total{balancer=\"b\",member=\"ajp://127.0.0.1:1\",route=\"<b>'&lt<i>\",step=\"connect\"} 0",
        "ajp_balancer_info{balancer=\"b\",method=\"byrequests\",check=\"CPing\",sticky=\"JSESSIONID|jsessionid\"} 1",
    ] {
        assert!(
            text.lines().any(|known| known.starts_with(line)),
            "{line}: {text}"
        );
    }
    for family in [
        "ajp_pool_waiting",
        "ajp_pool_closes_total",
        "ajp_pool_failures_total",
        "ajp_pool_mismatches_total",
        "ajp_pool_largest_packet_received_bytes",
        "ajp_member_healthy",
        "ajp_gateway_uptime_seconds",
    ] {
        assert!(
            text.contains(&format!("# TYPE {family} ")),
            "{family}: {text}"
        );
    }
    // Who asks for OpenMetrics gets it.
    let kind = (
        "accept",
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    );
    let open = operator
        .request("GET", "/metrics", &[kind], Body::None)
        .await;
    let kind = open.header("content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
    assert!(
        open.text().contains("# TYPE ajp_pool_closes counter\n"),
        "{}",
        open.text()
    );
    // A family that is wrong is found, or the check would say nothing.
    assert_ne!(promtool("# TYPE bad counter\nbad 1\n"), "");
}
