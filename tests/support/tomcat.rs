//! A real Tomcat with an AJP and an HTTP connector, both on the loopback interface.
//!
//! ```ignore
//! let tomcat = Tomcat::builder().with_packet_size(65536).connector_attr("keepAliveTimeout", "2000").start().await;
//! connect(tomcat.ajp_addr(), tomcat.with_secret()).await;
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::child::ChildGuard;
use super::replication::Replication;
use super::tomcat_conf::{self, App, Settings};
use super::{ports, webapp};

/// The secret of a Tomcat that was not given another.
pub const SECRET: &str = "s3cr3t-tomcat";

const READY: &str = "Server startup in";
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const ATTEMPTS: usize = 5;

/// A running Tomcat.
pub struct Tomcat {
    child: ChildGuard,
    settings: Settings,
    ajp: SocketAddr,
    http: SocketAddr,
    /// Last, so that the process is gone before its directory.
    base: TempDir,
}

impl Tomcat {
    /// A Tomcat with the secret [`SECRET`] and otherwise Tomcat's own defaults.
    pub fn builder() -> TomcatBuilder {
        TomcatBuilder {
            settings: Settings::default(),
        }
        .secret(SECRET)
    }

    /// One default Tomcat for all tests of a process that leave it alone.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Tomcat> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::builder().start()).await
    }

    /// Where it speaks AJP.
    pub fn ajp_addr(&self) -> SocketAddr {
        self.ajp
    }

    /// Where it speaks HTTP, without any peer in between.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// The secret an AJP client must send.
    pub fn secret(&self) -> Option<&str> {
        self.settings.ajp.get("secret").map(String::as_str)
    }

    /// The `jvmRoute`.
    pub fn route(&self) -> Option<&str> {
        self.settings.route.as_deref()
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends a signal: "STOP" and "CONT" make it hang and go on.
    pub fn signal(&mut self, name: &str) {
        self.child.signal(name);
    }

    /// Ends it the way a crash does: the kernel closes its sockets.
    pub fn kill_9(&mut self) {
        self.child.kill_9();
    }

    /// Shuts it down in order.
    pub fn stop(&mut self) {
        self.child.terminate(STOP_LIMIT);
    }

    /// Wants another secret from its next start on.
    pub fn set_secret(&mut self, secret: &str) {
        self.set_connector_attr("secret", secret);
    }

    /// Has another value of an attribute of the AJP connector from its next start on.
    pub fn set_connector_attr(&mut self, name: &str, value: &str) {
        self.settings.ajp.insert(name.to_owned(), value.to_owned());
        let base = self.base.path();
        self.settings
            .write(base, self.ajp, self.http, webapp::dir());
    }

    /// Starts it again on the same ports, after shutting it down if it still runs.
    pub async fn restart(&mut self) {
        self.stop();
        for _ in 1..ATTEMPTS {
            if self.launch().await.is_ok() {
                return;
            }
        }
        self.launch()
            .await
            .unwrap_or_else(|e| panic!("Tomcat did not come back: {e}"));
    }

    async fn launch(&mut self) -> Result<(), String> {
        self.child = spawn(self.base.path(), self.route());
        self.child.wait_for_log(READY, START_LIMIT).await
    }
}

/// What is asked of a Tomcat before it starts.
pub struct TomcatBuilder {
    settings: Settings,
}

impl TomcatBuilder {
    /// Sets an attribute of the AJP connector, such as `tomcatAuthentication`.
    pub fn connector_attr(mut self, name: &str, value: &str) -> Self {
        self.settings.ajp.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The largest packet, both ways.
    pub fn packet_size(self, size: usize) -> Self {
        self.connector_attr("packetSize", &size.to_string())
    }

    /// The secret every request must carry.
    pub fn secret(self, secret: &str) -> Self {
        self.connector_attr("secret", secret)
    }

    /// Serves whoever connects.
    pub fn no_secret(mut self) -> Self {
        self.settings.ajp.remove("secret");
        self.connector_attr("secretRequired", "false")
    }

    /// How many requests it works on at a time.
    pub fn max_threads(self, threads: usize) -> Self {
        self.connector_attr("maxThreads", &threads.to_string())
    }

    /// The `jvmRoute` that ends every session id.
    pub fn route(mut self, route: &str) -> Self {
        self.settings.route = Some(route.to_owned());
        self
    }

    /// Every path is answered with the facts that Tomcat has of the request: `Facts.java`.
    pub fn facts_only(mut self) -> Self {
        self.settings.app = App::Facts;
        self
    }

    /// Serves `Talk.java`, a WebSocket, at `/app/talk`, and `/app/hello` beside it.
    pub fn talk(mut self) -> Self {
        self.settings.app = App::Talk;
        self
    }

    /// Serves `Cart.java` at `/cart`, whose sessions the nodes of a cluster share.
    pub fn cart(mut self, replication: Replication) -> Self {
        self.settings.app = App::Cart;
        self.settings.replication = Some(replication);
        self
    }

    /// Adds a valve to the context, such as `org.apache.catalina.valves.RemoteIpValve`.
    pub fn valve(mut self, class: &str) -> Self {
        self.settings.valves.push(class.to_owned());
        self
    }

    /// Logs more: `("org.apache.coyote.ajp", "FINE")`.
    pub fn log_level(mut self, logger: &str, level: &str) -> Self {
        self.settings
            .loggers
            .insert(logger.to_owned(), level.to_owned());
        self
    }

    /// Starts it and waits until it serves; on other ports when it lost the first ones.
    pub async fn start(mut self) -> Tomcat {
        self.settings
            .ajp
            .entry("address".to_owned())
            .or_insert_with(|| "127.0.0.1".to_owned());
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let base = tempfile::Builder::new()
                .prefix("tomcat-")
                .tempdir()
                .unwrap();
            let (ajp, http) = (ports::free_addr(), ports::free_addr());
            self.settings.write(base.path(), ajp, http, webapp::dir());
            let child = spawn(base.path(), self.settings.route.as_deref());
            let mut tomcat = Tomcat {
                child,
                settings: self.settings.clone(),
                ajp,
                http,
                base,
            };
            match tomcat.child.wait_for_log(READY, START_LIMIT).await {
                Ok(()) => return tomcat,
                Err(e) if tomcat.log().contains("already in use") => reason = e,
                Err(e) => panic!("Tomcat did not start: {e}"),
            }
        }
        panic!("Tomcat found no free port in {ATTEMPTS} attempts: {reason}");
    }
}

fn spawn(base: &Path, route: Option<&str>) -> ChildGuard {
    let log = base.join("logs/tomcat.log");
    ChildGuard::spawn(
        tomcat_conf::command(base, route),
        "default-jre-headless",
        base,
        log,
        Duration::ZERO,
    )
}
