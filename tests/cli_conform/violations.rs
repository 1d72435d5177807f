//! Each check sees a peer that breaks its rule: scripted containers and web servers, one fault at a
//! time.

use crate::cli::{Hostile, ajp, file, hostile::swallow};
use crate::support::ports;
use ajp::wire::{
    CPING, CPONG, END_OF_BODY, END_RESPONSE_REUSE, PacketSize, get_body_chunk, write_body_chunk,
};
use bytes::BytesMut;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

type Script = Box<dyn Fn(&mut TcpStream) + Send + Sync>;

/// The numbers of all checks of a side.
fn numbers(side: &str) -> BTreeSet<String> {
    let list = ajp(&["conform", side, "--list", "--json"]);
    let list: Value = serde_json::from_str(list.ok()).unwrap();
    let ids = list.as_array().unwrap().iter();
    ids.map(|check| check["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The only verdict of a run.
fn verdict(arguments: &[&str]) -> String {
    let ended = ajp(arguments);
    assert!(ended.code < 2, "{ended:?}");
    let json: Value = serde_json::from_str(ended.text()).unwrap();
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 1, "{json}");
    let (verdict, seen) = (&checks[0]["verdict"], &checks[0]["seen"]);
    format!("{}: {}", verdict.as_str().unwrap(), seen.as_str().unwrap())
}

/// Runs all cases at the same time, since each mostly waits, and compares the verdicts.
fn compare<T: Sync>(cases: &[(&str, T, &str)], verdict: impl Fn(&str, &T) -> String + Sync) {
    let wrong = Mutex::new(Vec::new());
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((check, peer, expected)) =
                    cases.get(next.fetch_add(1, Ordering::SeqCst) as usize)
                {
                    let found = verdict(check, peer);
                    if !found.starts_with(expected) {
                        let text = format!("{check}: {found}, expected {expected}");
                        wrong.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Send Headers without headers.
fn head(status: u16) -> Vec<u8> {
    let [high, low] = status.to_be_bytes();
    vec![0x41, 0x42, 0, 8, 4, high, low, 0, 0, 0, 0, 0]
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write_body_chunk(&mut out, data, PacketSize::DEFAULT).unwrap();
    out.to_vec()
}

/// A whole answer after which the connection is kept.
fn kept(status: u16, data: &[u8]) -> Vec<u8> {
    let data = if data.is_empty() {
        Vec::new()
    } else {
        chunk(data)
    };
    [head(status), data, END_RESPONSE_REUSE.to_vec()].concat()
}

/// The payload of the next packet, whatever its magic number is.
fn packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut start = [0; 4];
    stream.read_exact(&mut start).ok()?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes([start[2], start[3]]))];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// Answers everything that comes with the same bytes.
fn always(answer: Vec<u8>) -> Script {
    Box::new(move |stream| {
        let mut piece = vec![0; 65536];
        while let Ok(1..) = stream.read(&mut piece) {
            let _ = stream.write_all(&answer);
        }
    })
}

/// Answers each packet with the next of these, and closes behind the last.
fn in_turn(answers: &[Vec<u8>]) -> Script {
    let answers = answers.to_vec();
    Box::new(move |stream| {
        for answer in &answers {
            if packet(stream).is_none() {
                return;
            }
            let _ = stream.write_all(answer);
        }
        // What is left unread would make the end a reset, which loses the answer.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
        swallow(stream);
    })
}

fn mute() -> Script {
    Box::new(swallow)
}

fn yes() -> Script {
    always(kept(200, b""))
}

/// Answers, and is out of step behind it.
fn out_of_step() -> Script {
    in_turn(&[kept(200, b"")])
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn each_check_of_a_container_sees_its_violation() {
    let pong = || always(CPONG.to_vec());
    let nothing = Vec::new;
    let ask = || get_body_chunk(8186).to_vec();
    let whole_packets_only: Script = Box::new(|stream| {
        let mut piece = [0; 100];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            if piece[..n] == CPING {
                let _ = stream.write_all(&CPONG);
            }
        }
    });
    let is_down = AtomicBool::new(false);
    let stops: Script = Box::new(move |stream| {
        while let Some(payload) = packet(stream) {
            if payload == [7] || is_down.load(Ordering::SeqCst) {
                is_down.store(true, Ordering::SeqCst);
                return;
            }
            let _ = stream.write_all(&kept(200, b""));
        }
    });
    let connections = AtomicU32::new(0);
    let five_at_most: Script = Box::new(move |stream| {
        if connections.fetch_add(1, Ordering::SeqCst) >= 5 {
            swallow(stream);
        }
    });
    let cases: Vec<(&str, Script, &str)> = vec![
        ("C01", mute(), "wrong"),
        ("C02", whole_packets_only, "wrong"),
        (
            "C03",
            in_turn(&[CPONG.to_vec(), nothing(), nothing()]),
            "wrong",
        ),
        ("C04", pong(), "dangerous"),
        ("C05", pong(), "dangerous"),
        ("C06", pong(), "dangerous"),
        ("C07", pong(), "dangerous"),
        ("C08", stops, "dangerous"),
        ("C09", mute(), "wrong"),
        ("C10", yes(), "wrong"),
        ("C11", yes(), "wrong"),
        ("C12", out_of_step(), "dangerous"),
        ("C12", mute(), "wrong"),
        ("C12", yes(), "differs"),
        ("C13", yes(), "wrong"),
        ("C14", yes(), "wrong"),
        ("C15", out_of_step(), "dangerous"),
        ("C16", yes(), "wrong"),
        ("C17", yes(), "wrong"),
        ("C18", yes(), "wrong"),
        ("C19", yes(), "wrong"),
        ("C20", yes(), "wrong"),
        ("C21", yes(), "dangerous"),
        ("C22", yes(), "dangerous"),
        // It asks for more than Content-Length says.
        (
            "C23",
            in_turn(&[nothing(), ask(), ask(), kept(200, b"")]),
            "dangerous",
        ),
        ("C24", mute(), "wrong"),
        ("C25", yes(), "wrong"),
        ("C26", yes(), "wrong"),
        ("C27", always(END_RESPONSE_REUSE.to_vec()), "wrong"),
        ("C27", always(chunk(b"no head")), "wrong"),
        ("C28", out_of_step(), "wrong"),
        ("C29", always(kept(200, b"a page")), "differs"),
        ("C30", mute(), "wrong"),
        // The body packet is taken for a request.
        ("C31", in_turn(&[kept(200, b""), nothing()]), "dangerous"),
        (
            "C31",
            in_turn(&[nothing(), kept(200, b"abcde")]),
            "wrong: status 200, connection kept: the page sends other bytes back",
        ),
        // It does not ask for the rest.
        (
            "C32",
            in_turn(&[nothing(), kept(200, b"abcdefghijklmnopqrstuvwxyz")]),
            "wrong",
        ),
        ("C33", in_turn(&[ask(), kept(200, b"")]), "wrong"),
        (
            "C34",
            in_turn(&[get_body_chunk(65000).to_vec(), kept(200, b"")]),
            "differs",
        ),
        ("C35", yes(), "dangerous"),
        ("C36", in_turn(&[ask(), ask(), nothing()]), "wrong"),
        ("C37", in_turn(&[nothing(), kept(200, b"")]), "dangerous"),
        ("C38", in_turn(&[nothing(), kept(200, b"")]), "dangerous"),
        ("C39", in_turn(&[nothing(), kept(200, b"")]), "dangerous"),
        (
            "C39",
            in_turn(&[nothing(), kept(200, b""), kept(200, b"")]),
            "differs",
        ),
        (
            "C40",
            in_turn(&[nothing(), ask(), kept(200, b""), nothing()]),
            "wrong",
        ),
        ("C41", five_at_most, "wrong"),
        ("C42", in_turn(&[kept(200, b""), nothing(), ask()]), "wrong"),
        ("C43", yes(), "dangerous"),
        ("C44", yes(), "dangerous"),
        ("C45", yes(), "dangerous"),
        ("C46", yes(), "differs"),
        ("C46", mute(), "wrong"),
        (
            "C47",
            always(kept(200, b"<?xml version=\"1.0\"?><web-app>")),
            "dangerous",
        ),
        ("C48", always(kept(400, b"")), "wrong"),
        ("C49", in_turn(&[nothing()]), "wrong"),
        ("C50", in_turn(&[nothing()]), "wrong"),
        ("C51", in_turn(&[nothing()]), "wrong"),
        ("C52", always(kept(400, b"")), "differs"),
        (
            "C53",
            in_turn(&[nothing(), [head(100), kept(200, b"")].concat()]),
            "wrong",
        ),
        ("C54", always(kept(204, b"data")), "differs"),
        ("C55", mute(), "wrong"),
        ("C56", mute(), "wrong"),
    ];
    let tried: BTreeSet<String> = cases.iter().map(|case| case.0.to_owned()).collect();
    assert_eq!(tried, numbers("container"));

    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "secret", "c0nform");
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(check, script, expected)| (check, Hostile::new(script), expected))
        .collect();
    compare(&cases, |check, peer| {
        let mut arguments = vec!["conform", "container", "--json", "--timeout", "500ms"];
        arguments.extend(["--only", check, "--status-path", "/{}"]);
        arguments.extend(["--secret-file", &secret]);
        let url = peer.url();
        arguments.push(&url);
        verdict(&arguments)
    });
}

#[test]
fn a_container_that_never_answered_is_not_said_to_have_stopped() {
    let url = Hostile::silent();
    let found = verdict(&[
        "conform",
        "container",
        "--json",
        "--timeout",
        "200ms",
        "--only",
        "shutdown",
        &url.url(),
    ]);
    assert!(found.starts_with("skipped"), "{found}");
}

/// A request over HTTP.
struct Asked {
    method: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn asked(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 65536];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let method = lines.next()?.split(' ').next()?.to_owned();
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let length = headers
                .iter()
                .find(|(name, _)| name == "Content-Length")
                .map(|(_, length)| length.parse::<usize>().unwrap());
            let is_chunked = headers.iter().any(|(name, _)| name == "Transfer-Encoding");
            let is_whole = if is_chunked {
                body.ends_with("0\r\n\r\n")
            } else {
                body.len() >= length.unwrap_or(0)
            };
            if is_whole {
                let body = if is_chunked {
                    // Of each chunk the line behind its length.
                    body.lines().skip(1).step_by(2).collect::<String>()
                } else {
                    body.to_owned()
                };
                return Some(Asked {
                    method,
                    headers,
                    body: body.into_bytes(),
                });
            }
        }
        match stream.read(&mut piece) {
            Ok(n @ 1..) => bytes.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x12, 0x34], &length[..], payload].concat()
}

fn body(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    framed(&[&length[..], data].concat())
}

fn forward_request(asked: &Asked, fault: &str) -> Vec<u8> {
    let mut headers = asked.headers.clone();
    if fault == "F06" {
        headers.push(("Content-Length".to_owned(), "11".to_owned()));
    }
    if asked.body.is_empty() {
        headers.push(("Content-Length".to_owned(), "0".to_owned()));
    }
    let code = match &*asked.method {
        "POST" => 4,
        "HEAD" => 3,
        _ => 2,
    };
    let mut payload = vec![2, code];
    for text in ["HTTP/1.1", "/app/x", "192.0.2.7"] {
        string(&mut payload, text);
    }
    payload.extend([0xff, 0xff]);
    string(&mut payload, "front.example");
    payload.extend([0, 80, 0]);
    payload.extend(u16::try_from(headers.len()).unwrap().to_be_bytes());
    for (name, value) in &headers {
        string(&mut payload, name);
        string(&mut payload, value);
    }
    if fault == "F29" {
        payload.push(0x0a);
        string(&mut payload, "SHIB_mail");
        string(&mut payload, "bob@app.example");
    }
    payload.push(0xff);
    framed(&payload)
}

/// A web server that forwards everything as it is, believes everything, and has one fault more.
fn forwarded(
    asked: &Asked,
    connection: &mut Option<TcpStream>,
    container: SocketAddr,
    fault: &str,
) -> Option<Vec<u8>> {
    let is_kept = connection.is_some();
    let mut ajp = match connection.take() {
        Some(ajp) => ajp,
        None => TcpStream::connect(container).ok()?,
    };
    ajp.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    if matches!(fault, "F01" | "F30") {
        ajp.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    }
    ajp.write_all(&forward_request(asked, fault)).ok()?;
    let is_announced = asked
        .headers
        .iter()
        .any(|(name, _)| name == "Content-Length");
    let mut left = asked.body.chunks(if fault == "F04" { 4000 } else { 8186 });
    if fault == "F02" {
        ajp.write_all(&body(b"x")).ok()?;
    }
    if is_announced && !asked.body.is_empty() {
        let first = left.next()?;
        let first = if fault == "F03" {
            framed(first)
        } else {
            body(first)
        };
        ajp.write_all(&first).ok()?;
    }
    let (mut status, mut headers, mut data) = (200, String::new(), Vec::new());
    while let Some(payload) = packet(&mut ajp) {
        match payload.first() {
            Some(3) => {
                let end = payload.len().saturating_sub(1).max(3);
                data.extend_from_slice(&payload[3..end]);
            }
            Some(4) => {
                status = u16::from_be_bytes([payload[1], payload[2]]);
                // The first value of the only header that a check sends by name.
                let text = String::from_utf8_lossy(&payload).into_owned();
                if let Some((_, value)) = text.split_once("x-a\0") {
                    headers = format!("x-a: {}\r\n", value[2..].trim_end_matches('\0'));
                }
            }
            Some(6) => {
                let answer = match left.next() {
                    Some(part) if fault == "F04" => body(&vec![0; part.len()]),
                    Some(part) => body(part),
                    None if fault == "F05" => body(b"abc"),
                    None => END_OF_BODY.to_vec(),
                };
                ajp.write_all(&answer).ok()?;
            }
            Some(5) => {
                if fault == "F15" {
                    ajp.write_all(&body(b"late")).ok()?;
                }
                if payload.get(1) == Some(&1) || fault == "F11" {
                    *connection = Some(ajp);
                }
                break;
            }
            _ => {}
        }
    }
    if is_kept && (fault == "F10" || fault == "F27" && data.is_empty()) {
        status = 502;
    }
    let mut reply = format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        data.len()
    )
    .into_bytes();
    reply.extend_from_slice(&data);
    Some(reply)
}

/// The web server, until the process ends.
fn front(container: SocketAddr, fault: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut connection = None;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(asked) = asked(&mut stream) else {
                continue;
            };
            if let Some(reply) = forwarded(&asked, &mut connection, container, fault) {
                let _ = stream.write_all(&reply);
            }
        }
    });
    address
}

#[test]
fn each_check_of_a_web_server_sees_its_violation() {
    let cases = [
        ("F01", "F01", "wrong"),
        ("F02", "F02", "wrong"),
        ("F03", "F03", "wrong"),
        ("F04", "F04", "wrong"),
        ("F05", "F05", "wrong"),
        ("F06", "F06", "dangerous"),
        ("F07", "", "dangerous"),
        ("F08", "", "dangerous"),
        ("F09", "", "dangerous"),
        ("F10", "F10", "wrong"),
        ("F11", "F11", "wrong"),
        ("F12", "", "differs"),
        ("F13", "", "dangerous"),
        ("F14", "", "wrong"),
        ("F15", "F15", "dangerous"),
        ("F16", "", "wrong"),
        ("F17", "", "wrong"),
        ("F18", "", "wrong"),
        ("F19", "", "wrong"),
        ("F20", "", "wrong"),
        ("F21", "", "wrong"),
        ("F22", "", "wrong"),
        ("F23", "", "wrong"),
        ("F24", "", "wrong"),
        ("F25", "", "dangerous"),
        ("F26", "", "dangerous"),
        ("F27", "F27", "wrong"),
        ("F28", "", "wrong"),
        ("F29", "F29", "differs"),
        ("F30", "F30", "wrong"),
        // Without a fault of their own these rules are kept, so it is the fault that is seen.
        ("F01", "", "holds"),
        ("F02", "", "holds"),
        ("F03", "", "holds"),
        ("F04", "", "differs"),
        ("F05", "", "holds"),
        ("F06", "", "holds"),
        ("F10", "", "holds"),
        ("F11", "", "holds"),
        ("F15", "", "holds"),
        ("F29", "", "holds"),
    ];
    let tried: BTreeSet<String> = cases.iter().map(|case| case.0.to_owned()).collect();
    assert_eq!(tried, numbers("front"));
    compare(&cases, |check, fault| {
        let container = ports::free_addr();
        let http = front(container, fault);
        let (listen, http) = (container.to_string(), format!("http://{http}/app/x"));
        let mut arguments = vec!["conform", "front", "--json", "--timeout", "1s"];
        arguments.extend(["--only", check, "--listen", &listen, "--http", &http]);
        verdict(&arguments)
    });
}
