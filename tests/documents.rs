//! What the documents say is there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every document of the project.
fn documents() -> Vec<PathBuf> {
    let mut all = Vec::new();
    for dir in [
        "",
        "src/docs",
        "src/docs/protocol",
        "benches",
        "fuzz",
        "tests/fixtures/captures",
    ] {
        for entry in std::fs::read_dir(root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                all.push(path);
            }
        }
    }
    assert!(all.len() > 14, "{all:?}");
    all
}

/// Targets of links, code left out.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if !in_code {
            let targets = line.split("](").skip(1);
            found.extend(targets.map(|rest| rest.split(')').next().unwrap()));
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            if link.starts_with("https://") || link.starts_with('#') {
                continue;
            }
            // Those to items are checked by rustdoc.
            if link.starts_with("crate::")
                || link.starts_with("self::")
                || link.starts_with("super::")
                || link.starts_with("std::")
                || link.starts_with("http::")
            {
                continue;
            }
            let target = document.parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked} links");
}

#[test]
fn every_example_feature_and_command_is_in_the_readme() {
    let readme = read("README.md");
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("`{name}`")), "example {name}");
    }
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    for name in features.keys().filter(|name| *name != "default") {
        assert!(readme.contains(&format!("| `{name}`")), "feature {name}");
    }
    for command in [
        "get",
        "head",
        "post",
        "ping",
        "explain",
        "decode",
        "record",
        "replay",
        "serve",
        "gateway",
        "bench",
        "import",
        "lint",
        "conform",
        "drain",
        "top",
        "bridge",
        "completions",
        "man",
    ] {
        assert!(readme.contains(&format!("`{command}`")), "ajp {command}");
    }
}

#[test]
fn every_chapter_is_a_module_and_every_default_is_right() {
    let index = read("src/docs/mod.rs");
    let mut chapters = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("src/docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(index.contains(&format!("pub mod {name} {{}}")), "{name}");
            assert!(index.contains(&format!("- [`{name}`]")), "{name}");
            chapters.insert(name);
        }
    }
    assert_eq!(chapters.len(), 15);
    let (index, first) = (
        read("src/docs/protocol/mod.rs"),
        read("src/docs/protocol/overview.md"),
    );
    let mut chapters = 0;
    for entry in std::fs::read_dir(root().join("src/docs/protocol")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = file.strip_suffix(".md").filter(|&name| name != "overview") {
            assert!(index.contains(&format!(
                "#[doc = include_str!(\"{file}\")]\npub mod {name} {{}}"
            )));
            assert!(first.contains(&format!("- [`{name}`]")), "{name}");
            chapters += 1;
        }
    }
    assert_eq!(chapters, 8);
    // The table of timeouts, against the code.
    let table = read("src/docs/timeouts.md");
    let shown = format!(
        "{:?} {:?}",
        ajp::client::Timeouts::default(),
        ajp::server::ServerTimeouts::default()
    );
    for (name, seconds) in [
        ("acquire", 10),
        ("connect", 5),
        ("cping", 5),
        ("write", 30),
        ("request_body", 20),
        ("response_head", 60),
        ("between_packets", 60),
        ("response_read", 60),
        ("first", 20),
        ("idle", 60),
        ("packet", 10),
        ("body", 30),
        ("swallow", 5),
    ] {
        assert!(table.contains(&format!("`{name}` {seconds} s")), "{name}");
        assert!(
            shown.contains(&format!("{name}: Some({seconds}s)")),
            "{name}: {shown}"
        );
    }
}

/// The README's table of a server's settings, against the code.
#[tokio::test]
async fn every_default_of_a_server_is_right() {
    use ajp::server::{ServerConfig, Trust, serve};
    let config = ServerConfig::new(Trust::TrustedNetwork);
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n## A server\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let timeouts = read("src/docs/timeouts.md");
    let shown = format!("{config:?}");
    for (name, value, field) in [
        ("max_connections", "8192", "max_connections: 8192"),
        ("max_requests", "10000", "max_requests: Some(10000)"),
        ("max_body", "none", "max_body: None"),
        ("packet_size", "8192", "packet_size: PacketSize(8192)"),
        ("body_requests", "1", "body_requests: 1"),
        ("ServerTimeouts::idle", "60 s", "idle: Some(60s)"),
        ("ServerTimeouts::last_call", "250 ms", "last_call: 250ms"),
        ("trust_remote_user", "off", "trust_remote_user: false"),
        (
            "attributes",
            "well-known names",
            "AttributePolicy { rules: [], others: Reject }",
        ),
    ] {
        assert!(
            section.contains(&format!("| `{name}` | {value} |")),
            "{name}"
        );
        assert!(shown.contains(field), "{name}: {shown}");
    }
    assert!(timeouts.contains("`last_call` 250 ms"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("{:?}", serve(listener, axum::Router::<()>::new()));
    assert!(section.contains("| `drain_limit` | 30 s |"));
    assert!(server.contains("drain_limit: 30s"), "{server}");
}

/// What a user of the crate downloads: nothing that only its developers need.
#[test]
fn the_package_holds_the_crate_and_nothing_else() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: BTreeSet<_> = listed.lines().collect();
    for needed in [
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "README.md",
        "CHANGELOG.md",
        "src/lib.rs",
        "src/bin/ajp/main.rs",
        "src/docs/tls.md",
    ] {
        assert!(files.contains(needed), "{needed} in {files:?}");
    }
    let known = |file: &&str| {
        file.starts_with("src/")
            || [
                "Cargo.toml",
                "Cargo.toml.orig",
                "Cargo.lock",
                ".cargo_vcs_info.json",
                "LICENSE-MIT",
                "LICENSE-APACHE",
                "README.md",
                "CHANGELOG.md",
                "SECURITY.md",
            ]
            .contains(file)
    };
    let unknown: Vec<_> = files.iter().filter(|file| !known(file)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The layers of the library from the lowest to the uppermost. Those of one line do not know
/// each other.
const LAYERS: &[&[&str]] = &[
    &["common", "host", "secret", "trace"],
    &["wire"],
    &["proto"],
    &["dump", "net"],
    &["client", "server"],
    &["balancer", "tls"],
    &["mapping"],
    &["metrics", "tower", "proxy"],
];

/// The public modules of the three roles show what layers above them offer for their role.
const FRONTS: [&str; 3] = [
    "src/client/mod.rs",
    "src/server/mod.rs",
    "src/balancer/mod.rs",
];

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every source file below this folder.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_layer_knows_one_above_it() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut arrows = 0;
    let mut upward = Vec::new();
    for file in files {
        let name = file.strip_prefix(root()).unwrap();
        let name = name.to_str().unwrap();
        let own = name.split('/').nth(1).unwrap().trim_end_matches(".rs");
        if ["bin", "docs", "lib"].contains(&own) {
            continue;
        }
        let from = rank(own).unwrap_or_else(|| panic!("{name} is in no layer"));
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("//") {
                continue;
            }
            assert!(!line.contains("crate::{"), "{name}: one path for each use");
            let is_front = FRONTS.contains(&name) && line.starts_with("pub use ");
            for path in line.split("crate::").skip(1) {
                let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
                let module = &path[..end.unwrap_or(path.len())];
                let Some(to) = rank(module) else {
                    continue;
                };
                arrows += 1;
                if module != own && to >= from && !is_front {
                    upward.push(format!("{name}: {line}"));
                }
            }
        }
    }
    assert!(arrows > 150, "{arrows} are too few to be all");
    assert!(upward.is_empty(), "{upward:#?}");
}

/// The words of an array of `.ci/run`.
fn words_of<'a>(script: &'a str, array: &str) -> BTreeSet<&'a str> {
    let (_, rest) = script.split_once(&format!("{array}=(")).unwrap();
    let (array, _) = rest.split_once(')').unwrap();
    let lines = array.lines().map(|line| line.split('#').next().unwrap());
    lines.flat_map(str::split_whitespace).collect()
}

/// Whether a feature of the crate brings another one.
fn brings(features: &toml::Table, feature: &str, other: &str) -> bool {
    let brought = features[feature].as_array().unwrap().iter();
    brought
        .filter_map(toml::Value::as_str)
        .any(|name| name == other || features.contains_key(name) && brings(features, name, other))
}

/// Code can depend on two features only where one file, or the folder that it is in, names both.
/// `.ci/run` compiles each of these pairs by itself, and each feature alone.
#[test]
fn features_that_meet_are_checked_together() {
    let script = read(".ci/run");
    let (alone, pairs) = (words_of(&script, "alone"), words_of(&script, "pairs"));
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let of_the_tool = ["default", "program", "cli", "gateway"];
    let of_the_library = features.keys().map(String::as_str);
    let of_the_library: BTreeSet<_> = of_the_library
        .filter(|name| !of_the_tool.contains(name))
        .collect();
    assert_eq!(alone, of_the_library);
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut met = 0;
    for file in files {
        let name = file.strip_prefix(root().join("src")).unwrap();
        let name = name.to_str().unwrap();
        // The first only says which modules there are.
        if name == "lib.rs" || name.starts_with("bin/") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let named = text.split("feature = \"").skip(1);
        let mut named: BTreeSet<_> = named.map(|rest| rest.split('"').next().unwrap()).collect();
        let folder = name.split('/').next().unwrap().trim_end_matches(".rs");
        let folder = if folder == "tls" { "rustls" } else { folder };
        named.extend(of_the_library.get(folder));
        for one in &named {
            for other in named.iter().filter(|other| one < *other) {
                if brings(features, one, other) || brings(features, other, one) {
                    continue;
                }
                met += 1;
                assert!(
                    pairs.contains(&*format!("{one},{other}"))
                        || pairs.contains(&*format!("{other},{one}")),
                    "{name} names {one} and {other}, .ci/run has {pairs:?}"
                );
            }
        }
    }
    assert!(met > pairs.len(), "{met} of {pairs:?}");
}
