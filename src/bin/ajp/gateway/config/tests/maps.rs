//! `[[map]]` and `[[site]]`.

use super::*;
use crate::gateway::front::Found;
use ajp::balancer::{Idempotent, OnStatus, SendOptions};
use ajp::client::RequestTimeouts;
use std::time::Duration;

#[test]
fn a_map_has_settings_of_its_own() {
    let text = map(
        "\"/x\"",
        "\"balancer://a/\"\nstateless = true\nsticky_ignore = true\nattempts = 1\nfail_on_status = [503, -500]\n\
         timeout = \"1m\"\ntimeouts = { request = \"2m\", connect = \"none\" }\n\
         idempotent = true\nmax_body = 5\nresponse_buffer = 0\n\
         attributes = { TENANT = \"a\" }\n\
         request_headers = { set = { X-A = \"1\" }, remove = [\"X-B\"] }",
    );
    let config = read(&text).unwrap();
    let settings = config.maps[1].mapping().unwrap().settings();
    let minute = Duration::from_secs(60);
    let options = SendOptions::new()
        .with_stateless(true)
        .with_sticky_ignore(true)
        .with_max_attempts(1)
        .with_on_status(503, OnStatus::FailAndTryOther)
        .with_on_status(500, OnStatus::TryOther);
    assert_eq!(settings.options, Some(options));
    let timeouts = RequestTimeouts::new()
        .with_response_head(minute)
        .with_between_packets(minute)
        .with_request(minute * 2)
        .with_connect(None);
    assert_eq!(settings.timeouts, Some(timeouts));
    assert_eq!(settings.idempotent, Some(Idempotent(true)));
    assert_eq!(
        (settings.max_body, settings.request_buffer),
        (Some(5), None)
    );
    assert_eq!(settings.response_buffer, Some(0));
    assert_eq!(settings.attributes, [("TENANT".to_owned(), "a".to_owned())]);
    assert_eq!(settings.request_headers.set[0].0, "x-a");
    assert_eq!(settings.request_headers.remove, ["x-b"]);
    let plain = config.maps[0].mapping().unwrap().settings();
    assert!(plain.options.is_none() && plain.timeouts.is_none());
}

/// The path at the members through one of the maps.
pub(super) fn inward(config: &Config, map: usize, path: &str) -> Option<String> {
    let mapping = config.maps[map].mapping().unwrap();
    mapping.inward(path).map(std::borrow::Cow::into_owned)
}

#[test]
fn exclusions_patterns_and_sites() {
    let config = read(
        r#"
        order = "file"
        paths = "normalise"
        [[map]]
        path = "*.bak"
        to = "none"
        [[map]]
        path = "~ \\.git(/|$)"
        to = "deny"
        [[map]]
        path = "/"
        to = "ajp://127.0.0.1:8009"
        [[site]]
        hosts = ["shop.example", "*.shop.example"]
        [[site.map]]
        path = "= /status"
        to = "ajp://127.0.0.1:8010/server"
        "#,
    )
    .unwrap();
    let sites = config.sites().unwrap();
    let lead = |host, path| match sites.find(host).unwrap().find(path) {
        Found::Mapped(mapping, inward) => format!("{}{inward}", mapping.balancer().name()),
        Found::Forbidden => "forbidden".to_owned(),
        Found::Ambiguous(why) => why.to_owned(),
        Found::Nothing => "nothing".to_owned(),
    };
    let (own, shop) = (Some("other.example"), Some("a.shop.example"));
    assert_eq!(lead(own, "/x.bak"), "nothing");
    assert_eq!(lead(own, "/.git/config"), "forbidden");
    assert_eq!(lead(own, "//x/%41"), "ajp://127.0.0.1:8009/x/A");
    assert_eq!(lead(shop, "/status"), "ajp://127.0.0.1:8010/server");
    assert_eq!(lead(shop, "/"), "nothing");
}

#[test]
fn sites_that_cannot_be() {
    for (text, wanted) in [
        ("[[site]]\nhosts = []", "must name a host"),
        ("[[site]]\nhosts = [\"a b\"]", "is no host name"),
        ("[[site]]\nhosts = [\"a\"]", "has no [[site.map]]"),
        ("order = \"any\"", "expected `longest` or `file`"),
        ("[[map]]\npath = \"~ (\"\nto = \"none\"", "unclosed group"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
