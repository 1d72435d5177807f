//! A headless Chromium, led by chromedriver (W3C `WebDriver` over HTTP).
//!
//! ```ignore
//! let mut browser = Browser::start().await;
//! browser.open("http://127.0.0.1:8081/").await;
//! browser.click("button[value='+N']").await;
//! std::fs::write("page.png", browser.screenshot().await).unwrap();
//! ```

use super::child::ChildGuard;
use super::http1::{Body, Client};
use super::{need, ports};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CHROMIUM: &str = "/usr/bin/chromium";
const START_LIMIT: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);

/// How `WebDriver` names the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window.
pub struct Browser {
    driver: Client,
    session: String,
    _child: ChildGuard,
    /// Last, so that the processes are gone before their directory.
    _dir: TempDir,
}

impl Browser {
    /// A browser with a profile of its own and a window of 1400 by 900 pixels.
    pub async fn start() -> Self {
        need::file(CHROMIUM, "chromium");
        let dir = tempfile::tempdir().unwrap();
        let address = ports::free_addr();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port()));
        // Its own directories are made there.
        command.env("TMPDIR", dir.path()).env("HOME", dir.path());
        let log = dir.path().join("chromedriver.log");
        let mut child = ChildGuard::spawn(command, "chromium-driver", dir.path(), log, LIMIT);
        child
            .wait_for_log("started successfully", START_LIMIT)
            .await
            .unwrap();
        let profile = dir.path().join("profile");
        let mut browser = Self {
            driver: Client::new(address),
            session: String::new(),
            _child: child,
            _dir: dir,
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--window-size=1400,900",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let options = json!({ "binary": CHROMIUM, "args": arguments });
        let wanted = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let body = json!({ "capabilities": { "alwaysMatch": wanted } });
        let answer = browser.ask("POST", "/session", Some(&body)).await.unwrap();
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    /// One command; the error is `WebDriver`'s name for it.
    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let body = match body {
            Some(body) => Body::Full(body.to_string().into()),
            None => Body::None,
        };
        let target = format!("{}{path}", self.session);
        let json = [("content-type", "application/json")];
        let answer = self.driver.request(method, &target, &json, body).await;
        let value = answer.json()["value"].clone();
        match value["error"].as_str() {
            None => Ok(value),
            Some(error) => Err(format!("{error}: {}", value["message"])),
        }
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&mut self, url: &str) {
        let body = json!({ "url": url });
        self.ask("POST", "/url", Some(&body)).await.unwrap();
    }

    /// Where it is.
    pub async fn url(&mut self) -> String {
        let url = self.ask("GET", "/url", None).await.unwrap();
        url.as_str().unwrap().to_owned()
    }

    /// The document as it stands.
    pub async fn source(&mut self) -> String {
        let source = self.ask("GET", "/source", None).await.unwrap();
        source.as_str().unwrap().to_owned()
    }

    /// What the page has complained about, such as a refused style.
    pub async fn complaints(&mut self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let log = self.ask("POST", "/se/log", Some(&body)).await.unwrap();
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// The text of the first element that the selector finds.
    pub async fn text(&mut self, selector: &str) -> String {
        let text = self.at(selector, "GET", "/text", None).await;
        text.as_str().unwrap().to_owned()
    }

    /// An attribute of the first element that the selector finds.
    pub async fn attribute(&mut self, selector: &str, name: &str) -> Option<String> {
        let path = format!("/attribute/{name}");
        let value = self.at(selector, "GET", &path, None).await;
        value.as_str().map(str::to_owned)
    }

    /// Clicks on the first element that the selector finds.
    pub async fn click(&mut self, selector: &str) {
        self.at(selector, "POST", "/click", Some(&json!({}))).await;
    }

    /// Types into the first element that the selector finds, in place of what is there.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        self.at(selector, "POST", "/clear", Some(&json!({}))).await;
        let body = json!({ "text": text });
        self.at(selector, "POST", "/value", Some(&body)).await;
    }

    /// A picture of the window, as PNG.
    pub async fn screenshot(&mut self) -> Vec<u8> {
        let picture = self.ask("GET", "/screenshot", None).await.unwrap();
        base64(picture.as_str().unwrap())
    }

    /// A command to an element. The page may renew itself in between: then it is tried again.
    async fn at(
        &mut self,
        selector: &str,
        method: &str,
        command: &str,
        body: Option<&Value>,
    ) -> Value {
        let end = Instant::now() + LIMIT;
        let find = json!({ "using": "css selector", "value": selector });
        loop {
            let found = self.ask("POST", "/element", Some(&find)).await;
            let result = match found {
                Ok(element) => {
                    let id = element[ELEMENT].as_str().unwrap();
                    let path = format!("/element/{id}{command}");
                    self.ask(method, &path, body).await
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(value) => return value,
                Err(error) => {
                    let may_pass = ["no such element", "stale element", "unknown error"];
                    let may_pass = may_pass.iter().any(|name| error.starts_with(name));
                    let late = Instant::now() > end;
                    assert!(may_pass && !late, "{selector} {command}: {error}");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Closes the browser and waits for its end.
    pub async fn quit(mut self) {
        self.ask("DELETE", "", None).await.unwrap();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("no base64: {b}"),
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for b in text.trim_end_matches('=').bytes() {
        bits = (bits << 6) | u32::from(value(b));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
