//! `ajp top` on a terminal, with a real gateway behind it.

use crate::cli::{Container, Hostile, ajp};
use crate::support::gateway::Gateway;
use crate::support::http1::Client;
use crate::support::need;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// `ajp top` in a terminal that the program `script` makes, and what it has written to it.
struct Terminal {
    child: Child,
    written: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    fn start(url: &str) -> Self {
        need::file("/usr/bin/script", "bsdutils");
        let top = format!(
            "stty rows 24 cols 160; exec {} top -d 100ms {url}",
            env!("CARGO_BIN_EXE_ajp")
        );
        let mut child = Command::new("/usr/bin/script")
            .args(["-q", "-e", "-c", &top, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut out, all) = (child.stdout.take().unwrap(), Arc::clone(&written));
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(n @ 1..) = out.read(&mut piece) {
                all.lock().unwrap().extend_from_slice(&piece[..n]);
            }
        });
        Self {
            child,
            written,
            reader: Some(reader),
        }
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// The lines of the last screen that was drawn as a whole.
    fn screen(&self) -> Vec<String> {
        let written = self.written();
        let screens: Vec<&str> = written.split("\x1b[2J").collect();
        let whole = screens.len().checked_sub(2).filter(|&last| last > 0);
        let screen = whole.map_or("", |last| screens[last]);
        let lines = screen.split("\r\n");
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    /// Waits for a screen that is so.
    async fn wait(&self, what: &str, is: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what}: {screen:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types a letter, and waits for the end.
    fn end(mut self, letter: &[u8]) -> (bool, String) {
        self.child.stdin.take().unwrap().write_all(letter).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{}", self.written());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.reader.take().unwrap().join().unwrap();
        (status.success(), self.written())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn manager_json(gateway: &Gateway) -> Value {
    let mut manager = Client::new(gateway.manager.unwrap());
    manager.get("/balancer-manager.json").await.json()
}

/// What a row must say of a member in the manager's JSON, but for the rate.
fn expected(member: &Value) -> Vec<String> {
    let number = |value: &Value| value.as_u64().unwrap().to_string();
    let pool = &member["pool"];
    vec![
        format!(
            "{} {}",
            member["route"].as_str().unwrap(),
            member["address"].as_str().unwrap()
        ),
        format!(
            "{}/{}",
            number(&member["busy"]),
            number(&member["max_busy"])
        ),
        format!(
            "{}+{}/{}",
            number(&pool["in_use"]),
            number(&pool["idle"]),
            number(&pool["max"])
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_shows_what_the_manager_tells() {
    let (one, two) = (Container::open(), Container::open());
    let gateway = Gateway::start(&format!(
        "[manager]\n\
         [[balancer]]\nname = \"shop\"\nretry = \"100ms\"\nmax_connections = 7\n\
         [[balancer.member]]\nurl = \"ajp://127.0.0.1:{}\"\nroute = \"jvm1\"\nweight = 2\n\
         [[balancer.member]]\nurl = \"ajp://127.0.0.1:{}\"\nroute = \"jvm2\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://shop/\"\n",
        one.port(),
        two.port()
    ))
    .await;
    let mut client = Client::new(gateway.http);
    let url = format!("http://{}", gateway.manager.unwrap());
    let terminal = Terminal::start(&url);
    let title = format!("ajp top {url} q: end");
    let first = terminal
        .wait("both members", |screen| {
            screen.iter().any(|line| line.starts_with("jvm2 "))
        })
        .await;
    assert!(first[0].ends_with(&title), "{first:?}");
    assert!(
        first
            .iter()
            .any(|line| line.starts_with("shop: byrequests, refused 0")),
        "{first:?}"
    );
    assert!(
        first.contains(
            &"MEMBER STATE BUSY REQ/S FAILED CONNECTIONS WEIGHT SESSIONS LAST ERROR".into()
        ),
        "{first:?}"
    );

    // Requests that run are seen, and how many there are in a second.
    let rate = |line: &String| -> f64 {
        let words: Vec<&str> = line.split(' ').collect();
        let busy = words
            .iter()
            .position(|word| word.contains('/') && !word.contains(':'));
        busy.and_then(|busy| words.get(busy + 1)?.parse().ok())
            .unwrap_or(0.0)
    };
    let until = Instant::now() + Duration::from_millis(1500);
    let mut seen: f64 = 0.0;
    while Instant::now() < until {
        assert_eq!(client.get("/hello").await.status, 200);
        let screen = terminal.screen();
        let rates = screen
            .iter()
            .filter(|line| line.starts_with("jvm"))
            .map(rate);
        seen = seen.max(rates.sum());
    }
    assert!(seen > 1.0, "{seen}: {:?}", terminal.screen());

    // In peace each row is the manager's member.
    let json = manager_json(&gateway).await;
    let members = json["balancers"][0]["members"].as_array().unwrap().clone();
    let rows: Vec<Vec<String>> = members.iter().map(expected).collect();
    let agrees = |screen: &[String]| {
        rows.iter().all(|row| {
            screen.iter().any(|line| {
                line.starts_with(&row[0]) && row.iter().all(|part| line.contains(&**part))
            })
        })
    };
    terminal.wait("as the manager's JSON", agrees).await;
    let printed = ajp(&["top", "--once", &url]);
    let plain: Vec<String> = printed
        .ok()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(agrees(&plain), "{rows:?}\n{plain:?}");

    // A member that fails is told, with its last error.
    drop(two);
    for _ in 0..6 {
        client.get("/hello").await;
    }
    let json = manager_json(&gateway).await;
    let failed = json["balancers"][0]["members"].as_array().unwrap().iter();
    let failed: Vec<&Value> = failed.filter(|member| member["route"] == "jvm2").collect();
    let error = failed[0]["last_error"].as_str().unwrap().to_owned();
    assert!(!error.is_empty(), "{json:#}");
    let beginning: String = error
        .split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    terminal
        .wait("the last error", |screen| {
            let mut lines = screen.iter();
            lines.any(|line| line.starts_with("jvm2 ") && line.contains(&beginning))
        })
        .await;

    // q ends it, and the terminal is as it was before.
    let (is_well, written) = terminal.end(b"q");
    assert!(is_well, "{written:?}");
    assert!(
        written.contains("\x1b[?1049h") && written.contains("\x1b[?25l"),
        "{written:?}"
    );
    let (_, end) = written.rsplit_once("\x1b[?1049l").unwrap();
    assert!(end.contains("\x1b[?25h"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_goes_is_told_and_seen_again() {
    let container = Container::open();
    let config = format!(
        "[manager]\n[[balancer]]\nname = \"shop\"\n[[balancer.member]]\nurl = \"ajp://127.0.0.1:{}\"\n[[map]]\npath = \"/\"\nto = \"balancer://shop/\"\n",
        container.port()
    );
    let gateway = Gateway::start(&config).await;
    let url = format!("http://{}", gateway.manager.unwrap());
    let terminal = Terminal::start(&url);
    terminal
        .wait("the member", |screen| {
            screen.iter().any(|line| line.starts_with("shop:"))
        })
        .await;
    drop(gateway);
    terminal
        .wait("that it is gone", |screen| {
            screen
                .iter()
                .any(|line| line.contains("is it the listen of [manager]?"))
        })
        .await;
    // Ctrl-C is a key in a terminal that is read key by key.
    let (is_well, written) = terminal.end(b"\x03");
    assert!(is_well && written.contains("\x1b[?1049l"), "{written:?}");
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

/// A manager's texts, such as errors that containers cause, are text on the terminal.
#[test]
fn nothing_is_told_to_the_terminal_by_others() {
    let manager = Hostile::new(|stream| {
        let _ = stream.read(&mut [0; 8192]);
        let status = r#"{"balancers":[{"name":"\u001b[2J\u001b]0;pwn\u0007","members":[
            {"route":"a\u009b2J","address":"ajp://a","state":"OK","last_error":"x\r\u001b[1A"}]}]}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
        let answer = format!("{head}content-length: {}\r\n\r\n{status}", status.len());
        let _ = stream.write_all(answer.as_bytes());
    });
    let shown = ajp(&["top", "--once", &manager.url().replace("ajp:", "http:")]);
    let text = shown.ok();
    assert!(text.contains(r"\u{1b}[2J\u{1b}]0;pwn\u{7}"), "{text}");
    assert!(
        text.contains(r"a\u{9b}2J") && text.contains(r"x\r\u{1b}[1A"),
        "{text}"
    );
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}
