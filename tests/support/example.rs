//! The binaries of the examples.

use std::path::PathBuf;
use std::process::Command;

/// An example's binary, built if it is not there yet.
pub fn binary(name: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--example", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // As this program was built, so that nothing is built twice.
    if cfg!(feature = "cli") {
        cargo.arg("--all-features");
    }
    // A test runner sets these for the test, and dependencies that look at them when they
    // are built would be built again each time.
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&variable);
        }
    }
    let built = cargo.status().unwrap();
    assert!(built.success(), "the example {name} is not built");
    // Beside this program's `deps`, wherever cargo builds.
    let here = std::env::current_exe().unwrap();
    let target = here.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("examples").join(name)
}
