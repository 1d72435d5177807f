//! Each rule that refuses something is a type of its own, and has a counter of its own.

use crate::hall::{App, Hall, open, settle};
use crate::raw::packets::{request, request_with};
use ajp::Secret;
use ajp::server::{Monitor, Refusal, Refusals, ServerConfig, Trust};
use ajp::wire::{Attribute, AttributeCode};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn each_is_counted_by_its_rule() {
    let monitor = Monitor::new();
    let secret = Trust::Secrets(vec![Secret::new("s3cr3t").unwrap()]);
    let strict = ServerConfig::new(secret).with_monitor(&monitor);
    let strict = Hall::open(strict, App::echo_path());
    let lenient = open().with_monitor(&monitor).with_max_body(3);
    let allow = |peer: &&'static str| *peer != "stranger";
    let limit = Duration::from_secs(30);
    let lenient = Hall::open_to(lenient, App::echo_path(), allow, limit);
    let full = open().with_monitor(&monitor).with_max_connections(0);
    let full = Hall::open(full, App::echo_path());

    let plain = request("GET", "/", &[]);
    let wrong = Attribute::Coded {
        code: AttributeCode::Secret,
        value: Some(b"wrong"),
    };
    let named = Attribute::Named {
        name: b"javax.servlet.include.path_info",
        value: Some(b"WEB-INF/web.xml"),
    };
    for (hall, peer, sent) in [
        (&strict, "a", plain.clone()),
        (&strict, "a", request_with("GET", "/", &[], &[wrong])),
        (&lenient, "stranger", Vec::new()),
        (&lenient, "a", request_with("GET", "/", &[], &[named])),
        (&lenient, "a", request("GET", "/", &[("host", "a b")])),
        (
            &lenient,
            "a",
            request("POST", "/", &[("content-length", "4")]),
        ),
        (&full, "a", plain),
    ] {
        let mut guest = hall.connect_as(peer);
        if !sent.is_empty() {
            guest.send(&sent).await;
        }
        guest.rest().await;
        drop(guest);
        settle().await;
    }
    let mut expected = Refusals::default();
    expected.secret = 2;
    expected.peer = 1;
    expected.attribute = 1;
    expected.host = 1;
    expected.body_too_large = 1;
    expected.overload = 1;
    assert_eq!(monitor.stats().refusals, expected);
    assert_eq!(monitor.stats().errors, 7);
}

#[test]
fn a_refusal_says_what_was_answered() {
    for (refusal, status, text) in [
        (Refusal::Peer, None, "the peer may not connect"),
        (
            Refusal::Secret,
            Some(403),
            "request refused with 403: secret missing or wrong",
        ),
        (
            Refusal::Attribute(b"a\nb"[..].into()),
            Some(403),
            "request refused with 403: attribute \"a\\nb\" is not allowed",
        ),
        (
            Refusal::Overload,
            Some(503),
            "request refused with 503: too many connections",
        ),
    ] {
        assert_eq!(refusal.status(), status);
        assert_eq!(refusal.to_string(), text);
    }
}
