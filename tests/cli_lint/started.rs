//! Peers with files of a test's own, started in the foreground.

use crate::support::child::ChildGuard;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Tomcat by this command, when it has started.
pub(crate) async fn tomcat(command: Command, base: &Path, limit: Duration) -> ChildGuard {
    let log = base.join("logs/tomcat.log");
    let package = "default-jre-headless";
    let mut tomcat = ChildGuard::spawn(command, package, base, log, Duration::ZERO);
    let started = tomcat.wait_for_log("Server startup in", limit);
    started.await.unwrap();
    tomcat
}

/// httpd with this configuration, when it has started.
pub(crate) async fn httpd(conf: &Path, front: &Path, limit: Duration) -> ChildGuard {
    let mut command = Command::new("/usr/sbin/apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(conf);
    let log = front.join("httpd.log");
    let mut httpd = ChildGuard::spawn(command, "apache2", front, log, Duration::from_secs(10));
    let started = httpd.wait_for_log("resuming normal operations", limit);
    started.await.unwrap();
    httpd
}
