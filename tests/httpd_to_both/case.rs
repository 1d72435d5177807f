//! A recorded case, and how its requests are sent again.

use super::answer::Answer;
use super::sides::{ATTRIBUTE, SHORT_IDLE, Side, Sides, Via};
use super::support::http1;
use super::support::pattern;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One entry of the manifest.
pub(crate) struct Case {
    pub(crate) name: String,
    steps: Vec<Value>,
}

/// What the web server of this kind was asked.
pub(crate) fn cases(via: Via) -> Vec<Case> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/captures/requests.json"
    );
    let manifest: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let entries = manifest.as_array().unwrap().iter();
    entries
        .filter(|entry| entry["peer"] == via.peer())
        .map(|entry| Case {
            name: entry["case"].as_str().unwrap().to_owned(),
            steps: entry["http"].as_array().unwrap().clone(),
        })
        .collect()
}

impl Case {
    /// Sends the requests to one side; an answer for each that is not broken off.
    pub(crate) async fn play(&self, sides: &Sides, side: Side) -> Vec<Answer> {
        let mut answers = Vec::new();
        for step in &self.steps {
            if !step["wait"].is_null() {
                // As long as it takes the container to close.
                tokio::time::sleep(SHORT_IDLE * 2).await;
            } else if let Some(len) = step["client_resets_after"].as_u64() {
                reset_after(sides, side, step, len).await;
            } else if self.name.starts_with("tls") {
                answers.push(over_tls(sides, side, step, &self.name).await);
            } else {
                let (request, path) = request(step);
                let raw = http1::raw(sides.http(side), &request).await;
                answers.push(Answer::parse(&raw, &path));
            }
        }
        if answers.is_empty() {
            let hello = "GET /app/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let raw = http1::raw(sides.http(side), hello.as_bytes()).await;
            answers.push(Answer::parse(&raw, "/app/hello"));
        }
        answers
    }
}

/// A client that loses interest, with a reset.
async fn reset_after(sides: &Sides, side: Side, step: &Value, len: u64) {
    let (request, _) = request(step);
    let mut tcp = TcpStream::connect(sides.http(side)).await.unwrap();
    tcp.write_all(&request).await.unwrap();
    // The parts of the tests' applications are small.
    let mut data = vec![0; usize::try_from(len.min(100)).unwrap()];
    tcp.read_exact(&mut data).await.unwrap();
    // Bytes that nobody has read make the close a reset.
    drop(tcp);
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn over_tls(sides: &Sides, side: Side, step: &Value, name: &str) -> Answer {
    let httpd = sides.httpd(side);
    let (_, target) = target(step["target"].as_str().unwrap());
    let url = format!("https://localhost:{}{target}", httpd.https_addr().port());
    let mut args: Vec<String> = ["-i", "--raw", "--http1.1", "--cacert"]
        .map(str::to_owned)
        .into();
    args.push(httpd.ca_pem_path().to_str().unwrap().to_owned());
    if name.starts_with("tls12") {
        args.extend(["--tls-max".to_owned(), "1.2".to_owned()]);
    }
    if name.contains("client-cert") {
        for (flag, path) in [
            ("--cert", httpd.client_cert_path()),
            ("--key", httpd.client_key_path()),
        ] {
            args.extend([flag.to_owned(), path.to_str().unwrap().to_owned()]);
        }
    }
    for (name, value) in headers(step) {
        let own = ["connection", "content-length"];
        if !own.contains(&&*name.to_ascii_lowercase()) {
            args.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    if let Some(body) = body(step) {
        std::fs::write(file.path(), body).unwrap();
        let data = format!("@{}", file.path().to_str().unwrap());
        args.extend(["--data-binary".to_owned(), data]);
    }
    args.push(url);
    let output = http1::curl(&args).await;
    assert!(output.status.success(), "{output:?}");
    Answer::parse(&output.stdout, &target)
}

fn headers(step: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers = step["headers"].as_array().unwrap();
    headers
        .iter()
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect()
}

fn body(step: &Value) -> Option<Vec<u8>> {
    let len = step["body_len"].as_u64()?;
    Some(pattern::bytes(usize::try_from(len).unwrap()).to_vec())
}

/// The request as bytes, with `Connection: close`, and the path and query it is for.
fn request(step: &Value) -> (Vec<u8>, String) {
    let (line, path) = target(step["target"].as_str().unwrap());
    let mut bytes = format!("{} {line} HTTP/1.1\r\n", step["method"].as_str().unwrap());
    let mut closes = false;
    for (name, value) in headers(step) {
        let value = if name.eq_ignore_ascii_case("connection") {
            closes = true;
            value.replace("keep-alive", "close")
        } else {
            value
        };
        bytes.extend([&name, ": ", &value, "\r\n"]);
    }
    if !closes {
        bytes += "Connection: close\r\n";
    }
    bytes += "\r\n";
    // The texts of the manifest are those of Latin-1.
    let mut bytes: Vec<u8> = bytes
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    if let Some(body) = body(step) {
        if step["chunks"].is_null() {
            bytes.extend(body);
        } else {
            for part in body.chunks(3001) {
                bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
                bytes.extend(part);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    (bytes, path)
}

/// The recorded applications had other names for some of what the applications of the tests
/// do: the target as it is sent, and its path and query.
fn target(recorded: &str) -> (String, String) {
    let (origin, path) = match recorded.strip_prefix("http://") {
        Some(rest) => {
            let slash = rest.find('/').unwrap();
            (format!("http://{}", &rest[..slash]), &rest[slash..])
        }
        None => (String::new(), recorded),
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let number = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| value.to_owned())
    };
    let n = number("n").unwrap_or_default();
    let path = match path {
        "/app/status" => {
            let message = if query.contains("error=1") || query.contains("throw=1") {
                "?msg=1"
            } else {
                ""
            };
            format!(
                "/app/status/{}{message}",
                number("code").unwrap_or("500".into())
            )
        }
        "/app/bytes" if query.contains("nocl=1") => format!("/app/bytes?n={n}"),
        "/app/bytes" => format!("/app/bytes?n={n}&len=1"),
        "/app/echo" if query == "x=1" => format!("{path}?x=1&attr={ATTRIBUTE}"),
        "/app/early" => "/app/unread".to_owned(),
        "/app/sink" => "/app/echo".to_owned(),
        "/app/session" => "/app/echo/session".to_owned(),
        "/app/slow" => format!(
            "/app/slow?ms=20&parts={0}&n={0}",
            number("parts").unwrap_or("3".into())
        ),
        _ if path.starts_with("/app/session;") => {
            let rest = path.trim_start_matches("/app/session");
            format!("/app/echo/session{rest}?{query}")
        }
        _ if recorded.contains('?') => format!("{path}?{query}"),
        _ => path.to_owned(),
    };
    (origin + &path, path)
}
