//! Copies modules of the library as they are, but for the locks and atomics, which become those
//! of shuttle: it decides which thread goes on at each of them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const MODULES: [&str; 6] = [
    "client/permits",
    "client/idle",
    "client/idle_order",
    "client/keep_alive",
    "client/cause",
    "mapping/replay_body",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../src");
    for module in MODULES {
        let path = source.join(module).with_extension("rs");
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path)?;
        // Unit tests run in the library itself, and included text has no documentation of
        // its own.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with("//!"));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let text = text
            .replace("std::sync::", "crate::sync::")
            .replace("tokio::sync::", "crate::tokio_sync::");
        fs::write(out.join(module.replace('/', "_") + ".rs"), text)?;
    }
    Ok(())
}
