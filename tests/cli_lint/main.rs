//! `ajp lint`: every rule by a configuration that breaks it and one that does not, the files
//! that come with Debian, and what real peers do with the bad ones.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report"
)]

#[path = "../cli/mod.rs"]
mod cli;
mod formats;
mod live;
mod rules;
mod shapes;
mod started;
#[path = "../support/mod.rs"]
mod support;
mod walkthroughs;

use cli::ajp;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

/// Writes files that only their owner can read, and gives their paths.
fn write(dir: &TempDir, files: &[(&str, &str)]) -> Vec<String> {
    let paths = files.iter().map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    paths.collect()
}

/// What lint finds in files: code, name of the file, line.
fn findings(paths: &[impl AsRef<str>], arguments: &[&str]) -> Vec<(String, String, u64)> {
    let mut all = vec!["lint", "--format", "json"];
    all.extend(arguments);
    all.extend(paths.iter().map(AsRef::as_ref));
    let ended = ajp(&all);
    assert!(ended.code < 2, "{ended:?}");
    let json: serde_json::Value = serde_json::from_str(ended.text()).unwrap();
    let found = json["findings"].as_array().unwrap().iter().map(|finding| {
        let file = Path::new(finding["file"].as_str().unwrap());
        (
            finding["code"].as_str().unwrap().to_owned(),
            file.file_name().unwrap().to_str().unwrap().to_owned(),
            finding["line"].as_u64().unwrap(),
        )
    });
    found.collect()
}
