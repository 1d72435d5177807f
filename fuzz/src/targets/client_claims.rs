//! What `ajp::proxy` makes of headers about a client, which anybody may have written: only the
//! word of trusted proxies counts, nothing that claims passes, and what is told to the container
//! is well-formed.

use crate::input::Input;
use ajp::proxy::{ForwardedRules, PathMap, Peer, Precedence, ReverseMap, remove_hop_by_hop};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

const NAMES: [&str; 16] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
    "x-real-ip",
    "x_forwarded_for",
    "proxy",
    "x-user",
    "x_user",
    "connection",
    "host",
    "location",
    "set-cookie",
    "x-plain",
];

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let switches = input.byte();
    let (trusted, tls) = (switches & 1 != 0, switches & 2 != 0);
    let mut headers = HeaderMap::new();
    while !input.is_empty() && headers.len() < 40 {
        let name = NAMES[usize::from(input.byte()) % NAMES.len()];
        let len = usize::from(input.byte());
        if let Ok(value) = HeaderValue::from_bytes(input.take(len)) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let inside = |address: IpAddr| address.is_loopback() || address == IpAddr::from([10, 0, 0, 1]);
    let mut rules = ForwardedRules::new()
        .with_claim("X-User")
        .with_underscores(switches & 4 != 0);
    if trusted {
        rules = rules.with_trusted_proxies(inside);
    }
    if switches & 8 != 0 {
        rules = rules.with_precedence(Precedence::Forwarded);
    }
    let remote = if switches & 16 != 0 {
        IpAddr::from([10, 0, 0, 1])
    } else {
        IpAddr::from([192, 0, 2, 7])
    };
    let peer = Peer::new((remote, 4711).into()).with_tls(tls);
    let before = headers.clone();
    let origin = rules.apply(&mut headers, &peer);

    if !(trusted && inside(remote)) {
        assert_eq!(origin.client(), Some(remote), "{before:?}");
        assert_eq!(origin.is_tls(), tls, "{before:?}");
        assert!(origin.is_direct(), "{before:?}");
    }
    for name in headers.keys() {
        let plain = name.as_str().replace('_', "-");
        let claims = plain.starts_with("x-forwarded-")
            || matches!(&*plain, "forwarded" | "x-real-ip" | "proxy" | "x-user");
        assert!(!claims, "{name} is passed on: {before:?}");
    }
    assert_eq!(headers.get("x-plain"), before.get("x-plain"));

    // Said again to somebody who trusts this proxy, it is the same.
    let host = headers.get("host").cloned();
    let mut told = HeaderMap::new();
    for (name, value) in origin.headers(host.as_ref()) {
        told.append(name, value);
    }
    let next = ForwardedRules::new()
        .with_trusted_proxies(move |address| address == remote || inside(address));
    let here = Peer::new((remote, 4711).into());
    let again = next.apply(&mut told, &here);
    if origin.client().is_some_and(|client| client != remote) {
        assert_eq!(again.client(), origin.client(), "{before:?}");
    }
    let facts = origin.facts(&peer, host.as_ref());
    assert!(!facts.remote_addr().is_empty());

    remove_hop_by_hop(&mut headers);
    assert!(!headers.contains_key("connection"));
    let map = ReverseMap::new(PathMap::new("/site/", "/app/"))
        .with_cookie_domain("inner.example", "outer.example");
    let count = headers.get_all("set-cookie").iter().count();
    map.apply(&mut headers, Some("outer.example"));
    assert_eq!(headers.get_all("set-cookie").iter().count(), count);
}
