//! The web servers that are loaded, each told as little as it takes.

use crate::support::child::ChildGuard;
use crate::support::httpd::{Httpd, HttpdBuilder};
use crate::support::httpd_conf::MODULES;
use crate::support::ports;
use crate::support::tls::Certificates;
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
    /// Who vouches for its certificate, with TLS.
    pub(crate) ca: PathBuf,
    running: Box<dyn std::any::Any>,
}

impl Peer {
    /// A program that is running.
    pub(crate) fn running<T: 'static>(
        name: &'static str,
        addr: SocketAddr,
        pid: u32,
        running: T,
    ) -> Self {
        Self {
            name,
            addr,
            pid,
            ca: PathBuf::new(),
            running: Box::new(running),
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        drop(self.running);
    }
}

/// How a web server is started.
#[derive(Clone, Copy, Default)]
pub(crate) struct Start<'a> {
    /// It speaks TLS, with the certificate of the server among these. httpd makes its own.
    pub(crate) tls: Option<&'a Certificates>,
    /// It speaks HTTP/2 too, over TLS.
    pub(crate) http2: bool,
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
    pub(crate) fn command(self, program: &Path) -> Command {
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

    fn ca(self) -> PathBuf {
        self.tls.map(|made| made.pem("ca")).unwrap_or_default()
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

/// The gateway with this configuration, to which a listener and large limits are added.
pub(crate) async fn gateway(
    program: Option<&Path>,
    config: &str,
    secret: Option<&str>,
    start: Start<'_>,
) -> Peer {
    let program = program.map_or_else(built, Path::to_owned);
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let mut text = format!(
        "[limits]\nrequests_per_connection = 1000000000\nmax_connections = 20000\n\
         max_connections_per_address = 20000\nhead_timeout = \"5m\"\n{config}\n\
         [[listener]]\naddress = \"{addr}\"\n"
    );
    if let Some(made) = start.tls {
        let (certificate, key) = (made.pem("server"), made.key("server"));
        let (certificate, key) = (certificate.display(), key.display());
        let pair = format!("{{ certificate = \"{certificate}\", key = \"{key}\" }}");
        text.extend(["[listener.tls]\ncertificates = [", &pair, "]\n"]);
    }
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = start.command(&program);
    command.arg("gateway").arg("--config").arg(&file);
    if let Some(secret) = secret {
        let file = dir.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        command.arg("--secret-file").arg(file);
    }
    let running = run("cargo", command, &dir, addr).await;
    Peer {
        ca: start.ca(),
        ..Peer::running("gateway", addr, running.pid(), (running, dir))
    }
}

/// httpd with so many threads in its one process.
pub(crate) async fn httpd(
    name: &'static str,
    httpd: HttpdBuilder,
    threads: usize,
    start: Start<'_>,
) -> Peer {
    let is_tls = start.tls.is_some();
    let mut httpd = httpd.tls(is_tls).log_level("notice").raw_global(&format!(
        "ThreadLimit {threads}\nThreadsPerChild {threads}\nMaxRequestWorkers {threads}\n\
         AsyncRequestWorkerFactor 1000\nMaxKeepAliveRequests 0\nKeepAliveTimeout 300"
    ));
    if is_tls {
        // Nothing that only a test asks for.
        let plain = "SSLOptions -StdEnvVars -ExportCertData\nSSLVerifyClient none";
        httpd = httpd.raw(plain);
    }
    if start.http2 {
        httpd = httpd.raw_global(&format!(
            "LoadModule http2_module {MODULES}/mod_http2.so\nProtocols h2 http/1.1\n"
        ));
    }
    let httpd = httpd.start().await;
    let (addr, ca) = if is_tls {
        (httpd.https_addr(), httpd.ca_pem_path())
    } else {
        (httpd.http_addr(), PathBuf::new())
    };
    Peer {
        ca,
        ..Peer::running(name, addr, httpd.pid(), httpd)
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
pub(crate) async fn nginx(
    name: &'static str,
    upstream: &str,
    more: &str,
    start: Start<'_>,
) -> Peer {
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let root = dir.path().display();
    let tls = start.tls.map(|made| {
        format!(
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
            made.pem("server").display(),
            made.key("server").display()
        )
    });
    let listen = match (&tls, start.http2) {
        (None, _) => "",
        (Some(_), false) => "ssl",
        (Some(_), true) => "ssl http2",
    };
    let tls = tls.unwrap_or_default();
    let processes = match start.counted {
        // One that does all.
        Some(_) => "master_process off;".to_owned(),
        None => format!("worker_processes {WORKERS};"),
    };
    let conf = format!(
        "daemon off;\n{processes}\npid {root}/pid;\nerror_log {root}/error.log;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n access_log off;\n\
         client_body_temp_path {root}/a;\n proxy_temp_path {root}/b;\n fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d;\n scgi_temp_path {root}/e;\n\
         keepalive_requests 1000000000; keepalive_timeout 300s;\n\
         upstream lab {{ {upstream} keepalive_requests 1000000000; }}\n\
         server {{ listen {addr} backlog=4096 {listen}; {tls}\n\
         location / {{ proxy_pass http://lab; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host; {more} }} }}\n}}\n"
    );
    std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
    let mut command = start.command(Path::new("/usr/sbin/nginx"));
    command.arg("-p").arg(dir.path());
    command.arg("-c").arg(dir.path().join("nginx.conf"));
    let running = run("nginx-light", command, &dir, addr).await;
    Peer {
        ca: start.ca(),
        ..Peer::running(name, addr, running.pid(), (running, dir))
    }
}

async fn run(package: &str, command: Command, dir: &TempDir, addr: SocketAddr) -> ChildGuard {
    let log = dir.path().join("log");
    // Where it is counted all of this takes its time.
    let limit = Duration::from_secs(60);
    let mut child = ChildGuard::spawn(command, package, dir.path(), log, limit);
    let open = child.wait_for_port(addr, limit).await;
    open.unwrap_or_else(|error| panic!("{error}"));
    child
}
