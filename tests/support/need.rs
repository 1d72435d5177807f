//! What the machine must have, and the message when it has not.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// Panics when `path` does not exist, naming the Debian package that brings it.
pub fn file(path: &str, package: &str) {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: install the Debian package {package} (tests/run does)"
    );
}

/// Runs a short-lived tool to its end; panics with its messages when it fails.
pub fn run(command: &mut Command, package: &str) -> Output {
    let name = command.get_program().to_owned();
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{}", no_start(&name, package, &e)));
    assert!(
        output.status.success(),
        "{} failed: {}\n{}{}",
        name.to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What to say when a program could not be started at all.
pub fn no_start(program: &OsStr, package: &str, error: &std::io::Error) -> String {
    format!(
        "cannot start {}: {error}; it comes with the Debian package {package} (tests/run installs it)",
        program.to_string_lossy()
    )
}
