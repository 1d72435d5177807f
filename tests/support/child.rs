//! A running peer process that cannot outlive its test.
//!
//! A peer leads its own process group, so one signal reaches its children too. `Drop` ends the
//! group. For the test process that never gets to `Drop` (killed on a timeout, or holding the
//! peer in a static) there is a watchdog: a shell that reads from a pipe whose only writer is the
//! test process. When the pipe ends without a word, it kills the group and removes the peer's
//! directory. Unlike a parent-death signal this does not depend on which thread started the peer.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::need;

const POLL: Duration = Duration::from_millis(20);
const GROUP_LIMIT: Duration = Duration::from_secs(5);
const TAIL_LINES: usize = 40;

/// A peer process; dropped, it is gone.
pub struct ChildGuard {
    child: Child,
    watchdog: Option<Child>,
    log: PathBuf,
    /// Where this process's part of the log begins: a restarted peer appends.
    log_start: usize,
    grace: Duration,
}

impl ChildGuard {
    /// Starts `command` in `dir`, with both output streams appended to `log`.
    ///
    /// `grace` is how long `Drop` waits after a SIGTERM; zero means SIGKILL at once.
    pub fn spawn(
        mut command: Command,
        package: &str,
        dir: &Path,
        log: PathBuf,
        grace: Duration,
    ) -> Self {
        let log_start = std::fs::metadata(&log).map_or(0, |m| m.len() as usize);
        command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(append(&log))
            .stderr(append(&log))
            .process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{}", need::no_start(command.get_program(), package, &e)));
        let watchdog = Some(watchdog(child.id(), dir));
        Self {
            child,
            watchdog,
            log,
            log_start,
            grace,
        }
    }

    /// The process id, which is the id of its process group as well.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What the process has written since its start.
    pub fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// The last lines of the log, for a failure message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!(
            "--- end of {}:\n{}\n---",
            self.log.display(),
            tail.join("\n")
        )
    }

    /// Waits until the log holds `needle`; the error tells why it never will.
    pub async fn wait_for_log(&mut self, needle: &str, limit: Duration) -> Result<(), String> {
        self.wait_for(needle, limit, |guard| guard.log().contains(needle))
            .await
    }

    /// Waits until `addr` accepts a connection. That may be another process's listener when this
    /// one failed to bind: where a peer logs its readiness, wait for that instead.
    pub async fn wait_for_port(&mut self, addr: SocketAddr, limit: Duration) -> Result<(), String> {
        self.wait_for(&addr.to_string(), limit, |_| {
            std::net::TcpStream::connect(addr).is_ok()
        })
        .await
    }

    /// Sends a signal, such as "TERM" or "USR1", to the whole process group.
    pub fn signal(&mut self, name: &str) {
        // An ended and collected process has given back its id, which may be another's by now.
        if self.exited().is_none() {
            let pid = self.child.id().to_string();
            let status = shell(r#"kill -s "$1" -- "-$2""#, &[name.as_ref(), pid.as_ref()]).status();
            assert!(status.is_ok(), "cannot run sh to send {name}: {status:?}");
        }
    }

    /// Kills the process group at once, as a crash would, and waits until none of it runs: only
    /// then are its sockets closed.
    pub fn kill_9(&mut self) {
        self.signal("KILL");
        self.child.wait().unwrap();
        // The other members are not this process's children, so they cannot be waited for.
        let deadline = Instant::now() + GROUP_LIMIT;
        while group_runs(self.child.id()) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.dismiss_watchdog();
    }

    /// Asks the group to end and waits for it; after `limit` it is killed.
    pub fn terminate(&mut self, limit: Duration) {
        self.signal("TERM");
        let deadline = Instant::now() + limit;
        while self.exited().is_none() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.kill_9();
    }

    async fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            // Looked at first, so that a line written just before the end still counts.
            let ended = self.exited();
            if done(self) {
                return Ok(());
            }
            if let Some(status) = ended {
                return Err(format!(
                    "ended ({status}) before {what:?}\n{}",
                    self.log_tail()
                ));
            }
            if Instant::now() > deadline {
                return Err(format!("no {what:?} within {limit:?}\n{}", self.log_tail()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(mut pipe) = watchdog.stdin.take() {
                pipe.write_all(b"done\n").ok();
            }
            watchdog.wait().ok();
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        if self.grace.is_zero() {
            self.kill_9();
        } else {
            self.terminate(self.grace);
        }
    }
}

/// Whether the group has a member with a thread that still runs.
///
/// A process counts as a zombie as soon as its first thread has ended; its sockets stay open
/// until the last one has.
fn group_runs(group: u32) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes.flatten().any(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent, group, and more (proc(5)).
        let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [state, _parent, of, ..] = fields[..] else {
            return false;
        };
        let threads = fields.get(17).copied();
        of == group.to_string() && (state != "Z" || threads != Some("1"))
    })
}

fn append(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap()
}

fn watchdog(group: u32, dir: &Path) -> Child {
    let script = r#"read -r word || { kill -s KILL -- "-$1"; rm -rf -- "$2"; }"#;
    shell(script, &[group.to_string().as_ref(), dir.as_os_str()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start sh: {e}"))
}

/// A shell script apart from the test's own process group and output, which the runner watches.
fn shell(script: &str, args: &[&std::ffi::OsStr]) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script, "sh"])
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}
