//! The tool as a user runs it: its binary, a container to talk to, and peers that misbehave.

#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]

pub(crate) mod container;
pub(crate) mod hostile;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

#[allow(unused_imports, reason = "every test binary uses its own part")]
pub(crate) use container::Container;
#[allow(unused_imports, reason = "every test binary uses its own part")]
pub(crate) use hostile::Hostile;

/// How a run of the tool ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) errors: String,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// The output of a run that went well and had nothing to complain about.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        let text = String::from_utf8_lossy(&self.out);
        assert_eq!((self.code, &*self.errors), (0, ""), "{text}");
        self.text()
    }
}

/// The tool with arguments, without anything from outside.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ajp"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("AJP_SECRET")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn ajp(arguments: &[&str]) -> Ended {
    ended(command(arguments).output().unwrap())
}

/// With a standard input.
pub(crate) fn ajp_reading(arguments: &[&str], input: &[u8]) -> Ended {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may end before it has read all of it.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    ended(output)
}

pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap(),
        out: output.stdout,
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A run of the tool that goes on by itself; dropped, it is killed.
pub(crate) struct Running(pub(crate) Option<Child>);

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self(Some(command(arguments).spawn().unwrap()))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.0.as_ref().unwrap().id()).unwrap();
        let pid = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(self) -> Ended {
        self.signal(rustix::process::Signal::INT);
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let child = self.0.take().unwrap();
        ended(child.wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A run that goes on, and what its first line says behind this word.
pub(crate) fn started(arguments: &[&str], word: &str) -> (Running, String) {
    let mut running = Running::start(arguments);
    let mut out = BufReader::new(running.child().stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("{line:?}"));
    let word = rest.split_whitespace().next().unwrap().to_owned();
    // Whoever writes more must not find it closed.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    (running, word)
}

/// A file with this text, and its path.
pub(crate) fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `ajp serve` on a free port, and its URL.
pub(crate) fn serve(arguments: &[&str]) -> (Running, String) {
    let all = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
    started(&all, "serving at ")
}
