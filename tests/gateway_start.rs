//! `ajp gateway` as a user runs it: the one line it prints, a request, Ctrl-C.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ajp"))
        .arg("gateway")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_prints_one_line_serves_and_drains() {
    let mut gateway = start(&["--listen", "127.0.0.1:0"]);
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(20), lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let http = words[1].strip_prefix("http://").unwrap();
    assert!(words[3].starts_with("ajp://127.0.0.1:"), "{line}");
    assert!(
        line.ends_with(&format!("try: curl http://{http}/hello")),
        "{line}"
    );

    let answer = exchange(
        http,
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n")
            && answer.contains("\r\n\r\nmethod: GET\nuri: /hello\n"),
        "{answer}"
    );
    let upload =
        "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    let answer = exchange(http, upload).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nabc"),
        "{answer}"
    );
    let conflict = "POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let answer = exchange(http, conflict).await;
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");

    // A request that is running when Ctrl-C comes is still answered in full.
    let running = {
        let http = http.to_owned();
        tokio::spawn(async move {
            exchange(
                &http,
                "GET /?sleep=500ms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
            .await
        })
    };
    tokio::time::sleep(Duration::from_millis(150)).await;
    let pid = gateway.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(running.await.unwrap().contains("uri: /?sleep=500ms\n"));
    assert!(
        timeout(Duration::from_secs(10), gateway.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    assert_eq!(
        lines.next_line().await.unwrap().unwrap(),
        "gateway: draining"
    );
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "gateway: done");
}

/// The container of its own ends after those who are before it.
#[tokio::test]
async fn its_own_container_serves_to_the_end() {
    let mut gateway = start(&["--listen", "127.0.0.1:0"]);
    let http = address(&mut gateway).await;
    let pid = gateway.id().unwrap().to_string();
    let signal = async |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status().await;
        assert!(sent.unwrap().success());
    };
    // It has not seen any of these when it is asked to end.
    signal("-STOP").await;
    let mut visitors = Vec::new();
    for _ in 0..10 {
        let mut visitor = TcpStream::connect(&http).await.unwrap();
        let request = b"GET /?sleep=100ms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        visitor.write_all(request).await.unwrap();
        visitors.push(visitor);
    }
    signal("-TERM").await;
    signal("-CONT").await;
    for mut visitor in visitors {
        let mut answer = String::new();
        visitor.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let ended = timeout(Duration::from_secs(10), gateway.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[tokio::test]
async fn wrong_arguments_say_what_and_exit() {
    for (arguments, expected) in [
        (
            &["--listen", "127.0.0.1:0", "--secret-file", "no-such-file"][..],
            "secret file no-such-file",
        ),
        (&["--packet-size", "100"], "not a number from 8192 to 65536"),
        (
            &["--backend", "http://a"],
            "must begin with ajp:// or unix:",
        ),
    ] {
        let output = timeout(Duration::from_secs(20), start(arguments).wait_with_output())
            .await
            .unwrap()
            .unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_check_tells_all_faults_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    let run = async |text: &str, flag: &str| {
        std::fs::write(&path, text).unwrap();
        let child = start(&["--config", path.to_str().unwrap(), flag]);
        let output = timeout(Duration::from_secs(20), child.wait_with_output());
        let output = output.await.unwrap().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let wrong = "lisen = \"127.0.0.1:80\"\nmax_body = -1\n[[map]]\npath = \"/\"\nto = \"x\"\n";
    let (code, said) = run(wrong, "--check").await;
    assert_eq!(code, Some(2), "{said}");
    let shown = path.display();
    for fault in [
        "1:1: unknown key `lisen`; did you mean `listen`?",
        "2:12: max_body",
        "5:6: to",
    ] {
        assert!(said.contains(&format!("{shown}:{fault}")), "{said}");
    }
    let right = "[[map]]\npath = \"/\"\nto = \"ajp://127.0.0.1:8009\"\n";
    let (code, said) = run(right, "--check").await;
    assert_eq!(
        (code, &*said),
        (Some(0), "gateway: the configuration is right\n")
    );
    let kept = |file: &str| format!("[manager]\nstate_file = \"{file}\"\n{right}");
    let state = dir.path().join("state.json");
    assert_eq!(
        run(&kept(state.to_str().unwrap()), "--check").await.0,
        Some(0)
    );
    assert!(!state.exists());
    let (code, said) = run(&kept("/nowhere/state.json"), "--check").await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("state file /nowhere/state.json: changes cannot be kept there"),
        "{said}"
    );
    // What it lets pass the gateway starts with.
    let here = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("file"), "somebody's").unwrap();
    for (keys, expected) in [
        (format!("access_log = \"{here}\"\n"), "access log"),
        (
            format!("access_log = \"{here}/no/log\"\n"),
            "no/log: No such file",
        ),
        (
            format!("[[listener]]\naddress = \"unix:{here}/no/http.sock\"\n"),
            "no/http.sock: No such file",
        ),
        (
            format!("[[listener]]\naddress = \"unix:{here}/file\"\n"),
            "file: what is there is no socket, and stays",
        ),
        (
            format!("[[listener]]\naddress = \"unix:/{}\"\n", "x".repeat(200)),
            "path must be shorter",
        ),
        // Of the networks that documents speak of (RFC 5737).
        (
            "[manager]\nhealth_listen = \"192.0.2.1:80\"\n".to_owned(),
            "cannot listen on 192.0.2.1:80",
        ),
        (
            format!("[manager]\nstate_file = \"{here}/file\"\n"),
            "it holds something else than changes",
        ),
        (
            format!("[manager]\nstate_file = \"{here}\"\n"),
            "this is no regular file",
        ),
    ] {
        let text = format!("{keys}{right}");
        let (code, said) = run(&text, "--check").await;
        assert_eq!(code, Some(2), "{text}");
        assert!(said.contains(expected), "{said}");
        // The flag is one that says nothing: without any it starts, and fails.
        let (code, started) = run(&text, "--listen=127.0.0.1:0").await;
        assert_eq!(code, Some(2), "{started}");
        assert!(started.contains(expected), "{started}");
    }
    assert_eq!(
        std::fs::read_to_string(dir.path().join("file")).unwrap(),
        "somebody's"
    );
    // A log that is not there yet is not made, and one that is stays as it is.
    for log in ["log", "file"] {
        let (code, said) = run(
            &format!("access_log = \"{here}/{log}\"\n{right}"),
            "--check",
        )
        .await;
        assert_eq!(code, Some(0), "{said}");
    }
    assert!(!dir.path().join("log").exists());
    let (code, said) = run(right, "--print-config").await;
    assert_eq!((code, &*said), (Some(0), right));
    let version = start(&["--version"]).wait_with_output().await.unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[tokio::test]
async fn a_refused_secret_is_said_in_the_log() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = format!("ajp://{}", listener.local_addr().unwrap());
    let server = ajp::server::serve(listener, axum::Router::new())
        .with_secret(ajp::Secret::new("right").unwrap());
    tokio::spawn(server.into_future());
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "wrong\n").unwrap();
    let path = secret.path().to_str().unwrap();
    let mut gateway = start(&[
        "--listen",
        "127.0.0.1:0",
        "--backend",
        &backend,
        "--secret-file",
        path,
    ]);
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(20), lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let http = line
        .split(' ')
        .nth(1)
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    // Nobody knows what a container of somebody else has, but for its root.
    assert!(
        line.ends_with(&format!("-> {backend}; try: curl http://{http}/")),
        "{line}"
    );
    let answer = exchange(
        http,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("refused the secret or a request attribute") {
        said = timeout(Duration::from_secs(10), log.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(!said.contains("wrong") && !said.contains("right"), "{said}");
    }
    assert!(said.contains(&backend), "{said}");
}

/// What the README shows of a cluster is right as it stands there: with nothing but the file and
/// its commands, and wherever they are typed.
#[tokio::test]
async fn the_configuration_of_the_readme_is_right() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```toml\n# cluster.toml\n").unwrap();
    let (config, rest) = rest.split_once("```").unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    let (commands, _) = rest.split_once("```").unwrap();
    let (_, commands) = commands.split_once("--locked\n").unwrap();
    let check = commands.find("--check\n").unwrap() + "--check\n".len();
    let commands = &commands[..check];
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster.toml"), config).unwrap();
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let (_, elsewhere) = commands.split_once("\najp ").unwrap();
    let elsewhere = elsewhere.replace(" cluster.toml", " ../cluster.toml");
    for script in [commands, &format!("cd elsewhere\najp {elsewhere}")] {
        let said = Command::new("sh")
            .args(["-ec", &format!("ajp() {{ \"$0\" \"$@\"; }}\n{script}")])
            .arg(env!("CARGO_BIN_EXE_ajp"))
            .current_dir(dir.path())
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        assert_eq!(text, "gateway: the configuration is right\n", "{said:?}");
    }
}

/// As many connections as the system allows, and not the 1024 of a shell; where that is too few,
/// it is said before the clients feel it, and not with each of them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_limit_of_open_files_is_raised_and_its_end_told_once() {
    // prlimit becomes the program that it starts.
    let start = |limits: &str| {
        let mut gateway = Command::new("prlimit");
        gateway
            .arg(format!("--nofile={limits}"))
            .arg(env!("CARGO_BIN_EXE_ajp"))
            .args(["gateway", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        gateway.spawn().unwrap()
    };
    let mut gateway = start("64:20000");
    let address = address(&mut gateway).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id().unwrap()));
    let limits = limits.unwrap();
    let open_files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<_> = open_files.unwrap().split_whitespace().collect();
    assert_eq!(words[3..5], ["20000", "20000"], "{limits}");
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(TcpStream::connect(&address).await.unwrap());
    }
    let get = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(exchange(&address, get).await.starts_with("HTTP/1.1 200 "));
    drop(many);
    assert_eq!(errors(gateway).await, "");

    let mut gateway = start("64:64");
    let address = self::address(&mut gateway).await;
    let mut many = Vec::new();
    for _ in 0..80 {
        many.push(TcpStream::connect(&address).await.unwrap());
    }
    // Ten tries to accept a connection.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(many);
    assert!(exchange(&address, get).await.starts_with("HTTP/1.1 200 "));
    let errors = errors(gateway).await;
    let few = "this process may open 64 files and sockets";
    let none_left = "cannot accept a connection: Too many open files";
    for words in [few, none_left] {
        assert_eq!(errors.matches(words).count(), 1, "{errors}");
    }
}

/// Where it listens.
#[cfg(target_os = "linux")]
async fn address(gateway: &mut Child) -> String {
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(20), lines.next_line()).await;
    let line = line.unwrap().unwrap().unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    address.split(' ').next().unwrap().to_owned()
}

/// What it has written to standard error until it was ended.
#[cfg(target_os = "linux")]
async fn errors(mut gateway: Child) -> String {
    let pid = i32::try_from(gateway.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut errors = String::new();
    let mut output = gateway.stderr.take().unwrap();
    output.read_to_string(&mut errors).await.unwrap();
    gateway.wait().await.unwrap();
    errors
}
