//! The same HTTP requests through httpd with `mod_proxy_ajp` and through `ajp gateway`: what each
//! sends to its container is recorded and compared. Every difference has a class, and the file
//! `forward_differences.txt` says why it is one; none that is not in there may appear.
//!
//! `DIFFERENTIAL=100000` sends so many requests from a seed of their own (`DIFFERENTIAL_SEED`, or
//! the time) instead of the same 300.

use crate::recorder::{Facts, Recorder};
use crate::support::gateway::Gateway;
use crate::support::httpd::Httpd;
use crate::support::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request, and what is odd about it.
struct Sent {
    oddity: &'static str,
    bytes: Vec<u8>,
}

/// What became of it: the status of the answer, and what the container got.
struct Outcome {
    status: u16,
    facts: Option<Facts>,
}

const METHODS: [&str; 12] = [
    "GET", "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PROPFIND", "REPORT", "PATCH",
    "SEARCH",
];
const SEGMENTS: [&str; 14] = [
    "a",
    "b.jsp",
    "c;v=1",
    "%41",
    "%7e",
    "~",
    "x%20y",
    "%c3%a4",
    "a:b@c",
    "d+e",
    "$&'()*,=!",
    "%25",
    "-_.",
    "(1)",
];
const QUERIES: [&str; 12] = [
    "", "a=b", "a=b&c=d", "a=%20+", "?", "%zz", "a=/x?y", "[1]", "{a}", "a='\"'", "a|b^c`d",
    "%C3%A4",
];
const HEADERS: [&str; 20] = [
    "Accept: */*",
    "Accept-Charset: utf-8",
    "Accept-Encoding: gzip, deflate",
    "Accept-Language: de",
    "Authorization: Basic YTpi",
    "Cookie: a=b",
    "Cookie: c=d; e=\"f g\"",
    "Pragma: no-cache",
    "Referer: http://elsewhere.example/",
    "User-Agent: differential/1",
    "X-Empty:",
    "X-Spaces:   a  b   ",
    "X-Tab: a\tb",
    "X-Twice: 1",
    "X-Twice: 2",
    "x-lower: \u{e4}",
    "Content-Type: text/plain",
    "Range: bytes=0-1",
    "If-None-Match: \"x\"",
    "Via: 1.1 elsewhere",
];

/// What is odd, and the header lines for it. A `=` before it replaces `Host`.
const ODD_HEADERS: [(&str, &str); 25] = [
    (
        "connection names a header",
        "Connection: close, X-Named\r\nX-Named: 1",
    ),
    (
        "connection names a cookie",
        "Connection: close, Cookie\r\nCookie: a=b",
    ),
    ("te", "TE: trailers"),
    ("te gzip", "TE: gzip"),
    ("trailer", "Trailer: X-T"),
    ("upgrade", "Connection: Upgrade, close\r\nUpgrade: h2c"),
    ("keep-alive", "Keep-Alive: timeout=5"),
    ("proxy-connection", "Proxy-Connection: keep-alive"),
    ("proxy-authorization", "Proxy-Authorization: Basic YTpi"),
    ("proxy", "Proxy: evil"),
    ("expect", "Expect: 100-continue"),
    ("max-forwards", "Max-Forwards: 5"),
    ("x-forwarded-for", "X-Forwarded-For: 1.2.3.4"),
    ("forwarded", "Forwarded: for=1.2.3.4"),
    ("underscore", "X_Under: 1"),
    ("secret by header", "AJP_SECRET: 1"),
    ("two hosts", "Host: other.example"),
    ("no host", "="),
    ("host with port", "=Host: farm.example:8080"),
    ("host of an address", "=Host: [2001:db8::1]:81"),
    ("host with a bad byte", "=Host: farm<example"),
    ("space before the colon", "X-Space : 1"),
    ("folded header", "X-Fold: a\r\n b"),
    ("no name", ": 1"),
    ("control byte", "X-Control: a\u{1}b"),
];

/// What is odd, and the target.
const ODD_TARGETS: [(&str, &str); 16] = [
    ("dot segments", "/app/a/../b"),
    ("dots in escapes", "/app/a/%2e%2e/b"),
    ("one dot", "/app/./a"),
    ("two slashes", "/app//a"),
    ("an escaped slash", "/app/a%2fb"),
    ("an escaped backslash", "/app/a%5cb"),
    ("a backslash", "/app/a\\b"),
    ("an escaped nul", "/app/a%00b"),
    ("half an escape", "/app/a%4"),
    ("no escape", "/app/a%zz"),
    ("brackets", "/app/[a]{b}|^`"),
    ("quotes", "/app/\"a\"<b>"),
    ("bytes above ascii", "/app/\u{e4}"),
    ("absolute form", "http://farm.example/app/a?b"),
    (
        "absolute form with another host",
        "http://other.example/app/a?b",
    ),
    ("fragment", "/app/a#b"),
];

/// What is odd, and the headers and the bytes of the body.
const ODD_BODIES: [(&str, &str); 12] = [
    (
        "chunked",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "chunked with extension",
        "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "chunked with trailer",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    ),
    (
        "chunked, nothing in it",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in capitals",
        "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "length and chunked",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "gzip, chunked",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths alike",
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ),
    (
        "two lengths",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    ),
    ("length with a sign", "Content-Length: +3\r\n\r\nabc"),
    ("length 0", "Content-Length: 0\r\n\r\n"),
    (
        "bad chunk",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    ),
];

fn pick<'a, T>(random: &mut Random, list: &'a [T]) -> &'a T {
    &list[random.below(list.len())]
}

/// Latin-1, so that bytes above ASCII are one byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

/// A valid request, or one that is odd in one way.
fn request(random: &mut Random) -> Sent {
    let mut oddity = "plain";
    let mut method = (*pick(random, &METHODS)).to_owned();
    let mut version = "HTTP/1.1";
    let mut target = "/app".to_owned();
    for _ in 0..random.below(4) {
        target = format!("{target}/{}", pick(random, &SEGMENTS));
    }
    if random.one_in(2) {
        target = format!("{target}?{}", pick(random, &QUERIES));
    }
    let mut host = "Host: farm.example\r\n".to_owned();
    let mut lines = String::new();
    for _ in 0..random.below(6) {
        lines.push_str(pick::<&str>(random, &HEADERS));
        lines.push_str("\r\n");
    }
    let has_body = matches!(
        &*method,
        "POST" | "PUT" | "PATCH" | "REPORT" | "SEARCH" | "PROPFIND"
    );
    let mut body = "\r\n".to_owned();
    if has_body {
        let content = "x".repeat(random.below(200));
        body = format!("Content-Length: {}\r\n\r\n{content}", content.len());
    }
    match random.below(8) {
        0 | 1 => {
            let (name, line) = pick(random, &ODD_HEADERS);
            oddity = name;
            match line.strip_prefix('=') {
                Some("") => host.clear(),
                Some(line) => host = format!("{line}\r\n"),
                None => lines.extend([line, "\r\n"]),
            }
        }
        2 => {
            let (name, odd) = pick(random, &ODD_TARGETS);
            (oddity, target) = (name, (*odd).to_owned());
        }
        3 => {
            let (name, odd) = pick(random, &ODD_BODIES);
            (oddity, method, body) = (name, "POST".to_owned(), (*odd).to_owned());
        }
        4 => {
            let odd = [
                ("HTTP/1.0", "GET", "HTTP/1.0"),
                ("HTTP/1.2", "GET", "HTTP/1.2"),
                ("HTTP/2.0", "GET", "HTTP/2.0"),
                ("method in small letters", "get", "HTTP/1.1"),
                ("unknown method", "X-METHOD", "HTTP/1.1"),
                ("bad method", "G<T", "HTTP/1.1"),
            ];
            let (name, other, other_version) = *pick(random, &odd);
            (oddity, method, version) = (name, other.to_owned(), other_version);
            "\r\n".clone_into(&mut body);
        }
        _ => {}
    }
    let text = format!("{method} {target} {version}\r\n{host}{lines}Connection: close\r\n{body}");
    Sent {
        oddity,
        bytes: latin1(&text),
    }
}

/// Sends it alone on a connection of its own.
async fn send(front: SocketAddr, recorder: &Recorder, request: &[u8]) -> Outcome {
    recorder.take();
    let mut stream = TcpStream::connect(front).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // What was sent in vain may reset the connection behind the answer.
    let read = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    let shown = String::from_utf8_lossy(request).into_owned();
    let _ = read.unwrap_or_else(|_| panic!("no end of the answer to {shown:?}"));
    let text = String::from_utf8_lossy(&answer);
    let mut statuses = text
        .split("HTTP/1.")
        .filter_map(|part| part.get(2..5)?.parse::<u16>().ok());
    let status = statuses.find(|status| *status >= 200).unwrap_or(0);
    let mut facts = recorder.take();
    assert!(facts.len() < 2, "{shown:?} was sent more than once");
    Outcome {
        status,
        facts: facts.pop(),
    }
}

/// The classes of what differs, with an example of each.
fn differences(httpd: &Outcome, gateway: &Outcome) -> Vec<(String, String)> {
    let mut out = Vec::new();
    match (&httpd.facts, &gateway.facts) {
        (None, None) => {
            // Which status says no is for each to choose, as long as it says no.
            assert!(httpd.status != 200 && gateway.status != 200);
        }
        (Some(_), None) => out.push((
            format!("the gateway answers {}", gateway.status),
            String::new(),
        )),
        (None, Some(_)) => out.push((format!("httpd answers {}", httpd.status), String::new())),
        (Some(theirs), Some(ours)) => {
            let keys: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
            for key in keys {
                let example = |a: Option<&String>, b: Option<&String>| format!("{a:?} and {b:?}");
                let (a, b) = (theirs.get(key), ours.get(key));
                let class = match (a, b) {
                    (Some(a), Some(b)) if a == b => continue,
                    (Some(a), Some(b)) => changed(key, a, b),
                    (Some(_), None) => format!("{key} by httpd alone"),
                    (None, _) => format!("{key} by the gateway alone"),
                };
                out.push((class, example(a, b)));
            }
        }
    }
    out
}

/// How a fact differs that both tell.
fn changed(key: &str, httpd: &str, gateway: &str) -> String {
    let between = if key == "header cookie" { "; " } else { ", " };
    if httpd.replace(" | ", between) == gateway.replace(" | ", between) {
        return "repeated headers are one at one of them".into();
    }
    if key == "header cookie" && httpd.replace(", ", between) == gateway {
        return "cookies are one header, joined otherwise".into();
    }
    if matches!(key, "uri" | "attribute query_string") && decoded(httpd) == decoded(gateway) {
        return format!("{key} in other escapes");
    }
    format!("{key} differs")
}

/// Without percent-encoding, and without that of what is shown here.
fn decoded(text: &str) -> String {
    let mut out = text
        .replace("\\x", "%")
        .replace("\\\\", "%5c")
        .replace('\\', "");
    for byte in 0x20..=0xff {
        for escape in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
            out = out.replace(&escape, &char::from(byte).to_string());
        }
    }
    out
}

/// The classes of the file, each a line `oddity: class`. Indented lines below are their reason.
fn known() -> BTreeSet<&'static str> {
    let mut out = BTreeSet::new();
    let mut has_reason = true;
    for line in include_str!("forward_differences.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            assert!(has_reason, "no reason before {line:?}");
        } else if line.starts_with("    ") {
            has_reason = true;
        } else {
            assert!(out.insert(line), "twice: {line}");
            has_reason = false;
        }
    }
    assert!(has_reason, "no reason at the end");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_requests_by_mod_proxy_ajp_and_by_the_gateway() {
    let recorders = [Recorder::start().await, Recorder::start().await];
    let httpd = Httpd::builder()
        .proxy_ajp("/app", recorders[0].addr(), "secret=s3cr3t")
        .start()
        .await;
    let config = format!(
        "[[balancer]]\nname = \"b\"\nsecret_file = \"secret\"\n[[balancer.member]]\n\
         url = \"ajp://{}\"\n[[map]]\npath = \"/app\"\nto = \"balancer://b/app\"\n",
        recorders[1].addr()
    );
    let gateway = Gateway::start_with(&[("secret", "s3cr3t")], &config).await;

    let other = std::env::var("DIFFERENTIAL").ok();
    let count = other.as_ref().map_or(300, |count| count.parse().unwrap());
    let seed = match std::env::var("DIFFERENTIAL_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) if other.is_some() => {
            u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
        }
        Err(_) => 0x4142,
    };
    println!("DIFFERENTIAL={count} DIFFERENTIAL_SEED={seed}");
    let known = known();
    let mut random = Random::new(seed);
    let mut found: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let (mut both, mut neither) = (0, 0);
    for _ in 0..count {
        let sent = request(&mut random);
        let theirs = send(httpd.http_addr(), &recorders[0], &sent.bytes).await;
        let ours = send(gateway.http, &recorders[1], &sent.bytes).await;
        both += u32::from(theirs.facts.is_some() && ours.facts.is_some());
        neither += u32::from(theirs.facts.is_none() && ours.facts.is_none());
        for (class, example) in differences(&theirs, &ours) {
            // What all requests have is listed once.
            let always = format!("every request: {class}");
            let class = if known.contains(&*always) {
                always
            } else {
                format!("{}: {class}", sent.oddity)
            };
            let request = String::from_utf8_lossy(&sent.bytes).into_owned();
            let entry = found
                .entry(class)
                .or_insert_with(|| (0, format!("{example} of {request:?}")));
            entry.0 += 1;
        }
    }
    for (class, (times, _)) in &found {
        println!("{times:>7} {class}");
    }
    println!("{count} requests: {both} passed on by both, {neither} by neither");
    let new: Vec<_> = found
        .iter()
        .filter(|(class, _)| !known.contains(class.as_str()))
        .map(|(class, (times, example))| format!("{class} ({times} times): {example}"))
        .collect();
    assert!(
        new.is_empty(),
        "{} new classes\n{}",
        new.len(),
        new.join("\n")
    );
    assert!(both > count / 2, "{both} of {count}");
    assert!(neither > 0);
    if count >= 20_000 {
        let gone: Vec<_> = known
            .iter()
            .filter(|class| !found.contains_key(**class))
            .collect();
        assert!(gone.is_empty(), "no longer seen: {gone:?}");
    }
}
