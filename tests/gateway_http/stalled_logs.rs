//! Logs whose reader has stopped: nobody waits for it, also not a reload.

use crate::raw::soon;
use crate::support::gateway::binary;
use crate::wire::{before, echo, exchange};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// `O_NONBLOCK` of Linux.
const NONBLOCKING: i32 = 0o4000;

/// Writes until there is no room.
fn fill(mut to: impl std::io::Write) {
    loop {
        match to.write(&[b'x'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_nobody_reads_stops_neither_requests_nor_a_reload() {
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut both = std::fs::File::options();
    let both = both.read(true).write(true).custom_flags(NONBLOCKING);
    let reader = both.open(&pipe).unwrap();
    let keys = format!("access_log = {pipe:?}\n");
    let mut gateway = before(&backend, &keys).await;
    assert!(exchange(gateway.http, REQUEST).await.ends_with("\r\n\r\nx"));
    fill(&reader);
    for number in 1..=2 {
        for _ in 0..20 {
            let answer = soon("an answer", exchange(gateway.http, REQUEST)).await;
            assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
        }
        soon("a reload", crate::reload::reload(&mut gateway, number)).await;
    }
    // Another log takes over, though the first is not written to its end.
    let config = format!(
        "access_log = \"log\"\n[[balancer]]\nname = \"b\"\n[[balancer.member]]\nurl = \"{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        backend.url()
    );
    gateway.rewrite(&config);
    soon("a reload", crate::reload::reload(&mut gateway, 3)).await;
    exchange(gateway.http, REQUEST).await;
    let log = gateway.file("log");
    let start = Instant::now();
    while std::fs::read_to_string(&log)
        .unwrap_or_default()
        .lines()
        .count()
        < 1
    {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // And it ends, after the time that the log may take.
    let said = tokio::task::spawn_blocking(move || gateway.stop())
        .await
        .unwrap();
    assert!(said.contains("records are lost"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_error_that_nobody_reads_stops_nothing() {
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    let config = |path: &str| {
        format!(
            "listen = \"127.0.0.1:0\"\n[[map]]\npath = \"{path}\"\nto = \"{}/\"\n",
            backend.url()
        )
    };
    std::fs::write(&file, config("/one")).unwrap();
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    fill(&mut writer);
    writer.flush().unwrap();
    // As the program gets it: who writes waits.
    writer.set_nonblocking(false).unwrap();
    let mut child = Command::new(binary())
        .args(["gateway", "--config"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::from(OwnedFd::from(writer)))
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (_, rest) = line.split_once("gateway: http://").unwrap();
    let http = rest.split(' ').next().unwrap().parse().unwrap();
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        async move { soon("an answer", exchange(http, request.as_bytes())).await }
    };
    assert!(ask("/one").await.starts_with("HTTP/1.1 200 "));
    let pid = child.id().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    };
    // Each has a line to say.
    for path in ["/two", "/three", "/four"] {
        std::fs::write(&file, config(path)).unwrap();
        signal("-HUP");
        let start = Instant::now();
        while !ask(path).await.starts_with("HTTP/1.1 200 ") {
            assert!(start.elapsed() < Duration::from_secs(10), "{path}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    signal("-TERM");
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(reader);
}
