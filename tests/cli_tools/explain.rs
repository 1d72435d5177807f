//! Each verdict of `ajp explain`, produced by a container that deserves it.

use crate::cli::{Container, Hostile, ajp, file, hostile::nobody};
use ajp::server::{ServerConfig, ServerTimeouts, Trust};
use ajp::wire::{CPING, CPONG, END_RESPONSE_CLOSE};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// What `explain` makes of a peer.
#[track_caller]
fn explained(arguments: &[&str], code: i32, parts: &[&str]) {
    let all = [&["explain", "--timeout", "600ms"], arguments].concat();
    let ended = ajp(&all);
    assert_eq!(ended.code, code, "{ended:?}");
    for part in parts {
        assert!(ended.text().contains(part), "{part}\n{}", ended.text());
    }
}

const OK: &[u8] = b"\x41\x42\0\x0a\x04\0\xc8\0\x02OK\0\0\0\x41\x42\0\x02\x05\x01";

/// Answers each packet by its payload; `None` closes, and so does what says that it does.
fn scripted(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Hostile {
    Hostile::new(move |stream| {
        loop {
            let mut start = [0; 4];
            if stream.read_exact(&mut start).is_err() {
                return;
            }
            let mut payload = vec![0; usize::from(u16::from_be_bytes([start[2], start[3]]))];
            if stream.read_exact(&mut payload).is_err() {
                return;
            }
            let Some(answer) = answer(&payload) else {
                return;
            };
            let _ = stream.write_all(&answer);
            if answer.ends_with(&END_RESPONSE_CLOSE) {
                return;
            }
        }
    })
}

/// CPing is answered, and a request by its payload.
fn requests(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Hostile {
    scripted(move |payload| match payload {
        [10] => Some(CPONG.to_vec()),
        request => answer(request),
    })
}

/// An answer without headers and data.
fn status(status: u16, keeps: bool) -> Vec<u8> {
    let [high, low] = status.to_be_bytes();
    let head = [0x41, 0x42, 0, 8, 4, high, low, 0, 0, 0, 0, 0];
    let end = [0x41, 0x42, 0, 2, 5, u8::from(keeps)];
    [&head[..], &end].concat()
}

fn holds(payload: &[u8], text: &str) -> bool {
    let mut parts = payload.windows(text.len());
    parts.any(|part| part == text.as_bytes())
}

/// A peer, by what it must be told; it is kept until the end.
struct Case {
    /// The function or the remark of `verdict.rs`.
    verdict: &'static str,
    _peer: Option<Hostile>,
    url: String,
    arguments: Vec<String>,
    code: i32,
    parts: Vec<&'static str>,
}

fn case(
    verdict: &'static str,
    peer: Hostile,
    arguments: &[&str],
    code: i32,
    parts: &[&'static str],
) -> Case {
    Case {
        verdict,
        url: peer.url(),
        _peer: Some(peer),
        arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        code,
        parts: parts.to_vec(),
    }
}

fn at(
    verdict: &'static str,
    url: &str,
    arguments: &[&str],
    code: i32,
    parts: &[&'static str],
) -> Case {
    Case {
        verdict,
        _peer: None,
        url: url.to_owned(),
        arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        code,
        parts: parts.to_vec(),
    }
}

/// A secret that is wrong or missing.
#[allow(clippy::unnecessary_wraps, reason = "what a script is")]
fn guarded(request: &[u8]) -> Option<Vec<u8>> {
    let is_right = holds(request, "right-one");
    Some(if is_right {
        OK.to_vec()
    } else {
        status(403, false)
    })
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases(secret: &str, wrong: &str, open: &str, idle: &str) -> Vec<Case> {
    let head = |bytes: usize| format!("X-Long: {}", "x".repeat(bytes));
    let long = head(9_000);
    let (one, two) = (head(32_000), format!("X-Longer: {}", "y".repeat(40_000)));
    let alive = open
        .trim_start_matches("ajp://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let refuses = |names: &'static [&'static str]| {
        requests(move |request| {
            let refused = names.iter().any(|name| holds(request, name));
            Some(if refused {
                status(403, false)
            } else {
                OK.to_vec()
            })
        })
    };
    let both = ["--attr", "ONE=1", "--attr", "TWO=2"];
    // Takes so many bytes, and closes on more.
    let takes =
        |most: usize| requests(move |request| (request.len() + 4 <= most).then(|| OK.to_vec()));
    let late = scripted(|payload| {
        std::thread::sleep(Duration::from_millis(900));
        Some(if payload == [10] {
            CPONG.to_vec()
        } else {
            OK.to_vec()
        })
    });
    let coldfusion = scripted(|payload| {
        Some(match payload {
            [10] => CPONG.to_vec(),
            _ => b"\x41\x42\0\x02\x0f\0".to_vec(),
        })
    });
    let proxied = Hostile::new(|stream| {
        let mut piece = [0; 8192];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            if piece[..n].starts_with(b"PROXY UNKNOWN\r\n") {
                let _ = stream.write_all(&CPONG);
            }
        }
    });
    let in_large_packets = requests(|_| {
        let data = vec![b'l'; 10_000];
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let packet = u16::try_from(data.len() + 4).unwrap().to_be_bytes();
        let chunk = [&[0x41, 0x42], &packet[..], &[3], &length, &data, &[0]].concat();
        let answer = status(200, true);
        let (head, end) = answer.split_at(answer.len() - 6);
        Some([head, &chunk, end].concat())
    });
    vec![
        at(
            "no_connection",
            &nobody(),
            &[],
            3,
            &["nobody listens at", "start the container"],
        ),
        at(
            "no_connection",
            "unix:/nonexistent/ajp.sock|ajp://a/",
            &[],
            3,
            &["=> no connection", "No such file"],
        ),
        case(
            "starved",
            late,
            &[],
            4,
            &["=> the container is short of threads", "maxThreads"],
        ),
        at(
            "some_addresses",
            open,
            &["--resolve", &alive, "--resolve", "127.0.0.1:1"],
            0,
            &["127.0.0.1:1 does not answer", "AJP works"],
        ),
        at(
            "closes_first",
            idle,
            &["--keep-alive", "3s"],
            1,
            &[
                "=> the container closes idle connections before",
                "keepAliveTimeout",
            ],
        ),
        case(
            "proxy_protocol",
            proxied,
            &[],
            5,
            &["=> the port expects the PROXY protocol"],
        ),
        case(
            "coldfusion",
            coldfusion,
            &[],
            5,
            &["=> the container speaks ColdFusion's dialect"],
        ),
        case(
            "other_protocol",
            Hostile::saying(&[0x15, 3, 3, 0, 2, 2, 40]),
            &[],
            5,
            &["=> the port speaks TLS, not AJP"],
        ),
        case(
            "other_protocol",
            Hostile::saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            &[],
            5,
            &[
                "=> the port speaks HTTP, not AJP",
                "<Connector protocol=\"AJP/1.3\"",
            ],
        ),
        case(
            "other_protocol",
            Hostile::saying(b"\x01\x02\x03\x04\x05\x06\x07\x08"),
            &[],
            5,
            &["=> the port does not speak AJP"],
        ),
        case(
            "no_answer",
            Hostile::pinging(),
            &[],
            4,
            &[
                "=> the connector answers, the application does not",
                "thread dump",
            ],
        ),
        case(
            "no_answer",
            requests(|_| None),
            &[],
            6,
            &[
                "=> the connector answers CPing, and breaks off the request",
                "--secret-file",
            ],
        ),
        case(
            "nothing",
            Hostile::closing(),
            &[],
            6,
            &["=> the port accepts connections and closes them"],
        ),
        case(
            "nothing",
            Hostile::silent(),
            &[],
            4,
            &["=> the peer is silent"],
        ),
        case(
            "secret",
            requests(guarded),
            &["--no-secret"],
            7,
            &[
                "=> the container demands a secret, and none was sent",
                "--secret-file",
            ],
        ),
        case(
            "secret",
            requests(guarded),
            &["--secret-file", wrong],
            7,
            &["=> the container refuses the secret that was sent"],
        ),
        case(
            "secret",
            requests(guarded),
            &["--secret-file", wrong, "--attr", "ONE=1"],
            7,
            &["it is refused without its attributes too"],
        ),
        case(
            "attributes",
            refuses(&["ONE"]),
            &both,
            8,
            &[
                "=> the container refuses the request attribute ONE",
                "allowedRequestAttributesPattern",
            ],
        ),
        case(
            "attributes",
            refuses(&["ONE", "TWO"]),
            &both,
            8,
            &["=> the container refuses the request attributes ONE, TWO"],
        ),
        case(
            "attributes",
            requests(|request| {
                let both_are_there = holds(request, "ONE") && holds(request, "TWO");
                Some(if both_are_there {
                    status(403, false)
                } else {
                    OK.to_vec()
                })
            }),
            &both,
            8,
            &["=> the container refuses the request attributes, but only together"],
        ),
        case(
            "application",
            requests(|_| Some(status(403, true))),
            &[],
            22,
            &["=> the application answers 403", "RemoteAddrValve"],
        ),
        case(
            "head_too_large",
            requests(|_| Some(OK.to_vec())),
            &["-H", &one, "-H", &two],
            9,
            &[
                "=> the request does not fit any packet",
                "fewer or smaller headers",
            ],
        ),
        case(
            "head_too_long",
            requests(|_| Some(OK.to_vec())),
            &["-H", &long],
            9,
            &[
                "=> the head of this request has",
                "the packet size is 8192",
                "raise the packet size to",
            ],
        ),
        case(
            "answer_too_long",
            in_large_packets,
            &[],
            9,
            &["=> the container sends packets of 10008 bytes, the packet size is 8192"],
        ),
        case(
            "size",
            takes(20_000),
            &["--packet-size", "65536"],
            9,
            &["=> the container takes packets of 19456 bytes, not of 65536"],
        ),
        case(
            "size",
            takes(8_000),
            &[],
            9,
            &["=> the container does not take a head of 8192 bytes"],
        ),
        case(
            "fine",
            requests(|_| Some(status(404, true))),
            &[],
            0,
            &[
                "=> AJP works; the application answers 404",
                "not known to the container",
            ],
        ),
        case(
            "fine",
            requests(|_| Some(status(500, true))),
            &[],
            0,
            &[
                "=> AJP works; the application answers 500",
                "log of the application",
            ],
        ),
        case(
            "NO_CPING",
            scripted(|payload| (payload != [10]).then(|| OK.to_vec())),
            &[],
            0,
            &["CPing is not answered, requests are"],
        ),
        case(
            "NO_SECRET",
            requests(|_| Some(OK.to_vec())),
            &["--no-secret"],
            0,
            &["no secret is checked", "CVE-2020-1938"],
        ),
        case(
            "NO_SECRET",
            requests(|_| Some(OK.to_vec())),
            &["--secret-file", secret],
            0,
            &["not looked at: a wrong one is answered alike"],
        ),
    ]
}

#[test]
fn every_verdict_is_produced() {
    assert_eq!(CPING[4], 10);
    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "secret", "right-one");
    let wrong = file(&dir, "wrong", "wrong-one");
    let timeouts = ServerTimeouts::default().with_idle(Duration::from_millis(300));
    let idle = Container::with(ServerConfig::new(Trust::TrustedNetwork).with_timeouts(timeouts));
    let open = Container::open();
    let cases = cases(&secret, &wrong, &open.url("/hello"), &idle.url("/hello"));

    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = path.join("src/bin/ajp/explain/verdict.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let names = source.lines().filter_map(|line| {
        let name = line
            .strip_prefix("pub(super) fn ")
            .or_else(|| line.strip_prefix("pub(super) const "))?;
        Some(name.split(['(', ':']).next()?.to_owned())
    });
    let written: BTreeSet<String> = names.collect();
    let produced: BTreeSet<String> = cases.iter().map(|case| case.verdict.to_owned()).collect();
    assert_eq!(produced, written, "every verdict has a case");

    // Most of the time is waiting.
    std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|case| {
                scope.spawn(|| {
                    let mut arguments: Vec<&str> =
                        case.arguments.iter().map(String::as_str).collect();
                    arguments.push(&case.url);
                    explained(&arguments, case.code, &case.parts);
                })
            })
            .collect();
        for (run, case) in running.into_iter().zip(&cases) {
            assert!(run.join().is_ok(), "{}", case.verdict);
        }
    });
}

#[test]
fn one_dead_address_of_two_is_explained() {
    let container = Container::open();
    let alive = format!("127.0.0.1:{}", container.port());
    explained(
        &[
            "--resolve",
            &alive,
            "--resolve",
            "127.0.0.1:1",
            &container.url("/hello"),
        ],
        0,
        &[
            "127.0.0.1:1: Connection refused",
            "127.0.0.1:1 does not answer",
            "AJP works",
        ],
    );
}

#[test]
fn who_closes_idle_connections_first_is_explained() {
    let config = ajp::server::ServerConfig::new(ajp::server::Trust::TrustedNetwork).with_timeouts(
        ajp::server::ServerTimeouts::default().with_idle(Duration::from_millis(300)),
    );
    let container = Container::with(config);
    explained(
        &["--keep-alive", "3s", &container.url("/hello")],
        1,
        &[
            "=> the container closes idle connections before the web server does",
            "ttl=1 smax=0",
            "keepAliveTimeout",
        ],
    );
    explained(
        &["--keep-alive", "50ms", &container.url("/hello")],
        0,
        &["still open after 50ms", "AJP works"],
    );
}

#[test]
fn the_dialect_of_coldfusion_is_named() {
    for cping in [true, false] {
        let adobe = Hostile::new(move |stream| {
            let mut piece = [0; 8192];
            while let Ok(1..) = stream.read(&mut piece) {
                let answer = if cping && piece[4] == 10 {
                    &ajp::wire::CPONG[..]
                } else {
                    b"\x41\x42\0\x02\x0f\0"
                };
                let _ = stream.write_all(answer);
            }
        });
        explained(
            &[&adobe.url()],
            5,
            &["=> the container speaks ColdFusion's dialect", "0x0F"],
        );
    }
}

#[test]
fn findings_are_kept_when_a_wrong_secret_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "secret", "right-one");
    // As flup: no word, no 403.
    let flup = Hostile::new(|stream| {
        let mut piece = [0; 8192];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            let answer = match piece[4] {
                10 => &ajp::wire::CPONG[..],
                _ if piece[..n].windows(9).any(|nine| nine == b"right-one") => OK,
                _ => return,
            };
            let _ = stream.write_all(answer);
        }
    });
    explained(
        &["--secret-file", &secret, &flup.url()],
        0,
        &["secret      right; on a wrong one:", "AJP works"],
    );
    explained(
        &["--no-secret", &flup.url()],
        6,
        &["cping       CPong", "--secret-file gives it"],
    );
}
