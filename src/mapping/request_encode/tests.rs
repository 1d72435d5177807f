use super::*;
use crate::wire::{Direction, Field, ForwardRequest, split_packet};
use http::Request;
use http::header::{HeaderName, HeaderValue};

fn encode(request: Request<()>, facts: &RequestFacts, framing: BodyFraming) -> ForwardRequest {
    let (parts, ()) = request.into_parts();
    let mut buffer = BytesMut::new();
    let secret = Secret::new("s3cr3t").unwrap();
    let size = PacketSize::DEFAULT;
    write_forward_request(&mut buffer, size, &parts, facts, framing, Some(&secret)).unwrap();
    ForwardRequest::parse(
        split_packet(&mut buffer, Direction::ToContainer, size)
            .unwrap()
            .unwrap(),
    )
    .unwrap()
}

fn header<'a>(request: &'a ForwardRequest, name: &str) -> Vec<&'a [u8]> {
    request
        .headers()
        .filter(|header| header.name == name.as_bytes())
        .map(|header| header.value)
        .collect()
}

#[test]
fn headers_of_the_web_server_come_behind_those_of_the_request() {
    let request = Request::get("/a")
        .header("host", "app.example")
        .header("connection", "x-forwarded-proto, x-mine")
        .header("x-mine", "1")
        .body(())
        .unwrap();
    let mut facts = RequestFacts::own_request();
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("accept", "*/*"),
        ("host", "evil.example"),
        ("content-length", "9"),
        ("te", "trailers"),
    ] {
        facts = facts.with_header(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let request = encode(request, &facts, BodyFraming::Length(5));
    let seen: Vec<_> = request
        .headers()
        .map(|header| [header.name, header.value].map(String::from_utf8_lossy))
        .collect();
    assert_eq!(
        seen,
        [
            ["host", "app.example"],
            ["x-forwarded-proto", "https"],
            ["accept", "*/*"],
            ["content-length", "5"]
        ]
    );
    assert_eq!(request.server_name(), Some(&b"app.example"[..]));
}

#[test]
fn hop_by_hop_headers_stay_behind() {
    let request = Request::get("/a")
        .header("host", "app.example:8080")
        .header("connection", "keep-alive, X-Private")
        .header("x-private", "1")
        .header("te", "trailers")
        .header("expect", "100-continue")
        .header("content-length", "7")
        .header("x-kept", "1")
        .header("x-kept", "2")
        .body(())
        .unwrap();
    let request = encode(
        request,
        &RequestFacts::own_request(),
        BodyFraming::Length(5),
    );
    let names: Vec<_> = request
        .headers()
        .map(|header| String::from_utf8_lossy(header.name).into_owned())
        .collect();
    assert_eq!(names, ["host", "x-kept", "x-kept", "content-length"]);
    assert_eq!(header(&request, "x-kept"), [b"1", b"2"]);
    assert_eq!(request.framing(), BodyFraming::Length(5));
    assert_eq!(request.server_name(), Some(&b"app.example"[..]));
    assert_eq!(request.server_port(), 8080);
    assert!(matches!(
        request.attributes().next(),
        Some(Attribute::Coded {
            code: AttributeCode::Secret,
            value: Some(b"s3cr3t")
        })
    ));
}

/// A client cannot take away what HTTP defines for the recipient (RFC 9110 section 7.6.1).
#[test]
fn connection_takes_no_header_away_that_is_meant_for_the_recipient() {
    let kept = [
        ("host", "app.example"),
        ("cookie", "JSESSIONID=1.jvm1"),
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("authorization", "Basic YTpi"),
        ("cache-control", "no-cache"),
    ];
    let request = kept
        .iter()
        .fold(Request::post("/a"), |request, (name, value)| {
            request.header(*name, *value)
        })
        .header("x-private", "1")
        .header(
            "connection",
            "Host, cookie, content-type, Content-Encoding, authorization, content-length, cache-control, \
             transfer-encoding, X-Private",
        )
        .body(())
        .unwrap();
    let request = encode(
        request,
        &RequestFacts::own_request(),
        BodyFraming::Length(5),
    );
    for (name, value) in kept {
        assert_eq!(header(&request, name), [value.as_bytes()], "{name}");
    }
    assert!(header(&request, "x-private").is_empty());
    assert_eq!(request.framing(), BodyFraming::Length(5));
    assert_eq!(request.server_name(), Some(&b"app.example"[..]));
}

/// HTTP/2 may send the cookies in parts; outside of it they MUST be one header.
#[test]
fn cookies_of_several_headers_are_one() {
    for (version, connection) in [
        (Version::HTTP_2, None),
        (Version::HTTP_11, None),
        (Version::HTTP_11, Some("x-private")),
    ] {
        let mut request = Request::get("/a")
            .version(version)
            .header("accept", "*/*")
            .header("cookie", "a=1")
            .header("x-kept", "1")
            .header("cookie", "JSESSIONID=2.jvm1");
        if let Some(connection) = connection {
            request = request.header("connection", connection);
        }
        let request = request.header("cookie", "b=3").body(()).unwrap();
        let request = encode(request, &RequestFacts::own_request(), BodyFraming::Absent);
        assert_eq!(header(&request, "cookie"), [b"a=1; JSESSIONID=2.jvm1; b=3"]);
        assert_eq!(header(&request, "accept"), [b"*/*"]);
        assert_eq!(header(&request, "x-kept"), [b"1"]);
        assert_eq!(request.headers().len(), 4, "with the length");
    }
}

/// A client can write `https` into plaintext HTTP: the connection says what it is.
#[test]
fn facts_say_whether_it_is_tls_and_not_the_uri() {
    let client = RequestFacts::new([192, 0, 2, 10].into());
    let own = RequestFacts::own_request();
    for (facts, http, https) in [
        (&client, false, false),
        (&client.clone().with_tls(true), true, true),
        (&own, false, true),
        (&own.clone().with_tls(false), false, false),
        (&own.clone().with_tls(true), true, true),
    ] {
        for (uri, expected) in [
            ("http://app.example/", http),
            ("https://app.example/", https),
            ("/", http),
        ] {
            let request = Request::get(uri).version(Version::HTTP_2).body(()).unwrap();
            let request = encode(request, facts, BodyFraming::Absent);
            assert_eq!(request.is_ssl(), expected, "{uri} {facts:?}");
            let port = if expected { 443 } else { 80 };
            assert_eq!(request.server_port(), port);
        }
    }
}

/// As it does in a target without other bytes.
#[test]
fn what_is_ascii_stays_beside_what_is_not() {
    let request = Request::get("/{a}\u{e9}?{b}\u{e9}").body(()).unwrap();
    let request = encode(request, &RequestFacts::own_request(), BodyFraming::Absent);
    assert_eq!(request.req_uri(), b"/{a}%C3%A9");
    assert_eq!(request.query_string(), Some(&b"{b}%C3%A9"[..]));
}

#[test]
fn absolute_uris_become_origin_form_and_give_the_host() {
    let request = Request::get("https://user@app.example/p%20q?x=\u{e9}")
        .body(())
        .unwrap();
    let request = encode(request, &RequestFacts::own_request(), BodyFraming::Absent);
    assert_eq!(request.req_uri(), b"/p%20q");
    assert_eq!(request.query_string(), Some(&b"x=%C3%A9"[..]));
    assert_eq!(header(&request, "host"), [b"app.example"]);
    assert_eq!((request.server_port(), request.is_ssl()), (443, true));
    assert_eq!(request.framing(), BodyFraming::Length(0));
    // The authority of the target counts, not what the header says (RFC 9112 section 3.2.2).
    for (connection, host) in [
        ("close", "other.example"),
        ("x-private", ""),
        ("host", "app.example:8080"),
    ] {
        let request = Request::get("http://app.example:8080/")
            .header("host", host)
            .header("host", "third.example")
            .header("connection", connection)
            .header("x-kept", "1")
            .body(())
            .unwrap();
        let request = encode(request, &RequestFacts::own_request(), BodyFraming::Absent);
        assert_eq!(header(&request, "host"), [b"app.example:8080"]);
        assert_eq!(request.server_name(), Some(&b"app.example"[..]));
        assert_eq!(request.server_port(), 8080);
        assert_eq!(header(&request, "x-kept"), [b"1"]);
    }
    let star = Request::options("*").body(()).unwrap();
    assert_eq!(
        encode(star, &RequestFacts::own_request(), BodyFraming::Absent).req_uri(),
        b"*"
    );
}

#[test]
fn facts_become_attributes() {
    let tls = super::super::TlsFacts::new()
        .with_certificate_pem("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
        .with_cipher("TLS_AES_128_GCM_SHA256", 128)
        .with_session_id("0a0b")
        .with_protocol("TLSv1.3");
    let facts = RequestFacts::from_connection(
        "[::1]:51234".parse().unwrap(),
        ([192, 0, 2, 1], 8443).into(),
    )
    .with_user("bob", "Basic")
    .with_route("n1")
    .with_activation("ACT")
    .with_attribute("SHIB", "x")
    .with_remote_host("client.example")
    .with_secret(Secret::new("another").unwrap())
    .with_tls_facts(tls);
    let request = encode(
        Request::patch("/").body(()).unwrap(),
        &facts,
        BodyFraming::Chunked,
    );
    assert_eq!(request.method(), b"PATCH");
    assert_eq!(request.remote_addr(), Some(&b"::1"[..]));
    assert_eq!(request.remote_host(), Some(&b"client.example"[..]));
    let secret = request.attribute(AttributeCode::Secret);
    assert_eq!(secret, Some(&b"another"[..]));
    assert_eq!(
        request.attribute(AttributeCode::RemoteUser),
        Some(&b"bob"[..])
    );
    assert_eq!(request.attribute(AttributeCode::Route), Some(&b"n1"[..]));
    assert_eq!(request.ssl_key_size(), Some(128));
    assert_eq!(
        request.req_attribute(b"AJP_REMOTE_PORT"),
        Some(&b"51234"[..])
    );
    assert_eq!(
        request.req_attribute(b"AJP_SSL_PROTOCOL"),
        Some(&b"TLSv1.3"[..])
    );
    assert_eq!(
        request.req_attribute(b"JK_LB_ACTIVATION"),
        Some(&b"ACT"[..])
    );
    assert_eq!(request.req_attribute(b"SHIB"), Some(&b"x"[..]));
    assert_eq!(request.framing(), BodyFraming::Chunked);
}

#[test]
fn a_length_that_no_container_can_count_is_refused() {
    let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
    let facts = RequestFacts::own_request();
    for (length, ok) in [(i64::MAX as u64, true), (i64::MAX as u64 + 1, false)] {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let framing = BodyFraming::Length(length);
        let size = PacketSize::DEFAULT;
        let written = write_forward_request(&mut buffer, size, &parts, &facts, framing, None);
        if ok {
            assert_eq!(written, Ok(framing));
        } else {
            assert_eq!(written.unwrap_err().field(), Field::ContentLength);
            assert_eq!(buffer, b"before"[..]);
        }
    }
}
