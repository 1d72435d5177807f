//! The public API: every item of it stands in `tests/fixtures/public_api.txt`, so that a change
//! of it is seen in review, and only the named crates' types are in it: a new major version of
//! one of those is one of ours.
//!
//! `UPDATE_PUBLIC_API=1 cargo test --all-features --test public_types` writes the listing anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Those that may be, and why they are.
const ALLOWED: [(&str, &str); 13] = [
    ("bytes", "packets and bodies"),
    ("http", "requests and responses"),
    ("http_body", "bodies"),
    ("metrics", "feature metrics"),
    ("rustls", "feature rustls"),
    ("rustls_pki_types", "feature rustls"),
    ("serde_core", "feature serde"),
    ("tokio", "streams and listeners"),
    ("tokio_rustls", "feature rustls"),
    ("tokio_util", "feature tokio-codec"),
    ("tower", "feature retry"),
    ("tower_layer", "a layer for containers"),
    ("tower_service", "the client as a service, and served ones"),
];

/// The file that rustdoc writes about the API. Its format is not stable, what it says is.
///
/// Both tests ask for it: the second one finds it made.
fn rustdoc_json() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "--locked"])
        .args(["--", "-Zunstable-options", "--output-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &dir)
        .env("RUSTC_BOOTSTRAP", "1");
    assert!(cargo.status().unwrap().success());
    dir.join("doc/ajp.json")
}

/// Every type and trait of another crate that `node` names: the crate and the path.
fn foreign(api: &Value, node: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match node {
        Value::Object(fields) => {
            let is_path = fields.contains_key("path") || fields.contains_key("args");
            if let (true, Some(id)) = (is_path, fields.get("id").and_then(Value::as_u64)) {
                let path = &api["paths"][id.to_string()];
                if let Some(number @ 1..) = path["crate_id"].as_u64() {
                    let name = &api["external_crates"][number.to_string()]["name"];
                    let parts = path["path"].as_array().unwrap().iter();
                    let parts: Vec<_> = parts.map(|part| part.as_str().unwrap()).collect();
                    let name = name.as_str().unwrap().to_owned();
                    found.entry(name).or_default().insert(parts.join("::"));
                }
            }
            fields.values().for_each(|node| foreign(api, node, found));
        }
        Value::Array(nodes) => nodes.iter().for_each(|node| foreign(api, node, found)),
        _ => {}
    }
}

#[test]
fn only_these_crates_are_in_the_api() {
    let text = std::fs::read(rustdoc_json()).unwrap();
    let api: Value = serde_json::from_slice(&text).unwrap();
    let mut found = BTreeMap::new();
    for item in api["index"].as_object().unwrap().values() {
        // What the compiler and other crates implement for everything is not ours.
        let of = &item["inner"]["impl"];
        let is_ours = of["is_synthetic"] != true && of["blanket_impl"].is_null();
        if item["crate_id"] == 0 && is_ours {
            foreign(&api, &item["inner"], &mut found);
        }
    }
    for standard in ["core", "alloc", "std"] {
        assert!(
            found.remove(standard).is_some(),
            "{standard} is always there"
        );
    }
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    let allowed = ALLOWED.map(|(name, _)| name);
    assert_eq!(names, allowed, "{found:#?}");
}

#[test]
fn the_public_api_is_the_listed_one() {
    let api = public_api::Builder::from_rustdoc_json(rustdoc_json())
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .unwrap();
    let mut found: Vec<_> = api.items().map(ToString::to_string).collect();
    found.sort();
    let listing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/public_api.txt");
    if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
        std::fs::write(&listing, found.join("\n") + "\n").unwrap();
    }
    let listed = std::fs::read_to_string(&listing).unwrap();
    let listed: BTreeSet<_> = listed.lines().collect();
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the public API changed; if that is meant, run this test with UPDATE_PUBLIC_API=1 and \
         commit the listing.\nnew: {new:#?}\ngone: {gone:#?}"
    );
}
