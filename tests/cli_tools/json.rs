//! What is printed for programs: every key is in the chapter `docs::json_output`, and every key of
//! the chapter is printed.

use super::recording;
use crate::cli::{Container, ajp, file, hostile::nobody};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The keys under a heading of the chapter.
fn documented(heading: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/json_output.md");
    let chapter = std::fs::read_to_string(path).unwrap();
    let part = chapter.split(&format!("\n# {heading}\n")).nth(1).unwrap();
    let part = part.split("\n# ").next().unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap();
        let keys: Vec<String> = cell
            .split(',')
            .map(|key| key.trim().trim_matches('`').to_owned())
            .collect();
        keys
    })
    .collect()
}

/// The keys of a value, as the chapter writes them.
fn keys(value: &Value, path: &str, documented: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            let any = format!("{path}.*");
            if documented.contains(&any) {
                found.insert(any);
                return;
            }
            for (name, value) in object {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                keys(value, &path, documented, found);
            }
        }
        Value::Array(values) => {
            let path = format!("{path}[]");
            // An empty list tells nothing of what is in others.
            for value in values {
                keys(value, &path, documented, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[track_caller]
fn compare(heading: &str, values: &[Value]) {
    let documented = documented(heading);
    let mut found = BTreeSet::new();
    for value in values {
        keys(value, "", &documented, &mut found);
    }
    assert_eq!(found, documented, "{heading}");
}

fn one(arguments: &[&str]) -> Value {
    let ended = ajp(arguments);
    serde_json::from_str(ended.text()).unwrap()
}

#[test]
fn every_key_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let open = Container::open();
    let hello = open.url("/hello");
    let nobody = nobody();
    // One that goes well and one that does not have all between them.
    let both = |arguments: &[&str]| {
        [&hello, &nobody].map(|url| one(&[arguments, &[url.as_str()]].concat()))
    };
    compare("ping", &both(&["ping", "--json", "-c", "1"]));
    compare("explain", &both(&["explain", "--json"]));
    compare("bench", &both(&["bench", "--json", "-n", "20", "-c", "2"]));
    let checks = [
        "conform",
        "container",
        "--json",
        "--timeout",
        "100ms",
        "--only",
    ];
    compare(
        "conform",
        &[one(&[&checks[..], &["C01,C02", &nobody]].concat())],
    );
    let conf = file(&dir, "a.conf", "ProxyPass /app ajp://127.0.0.1:8009/app\n");
    let xml = file(
        &dir,
        "server.xml",
        "<Server><Service><Connector protocol=\"AJP/1.3\" port=\"8009\" secret=\"x7\"/></Service></Server>",
    );
    compare("lint", &[one(&["lint", "--format", "json", &conf, &xml])]);

    // Two files, of which one has no packet.
    let (_container, capture) = recording(&dir, "first");
    let capture = capture.to_str().unwrap();
    let bytes = std::fs::read(capture).unwrap();
    let beginning = file(&dir, "beginning.pcap", "");
    std::fs::write(&beginning, &bytes[..bytes.len().min(60)]).unwrap();
    let decoded = ajp(&["decode", "--json", capture, &beginning]);
    assert!(decoded.code < 2, "{decoded:?}");
    let lines: Vec<Value> = decoded
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    compare("decode", &lines);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn tools_speak_json() {
    let dir = tempfile::tempdir().unwrap();
    let (container, path) = recording(&dir, "first");
    let decoded = ajp(&["decode", "--json", path.to_str().unwrap()]);
    let lines: Vec<Value> = decoded.ok().lines().map(json).collect();
    assert_eq!(lines[0]["event"], "connection");
    assert_eq!(lines[0]["from_start"], true);
    let packet = &lines[1];
    assert_eq!(
        (&packet["event"], &packet["to"], &packet["connection"]),
        (&"packet".into(), &"container".into(), &1.into())
    );
    assert!(
        packet["packet"]
            .as_str()
            .unwrap()
            .starts_with("Forward Request GET /hello"),
        "{packet}"
    );
    assert!(
        packet["seconds"].as_f64().is_some() && !packet["facts"].as_array().unwrap().is_empty(),
        "{packet}"
    );
    assert!(!decoded.text().contains("first"), "the secret");

    let ping = ajp(&["ping", "--json", "-c", "3", "-i", "1ms", &container.url("")]);
    let ping = json(ping.ok());
    assert_eq!((&ping["sent"], &ping["lost"]), (&3.into(), &0.into()));
    assert_eq!(ping["milliseconds"].as_array().unwrap().len(), 3);
    let lost = ajp(&["ping", "--json", "-c", "1", "ajp://127.0.0.1:1"]);
    assert_eq!((lost.code, &*lost.errors), (3, ""));
    assert_eq!(json(lost.text())["errors"].as_array().unwrap().len(), 1);

    let open = Container::open();
    let bench = ajp(&[
        "bench",
        "--json",
        "-n",
        "20",
        "-c",
        "2",
        &open.url("/hello"),
    ]);
    let bench = json(bench.ok());
    assert_eq!(
        (&bench["answers"], &bench["statuses"]["200"]),
        (&20.into(), &20.into())
    );
    assert!(bench["milliseconds"]["p99"].as_f64().unwrap() > 0.0);

    let explain = ajp(&["explain", "--json", &open.url("/hello")]);
    let explain = json(explain.ok());
    assert_eq!(explain["exit"], 0);
    assert_eq!(explain["verdict"], "AJP works; the application answers 200");
    assert!(
        explain["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["step"] == "cping")
    );
}
