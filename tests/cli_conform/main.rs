//! `ajp conform`: every check on our own server and on real peers, against the table of the
//! chapter `docs::conformance`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]

#[path = "../cli/mod.rs"]
mod cli;
mod peers;
#[path = "../support/mod.rs"]
mod support;
mod violations;

use cli::{Container, Ended, Hostile, ajp, file};
use serde_json::Value;
use std::collections::BTreeMap;

/// Verdicts by the number of the check.
type Verdicts = BTreeMap<String, String>;

/// The checks of a run, of which none is missing.
#[track_caller]
fn verdicts(ended: &Ended) -> Verdicts {
    assert!(ended.code < 2, "{ended:?}");
    let json: Value = serde_json::from_str(ended.text()).unwrap();
    let checks = json["checks"].as_array().unwrap().iter();
    let verdicts: Verdicts = checks
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap().to_owned();
            assert!(
                !text("rule").is_empty() && !text("section").is_empty() && !text("seen").is_empty()
            );
            (text("id"), text("verdict"))
        })
        .collect();
    let fails = verdicts
        .values()
        .any(|verdict| verdict == "wrong" || verdict == "dangerous");
    assert_eq!(ended.code, i32::from(fails), "{ended:?}");
    verdicts
}

#[test]
fn our_server_keeps_every_rule() {
    let dir = tempfile::tempdir().unwrap();
    let container = Container::closed("c0nform");
    let secret = file(&dir, "secret", "c0nform");
    let url = container.url("/hello");
    let arguments = [
        "conform",
        "container",
        "--secret-file",
        &secret,
        "--reading-path",
        "/echo",
        "--status-path",
        "/status/{}",
        &url,
    ];
    let text = ajp(&arguments);
    assert_eq!(text.code, 0, "{}", text.text());
    assert!(
        text.text().contains("0 wrong, 0 dangerous"),
        "{}",
        text.text()
    );

    let json = ajp(&[&arguments[..], &["--json"]].concat());
    let found = verdicts(&json);
    assert!(found.len() >= 50, "{found:?}");
    for check in [
        "C01", "C21", "C23", "C31", "C35", "C43", "C44", "C45", "C56",
    ] {
        assert_eq!(found[check], "holds", "{check}\n{}", json.text());
    }

    let junit = ajp(&[&arguments[..], &["--format", "junit"]].concat());
    let junit = roxmltree::Document::parse(junit.text()).unwrap();
    let suite = junit.root_element();
    assert_eq!(suite.attribute("failures"), Some("0"));
    let cases = suite
        .children()
        .filter(|node| node.has_tag_name("testcase"))
        .count();
    assert_eq!(cases, found.len());
}

#[test]
fn bad_containers_are_found_out() {
    // Answers every packet as if it were well, and keeps the connection.
    let yes = Hostile::new(|stream| {
        use std::io::{Read, Write};
        let mut piece = vec![0; 65536];
        while let Ok(1..) = stream.read(&mut piece) {
            let _ =
                stream.write_all(b"\x41\x42\0\x0a\x04\0\xc8\0\x02OK\0\0\0\x41\x42\0\x02\x05\x01");
        }
    });
    let found = verdicts(&ajp(&[
        "conform",
        "container",
        "--json",
        "--timeout",
        "300ms",
        &yes.url(),
    ]));
    for check in ["C21", "C22", "C35"] {
        assert_eq!(found[check], "dangerous", "{check}: {found:?}");
    }
    for check in ["C01", "C11", "C40"] {
        assert!(
            ["wrong", "skipped"].contains(&&*found[check]),
            "{check}: {found:?}"
        );
    }
    let nobody = ajp(&[
        "conform",
        "container",
        "--json",
        "--timeout",
        "300ms",
        &cli::hostile::nobody(),
    ]);
    assert!(
        verdicts(&nobody).values().all(|verdict| verdict != "holds"),
        "{nobody:?}"
    );
}

#[test]
fn wrong_arguments_are_told() {
    for arguments in [
        &[
            "conform",
            "front",
            "--listen",
            "nowhere",
            "--http",
            "http://a/",
        ][..],
        &["conform", "front", "--listen", "0", "--http", "ajp://a/"],
        &["conform", "container", "http://a/"],
    ] {
        assert_eq!(ajp(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn every_section_is_one_of_the_protocol_chapters() {
    for side in ["container", "front"] {
        let list = ajp(&["conform", side, "--list", "--json"]);
        let list: Value = serde_json::from_str(list.ok()).unwrap();
        for check in list.as_array().unwrap() {
            let section = check["section"].as_str().unwrap();
            let (chapter, heading) = section.split_once(": ").unwrap();
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("src/docs/protocol/{chapter}.md"));
            let text = std::fs::read_to_string(path).unwrap();
            assert!(
                text.lines().any(|line| line == format!("# {heading}")),
                "{check}"
            );
        }
    }
}

#[test]
fn checks_can_be_listed_and_chosen() {
    let text = ajp(&["conform", "container", "--list", "--only", "c35,cping"]);
    let lines: Vec<_> = text.ok().lines().collect();
    assert_eq!(lines.len(), 2, "{text:?}");
    assert!(
        lines[0].starts_with("C35 waits-for-owed-packet: "),
        "{text:?}"
    );
    assert!(lines[1].starts_with("C01 cping: "), "{text:?}");
    let unknown = ajp(&["conform", "front", "--list", "--only", "F99"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.errors.contains("--list"), "{unknown:?}");
    let missing = ajp(&["conform", "container"]);
    assert_eq!(missing.code, 2, "{missing:?}");
}
