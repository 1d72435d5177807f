//! The web servers, each before the same container.

use crate::load::Kind;
use crate::servers::Server;
use crate::support::child::ChildGuard;
use crate::support::httpd::{Httpd, HttpdBuilder};
use crate::support::httpd_conf::MODULES;
use crate::support::ports;
use crate::{Backend, THREADS, WORKERS};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A web server that can be loaded and measured.
pub(crate) struct Front {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    /// Its process, which leads a group if there are more.
    pub(crate) pid: u32,
    /// Who vouches for its certificate, with TLS.
    pub(crate) ca: PathBuf,
    _running: Box<dyn std::any::Any>,
}

/// How a front is started.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) kind: Kind,
    /// What counts what it does, and the file for that.
    pub(crate) counted: Option<(Counter, &'a Path)>,
}

/// What a program can run in to be counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// strace.
    SystemCalls,
    /// callgrind.
    Instructions,
}

impl Start<'_> {
    /// This program, in its counter.
    fn command(self, program: &Path) -> Command {
        let Some((counter, file)) = self.counted else {
            return Command::new(program);
        };
        let mut command;
        match counter {
            Counter::SystemCalls => {
                command = Command::new("strace");
                command.args(["-f", "-qq", "-c", "-U", "calls,name", "-o"]);
                command.arg(file);
            }
            Counter::Instructions => {
                command = Command::new("valgrind");
                command.arg("--tool=callgrind");
                command.arg(format!("--callgrind-out-file={}", file.display()));
            }
        }
        command.arg(program);
        command
    }
}

pub(crate) fn floor(name: &'static str, server: Server) -> Front {
    Front {
        name,
        addr: server.address.parse().unwrap(),
        pid: server.pid(),
        ca: PathBuf::new(),
        _running: Box::new(server),
    }
}

/// The program that cargo builds for this one, as this one was built: a run of `--profile dev`
/// only tries out the bench.
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

pub(crate) async fn gateway(program: Option<&Path>, backend: &Backend, start: Start<'_>) -> Front {
    let kind = start.kind;
    let program = program.map_or_else(built, Path::to_owned);
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let mut config = format!(
        "[limits]\nrequests_per_connection = 1000000000\n[[balancer]]\nname = \"lab\"\n\
         [[balancer.member]]\nurl = \"ajp://{}\"\n[[map]]\npath = \"/\"\n\
         to = \"balancer://lab/\"\n[[listener]]\naddress = \"{addr}\"\n",
        backend.ajp
    );
    if kind.is_tls() {
        let made = &backend.certificates;
        let (certificate, key) = (made.pem("server"), made.key("server"));
        let (certificate, key) = (certificate.display(), key.display());
        let pair = format!("{{ certificate = \"{certificate}\", key = \"{key}\" }}");
        config.extend(["[listener.tls]\ncertificates = [", &pair, "]\n"]);
    }
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = start.command(&program);
    command.arg("gateway").arg("--config").arg(&file);
    if let Some(secret) = &backend.secret {
        let file = dir.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        command.arg("--secret-file").arg(file);
    }
    let running = run(command, "cargo", &dir, addr).await;
    Front {
        name: "gateway",
        addr,
        pid: running.pid(),
        ca: backend.certificates.pem("ca"),
        _running: Box::new((running, dir)),
    }
}

pub(crate) async fn mod_proxy_ajp(backend: &Backend, kind: Kind) -> Front {
    let secret = backend
        .secret
        .iter()
        .map(|secret| format!("secret={secret}"));
    let params = secret.collect::<String>();
    let httpd = Httpd::builder()
        .proxy_ajp("/", backend.ajp, &params)
        .raw_global(&threads())
        .log_level("notice");
    httpd_front("mod_proxy_ajp", httpd, kind).await
}

pub(crate) async fn mod_jk(backend: &Backend, kind: Kind) -> Front {
    let mut workers = format!(
        "worker.list=lab\nworker.lab.type=ajp13\nworker.lab.host={}\nworker.lab.port={}\n\
         worker.lab.connection_pool_size={THREADS}\n",
        backend.ajp.ip(),
        backend.ajp.port()
    );
    if let Some(secret) = &backend.secret {
        workers.extend(["worker.lab.secret=", secret, "\n"]);
    }
    let httpd = Httpd::builder()
        .mod_jk(&workers, &[("/*", "lab")])
        .raw_global(&threads())
        .raw_global("JkLogLevel error")
        .log_level("notice");
    httpd_front("mod_jk", httpd, kind).await
}

fn threads() -> String {
    format!("ThreadLimit {THREADS}\nThreadsPerChild {THREADS}\nMaxRequestWorkers {THREADS}\n")
}

async fn httpd_front(name: &'static str, httpd: HttpdBuilder, kind: Kind) -> Front {
    let mut httpd = httpd.tls(kind.is_tls());
    if kind.is_tls() {
        // Nothing that only a test asks for.
        let plain = "SSLOptions -StdEnvVars -ExportCertData\nSSLVerifyClient none";
        httpd = httpd.raw(plain);
    }
    if kind == Kind::Http2 {
        httpd = httpd.raw_global(&format!(
            "LoadModule http2_module {MODULES}/mod_http2.so\nProtocols h2 http/1.1\n"
        ));
    }
    let httpd = httpd.start().await;
    let ca = if kind.is_tls() {
        httpd.ca_pem_path()
    } else {
        PathBuf::new()
    };
    Front {
        name,
        addr: if kind.is_tls() {
            httpd.https_addr()
        } else {
            httpd.http_addr()
        },
        pid: httpd.pid(),
        ca,
        _running: Box::new(httpd),
    }
}

/// What AJP tells of each request beside HTTP, and the gateway and httpd tell in headers too.
pub(crate) const FORWARDED: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; \
    proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Real-Port $remote_port; \
    proxy_set_header X-Local-Address $server_addr;";

/// With more headers.
pub(crate) async fn nginx(
    name: &'static str,
    backend: &Backend,
    headers: &str,
    start: Start<'_>,
) -> Front {
    let kind = start.kind;
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let (root, http) = (dir.path().display(), backend.http);
    let made = &backend.certificates;
    let tls = format!(
        "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
        made.pem("server").display(),
        made.key("server").display()
    );
    let (listen, tls) = match kind {
        Kind::Http => (addr.to_string(), ""),
        Kind::Tls | Kind::Handshakes | Kind::Resumed => (format!("{addr} ssl"), &*tls),
        Kind::Http2 => (format!("{addr} ssl http2"), &*tls),
    };
    let processes = match start.counted {
        // One that does all.
        Some(_) => "master_process off;".to_owned(),
        None => format!("worker_processes {WORKERS};"),
    };
    let conf = format!(
        "daemon off;\n{processes}\npid {root}/pid;\nerror_log {root}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n access_log off;\n\
         client_body_temp_path {root}/a;\n proxy_temp_path {root}/b;\n fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d;\n scgi_temp_path {root}/e;\n\
         keepalive_requests 1000000000;\n\
         upstream lab {{ server {http}; keepalive {THREADS}; keepalive_requests 1000000000; }}\n\
         server {{ listen {listen}; {tls}\n location / {{ proxy_pass http://lab; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host; {headers} }} }}\n}}\n"
    );
    std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
    let mut command = start.command(Path::new("/usr/sbin/nginx"));
    command
        .arg("-p")
        .arg(dir.path())
        .arg("-c")
        .arg(dir.path().join("nginx.conf"));
    let running = run(command, "nginx-light", &dir, addr).await;
    Front {
        name,
        addr,
        pid: running.pid(),
        ca: backend.certificates.pem("ca"),
        _running: Box::new((running, dir)),
    }
}

async fn run(command: Command, package: &str, dir: &TempDir, addr: SocketAddr) -> ChildGuard {
    let log = dir.path().join("log");
    // Where it is counted all of this takes its time.
    let limit = Duration::from_secs(60);
    let mut child = ChildGuard::spawn(command, package, dir.path(), log, limit);
    let open = child.wait_for_port(addr, limit).await;
    open.unwrap_or_else(|error| panic!("{error}"));
    child
}
