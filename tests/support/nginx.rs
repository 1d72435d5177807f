//! A real nginx in front of something, by HTTP or as a stream of bytes.
//!
//! ```ignore
//! let nginx = Nginx::builder().http("location / { proxy_pass http://127.0.0.1:8080; }").start().await;
//! let answer = http1::Client::new(nginx.addresses()[0]).get("/app/hello").await;
//! ```

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::ChildGuard;
use super::{need, ports};

const NGINX: &str = "/usr/sbin/nginx";
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
const READY: &str = "start worker process ";
const START_LIMIT: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 5;

/// A running nginx.
pub struct Nginx {
    _child: ChildGuard,
    addresses: Vec<SocketAddr>,
    /// Last, so that the processes are gone before their directory.
    _root: TempDir,
}

impl Nginx {
    /// An nginx that serves nothing yet.
    pub fn builder() -> NginxBuilder {
        NginxBuilder::default()
    }

    /// Where its servers are, those of HTTP first, each kind in the order in which they were asked
    /// for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// What is asked of an nginx before it starts.
#[derive(Default)]
pub struct NginxBuilder {
    http: Vec<String>,
    maps: String,
    stream: Vec<String>,
}

impl NginxBuilder {
    /// Adds a server of HTTP with these directives.
    pub fn http(mut self, directives: &str) -> Self {
        self.http.push(directives.to_owned());
        self
    }

    /// Adds directives outside of the servers of HTTP, such as `map`.
    pub fn maps(mut self, directives: &str) -> Self {
        self.maps.push_str(directives);
        self
    }

    /// Adds a server of the module `stream` with these directives.
    pub fn stream(mut self, directives: &str) -> Self {
        self.stream.push(directives.to_owned());
        self
    }

    /// Starts it and waits until it serves; on other ports when it lost the first ones.
    pub async fn start(self) -> Nginx {
        need::file(NGINX, "nginx-light");
        need::file(STREAM, "libnginx-mod-stream");
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let root = tempfile::Builder::new().prefix("nginx-").tempdir().unwrap();
            // Started by root, nginx works as another user.
            std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            let servers = self.http.len() + self.stream.len();
            let addresses: Vec<_> = (0..servers).map(|_| ports::free_addr()).collect();
            let conf = root.path().join("nginx.conf");
            std::fs::write(&conf, self.conf(root.path(), &addresses)).unwrap();
            let mut command = Command::new(NGINX);
            command.arg("-p").arg(root.path()).arg("-c").arg(&conf);
            let log = root.path().join("nginx.log");
            let mut child =
                ChildGuard::spawn(command, "nginx-light", root.path(), log, START_LIMIT);
            match child.wait_for_log(READY, START_LIMIT).await {
                Ok(()) => {
                    return Nginx {
                        _child: child,
                        addresses,
                        _root: root,
                    };
                }
                Err(e) if e.contains("Address already in use") => reason = e,
                Err(e) => panic!("nginx did not start: {e}"),
            }
        }
        panic!("nginx found no free port in {ATTEMPTS} attempts: {reason}");
    }

    fn conf(&self, root: &Path, addresses: &[SocketAddr]) -> String {
        let root = root.display();
        let mut out = format!(
            "load_module {STREAM};\ndaemon off;\nworker_processes 1;\npid {root}/pid;\n\
             error_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n"
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(out, "{kind}_temp_path {root}/{kind};").unwrap();
        }
        out.push_str(&self.maps);
        let (http, stream) = addresses.split_at(self.http.len());
        servers(&mut out, http, &self.http);
        out.push_str("}\nstream {\n");
        servers(&mut out, stream, &self.stream);
        out.push_str("}\n");
        out
    }
}

fn servers(out: &mut String, addresses: &[SocketAddr], servers: &[String]) {
    for (address, directives) in addresses.iter().zip(servers) {
        writeln!(out, "server {{ listen {address}; {directives} }}").unwrap();
    }
}
