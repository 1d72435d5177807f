//! A real httpd that forwards to AJP ports, by `mod_proxy_ajp` or `mod_jk`.
//!
//! ```ignore
//! let httpd = Httpd::builder().proxy_ajp("/app", backend, "secret=s3cr3t-tomcat ping=1").start().await;
//! let answer = http1::Client::new(httpd.http_addr()).get("/app/hello").await;
//! ```

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::ChildGuard;
use super::httpd_conf::{Places, Settings};
use super::tls::Certificates;
use super::{need, ports};

const HTTPD: &str = "/usr/sbin/apache2";
const READY: &str = "resuming normal operations";
const START_LIMIT: Duration = Duration::from_secs(30);
/// In order, httpd gives back what outlives a process: its System V segments and semaphores.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 5;

/// A running httpd.
pub struct Httpd {
    child: ChildGuard,
    http: SocketAddr,
    https: Option<SocketAddr>,
    certificates: Option<Certificates>,
    /// Last, so that the processes are gone before their directory.
    root: TempDir,
}

impl Httpd {
    /// An httpd that serves nothing yet.
    pub fn builder() -> HttpdBuilder {
        HttpdBuilder {
            settings: Settings::default(),
        }
    }

    /// Where it speaks HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where it speaks HTTPS; only after `tls(true)`.
    pub fn https_addr(&self) -> SocketAddr {
        self.https
            .expect("this httpd was started without tls(true)")
    }

    /// The certificates in use; only after `tls(true)`.
    pub fn certificates(&self) -> &Certificates {
        self.certificates
            .as_ref()
            .expect("this httpd was started without tls(true)")
    }

    /// The authority that signed the server's certificate.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.certificates().pem("ca")
    }

    /// A client certificate the server trusts.
    pub fn client_cert_path(&self) -> PathBuf {
        self.certificates().pem("client")
    }

    /// Its key.
    pub fn client_key_path(&self) -> PathBuf {
        self.certificates().key("client")
    }

    /// The process id, which is the id of its process group as well.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has logged since its last start.
    pub fn error_log(&self) -> String {
        self.child.log()
    }

    /// What `mod_jk` has logged.
    pub fn jk_log(&self) -> String {
        std::fs::read_to_string(self.root.path().join("mod_jk.log")).unwrap_or_default()
    }

    /// The configuration, for a look at what went wrong.
    pub fn conf(&self) -> String {
        std::fs::read_to_string(self.root.path().join("httpd.conf")).unwrap()
    }

    /// Ends it the way a crash does.
    pub fn kill_9(&mut self) {
        self.child.kill_9();
    }

    /// Shuts it down in order.
    pub fn stop(&mut self) {
        self.child.terminate(STOP_LIMIT);
    }

    /// Starts it again on the same ports: fresh pools, no memory of failed backends.
    pub async fn restart(&mut self) {
        self.stop();
        self.child = spawn(self.root.path());
        let started = self.child.wait_for_log(READY, START_LIMIT).await;
        started.unwrap_or_else(|e| panic!("httpd did not come back: {e}"));
    }
}

/// What is asked of an httpd before it starts.
pub struct HttpdBuilder {
    settings: Settings,
}

impl HttpdBuilder {
    /// Forwards `path` by `mod_proxy_ajp`; `params` are those of `ProxyPass`, such as `secret=x`.
    pub fn proxy_ajp(mut self, path: &str, target: SocketAddr, params: &str) -> Self {
        let url = format!("ajp://{target}{path}");
        writeln!(
            self.settings.site,
            "ProxyPass {path} {url} {params}\nProxyPassReverse {path} {url}"
        )
        .unwrap();
        self
    }

    /// Forwards `path` to one of `members`, each with its own params, such as `route=a secret=x`;
    /// `params` are those of the balancer, such as `stickysession=JSESSIONID|jsessionid`.
    /// The manager answers at `/balancer-manager`.
    pub fn proxy_balancer(
        mut self,
        path: &str,
        members: &[(SocketAddr, &str)],
        params: &str,
    ) -> Self {
        let site = &mut self.settings.site;
        writeln!(
            site,
            "<Location /balancer-manager>\nSetHandler balancer-manager\n</Location>"
        )
        .unwrap();
        writeln!(site, "<Proxy balancer://lab>").unwrap();
        for (target, params) in members {
            writeln!(site, "BalancerMember ajp://{target} {params}").unwrap();
        }
        writeln!(
            site,
            "</Proxy>\nProxyPass {path} balancer://lab{path} {params}"
        )
        .unwrap();
        self
    }

    /// Forwards by `mod_jk`: the text of `workers.properties`, and pairs of a URL pattern and
    /// the worker for it.
    pub fn mod_jk(mut self, workers: &str, mounts: &[(&str, &str)]) -> Self {
        self.settings.workers = Some(workers.to_owned());
        for (pattern, worker) in mounts {
            writeln!(self.settings.site, "JkMount {pattern} {worker}").unwrap();
        }
        self
    }

    /// Forwards `/app` by `mod_jk` to one worker; `properties` are lines such as `secret=x`.
    pub fn mod_jk_worker(self, target: SocketAddr, properties: &[&str]) -> Self {
        let mut workers = format!(
            "worker.list=lab\nworker.lab.type=ajp13\nworker.lab.host={}\nworker.lab.port={}\n",
            target.ip(),
            target.port()
        );
        for property in properties {
            writeln!(workers, "worker.lab.{property}").unwrap();
        }
        self.mod_jk(&workers, &[("/app/*", "lab")])
    }

    /// Adds an HTTPS listener that asks for a client certificate and accepts none.
    pub fn tls(mut self, on: bool) -> Self {
        self.settings.tls = on;
        self
    }

    /// Asks for a password below `path`, so that a user and an authentication type are forwarded.
    pub fn basic_auth(mut self, path: &str, user: &str, password: &str) -> Self {
        let mut command = Command::new("openssl");
        command.args(["passwd", "-apr1", password]);
        let hash = String::from_utf8(need::run(&mut command, "openssl").stdout).unwrap();
        writeln!(self.settings.users, "{user}:{}", hash.trim_end()).unwrap();
        writeln!(
            self.settings.site,
            "<Location {path}>\nAuthType Basic\nAuthName lab\nAuthUserFile users\nRequire valid-user\n</Location>"
        )
        .unwrap();
        self
    }

    /// Adds configuration lines to what is served, over HTTP and HTTPS alike.
    pub fn raw(mut self, lines: &str) -> Self {
        writeln!(self.settings.site, "{lines}").unwrap();
        self
    }

    /// Adds configuration lines outside of the virtual hosts, such as `Timeout` or `JkLogLevel`.
    pub fn raw_global(mut self, lines: &str) -> Self {
        writeln!(self.settings.global, "{lines}").unwrap();
        self
    }

    /// The argument of `LogLevel`, such as `info proxy_ajp:trace8`.
    pub fn log_level(mut self, level: &str) -> Self {
        self.settings.log_level = Some(level.to_owned());
        self
    }

    /// Starts it and waits until it serves; on other ports when it lost the first ones.
    pub async fn start(self) -> Httpd {
        need::file(HTTPD, "apache2");
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let root = tempfile::Builder::new().prefix("httpd-").tempdir().unwrap();
            let as_root = std::fs::metadata(root.path()).unwrap().uid() == 0;
            open_to_all(&root);
            let certificates = self
                .settings
                .tls
                .then(|| Certificates::create(&root.path().join("tls")));
            let (http, https) = (ports::free_addr(), self.settings.tls.then(ports::free_addr));
            self.settings.write(&Places {
                root: root.path(),
                http,
                https: https.zip(certificates.as_ref()),
                as_root,
            });
            let child = spawn(root.path());
            let mut started = Httpd {
                child,
                http,
                https,
                certificates,
                root,
            };
            match started.child.wait_for_log(READY, START_LIMIT).await {
                Ok(()) => return started,
                Err(e) if e.contains("could not bind") => reason = e,
                Err(e) => panic!("httpd did not start: {e}\n{}", started.conf()),
            }
        }
        panic!("httpd found no free port in {ATTEMPTS} attempts: {reason}");
    }
}

/// Started by root, httpd works as another user, who must get into the directory and leave its
/// mutexes in there.
fn open_to_all(root: &TempDir) {
    let run = root.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).unwrap();
}

fn spawn(root: &Path) -> ChildGuard {
    let mut command = Command::new(HTTPD);
    command
        .args(["-D", "FOREGROUND", "-f"])
        .arg(root.join("httpd.conf"));
    ChildGuard::spawn(command, "apache2", root, root.join("httpd.log"), STOP_LIMIT)
}
