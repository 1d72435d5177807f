//! `ajp gateway` as a process of its own, with a configuration file or flags.
//!
//! ```ignore
//! let gateway = Gateway::start(&format!("[[balancer]] ...")).await;
//! let answer = http1::Client::new(gateway.http).get("/cart").await;
//! ```

use super::child::ChildGuard;
use super::http1::{Body, Client, Response};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running gateway.
pub struct Gateway {
    child: ChildGuard,
    /// Where it takes HTTP requests.
    pub http: SocketAddr,
    /// Where its manager is, if it has one.
    pub manager: Option<SocketAddr>,
    /// Last, so that the process is gone before its directory.
    dir: TempDir,
}

/// The program `ajp`, which is built where the feature `gateway` is on.
pub fn binary() -> &'static Path {
    // Not `env!`: benches are built without the variable's program, too.
    let built = option_env!("CARGO_BIN_EXE_ajp");
    built.map_or_else(|| panic!("build with the feature gateway"), Path::new)
}

impl Gateway {
    /// A gateway with this configuration. It listens on free ports whatever that says, and
    /// has a manager if there is a `[manager]`; paths are relative to its own directory.
    pub async fn start(config: &str) -> Self {
        Self::configured(tempfile::tempdir().unwrap(), config).await
    }

    /// As [`start`](Self::start), with a manager that other machines reach.
    pub async fn start_anywhere(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_config(&dir, config);
        let file = dir.path().join("gateway.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let manager = "[manager]\nlisten = \"";
        let text = text.replace(&format!("{manager}127.0.0.1"), &format!("{manager}0.0.0.0"));
        std::fs::write(&file, text).unwrap();
        let mut gateway = Self::run(dir, &["--config", "gateway.toml"], true).await;
        if let Some(manager) = &mut gateway.manager {
            manager.set_ip([127, 0, 0, 1].into());
        }
        gateway
    }

    async fn configured(dir: TempDir, config: &str) -> Self {
        let manager = config.contains("[manager]");
        write_config(&dir, config);
        Self::run(dir, &["--config", "gateway.toml"], manager).await
    }

    /// As [`start`](Self::start), with files in its directory: their names and contents.
    pub async fn start_with(files: &[(&str, &str)], config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self::configured(dir, config).await
    }

    /// Writes another configuration, as [`start`](Self::start) does.
    pub fn rewrite(&self, config: &str) {
        write_config(&self.dir, config);
    }

    /// Ends it as an operator would, and starts it again with what is in its directory.
    pub async fn restart(self) -> Self {
        let Self {
            mut child,
            manager,
            dir,
            ..
        } = self;
        tokio::task::block_in_place(|| child.terminate(Duration::from_secs(20)));
        Self::run(dir, &["--config", "gateway.toml"], manager.is_some()).await
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends it a signal, such as "HUP".
    pub fn signal(&mut self, name: &str) {
        self.child.signal(name);
    }

    /// Memory that it has in use, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.pid()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        kilobytes.unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Whether it says so, if not at once: its lines are written by a thread of their own.
    pub async fn says(&self, words: &str) -> bool {
        for _ in 0..250 {
            if self.log().contains(words) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Waits until it has said so.
    pub async fn wait_for_log(&mut self, words: &str) {
        self.child.wait_for_log(words, START_LIMIT).await.unwrap();
    }

    /// A gateway with these flags, beside one for a free port.
    pub async fn with_flags(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manager = flags.contains(&"--manager");
        let flags = [&["--listen", "127.0.0.1:0"], flags].concat();
        Self::run(dir, &flags, manager).await
    }

    async fn run(dir: TempDir, flags: &[&str], manager: bool) -> Self {
        let mut command = Command::new(binary());
        command.arg("gateway").args(flags);
        let log = dir.path().join("gateway.log");
        let mut child = ChildGuard::spawn(command, "cargo", dir.path(), log, Duration::ZERO);
        let last = if manager {
            "gateway: manager http"
        } else {
            "; try: curl"
        };
        child.wait_for_log(last, START_LIMIT).await.unwrap();
        // The line may have been written in parts.
        child
            .wait_for_log(
                "/balancer-manager\n",
                if manager { START_LIMIT } else { Duration::ZERO },
            )
            .await
            .ok();
        let log = child.log();
        let after = |words: &str| {
            let (_, rest) = log.split_once(words)?;
            rest.split([' ', '/']).next()?.parse().ok()
        };
        Self {
            http: after("gateway: http://").unwrap(),
            manager: after("gateway: manager http://"),
            child,
            dir,
        }
    }

    /// Where its further listeners are, in their order: an address, or `unix:` and a path.
    pub fn others(&self) -> Vec<String> {
        let log = self.child.log();
        let lines = log
            .lines()
            .filter_map(|line| line.strip_prefix("gateway: also "));
        lines
            .map(|url| {
                url.rsplit_once("//")
                    .map_or(url, |(_, address)| address)
                    .into()
            })
            .collect()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Stops it as an operator would, and waits until it has ended; what it printed.
    pub fn stop(mut self) -> String {
        self.child.terminate(Duration::from_secs(20));
        self.child.log()
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client of the site, with a connection of its own.
    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// A client of the manager.
    pub fn operator(&self) -> Client {
        Client::new(self.manager.expect("a [manager]"))
    }

    /// The manager's JSON.
    pub async fn status(&self) -> Value {
        self.operator().get("/balancer-manager.json").await.json()
    }

    /// A member of the only balancer with this route, as the manager's JSON has it.
    pub async fn member(&self, route: &str) -> Value {
        let status = self.status().await;
        let members = status["balancers"][0]["members"].as_array().unwrap();
        let member = members.iter().find(|member| member["route"] == route);
        member
            .unwrap_or_else(|| panic!("no {route} in {status}"))
            .clone()
    }

    /// Sends a change, with the nonce; fields as in a form.
    pub async fn change(&self, fields: &[(&str, &str)]) -> Response {
        let status = self.status().await;
        let nonce = status["nonce"].as_str().expect("changes = true");
        let fields = [&[("nonce", nonce)], fields].concat();
        post(&mut self.operator(), &fields, &[]).await
    }

    /// Waits until `done` holds of the manager's JSON.
    pub async fn wait_until(&self, what: &str, done: impl Fn(&Value) -> bool) {
        let end = Instant::now() + START_LIMIT;
        loop {
            let status = self.status().await;
            if done(&status) {
                return;
            }
            assert!(Instant::now() < end, "not {what}: {status:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A configuration with free ports for the plain listener and the manager.
fn write_config(dir: &TempDir, config: &str) {
    let listen = "listen = \"127.0.0.1:0\"\n";
    let config = config.replace("[manager]", &format!("[manager]\n{listen}"));
    std::fs::write(dir.path().join("gateway.toml"), listen.to_owned() + &config).unwrap();
}

/// Sends a form to the manager.
pub async fn post(
    manager: &mut Client,
    fields: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Response {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", coded(value)))
        .collect();
    let headers = [&[kind], headers].concat();
    let body = Body::Full(fields.join("&").into());
    manager
        .request("POST", "/balancer-manager", &headers, body)
        .await
}

/// A text as a part of a form or a query.
pub fn coded(text: &str) -> String {
    let code = |b: u8| {
        if b.is_ascii_alphanumeric() {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(code).collect()
}
