//! `ajp get`, `ajp head`, `ajp post` and `ajp ping` against a container of ours and peers that
//! misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]

mod cli;

use cli::hostile::nobody;
use cli::{Container, Hostile, ajp, ajp_reading, command, ended};
use std::io::{Read, Write};
use std::process::Stdio;

const SECRET: &str = "open-sesame";

#[test]
fn the_body_goes_to_stdout_and_nothing_else() {
    let container = Container::open();
    assert_eq!(
        ajp(&["get", &container.url("/hello")]).ok(),
        "Hello, AJP!\n"
    );
    assert_eq!(ajp(&["head", &container.url("/hello")]).ok(), "");
    let head = ajp(&["head", "-i", &container.url("/hello")]);
    assert!(head.ok().starts_with("AJP/1.3 200 OK\n"), "{head:?}");
    assert!(head.ok().contains("content-length: 12\n"), "{head:?}");
    let all = ajp(&["get", "-i", &container.url("/status/404")]);
    assert!(all.ok().starts_with("AJP/1.3 404 Not Found\n"), "{all:?}");
    assert!(all.ok().ends_with("\n\nstatus 404\n"), "{all:?}");
    let large = ajp(&["get", &container.url("/large")]);
    assert_eq!(large.ok().len(), 200_000);
    // Into a pipe binary data goes as it is.
    assert_eq!(ajp(&["get", &container.url("/binary")]).out, [0; 10]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(ajp(&["get", "-o", path, &container.url("/hello")]).ok(), "");
    assert_eq!(std::fs::read(path).unwrap(), b"Hello, AJP!\n");
}

#[test]
fn facts_of_all_kinds_reach_the_container() {
    let policy = ajp::server::AttributePolicy::default()
        .accept("SHIB_mail")
        .accept("empty");
    let trust = ajp::server::Trust::TrustedNetwork;
    let container = Container::with(ajp::server::ServerConfig::new(trust).with_attributes(policy));
    let mut pem = tempfile::NamedTempFile::new().unwrap();
    pem.write_all(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
        .unwrap();
    let url = container.url("/facts?q=%C3%A9");
    let text = ajp(&[
        "get",
        &url,
        "-X",
        "PATCH",
        "-H",
        "X-One: 1",
        "-H",
        "x-empty;",
        "-H",
        "Host: shop.example:8443",
        "--remote-addr",
        "192.0.2.10:51234",
        "--remote-host",
        "laptop",
        "--remote-user",
        "bob",
        "--auth-type",
        "Digest",
        "--local-addr",
        "2001:db8::1",
        "--route",
        "jvm1",
        "--tls-protocol",
        "TLSv1.3",
        "--tls-cipher",
        "TLS_AES_256_GCM_SHA384",
        "--tls-session-id",
        "0a0b",
        "--tls-cert",
        pem.path().to_str().unwrap(),
        "--attr",
        "SHIB_mail=bob@app.example",
        "--attr",
        "empty=",
    ]);
    let expected = "\
PATCH /facts?q=%C3%A9
x-one: 1
x-empty: \nhost: shop.example:8443
content-length: 0
remote Some(\"192.0.2.10\") Some(51234) Some(\"laptop\")
server Some(\"shop.example\") Some(8443) local Some(\"2001:db8::1\")
user Some(\"bob\") Some(\"Digest\") route Some(\"jvm1\")
tls Some(\"TLSv1.3\") Some(\"TLS_AES_256_GCM_SHA384\") Some(256) Some(\"0a0b\") 1
attribute SHIB_mail=bob@app.example
attribute empty=
body \n";
    assert_eq!(text.ok(), expected);
    // What a plain request says.
    let url = container.url("/facts");
    let text = ajp(&["get", &url]);
    let expected = "\
GET /facts
host: 127.0.0.1
content-length: 0
remote Some(\"127.0.0.1\") None None
server Some(\"127.0.0.1\") Some(80) local None
user None None route None
body \n";
    assert_eq!(text.ok(), expected);
    let text = ajp(&[
        "get",
        &url,
        "--tls",
        "--server-name",
        "a.example",
        "--remote-addr",
        "::1",
    ]);
    assert!(
        text.ok().contains("server Some(\"a.example\") Some(443)"),
        "{text:?}"
    );
    assert!(text.ok().contains("\nhost: a.example\n"), "{text:?}");
    // With its port, and a header of one's own goes before it.
    let named = ["get", &url, "--server-name", "a.example:81"];
    assert!(ajp(&named).ok().contains("\nhost: a.example:81\n"));
    let both = [&named[..], &["-H", "Host: b.example"]].concat();
    assert!(ajp(&both).ok().contains("\nhost: b.example\n"));
    assert!(
        text.ok().contains("remote Some(\"::1\") Some(0)"),
        "{text:?}"
    );
    assert!(
        text.ok().contains("tls None None None None 0\n"),
        "{text:?}"
    );
}

#[test]
fn bodies_from_everywhere() {
    let container = Container::open();
    let facts = container.url("/facts");
    let form = ajp(&["post", "-d", "a=1", "-d", "b=2", &facts]);
    assert!(
        form.ok()
            .contains("content-type: application/x-www-form-urlencoded\n")
    );
    assert!(form.ok().contains("content-length: 7\n") && form.ok().ends_with("body a=1&b=2\n"));
    let typed = ajp(&[
        "post",
        "-d",
        "{}",
        "-H",
        "content-type: application/json",
        &facts,
    ]);
    assert!(
        typed.ok().contains("content-type: application/json\n"),
        "{typed:?}"
    );
    assert!(!typed.ok().contains("form-urlencoded"), "{typed:?}");
    let plain = ajp(&["post", "--data-binary", "x", &facts]);
    assert!(!plain.ok().contains("content-type"), "{plain:?}");
    let chunked = ajp(&["post", "--chunked", "-d", "abc", &facts]);
    assert!(
        chunked.ok().contains("transfer-encoding: chunked\n"),
        "{chunked:?}"
    );
    assert!(chunked.ok().ends_with("body abc\n") && !chunked.ok().contains("content-length"));
    // Larger than any packet and than what is read at a time.
    let data: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let echo = container.url("/echo");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&data).unwrap();
    let at_file = format!("@{}", file.path().display());
    assert!(ajp(&["post", "-d", &at_file, &echo]).out == data);
    assert!(ajp_reading(&["post", "-d", "@-", &echo], &data).out == data);
    let unknown = ajp_reading(&["post", "-d", "@-", &facts], b"piped");
    assert!(unknown.ok().contains("chunked") && unknown.ok().ends_with("body piped\n"));
    let known = ajp(&["post", "-d", &at_file, "-H", "x-a: b", &facts]);
    assert!(String::from_utf8_lossy(&known.out).contains("content-length: 300000\n"));
}

#[test]
fn the_secret_comes_from_a_file_or_the_environment_and_is_never_shown() {
    let container = Container::closed(SECRET);
    let url = container.url("/hello");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SECRET}").unwrap();
    let path = file.path().to_str().unwrap();
    let traced = ajp(&["get", "-vv", "--secret-file", path, &url]);
    assert_eq!((traced.code, traced.text()), (0, "Hello, AJP!\n"));
    assert!(
        traced.errors.contains("req_uri      /hello"),
        "{}",
        traced.errors
    );
    assert!(!traced.errors.contains(SECRET), "{}", traced.errors);
    let from_env = |arguments: &[&str], name: &str| {
        ended(command(arguments).env(name, SECRET).output().unwrap())
    };
    assert_eq!(from_env(&["get", &url], "AJP_SECRET").ok(), "Hello, AJP!\n");
    assert_eq!(
        from_env(&["get", "--secret-env", "OTHER", &url], "OTHER").ok(),
        "Hello, AJP!\n"
    );
    // Refused: said so, whatever the application would have said.
    for arguments in [&["get", &url][..], &["get", "--no-secret", &url]] {
        let refused = from_env(arguments, "UNUSED");
        assert_eq!(refused.code, 0);
        assert!(
            refused.errors.contains("it refused the secret"),
            "{refused:?}"
        );
    }
    let refused = from_env(&["get", "--no-secret", "--fail", &url], "AJP_SECRET");
    assert_eq!((refused.code, refused.text()), (7, ""));
    for (arguments, expected) in [
        (
            &["get", "--secret-env", "UNSET_VARIABLE", &url][..],
            "UNSET_VARIABLE: the AJP secret is not set",
        ),
        (
            &["get", "--secret-file", "/nonexistent", &url],
            "secret file /nonexistent: ",
        ),
        (
            &["get", "--secret-file", "/dev/null", &url],
            "the AJP secret is empty",
        ),
        (
            &["get", "--secret", SECRET, &url],
            "unexpected argument '--secret'",
        ),
    ] {
        let wrong = ajp(arguments);
        assert_eq!(wrong.code, 2, "{wrong:?}");
        assert!(wrong.errors.contains(expected), "{wrong:?}");
    }
}

#[test]
fn packets_and_times_on_demand() {
    let container = Container::open();
    let traced = ajp(&["post", "-v", "-d", "hello", &container.url("/cookie")]);
    assert_eq!((traced.code, traced.text()), (0, "cookie\n"));
    let lines: Vec<_> = traced.errors.lines().collect();
    for (line, expected) in [
        (0, "Forward Request POST /cookie (HTTP/1.1, "),
        (1, "Request Body (5 bytes)"),
        (2, "Send Headers 200 OK"),
    ] {
        assert!(lines[line].contains(expected), "{}", traced.errors);
    }
    // Seconds since the start stand before it.
    assert!(lines[0].trim_start().starts_with("0."), "{}", traced.errors);
    let phases: Vec<_> = lines[lines.len() - 5..]
        .iter()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(phases, ["connect", "send", "wait", "receive", "total"]);
    let full = ajp(&["get", "-vv", &container.url("/cookie")]);
    assert!(
        full.errors.contains("set-cookie: [redacted"),
        "{}",
        full.errors
    );
    assert!(!full.errors.contains("hidden"), "{}", full.errors);
    let times = ajp(&["get", "--timing", &container.url("/hello")]);
    assert_eq!(times.errors.lines().count(), 5, "{times:?}");
    assert!(
        times.errors.lines().all(|line| line.contains(" ms")),
        "{times:?}"
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list")]
fn every_failure_has_its_exit_code() {
    let container = Container::open();
    let cookie = format!("cookie: {}", "c".repeat(9000));
    let (silent, closing) = (Hostile::silent(), Hostile::closing());
    let http = Hostile::saying(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let tls = Hostile::saying(&[0x15, 3, 3, 0, 2, 2, 10]);
    let garbage = Hostile::saying(b"AB\0\x02\x63\x01");
    let unix = "unix:/nonexistent/ajp.sock|ajp://a/";
    for (code, arguments, expected) in [
        (
            22,
            vec!["get", "-f", &container.url("/status/404")],
            "/status/404: 404 Not Found",
        ),
        (
            22,
            vec!["get", "-f", &container.url("/status/500")],
            "500 Internal Server Error",
        ),
        (0, vec!["get", "-f", &container.url("/status/399")], ""),
        (
            3,
            vec!["get", &nobody()],
            "cannot connect: Connection refused",
        ),
        (3, vec!["get", unix], "cannot connect: No such file"),
        (3, vec!["get", "ajp://name.invalid/"], "cannot connect: "),
        (
            4,
            vec!["get", "--timeout", "200ms", &silent.url()],
            "did not answer in time",
        ),
        (
            4,
            vec!["get", "-m", "200ms", &silent.url()],
            "not done within 200ms (--max-time)",
        ),
        (
            4,
            vec!["get", "--timeout", "200ms", &container.url("/stuck")],
            "stopped in the middle",
        ),
        (
            5,
            vec!["get", &http.url()],
            "the port speaks HTTP; take the port of the AJP connector",
        ),
        (5, vec!["get", &tls.url()], "the port speaks TLS"),
        (
            5,
            vec!["get", &garbage.url()],
            "the container broke the protocol: ",
        ),
        (
            6,
            vec!["get", &closing.url()],
            "closed the connection before the end",
        ),
        (
            6,
            vec!["get", &container.url("/aborted")],
            "before the end of the response",
        ),
        (
            9,
            vec!["get", "-H", &cookie, &container.url("/hello")],
            "the request head does not fit the packet size: ",
        ),
        (
            9,
            vec!["get", "-H", "upgrade: websocket", &container.url("/hello")],
            "cannot upgrade",
        ),
        (
            2,
            vec!["get", "http://127.0.0.1/"],
            "must begin with ajp:// or unix:, not http://",
        ),
        (2, vec!["get"], "Usage: ajp get"),
        (
            2,
            vec!["get", "-H", "no colon", &container.url("/")],
            "must be \"Name: value\"",
        ),
        (
            2,
            vec!["post", "-d", "@/nonexistent", &container.url("/")],
            "/nonexistent: No such file",
        ),
        (
            2,
            vec!["post", "-d", "@/tmp", &container.url("/")],
            "/tmp: ",
        ),
        (
            2,
            vec!["get", "-o", "/nonexistent/file", &container.url("/hello")],
            "/nonexistent/file: No such file",
        ),
        (
            2,
            vec!["get", "--packet-size", "4096", &container.url("/")],
            "8192 to 65536",
        ),
        (
            2,
            vec!["get", "-m", "0", &container.url("/")],
            "must be longer than 0",
        ),
        (
            2,
            vec!["get", "--tls-cert", "/dev/null", &container.url("/")],
            "holds no PEM certificate",
        ),
        (2, vec!["unknown"], "unrecognized subcommand"),
    ] {
        let ended = ajp(&arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        assert!(ended.errors.contains(expected), "{arguments:?}: {ended:?}");
        if code > 2 && !ended.text().contains("begun") {
            assert_eq!(ended.text(), "", "{arguments:?}");
        }
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let container = Container::open();
    for arguments in [
        vec!["get", &container.url("/large")],
        vec!["get", &container.url("/stuck")],
        vec!["get", "--help"],
    ] {
        let mut child = command(&arguments).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 5];
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        if arguments[1].ends_with("/stuck") {
            // Nothing more to write: it can only be told to end.
            child.kill().unwrap();
            child.wait().unwrap();
            continue;
        }
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!((ended.code, &*ended.errors), (0, ""), "{arguments:?}");
    }
    // Nor is one that never was there.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let url = container.url("/hello");
    let output = command(&["get", &url]).stdout(Stdio::from(writer)).output();
    let ended = ended(output.unwrap());
    assert_eq!((ended.code, &*ended.errors), (0, ""));
}

#[test]
fn colours_are_for_terminals() {
    let container = Container::open();
    let traced = ajp(&["get", "-v", &container.url("/hello")]);
    assert!(!traced.errors.contains('\x1b'), "{}", traced.errors);
    let refused = ajp(&["get", &nobody()]);
    assert!(!refused.errors.contains('\x1b'), "{}", refused.errors);
}

#[test]
fn pings_and_their_summary() {
    let container = Container::closed(SECRET);
    let url = container.url("");
    let text = ajp(&["ping", "-c", "3", "-i", "0", &url]);
    let lines: Vec<_> = text.ok().lines().collect();
    assert_eq!(lines.len(), 4, "{text:?}");
    let beginning = format!("CPong from {url}: 1: ");
    assert!(lines[0].starts_with(&beginning) && lines[0].contains(", connected in "));
    // The same connection.
    assert!(lines[1].ends_with(" ms") && !lines[1].contains("connected"));
    let beginning = format!("{url}: 3 sent, 3 answered, 0 lost; min ");
    assert!(lines[3].starts_with(&beginning), "{text:?}");
    let text = ajp(&["ping", "-c", "2", "-i", "0", "--fresh", &url]);
    assert_eq!(text.ok().matches("connected in").count(), 2, "{text:?}");
    let text = ajp(&["ping", "-q", "-c", "2", "-i", "0", &url]);
    assert_eq!(text.ok().lines().count(), 1, "{text:?}");
    let text = ajp(&["ping", "-v", "-q", "-c", "1", &url]);
    assert_eq!(text.errors.lines().count(), 2, "{text:?}");
    assert!(
        text.errors.contains("CPing") && text.errors.contains("CPong"),
        "{text:?}"
    );
}

#[test]
fn lost_pings_have_exit_codes() {
    let silent = Hostile::silent();
    let http = Hostile::saying(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let closing = Hostile::closing();
    for (code, url, expected) in [
        (3, nobody(), "cannot connect"),
        (4, silent.url(), "CPing was not answered in time"),
        (5, http.url(), "the port speaks HTTP"),
        (6, closing.url(), "CPing was not answered"),
    ] {
        let ended = ajp(&["ping", "-c", "2", "-i", "0", "-W", "200ms", &url]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert_eq!(ended.errors.matches(expected).count(), 2, "{ended:?}");
        assert!(
            ended.text().ends_with("2 sent, 0 answered, 2 lost\n"),
            "{ended:?}"
        );
    }
    // One answer, and then none.
    let answered = std::sync::atomic::AtomicBool::new(false);
    let dying = Hostile::new(move |stream| {
        let _ = stream.read_exact(&mut [0; 5]);
        if !answered.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let _ = stream.write_all(&ajp::wire::CPONG);
        }
    });
    let ended = ajp(&["ping", "-c", "2", "-i", "0", "--fresh", &dying.url()]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.text().contains("2 sent, 1 answered, 1 lost; min "),
        "{ended:?}"
    );
}

#[test]
fn ping_without_end_is_ended_by_ctrl_c() {
    let container = Container::open();
    let mut running = cli::Running::start(&["ping", "-c", "0", "-i", "10ms", &container.url("")]);
    let mut first = [0; 10];
    running
        .child()
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let ended = running.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.text().contains(" 0 lost; min "), "{ended:?}");
}
