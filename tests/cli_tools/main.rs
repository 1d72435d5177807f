//! `ajp serve`, `record`, `replay`, `bench`, `completions` and `man`, as a user runs them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report"
)]

mod bad_input;
#[path = "../cli/mod.rs"]
mod cli;
mod drain;
mod explain;
mod json;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod top;

use cli::{Container, ajp, file, serve, started};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn serve_tells_what_it_was_asked() {
    let (serve, url) = serve(&["--no-secret", "--route", "jvm1", "--accept-attr", "COLOUR"]);
    let text = ajp(&[
        "get",
        "-i",
        "-H",
        "X-One: 1",
        "--attr",
        "COLOUR=red",
        "--remote-user",
        "bob",
        "--tls-cipher",
        "TLS_AES_128_GCM_SHA256",
        &format!("{url}/a/b?c=d"),
    ]);
    let text = text.ok();
    for line in [
        "method: GET",
        "uri: /a/b?c=d",
        "header: x-one: 1",
        "attribute: COLOUR=red",
        "user: bob",
        "tls key size: 128",
        "body: 0 bytes",
        "set-cookie: [redacted]",
    ] {
        assert!(
            text.lines().any(|known| known == line) || line.starts_with("set-cookie"),
            "{line}\n{text}"
        );
    }
    assert_eq!(
        ajp(&["post", "-d", "round", &format!("{url}/echo")]).ok(),
        "round"
    );
    let shaped = ajp(&["get", "-f", &format!("{url}/?status=503&size=10")]);
    assert_eq!(shaped.code, 22, "{shaped:?}");
    let refused = ajp(&["get", "--attr", "OTHER=1", &url]);
    assert!(refused.text().contains("403"), "{refused:?}");
    let ended = serve.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.errors.lines().any(|line| line == "GET /a/b?c=d"),
        "{}",
        ended.errors
    );
}

#[test]
fn serve_wants_a_decision_and_ends_when_it_is_done() {
    let undecided = ajp(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(undecided.code, 2);
    assert!(
        undecided.errors.contains("--no-secret"),
        "{}",
        undecided.errors
    );
    let (mut once, url) = serve(&["--no-secret", "--count", "1", "-q"]);
    ajp(&["get", &url]).ok();
    assert!(once.child().wait().unwrap().success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = ajp(&["serve", "--no-secret", "--listen", &address]);
    assert_eq!(busy.code, 2);
    assert!(busy.errors.contains("cannot listen"), "{}", busy.errors);
}

/// As systemd, Docker and Kubernetes end a program: what runs is answered.
#[test]
fn serve_lets_requests_end_at_sigterm() {
    let (serve, url) = serve(&["--no-secret"]);
    let slow = format!("{url}/?sleep=1s&status=202");
    let running = std::thread::spawn(move || ajp(&["get", "-i", &slow]));
    std::thread::sleep(Duration::from_millis(400));
    serve.signal(rustix::process::Signal::TERM);
    let answered = running.join().unwrap();
    assert!(answered.ok().starts_with("AJP/1.3 202"), "{answered:?}");
    assert_eq!(serve.end().code, 0);
}

/// lighttpd decodes paths, and says so with a space.
#[test]
fn serve_tolerates_what_it_is_told_to() {
    use std::io::{Read, Write};
    let status = |arguments: &[&str]| {
        let (_serve, url) = serve(arguments);
        let address = url.strip_prefix("ajp://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let mut packet = bytes::BytesMut::new();
        let line = ajp::wire::RequestLine {
            method: b"GET",
            protocol: b"HTTP/1.1",
            req_uri: b"/",
            remote_addr: Some(b"192.0.2.1"),
            remote_host: None,
            server_name: Some(b"a"),
            server_port: 80,
            is_ssl: false,
        };
        let size = ajp::wire::PacketSize::DEFAULT;
        let writer = ajp::wire::ForwardRequestWriter::new(&mut packet, size, &line).unwrap();
        writer.finish().unwrap();
        // The writer refuses what is no URI: the same length, with a space in it.
        let at = packet
            .windows(3)
            .position(|part| part == b"\0\x01/")
            .unwrap();
        packet[at + 2] = b' ';
        let mut with_space = packet.to_vec();
        with_space.splice(at..at + 3, *b"\0\x03/ a");
        let length = u16::try_from(with_space.len() - 4).unwrap().to_be_bytes();
        with_space[2..4].copy_from_slice(&length);
        stream.write_all(&with_space).unwrap();
        let mut head = [0; 7];
        stream.read_exact(&mut head).unwrap();
        u16::from_be_bytes([head[5], head[6]])
    };
    assert_eq!(status(&["--no-secret", "-q"]), 400);
    assert_eq!(
        status(&[
            "--no-secret",
            "-q",
            "--lenient-uri",
            "--absent-length-as-empty"
        ]),
        200
    );
}

/// A browser on the AJP port.
#[test]
fn serve_says_what_does_not_speak_ajp() {
    use std::io::{Read, Write};
    let (serve, url) = serve(&["--no-secret"]);
    for _ in 0..3 {
        let address = url.strip_prefix("ajp://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    let ended = serve.interrupt();
    assert_eq!(
        ended.errors.matches("this is HTTP, not AJP").count(),
        1,
        "{ended:?}"
    );
}

/// A recording of a few requests, and where it is.
fn recording(dir: &TempDir, secret: &str) -> (Container, PathBuf) {
    let container = Container::closed(secret);
    let secret = file(dir, "first.secret", secret);
    let path = dir.path().join("a.pcap");
    let url = container.url("");
    let arguments = [
        "record",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &url,
        "-o",
        path.to_str().unwrap(),
        "-v",
        "--count",
        "4",
    ];
    let (record, relay) = started(&arguments, "recording ");
    let ask = |arguments: &[&str]| {
        let all = [arguments, &["--secret-file", &secret]].concat();
        ajp(&all).ok().to_owned()
    };
    assert_eq!(ask(&["get", &format!("{relay}/hello")]), "Hello, AJP!\n");
    let large = file(dir, "large", &"b".repeat(30_000));
    let echoed = ask(&[
        "post",
        "--data-binary",
        &format!("@{large}"),
        &format!("{relay}/echo"),
    ]);
    assert_eq!(echoed.len(), 30_000);
    let chunked = [
        "post",
        "--chunked",
        "--data-binary",
        &format!("@{large}"),
        &format!("{relay}/echo"),
    ];
    assert_eq!(ask(&chunked).len(), 30_000);
    ask(&["get", &format!("{relay}/large")]);
    let mut record = record;
    let child = record.0.take().unwrap();
    let ended = cli::ended(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.errors.contains("4 connections"), "{}", ended.errors);
    assert!(
        ended.errors.contains("#1 "),
        "-v shows packets: {}",
        ended.errors
    );
    (container, path)
}

#[test]
fn what_was_recorded_is_decoded_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (container, path) = recording(&dir, "first");
    let path = path.to_str().unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o77, 0, "{mode:o}");

    let decoded = ajp(&["decode", path]);
    let text = decoded.ok();
    for part in [
        "Forward Request GET /hello",
        "Forward Request POST /echo",
        "Get Body Chunk",
        "End Response (reuse)",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(text.matches("Forward Request").count(), 4);

    let again = ajp(&["replay", path, &container.url("")]);
    assert_eq!(again.ok().matches("as recorded").count(), 4, "{again:?}");
    assert!(
        again
            .text()
            .contains("4 requests of 4 connections, 0 answers differ")
    );

    // Another container that wants another secret.
    let other = Container::closed("a-second-one");
    let refused = ajp(&["replay", path, &other.url("")]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.text().contains("was 200"), "{refused:?}");
    let secret = file(&dir, "second.secret", "a-second-one\n");
    let let_in = ajp(&[
        "replay",
        "-q",
        "--secret-file",
        &secret,
        path,
        &other.url(""),
    ]);
    assert_eq!(let_in.ok().lines().count(), 1, "{let_in:?}");

    // A recording without secret can get one.
    let gone = ajp(&["replay", path, "ajp://127.0.0.1:1"]);
    assert_eq!(gone.code, 3, "{gone:?}");
    let exists = ajp(&[
        "record",
        "--to",
        &container.url(""),
        "--listen",
        "127.0.0.1:0",
        "-o",
        path,
    ]);
    assert_eq!(exists.code, 2, "{exists:?}");
}

#[test]
fn a_secret_is_put_into_a_recording_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let open = Container::open();
    let path = dir.path().join("open.pcap");
    let path = path.to_str().unwrap();
    let url = open.url("");
    let arguments = [
        "record",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &url,
        "-o",
        path,
        "-c",
        "1",
    ];
    let (mut record, relay) = started(&arguments, "recording ");
    ajp(&[
        "get",
        "--attr",
        "JK_LB_ACTIVATION=ACT",
        &format!("{relay}/hello"),
    ])
    .ok();
    assert!(record.child().wait().unwrap().success());
    let closed = Container::closed("needed");
    let secret = file(&dir, "secret", "needed");
    let played = ajp(&["replay", "--secret-file", &secret, path, &closed.url("")]);
    assert!(
        played
            .ok()
            .contains("GET /hello: 200, 12 bytes: as recorded"),
        "{played:?}"
    );
}

#[test]
fn an_answer_that_differs_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_container, path) = recording(&dir, "first");
    let (_serve, url) = serve(&["--no-secret", "-q"]);
    let played = ajp(&["replay", path.to_str().unwrap(), &url]);
    assert_eq!(played.code, 1);
    assert!(
        played.text().contains("GET /hello: 200, ") && played.text().contains("had 12 bytes"),
        "{played:?}"
    );
    assert!(
        played
            .text()
            .contains("POST /echo: 200, 30000 bytes: as recorded"),
        "{played:?}"
    );
    let statuses = ajp(&["replay", "--ignore-body", path.to_str().unwrap(), &url]);
    assert_eq!(statuses.code, 0, "{statuses:?}");
}

#[test]
fn a_load_and_what_it_saw() {
    let container = Container::open();
    let url = container.url("/hello");
    let text = ajp(&["bench", "-n", "300", "-c", "7", &url]);
    let text = text.ok();
    for part in [
        "300 answers in",
        "p99 ",
        "status 200: 300",
        "connections: 7 opened, 293 reuses",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let posts = ajp(&["bench", "-n", "20", "-d", "x=1", &container.url("/echo")]);
    assert!(posts.ok().contains("status 200: 20"), "{posts:?}");
    let missing = ajp(&["bench", "-n", "10", &container.url("/status/404")]);
    assert!(missing.ok().contains("status 404: 10"), "{missing:?}");
    let nobody = ajp(&["bench", "-n", "5", "ajp://127.0.0.1:1/"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.text().contains("failed: 5: "), "{nobody:?}");
    let slow = ajp(&["bench", "-n", "100000000", "--max-time", "300ms", &url]);
    assert_eq!(slow.code, 0, "{slow:?}");
    assert!(slow.text().contains("status 200: "), "{slow:?}");
    let stuck = ajp(&[
        "bench",
        "-n",
        "2",
        "-c",
        "2",
        "--max-time",
        "200ms",
        &container.url("/silent"),
    ]);
    assert_eq!(stuck.code, 1, "{stuck:?}");
    assert!(
        stuck.text().contains("not done within --max-time"),
        "{stuck:?}"
    );
}

/// A Forward Request as bytes: the method's code, and headers behind the fixed part.
fn request(method: u8, headers: &[u8], count: u8) -> Vec<u8> {
    let mut payload = vec![2, method];
    for text in ["HTTP/1.1", "/slow", "127.0.0.1"] {
        payload.extend([0, u8::try_from(text.len()).unwrap()]);
        payload.extend(text.as_bytes());
        payload.push(0);
    }
    payload.extend([0xff, 0xff, 0, 1, b'h', 0, 0, 80, 0, 0, count]);
    payload.extend(headers);
    payload.push(0xff);
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x12, 0x34], &len[..], &payload].concat()
}

#[test]
fn serve_tells_the_request_before_its_body_and_asks_for_none_of_a_plain_get() {
    let (mut serve, url) = serve(&["--no-secret"]);
    let errors = BufReader::new(serve.child().stderr.take().unwrap());
    let address = url.strip_prefix("ajp://").unwrap();
    // As nmap's scripts: no length, and nothing but an answer is understood.
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(&request(2, &[], 0)).unwrap();
    let mut first = [0; 5];
    stream.read_exact(&mut first).unwrap();
    assert_eq!((first[0], first[1], first[4]), (0x41, 0x42, 4), "{first:?}");
    // A body that never comes.
    let mut waiting = TcpStream::connect(address).unwrap();
    waiting
        .write_all(&request(4, &[0xa0, 8, 0, 1, b'9', 0], 1))
        .unwrap();
    let lines: Vec<String> = errors.lines().take(2).map(Result::unwrap).collect();
    assert_eq!(lines, ["GET /slow", "POST /slow"]);
}

#[test]
fn one_direction_of_two_may_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let sent = dir.path().join("sent.bin");
    std::fs::write(&sent, ajp::wire::CPING).unwrap();
    let nothing = file(&dir, "received.bin", "");
    let sent = sent.to_str().unwrap();
    for files in [[sent, &nothing], [&nothing, sent]] {
        let decoded = ajp(&["decode", files[0], files[1]]);
        assert!(decoded.ok().contains("CPing"), "{decoded:?}");
    }
    for files in [&[&*nothing][..], &[&nothing, &nothing]] {
        let empty = ajp(&[&["decode"], files].concat());
        assert_eq!(empty.code, 2, "{empty:?}");
        assert!(empty.errors.contains("empty"), "{empty:?}");
    }
}

#[test]
fn a_recording_has_comments_that_wireshark_reads() {
    let dir = tempfile::tempdir().unwrap();
    let container = Container::closed("k3pt-secret");
    let secret = file(&dir, "secret", "k3pt-secret");
    let path = dir.path().join("a.pcapng");
    let path = path.to_str().unwrap();
    let url = container.url("");
    let arguments = [
        "record",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &url,
        "-o",
        path,
        "-c",
        "1",
    ];
    let (mut record, relay) = started(&arguments, "recording ");
    ajp(&["get", "--secret-file", &secret, &format!("{relay}/hello")]).ok();
    assert!(record.child().wait().unwrap().success());
    let mut tshark = std::process::Command::new("tshark");
    tshark.args([
        "-r",
        path,
        "-T",
        "fields",
        "-e",
        "frame.comment",
        "-Y",
        "frame.comment",
    ]);
    let comments = String::from_utf8(tshark.output().unwrap().stdout).unwrap();
    for part in [
        "Forward Request GET /hello",
        "Send Headers 200",
        "End Response (reuse)",
    ] {
        assert!(comments.contains(part), "{part}\n{comments}");
    }
    assert!(!comments.contains("k3pt"), "{comments}");
    // And it is read and replayed as before.
    assert!(
        ajp(&["decode", path])
            .ok()
            .contains("Forward Request GET /hello")
    );
    let played = ajp(&["replay", path, &url]);
    assert!(played.ok().contains("as recorded"), "{played:?}");
}
