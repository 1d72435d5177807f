//! Copies modules of the library as they are, but for the locks and atomics, which become those
//! of shuttle: it decides which thread goes on at each of them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const MODULES: [&str; 8] = [
    "client/permits",
    "client/idle",
    "client/idle_order",
    "client/keep_alive",
    "client/cause",
    "client/lease",
    "client/secrets",
    "mapping/replay_body",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../src");
    for module in MODULES {
        let text = text_of(&source.join(module))?;
        fs::write(out.join(module.replace('/', "_") + ".rs"), text)?;
    }
    Ok(())
}

/// The text of a module, with those of the modules in it.
fn text_of(module: &Path) -> Result<String, Box<dyn Error>> {
    let path = module.with_extension("rs");
    println!("cargo::rerun-if-changed={}", path.display());
    let whole = fs::read_to_string(&path)?;
    // Unit tests run in the library itself, and included text has no documentation of its own.
    let whole = whole.split("#[cfg(test)]").next().unwrap_or_default();
    let mut text = String::new();
    for line in whole.lines().filter(|line| !line.starts_with("//!")) {
        let inner = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        if let Some(name) = inner {
            let inner = text_of(&module.join(name))?;
            text.extend(["mod ", name, " {\n", &inner, "}\n"]);
        } else {
            text.extend([line, "\n"]);
        }
    }
    Ok(text
        .replace("std::sync::", "crate::sync::")
        .replace("tokio::sync::", "crate::tokio_sync::"))
}
