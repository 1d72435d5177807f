//! Real peers, and the table of what they do.

use super::{Verdicts, cli, verdicts};
use crate::cli::{ajp, file};
use crate::support::child::ChildGuard;
use crate::support::httpd::Httpd;
use crate::support::tomcat::{SECRET, Tomcat};
use crate::support::{need, ports};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

const CHAPTER: &str = "src/docs/conformance.md";

/// The rows of a table of the chapter, by their first column: the verdict of each peer.
fn documented(heading: &str) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let chapter =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(CHAPTER))
            .unwrap();
    let part = chapter.split(heading).nth(1).unwrap_or_default();
    let mut rows = part
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned());
            cells.collect::<Vec<_>>()
        });
    let head = rows.next().unwrap_or_default();
    let rows = rows
        .skip(1)
        .map(|row| (row[0].clone(), row[2..].to_vec()))
        .collect();
    (head, rows)
}

fn short(verdict: &str) -> String {
    match verdict {
        "holds" => "yes",
        "differs" => "differs",
        "skipped" => "-",
        "wrong" => "**wrong**",
        "dangerous" => "**dangerous**",
        other => panic!("{other}"),
    }
    .to_owned()
}

/// Compares what was measured with the chapter, and shows the lines that would be right.
fn compare(heading: &str, peers: &[(&str, &Verdicts)]) {
    let (head, rows) = documented(heading);
    let mut right = String::new();
    let mut is_right = true;
    for check in peers[0].1.keys() {
        let measured: Vec<String> = peers
            .iter()
            .map(|(_, verdicts)| short(&verdicts[check]))
            .collect();
        is_right &= rows.get(check) == Some(&measured);
        writeln!(right, "{check} | {}", measured.join(" | ")).unwrap();
    }
    let names: Vec<_> = peers.iter().map(|(name, _)| *name).collect();
    let known: Vec<_> = head.iter().skip(2).map(String::as_str).collect();
    assert!(
        is_right && known == names,
        "{CHAPTER} says otherwise; measured ({names:?}):\n{right}"
    );
}

fn container(url: &str, reading: &str, status: &str, secret: &str) -> Verdicts {
    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "secret", secret);
    let ended = ajp(&[
        "conform",
        "container",
        "--json",
        "--secret-file",
        &secret,
        "--reading-path",
        reading,
        "--status-path",
        status,
        url,
    ]);
    println!("{}", ended.text());
    verdicts(&ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn containers() {
    let tomcat = Tomcat::builder().secret(SECRET).start().await;
    let url = format!("ajp://{}/app/hello", tomcat.ajp_addr());
    let of_tomcat =
        tokio::task::spawn_blocking(move || container(&url, "/app/echo", "/app/status/{}", SECRET))
            .await
            .unwrap();
    let of_ours = tokio::task::spawn_blocking(|| {
        let ours = cli::Container::closed("c0nform");
        container(&ours.url("/hello"), "/echo", "/status/{}", "c0nform")
    })
    .await
    .unwrap();
    compare(
        "# Containers",
        &[("Tomcat 10.1.60", &of_tomcat), ("this crate", &of_ours)],
    );
}

fn front(port: u16, http: std::net::SocketAddr) -> Verdicts {
    let port = port.to_string();
    let ended = ajp(&[
        "conform",
        "front",
        "--json",
        "--timeout",
        "1s",
        "--listen",
        &port,
        "--http",
        &format!("http://{http}/app/x"),
    ]);
    println!("{}", ended.text());
    verdicts(&ended)
}

/// lighttpd with `mod_ajp13` in front of this port.
async fn lighttpd(port: u16) -> (ChildGuard, std::net::SocketAddr, tempfile::TempDir) {
    let http = ports::free_addr();
    let root = tempfile::Builder::new()
        .prefix("lighttpd-")
        .tempdir()
        .unwrap();
    let conf = root.path().join("lighttpd.conf");
    need::file("/usr/sbin/lighttpd", "lighttpd");
    std::fs::write(
        &conf,
        format!(
            "server.modules = (\"mod_ajp13\")\nserver.document-root = \"{root}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {}\n\
             server.errorlog = \"{root}/error.log\"\n\
             ajp13.server = (\"/app\" => ((\"host\" => \"127.0.0.1\", \"port\" => {port}, \"disable-time\" => 0)))\n",
            http.port(),
            root = root.path().display()
        ),
    )
    .unwrap();
    let mut command = Command::new("/usr/sbin/lighttpd");
    command.arg("-D").arg("-f").arg(&conf);
    let mut child = ChildGuard::spawn(
        command,
        "lighttpd",
        root.path(),
        root.path().join("out.log"),
        Duration::from_secs(1),
    );
    child
        .wait_for_port(http, Duration::from_secs(20))
        .await
        .unwrap();
    (child, http, root)
}

#[tokio::test(flavor = "multi_thread")]
async fn fronts() {
    let ports: Vec<_> = (0..4).map(|_| ports::free_addr()).collect();
    let proxy_ajp = Httpd::builder()
        .proxy_ajp("/app", ports[0], "retry=0")
        .raw("SetEnv proxy-sendchunked 1")
        .start()
        .await;
    let mod_jk = Httpd::builder()
        .mod_jk_worker(ports[1], &["recovery_options=7", "retries=1"])
        .start()
        .await;
    let (_lighttpd, lighttpd, _root) = lighttpd(ports[2].port()).await;
    let gateway = crate::support::gateway::Gateway::start(&format!(
        "[[balancer]]\nname = \"conform\"\nretry = \"1ms\"\n[[balancer.member]]\nurl = \"ajp://{}\"\n[[map]]\npath = \"/app\"\nto = \"balancer://conform/app\"\n",
        ports[3]
    ))
    .await;
    let https = [
        proxy_ajp.http_addr(),
        mod_jk.http_addr(),
        lighttpd,
        gateway.http,
    ];
    let tasks: Vec<_> = ports
        .iter()
        .zip(https)
        .map(|(port, http)| {
            let port = port.port();
            tokio::task::spawn_blocking(move || front(port, http))
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.push(task.await.unwrap());
    }
    // Its POST has no inner length: every body is damaged.
    assert_eq!(found[2]["F03"], "wrong", "{:?}", found[2]);
    compare(
        "# Web servers",
        &[
            ("mod_proxy_ajp 2.4.71", &found[0]),
            ("mod_jk 1.2.48", &found[1]),
            ("lighttpd 1.4.69", &found[2]),
            ("ajp gateway", &found[3]),
        ],
    );
}
