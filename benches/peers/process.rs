//! What a process and its group cost, as the kernel counts it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// CPU milliseconds so far.
pub(crate) fn cpu(pid: u32) -> f64 {
    user_and_kernel(pid).iter().sum()
}

/// The same, of user space and of the kernel.
pub(crate) fn user_and_kernel(pid: u32) -> [f64; 2] {
    let ticks = members(pid)
        .into_iter()
        .filter_map(stat)
        .map(|fields| [11, 12].map(|at| fields[at].parse::<f64>().unwrap()))
        .fold([0.0; 2], |[user, kernel], [more, more_kernel]| {
            [user + more, kernel + more_kernel]
        });
    // The kernel shows hundredths of a second everywhere.
    ticks.map(|ticks| ticks * 10.0)
}

/// Memory that it alone has, in KiB: what would be free without it.
pub(crate) fn memory(pid: u32) -> f64 {
    let kilobytes = members(pid).into_iter().map(|member| {
        let text = std::fs::read_to_string(format!("/proc/{member}/smaps_rollup"));
        let text = text.unwrap_or_default();
        let own = text.lines().filter(|line| line.starts_with("Private_"));
        own.map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<f64>()
                .unwrap()
        })
        .sum::<f64>()
    });
    kilobytes.sum()
}

/// The process and those of its group.
fn members(pid: u32) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap();
    let ids = ids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|&id| {
        let in_group = stat(id).and_then(|fields| fields[2].parse().ok()) == Some(pid);
        id == pid || in_group
    })
    .collect()
}

/// The fields of `/proc/PID/stat` after the name, which may hold anything: state, parent, group.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// Counts the system calls of a process and its group while it is there.
pub(crate) struct Strace {
    child: Child,
    file: tempfile::NamedTempFile,
}

impl Strace {
    pub(crate) fn attach(pid: u32) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-c", "-U", "calls,name", "-o"]);
        strace.arg(file.path());
        for member in members(pid) {
            strace.args(["-p", &member.to_string()]);
        }
        let child = strace.stderr(std::process::Stdio::null()).spawn().unwrap();
        // It attaches to one thread after the other.
        std::thread::sleep(Duration::from_millis(700));
        Self { child, file }
    }

    /// How often each call was made.
    pub(crate) fn end(mut self) -> BTreeMap<String, u64> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap();
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        let rows = text.lines().filter_map(|line| {
            let (calls, name) = line.trim().split_once(char::is_whitespace)?;
            Some((name.trim().to_owned(), calls.parse().ok()?))
        });
        rows.filter(|(name, _)| name != "total").collect()
    }
}

/// Lets this process, and those that it starts, have as many files as it may.
pub(crate) fn raise_file_limit(needed: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        most >= needed,
        "{needed} open files are needed and {most} allowed: raise the limit with `ulimit -n {needed}`"
    );
    let raised = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}
