//! `ajp serve`, `record`, `replay`, `bench`, `completions` and `man`, as a user runs them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report"
)]

mod cli;

use cli::{Container, Hostile, ajp, file, serve, started};
use serde_json::Value;
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

#[test]
fn completions_and_manual() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef ajp"),
        ("fish", "complete -c ajp"),
    ] {
        let text = ajp(&["completions", shell]);
        assert!(text.ok().contains(part), "{shell}");
        assert!(text.text().contains("replay"), "{shell}");
    }
    let page = ajp(&["man"]);
    assert!(
        page.ok().contains(".TH ajp 1") && page.text().contains("ajp\\-replay"),
        "{}",
        page.text()
    );
    let dir = tempfile::tempdir().unwrap();
    ajp(&["man", "--dir", dir.path().to_str().unwrap()]).ok();
    let get = std::fs::read_to_string(dir.path().join("ajp-get.1")).unwrap();
    assert!(
        get.contains("secret\\-file") && get.contains(".SH \"EXIT STATUS\"\n.nf\n"),
        "{get}"
    );
    // Examples stay as they are written, and nothing goes to a section EXTRA.
    assert!(get.contains(".SH \"EXAMPLES\"\n.nf\n  ajp get "), "{get}");
    assert!(!get.contains("EXTRA"), "{get}");
    let below = std::fs::read_to_string(dir.path().join("ajp-conform-container.1")).unwrap();
    assert!(below.contains("status\\-path"), "{below}");
}

/// The names of the commands below one, but for `help`.
fn commands(of: &[&str]) -> Vec<String> {
    let help = ajp(&[of, &["--help"]].concat());
    help.ok()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// Every command, each with those above it.
fn all_commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        for below in commands(&words) {
            open.push([&command[..], &[below]].concat());
        }
        if !command.is_empty() {
            all.push(command);
        }
    }
    all
}

#[test]
fn every_command_has_examples_and_exit_codes_in_its_help_and_its_manual() {
    let dir = tempfile::tempdir().unwrap();
    ajp(&["man", "--dir", dir.path().to_str().unwrap()]).ok();
    let all = all_commands();
    assert!(all.len() >= 20, "{all:?}");
    for command in all {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let help = ajp(&words);
        let name = command.join(" ");
        let examples = help.ok().split("\nExamples:\n").nth(1);
        let examples = examples.unwrap_or_else(|| panic!("{name}: no examples"));
        // The first examples are of the command itself, or a pipe into it.
        let first = examples.lines().next().unwrap();
        let second = examples.lines().nth(1).unwrap_or_default();
        assert!(
            [first, second]
                .iter()
                .any(|line| line.contains(&format!("ajp {name}"))),
            "{name}: {first}"
        );
        assert!(
            help.text().contains("\nExit code:\n   0  "),
            "{name}: no exit codes"
        );
        let page = dir.path().join(format!("ajp-{}.1", command.join("-")));
        let page = std::fs::read_to_string(page).unwrap();
        for part in [
            ".SH NAME\n",
            ".SH SYNOPSIS\n",
            ".SH \"EXAMPLES\"\n.nf\n",
            ".SH \"EXIT STATUS\"\n.nf\n",
        ] {
            assert!(page.contains(part), "{name}: no {part}\n{page}");
        }
        // No line is wider than a terminal.
        for line in help.text().lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

#[test]
fn every_error_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let there = file(&dir, "there", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nobody = cli::hostile::nobody();
    let check_the_path = "check the path";
    for (arguments, advice) in [
        (vec!["decode", "/nonexistent"], check_the_path),
        (vec!["decode", &there], "nothing was recorded"),
        (vec!["lint", "/nonexistent"], check_the_path),
        (vec!["lint", "--explain", "AJP999"], "--rules lists them"),
        (vec!["import", "--httpd", "/nonexistent"], check_the_path),
        (
            vec!["get", "--secret-file", "/nonexistent", &nobody],
            "No such file",
        ),
        (vec!["post", "-d", "@/nonexistent", &nobody], check_the_path),
        (vec!["get", "-o", "/nonexistent/x", &nobody], "ajp explain"),
        (vec!["get", &nobody], "ajp explain with the same URL"),
        (vec!["get", "-H", "x", &nobody], "Name: value"),
        (
            vec!["get", "-m", "soon", &nobody],
            "write 5s, 200ms, 1.5s or 2m",
        ),
        (vec!["explain", &nobody], "start the container"),
        (vec!["man", "--dir", "/nonexistent"], check_the_path),
        (
            vec!["serve", "--no-secret", "--listen", &taken],
            "take another port",
        ),
        (vec!["serve"], "--no-secret"),
        (
            vec![
                "record",
                "--listen",
                &taken,
                "--to",
                &nobody,
                "-o",
                "/nonexistent",
            ],
            "take another port",
        ),
        (
            vec![
                "record",
                "--listen",
                "127.0.0.1:0",
                "--to",
                &nobody,
                "-o",
                &there,
            ],
            "choose another name",
        ),
        (
            vec![
                "conform",
                "front",
                "--listen",
                &taken,
                "--http",
                "http://127.0.0.1/",
            ],
            "take another port",
        ),
        (
            vec![
                "conform",
                "front",
                "--listen",
                "1",
                "--http",
                "http://name.invalid/",
            ],
            "has no address",
        ),
        (vec!["top", "http://127.0.0.1:1"], "[manager]"),
        (vec!["replay", "/nonexistent", &nobody], check_the_path),
        (vec!["gateway", "--config", "/nonexistent"], "No such file"),
        (vec!["got"], "--help"),
    ] {
        let ended = ajp(&arguments);
        assert!((1..10).contains(&ended.code), "{arguments:?}: {ended:?}");
        let said = [ended.errors.as_str(), ended.text()].concat();
        assert!(said.contains(advice), "{arguments:?}: {ended:?}");
    }
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

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn tools_speak_json() {
    let dir = tempfile::tempdir().unwrap();
    let (container, path) = recording(&dir, "first");
    let decoded = ajp(&["decode", "--json", path.to_str().unwrap()]);
    let lines: Vec<Value> = decoded.ok().lines().map(json).collect();
    assert_eq!(lines[0]["event"], "connection");
    assert_eq!(lines[0]["from_start"], true);
    let packet = &lines[1];
    assert_eq!(
        (&packet["event"], &packet["to"], &packet["connection"]),
        (&"packet".into(), &"container".into(), &1.into())
    );
    assert!(
        packet["packet"]
            .as_str()
            .unwrap()
            .starts_with("Forward Request GET /hello"),
        "{packet}"
    );
    assert!(
        packet["seconds"].as_f64().is_some() && !packet["facts"].as_array().unwrap().is_empty(),
        "{packet}"
    );
    assert!(!decoded.text().contains("first"), "the secret");

    let ping = ajp(&["ping", "--json", "-c", "3", "-i", "1ms", &container.url("")]);
    let ping = json(ping.ok());
    assert_eq!((&ping["sent"], &ping["lost"]), (&3.into(), &0.into()));
    assert_eq!(ping["milliseconds"].as_array().unwrap().len(), 3);
    let lost = ajp(&["ping", "--json", "-c", "1", "ajp://127.0.0.1:1"]);
    assert_eq!((lost.code, &*lost.errors), (3, ""));
    assert_eq!(json(lost.text())["errors"].as_array().unwrap().len(), 1);

    let open = Container::open();
    let bench = ajp(&[
        "bench",
        "--json",
        "-n",
        "20",
        "-c",
        "2",
        &open.url("/hello"),
    ]);
    let bench = json(bench.ok());
    assert_eq!(
        (&bench["answers"], &bench["statuses"]["200"]),
        (&20.into(), &20.into())
    );
    assert!(bench["milliseconds"]["p99"].as_f64().unwrap() > 0.0);

    let explain = ajp(&["explain", "--json", &open.url("/hello")]);
    let explain = json(explain.ok());
    assert_eq!(explain["exit"], 0);
    assert_eq!(explain["verdict"], "AJP works; the application answers 200");
    assert!(
        explain["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["step"] == "cping")
    );
}

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

#[test]
fn a_container_short_of_threads_is_explained() {
    // A thread is free after a second: too late for the first connection.
    let busy = Hostile::new(|stream| {
        let mut piece = [0; 8192];
        while let Ok(1..) = stream.read(&mut piece) {
            std::thread::sleep(Duration::from_millis(900));
            let answer = if piece[4] == 10 {
                &ajp::wire::CPONG[..]
            } else {
                OK
            };
            let _ = stream.write_all(answer);
        }
    });
    explained(
        &[&busy.url()],
        4,
        &[
            "on a second connection CPong after",
            "=> the container is short of threads",
            "maxThreads",
        ],
    );
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
fn what_stands_in_front_is_explained() {
    let proxied = Hostile::new(|stream| {
        let mut piece = [0; 8192];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            if piece[..n].starts_with(b"PROXY UNKNOWN\r\n") {
                let _ = stream.write_all(&ajp::wire::CPONG);
            }
        }
    });
    explained(
        &[&proxied.url()],
        5,
        &["=> the port expects the PROXY protocol before AJP"],
    );
    let tls = Hostile::saying(&[0x15, 3, 3, 0, 2, 2, 40]);
    explained(
        &[&tls.url()],
        5,
        &["=> the port speaks TLS, not AJP", "stunnel"],
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

#[test]
fn the_members_of_a_gateway_once() {
    let json = r#"{"changes":false,"nonce":null,"uptime_seconds":5.0,"balancers":[{"name":"shop","method":"byrequests","refused_full":1,"refused_down":2,"moved_sessions":3,"lost_sessions":4,
        "members":[{"address":"ajp://127.0.0.1:8009","route":"jvm1","state":"ok","flags":"","weight":2.0,"busy":1,"max_busy":9,"elected":70,"failed":5,"own_sessions":6,"last_error":"no answer in time",
        "pool":{"max":100,"in_use":1,"idle":4}}]}]}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    );
    let manager = Hostile::new(move |stream| {
        let mut piece = [0; 8192];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            assert!(piece[..n].starts_with(b"GET /balancer-manager.json HTTP/1.1\r\n"));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let top = ajp(&["top", "--once", &format!("http://{}", manager.address())]);
    let lines: Vec<_> = top
        .ok()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines[..3],
        [
            "shop: byrequests, refused 3, sessions moved 3 lost 4",
            "MEMBER STATE BUSY REQ/S FAILED CONNECTIONS WEIGHT SESSIONS LAST ERROR",
            "jvm1 ajp://127.0.0.1:8009 ok 1/9 - 5 1+4/100 2.0 6 no answer in time",
        ]
    );
    for (url, code) in [("ajp://127.0.0.1", 2), ("http://127.0.0.1:1", 3)] {
        let wrong = ajp(&["top", url]);
        assert_eq!(wrong.code, code, "{wrong:?}");
    }
    let html = Hostile::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(ajp(&["top", &format!("http://{}", html.address())]).code, 5);
}
