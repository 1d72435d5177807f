//! The web servers that are loaded, each told as little as it takes.

use crate::support::child::ChildGuard;
use crate::support::httpd::{Httpd, HttpdBuilder};
use crate::support::ports;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Processes of nginx.
pub(crate) const WORKERS: usize = 2;

/// A web server that can be loaded and measured.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    /// Its process, which leads a group if there are more.
    pub(crate) pid: u32,
    _running: Box<dyn std::any::Any>,
}

/// The program that cargo builds for this one, as this one was built.
fn built() -> PathBuf {
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--features", "gateway"]);
    build.args(["--profile", profile]);
    let status = build.status().unwrap();
    assert!(status.success(), "the gateway was not built");
    // Beside this program's `deps`, wherever cargo builds.
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("ajp")
}

/// The gateway with this configuration, to which a listener and large limits are added.
pub(crate) async fn gateway(program: Option<&Path>, config: &str, secret: Option<&str>) -> Peer {
    let program = program.map_or_else(built, Path::to_owned);
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let text = format!(
        "[limits]\nrequests_per_connection = 1000000000\nmax_connections = 20000\n\
         max_connections_per_address = 20000\nhead_timeout = \"5m\"\n{config}\n\
         [[listener]]\naddress = \"{addr}\"\n"
    );
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    command.arg("gateway").arg("--config").arg(&file);
    if let Some(secret) = secret {
        let file = dir.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        command.arg("--secret-file").arg(file);
    }
    started("gateway", "cargo", command, dir, addr).await
}

/// httpd with so many threads in its one process.
pub(crate) async fn httpd(name: &'static str, httpd: HttpdBuilder, threads: usize) -> Peer {
    let httpd = httpd
        .raw_global(&format!(
            "ThreadLimit {threads}\nThreadsPerChild {threads}\nMaxRequestWorkers {threads}\n\
             AsyncRequestWorkerFactor 1000\nMaxKeepAliveRequests 0\nKeepAliveTimeout 300"
        ))
        .log_level("notice")
        .start()
        .await;
    Peer {
        name,
        addr: httpd.http_addr(),
        pid: httpd.pid(),
        _running: Box::new(httpd),
    }
}

/// `mod_jk` with more properties of its worker.
pub(crate) fn mod_jk(
    to: SocketAddr,
    secret: Option<&str>,
    threads: usize,
    more: &str,
) -> HttpdBuilder {
    let secret = secret.map(|secret| format!("worker.lab.secret={secret}\n"));
    let workers = format!(
        "worker.list=lab\nworker.lab.type=ajp13\nworker.lab.host={}\nworker.lab.port={}\n\
         worker.lab.connection_pool_size={threads}\n{}{more}\n",
        to.ip(),
        to.port(),
        secret.unwrap_or_default()
    );
    let httpd = Httpd::builder().mod_jk(&workers, &[("/*", "lab")]);
    httpd.raw_global("JkLogLevel error")
}

/// nginx with this `upstream lab`, and more in its location.
pub(crate) async fn nginx(upstream: &str, more: &str) -> Peer {
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let root = dir.path().display();
    let conf = format!(
        "daemon off;\nworker_processes {WORKERS};\npid {root}/pid;\nerror_log {root}/error.log;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n access_log off;\n\
         client_body_temp_path {root}/a;\n proxy_temp_path {root}/b;\n fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d;\n scgi_temp_path {root}/e;\n\
         keepalive_requests 1000000000; keepalive_timeout 300s;\n\
         upstream lab {{ {upstream} keepalive_requests 1000000000; }}\n\
         server {{ listen {addr} backlog=4096;\n location / {{ proxy_pass http://lab; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host; {more} }} }}\n}}\n"
    );
    std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(dir.path());
    command.arg("-c").arg(dir.path().join("nginx.conf"));
    started("nginx", "nginx-light", command, dir, addr).await
}

async fn started(
    name: &'static str,
    package: &str,
    command: Command,
    dir: TempDir,
    addr: SocketAddr,
) -> Peer {
    let log = dir.path().join("log");
    let mut child = ChildGuard::spawn(command, package, dir.path(), log, Duration::from_secs(5));
    let open = child.wait_for_port(addr, Duration::from_secs(20)).await;
    open.unwrap_or_else(|error| panic!("{error}"));
    Peer {
        name,
        addr,
        pid: child.pid(),
        _running: Box::new((child, dir)),
    }
}
