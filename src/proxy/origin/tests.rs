use super::*;
use proptest::prelude::*;

fn rules(trusted: &'static [&'static str]) -> ForwardedRules {
    let trusted: Vec<ipnet::IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
    ForwardedRules::new().with_trusted_proxies(move |address| {
        trusted.iter().any(|network| network.contains(&address))
    })
}

fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn peer(address: &str) -> Peer {
    Peer::new(SocketAddr::new(address.parse().unwrap(), 51234))
}

/// The headers that go on, as `name: value`.
fn told(origin: &Origin) -> Vec<String> {
    let host = HeaderValue::from_static("shop.example");
    let all = origin.headers(Some(&host));
    all.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect()
}

fn client(rules: &ForwardedRules, lines: &[(&'static str, &[u8])], from: &str) -> String {
    let origin = rules.apply(&mut headers(lines), &peer(from));
    origin
        .client()
        .map_or("unknown".into(), |client| client.to_string())
}

#[test]
fn what_a_stranger_claims_is_removed_and_not_believed() {
    let lines: [(&str, &[u8]); 14] = [
        ("host", b"shop.example"),
        ("x-forwarded-for", b"10.0.0.1"),
        ("x-forwarded-for", b"10.0.0.2"),
        ("x_forwarded_for", b"10.0.0.3"),
        ("x-forwarded-host", b"evil"),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-port", b"443"),
        ("x-forwarded-prefix", b"/evil"),
        ("forwarded", b"for=10.0.0.1;proto=https;host=evil"),
        ("x-real-ip", b"10.0.0.1"),
        ("true-client-ip", b"10.0.0.1"),
        ("proxy", b"http://evil.example"),
        ("with_underscore", b"1"),
        ("x-other", b"kept"),
    ];
    let mut found = headers(&lines);
    let origin = rules(&["10.0.0.0/8"]).apply(&mut found, &peer("::ffff:192.0.2.1"));
    assert_eq!(found, headers(&[lines[0], lines[13]]));
    assert_eq!(origin.client(), Some([192, 0, 2, 1].into()));
    assert_eq!(origin.client_port(), Some(51234));
    assert!(origin.is_direct() && !origin.is_tls());
    let expected = [
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example",
    ];
    assert_eq!(told(&origin), expected);
    // The names are removed from a trusted proxy's requests too: what it said is told anew.
    let mut found = headers(&lines);
    rules(&["192.0.2.1/32"]).apply(&mut found, &peer("192.0.2.1"));
    assert_eq!(found, headers(&[lines[0], lines[13]]));
}

#[test]
fn further_claims_go_under_every_spelling() {
    let lines: [(&str, &[u8]); 4] = [
        ("x-remote-user", b"admin"),
        ("x_remote_user", b"admin"),
        ("x-remote_user", b"admin"),
        ("snake_case", b"1"),
    ];
    let rules = ForwardedRules::new().with_claim("X-Remote-User");
    let mut found = headers(&lines);
    rules.apply(&mut found, &peer("192.0.2.1"));
    assert!(found.is_empty(), "{found:?}");
    let mut found = headers(&lines);
    rules
        .with_underscores(true)
        .apply(&mut found, &peer("192.0.2.1"));
    assert_eq!(found, headers(&lines[3..]));
}

/// A trusted nginx on 127.0.0.1 appends the client's address, 127.0.0.2, to whatever that wrote.
#[test]
fn nothing_that_a_client_writes_makes_it_the_proxy() {
    let rules = rules(&["127.0.0.1/32"]);
    for sent in [
        &b""[..],
        b"6.6.6.6",
        b"unknown",
        b"\"6.6.6.6\"",
        b", ,",
        b"\xff",
        b"\x80, 9.9.9.9",
        b"caf\xc3\xa9",
        b"\"",
        b"\"127.0.0.1",
        b"127.0.0.1",
    ] {
        let appended = [sent, b", 127.0.0.2"].concat();
        let found = client(&rules, &[("x-forwarded-for", &appended)], "127.0.0.1");
        assert_eq!(found, "127.0.0.2", "{}", sent.escape_ascii());
        // As a line of its own.
        let lines: [(&str, &[u8]); 2] =
            [("x-forwarded-for", sent), ("x-forwarded-for", b"127.0.0.2")];
        assert_eq!(client(&rules, &lines, "127.0.0.1"), "127.0.0.2");
        let elements = [sent, b", for=127.0.0.2"].concat();
        let found = client(&rules, &[("forwarded", &elements)], "127.0.0.1");
        assert_eq!(found, "127.0.0.2", "{}", sent.escape_ascii());
    }
}

#[test]
fn the_walk_ends_at_the_first_who_is_not_trusted() {
    let rules = rules(&["10.0.0.0/8", "::1/128"]);
    for (list, from, expected, chain) in [
        (
            &b"203.0.113.9"[..],
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
        ),
        (
            b"1.2.3.4, 203.0.113.9",
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
        ),
        (
            b"1.2.3.4, 203.0.113.9, 10.0.0.2",
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.2, 10.0.0.1",
        ),
        (
            b"\xff, 203.0.113.9",
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
        ),
        (
            b"203.0.113.9:4711",
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
        ),
        (
            b"[2001:db8::1]:443",
            "10.0.0.1",
            "2001:db8::1",
            "2001:db8::1, 10.0.0.1",
        ),
        (
            b"203.0.113.9,",
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
        ),
        (
            b"::ffff:203.0.113.9",
            "10.0.0.1",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
        ),
        (b"2001:db8::1", "::1", "2001:db8::1", "2001:db8::1, ::1"),
        // A stranger's word counts for nothing.
        (b"203.0.113.9", "192.0.2.1", "192.0.2.1", "192.0.2.1"),
        // A proxy that speaks of its client and does not name it asks for nobody that is known;
        // one that asks for itself says nothing.
        (b"", "10.0.0.1", "unknown", "unknown, 10.0.0.1"),
        (b"10.0.0.3", "10.0.0.1", "10.0.0.3", "10.0.0.3, 10.0.0.1"),
        // A trusted proxy does not know its client: that is not the proxy.
        (
            b"203.0.113.9, unknown",
            "10.0.0.1",
            "unknown",
            "unknown, 10.0.0.1",
        ),
        (
            b"unknown, 10.0.0.2",
            "10.0.0.1",
            "unknown",
            "unknown, 10.0.0.2, 10.0.0.1",
        ),
        (b"\xff", "10.0.0.1", "unknown", "unknown, 10.0.0.1"),
        (
            b"203.0.113.9, 10.0.0.2x",
            "10.0.0.1",
            "unknown",
            "unknown, 10.0.0.1",
        ),
    ] {
        let lines: [(&str, &[u8]); 2] = [
            ("x-forwarded-for", list),
            ("x-forwarded-proto", b"http, HTTPS"),
        ];
        let origin = rules.apply(&mut headers(&lines), &peer(from));
        let found = origin
            .client()
            .map_or("unknown".into(), |client| client.to_string());
        assert_eq!(found, expected, "{} from {from}", list.escape_ascii());
        assert_eq!(told(&origin)[0], format!("x-forwarded-for: {chain}"));
        assert_eq!(origin.is_tls(), from != "192.0.2.1");
        assert_eq!(origin.is_direct(), from == "192.0.2.1");
        let port = match list {
            b"203.0.113.9:4711" => Some(4711),
            b"[2001:db8::1]:443" => Some(443),
            _ if !chain.contains(',') => Some(51234),
            _ => None,
        };
        assert_eq!(origin.client_port(), port);
    }
}

/// RFC 7239: each proxy adds an element with what it knows of its own client.
#[test]
fn the_forwarded_header_is_understood() {
    let rules = rules(&["10.0.0.0/8"]);
    for (value, expected, is_tls, host) in [
        ("for=203.0.113.9", "203.0.113.9", false, None),
        (
            "for=203.0.113.9;proto=https;host=shop.example",
            "203.0.113.9",
            true,
            Some("shop.example"),
        ),
        (
            "For=\"[2001:db8::1]:4711\" ; Proto=HTTPS",
            "2001:db8::1",
            true,
            None,
        ),
        (
            "for=\"203.0.113.9:80\", for=10.0.0.2;proto=http",
            "203.0.113.9",
            false,
            None,
        ),
        (
            "for=203.0.113.9;proto=https, for=10.0.0.2;proto=http",
            "203.0.113.9",
            true,
            None,
        ),
        // Whatever stands before the first who is not trusted was written by it.
        (
            "for=1.2.3.4;proto=https;host=evil, for=203.0.113.9",
            "203.0.113.9",
            false,
            None,
        ),
        ("for=_hidden", "unknown", false, None),
        ("for=unknown;proto=https", "unknown", true, None),
        ("proto=https", "unknown", true, None),
        ("for=203.0.113.9;for=1.2.3.4", "unknown", false, None),
        ("203.0.113.9", "unknown", false, None),
        ("for=203.0.113.9;host=\"a b\"", "203.0.113.9", false, None),
        (
            "for=203.0.113.9;host=\"app.example:8443\"",
            "203.0.113.9",
            false,
            Some("app.example:8443"),
        ),
    ] {
        let lines = [("forwarded", value.as_bytes())];
        let origin = rules.apply(&mut headers(&lines), &peer("10.0.0.1"));
        let found = origin
            .client()
            .map_or("unknown".into(), |client| client.to_string());
        assert_eq!(found, expected, "{value}");
        assert_eq!(origin.is_tls(), is_tls, "{value}");
        let found = origin.host().map(|host| host.to_str().unwrap());
        assert_eq!(found, host, "{value}");
    }
}

#[test]
fn one_kind_of_header_goes_before_the_other() {
    let x: (&str, &[u8]) = ("x-forwarded-for", b"203.0.113.1");
    let proto: (&str, &[u8]) = ("x-forwarded-proto", b"https");
    let rfc: (&str, &[u8]) = ("forwarded", b"for=203.0.113.2");
    let first = rules(&["10.0.0.0/8"]);
    let second = first.clone().with_precedence(Precedence::Forwarded);
    for (lines, by_first, by_second) in [
        (&[x, rfc][..], "203.0.113.1", "203.0.113.2"),
        (&[x], "203.0.113.1", "203.0.113.1"),
        (&[rfc], "203.0.113.2", "203.0.113.2"),
        // Never one header of one kind beside one of the other.
        (&[proto, rfc], "unknown", "203.0.113.2"),
        (&[], "10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(client(&first, lines, "10.0.0.1"), by_first, "{lines:?}");
        assert_eq!(client(&second, lines, "10.0.0.1"), by_second, "{lines:?}");
    }
}

#[test]
fn hosts_ports_and_prefixes_of_trusted_proxies_are_told_anew() {
    let rules = rules(&["10.0.0.0/8"]);
    for (host, port, prefix, expected) in [
        (
            &b"www.example"[..],
            &b"8443"[..],
            &b"/shop"[..],
            &["www.example", "8443", "/shop"][..],
        ),
        (
            b"first.example, www.example",
            b"1, 2",
            b"/a, /b",
            &["www.example", "2", "/b"],
        ),
        // What is none is left out; the host is the request's then.
        (b"a b", b"70000", b"//evil.example", &["shop.example"]),
        (b"\xff", b"x", b"shop", &["shop.example"]),
        (b"", b"", b"/a\\b", &["shop.example"]),
    ] {
        let lines = [
            ("x-forwarded-for", &b"203.0.113.9"[..]),
            ("x-forwarded-host", host),
            ("x-forwarded-port", port),
            ("x-forwarded-prefix", prefix),
        ];
        let origin = rules.apply(&mut headers(&lines), &peer("10.0.0.1"));
        let names = ["host", "port", "prefix"];
        let expected: Vec<_> = names
            .iter()
            .zip(expected)
            .map(|(name, value)| format!("x-forwarded-{name}: {value}"))
            .collect();
        assert_eq!(told(&origin)[2..], expected);
    }
}

#[test]
fn a_connection_says_whether_it_is_tls_until_a_trusted_proxy_does() {
    let rules = rules(&["10.0.0.0/8"]);
    for (proto, from, on, expected) in [
        (None, "192.0.2.1", true, true),
        (Some("http"), "192.0.2.1", true, true),
        (Some("https"), "192.0.2.1", false, false),
        (None, "10.0.0.1", true, true),
        (Some("http"), "10.0.0.1", true, false),
        (Some("https"), "10.0.0.1", false, true),
        (Some("wss"), "10.0.0.1", false, false),
    ] {
        let mut lines = vec![("x-forwarded-for", &b"203.0.113.9"[..])];
        lines.extend(proto.map(|proto| ("x-forwarded-proto", proto.as_bytes())));
        let origin = rules.apply(&mut headers(&lines), &peer(from).with_tls(on));
        assert_eq!(origin.is_tls(), expected, "{proto:?} {from} {on}");
    }
}

/// What is kept for a connection must not hold what was said of one request.
#[test]
fn nothing_that_a_trusted_proxy_says_is_direct() {
    let rules = rules(&["10.0.0.0/8"]);
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "other.example"),
        ("x-forwarded-port", "4443"),
        ("x-forwarded-prefix", "/alice"),
        ("forwarded", "proto=https"),
    ] {
        let lines = [(name, value.as_bytes())];
        for (from, is_direct) in [("10.0.0.1", false), ("192.0.2.1", true)] {
            let origin = rules.apply(&mut headers(&lines), &peer(from));
            assert_eq!(origin.is_direct(), is_direct, "{name} from {from}");
        }
    }
}

#[test]
fn a_unix_socket_has_no_address_but_may_be_trusted() {
    let rules = rules(&[]);
    let lines = [("x-forwarded-for", &b"203.0.113.9"[..])];
    let origin = rules.apply(&mut headers(&lines), &Peer::without_address());
    assert_eq!((origin.client(), origin.is_direct()), (None, true));
    let trusted = Peer::without_address().with_trust(true);
    let origin = rules.apply(&mut headers(&lines), &trusted);
    assert_eq!(origin.client(), Some([203, 0, 113, 9].into()));
    assert_eq!(told(&origin)[0], "x-forwarded-for: 203.0.113.9, unknown");
}

#[cfg(feature = "client")]
#[test]
fn facts_name_the_client_and_never_the_proxy() {
    let rules = rules(&["127.0.0.1/32"]);
    let local: SocketAddr = "192.0.2.1:8443".parse().unwrap();
    let peer = peer("127.0.0.1").with_local(local).with_tls(true);
    for (list, address, port) in [
        ("203.0.113.9:4711", "203.0.113.9", Some(4711)),
        ("203.0.113.9", "203.0.113.9", None),
        // Nobody's address: no rule of a container lets it in.
        ("unknown", "0.0.0.0", None),
    ] {
        let lines = [("x-forwarded-for", list.as_bytes())];
        let origin = rules.apply(&mut headers(&lines), &peer);
        let facts = origin.facts(&peer, None);
        assert_eq!(facts.remote_addr(), address);
        assert_eq!(facts.remote_port(), port);
        assert_eq!(facts.local_addr(), Some("192.0.2.1"));
        assert_eq!(facts.is_tls(), Some(true));
    }
}

/// Facts may be kept for all requests of a connection.
#[cfg(feature = "client")]
#[test]
fn facts_keep_no_buffer_of_a_request() {
    let buffer = bytes::Bytes::from(b"host: shop.example\r\n".repeat(400));
    let host = HeaderValue::from_maybe_shared(buffer.slice(6..18)).unwrap();
    let peer = peer("192.0.2.1");
    let origin = ForwardedRules::new().apply(&mut HeaderMap::new(), &peer);
    let facts = origin.facts(&peer, Some(&host));
    drop(host);
    assert!(buffer.is_unique());
    assert!(format!("{facts:?}").contains("x-forwarded-host"));
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"0123456789.:[]%\"=;, forpt_\\/".to_vec()),
        1 => prop::sample::select(vec![b'\t', 0x20, 0x80, 0xff]),
    ];
    prop::collection::vec(byte, 0..60)
}

proptest! {
    /// Whatever a client writes, in how many lines: what the trusted proxy adds is believed.
    #[test]
    fn the_last_word_is_the_proxys(lines in prop::collection::vec(value(), 0..4), by_line in any::<bool>()) {
        let rules = rules(&["127.0.0.1/32"]);
        for (name, word) in [("x-forwarded-for", &b"203.0.113.9"[..]), ("forwarded", b"for=203.0.113.9")] {
            let mut lines = lines.clone();
            match lines.last_mut().filter(|_| !by_line) {
                Some(last) => *last = [last, &b", "[..], word].concat(),
                None => lines.push(word.to_vec()),
            }
            let all: Vec<_> = lines.iter().map(|line| (name, &line[..])).collect();
            prop_assert_eq!(client(&rules, &all, "127.0.0.1"), "203.0.113.9");
        }
    }

    /// No claim is left, and a stranger is who it is.
    #[test]
    fn strangers_are_who_they_are(value in value()) {
        let all: Vec<_> = ["x-forwarded-for", "forwarded", "x_forwarded_for", "x-real-ip"]
            .map(|name| (name, &value[..]))
            .to_vec();
        let mut found = headers(&all);
        let origin = rules(&["10.0.0.0/8"]).apply(&mut found, &peer("192.0.2.1"));
        prop_assert!(found.is_empty());
        prop_assert_eq!(origin.client(), Some([192, 0, 2, 1].into()));
    }
}

/// Header lines by name and value.
type Lines<'a> = &'a [(&'static str, &'a [u8])];

#[test]
fn the_certificate_of_a_client_is_taken_from_trusted_proxies_alone() {
    let certificate = b"MIICzDCCAbSgAwIB";
    let pem = "-----BEGIN CERTIFICATE-----\nMIICzDCCAbSgAwIB\n-----END CERTIFICATE-----\n";
    let rules = rules(&["10.0.0.1/32"]).with_client_certificate_header("X-SSL-Client-Cert");
    let (name, tls) = ("x-ssl-client-cert", ("x-forwarded-proto", &b"https"[..]));
    let cases: [(&str, Lines<'_>, Option<&str>); 7] = [
        ("10.0.0.1", &[tls, (name, certificate)], Some(pem)),
        (
            "10.0.0.1",
            &[("forwarded", b"proto=https"), (name, certificate)],
            Some(pem),
        ),
        // Not of a client that speaks no TLS: its proxy may pass on what it wrote itself.
        ("10.0.0.1", &[(name, certificate)], None),
        (
            "10.0.0.1",
            &[("x-forwarded-proto", b"http"), (name, certificate)],
            None,
        ),
        (
            "10.0.0.1",
            &[tls, (name, certificate), (name, certificate)],
            None,
        ),
        ("10.0.0.1", &[tls, (name, b"(null)")], None),
        ("192.0.2.1", &[tls, (name, certificate)], None),
    ];
    for (from, lines, expected) in cases {
        let mut found = headers(lines);
        let origin = rules.apply(&mut found, &peer(from));
        assert_eq!(origin.client_certificate(), expected, "{from} {lines:?}");
        assert!(found.is_empty(), "{found:?}");
    }
    // The peer's own connection may be the one of TLS.
    let mut found = headers(&[(name, certificate), ("x_ssl_client_cert", b"x")]);
    let origin = rules.apply(&mut found, &peer("10.0.0.1").with_tls(true));
    assert_eq!(origin.client_certificate(), Some(pem));
    assert!(found.is_empty() && !origin.is_direct());
    // Without the option it is a header as any other.
    let mut found = headers(&[tls, (name, certificate)]);
    self::rules(&["10.0.0.1/32"]).apply(&mut found, &peer("10.0.0.1"));
    assert_eq!(found.len(), 1);
}

/// What an application would take for the word of its proxy is not a client's; a proxy in front
/// that signs users in may add it.
#[test]
fn identities_are_those_of_trusted_proxies() {
    let lines: [(&str, &[u8]); 4] = [
        ("remote-user", b"root"),
        ("client-cert", b":MIIB:"),
        ("proxy-client-ip", b"127.0.0.1"),
        ("x-auth-request-email", b"a@b"),
    ];
    let rules = rules(&["10.0.0.1/32"]);
    for (from, left) in [("10.0.0.1", 4), ("192.0.2.1", 0)] {
        let mut found = headers(&lines);
        rules.apply(&mut found, &peer(from));
        assert_eq!(found.len(), left, "{from}");
    }
}
