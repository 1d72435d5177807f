//! Help, manual, completions and errors, as texts that teach.

use crate::cli::{self, ajp, file};

#[test]
fn completions_and_manual() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef ajp"),
        ("fish", "complete -c ajp"),
    ] {
        let text = ajp(&["completions", shell]);
        assert!(text.ok().contains(part), "{shell}");
        assert!(text.text().contains("replay"), "{shell}");
    }
    let page = ajp(&["man"]);
    assert!(
        page.ok().contains(".TH ajp 1") && page.text().contains("ajp\\-replay"),
        "{}",
        page.text()
    );
    let dir = tempfile::tempdir().unwrap();
    ajp(&["man", "--dir", dir.path().to_str().unwrap()]).ok();
    let get = std::fs::read_to_string(dir.path().join("ajp-get.1")).unwrap();
    assert!(
        get.contains("secret\\-file") && get.contains(".SH \"EXIT STATUS\"\n.nf\n"),
        "{get}"
    );
    // Examples stay as they are written, and nothing goes to a section EXTRA.
    assert!(get.contains(".SH \"EXAMPLES\"\n.nf\n  ajp get "), "{get}");
    assert!(!get.contains("EXTRA"), "{get}");
    let below = std::fs::read_to_string(dir.path().join("ajp-conform-container.1")).unwrap();
    assert!(below.contains("status\\-path"), "{below}");
}

/// The names of the commands below one, but for `help`.
fn commands(of: &[&str]) -> Vec<String> {
    let help = ajp(&[of, &["--help"]].concat());
    help.ok()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// Every command, each with those above it.
fn all_commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        for below in commands(&words) {
            open.push([&command[..], &[below]].concat());
        }
        if !command.is_empty() {
            all.push(command);
        }
    }
    all
}

#[test]
fn every_command_has_examples_and_exit_codes_in_its_help_and_its_manual() {
    let dir = tempfile::tempdir().unwrap();
    ajp(&["man", "--dir", dir.path().to_str().unwrap()]).ok();
    let all = all_commands();
    assert!(all.len() >= 20, "{all:?}");
    for command in all {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let help = ajp(&words);
        let name = command.join(" ");
        let examples = help.ok().split("\nExamples:\n").nth(1);
        let examples = examples.unwrap_or_else(|| panic!("{name}: no examples"));
        // The first examples are of the command itself, or a pipe into it.
        let first = examples.lines().next().unwrap();
        let second = examples.lines().nth(1).unwrap_or_default();
        assert!(
            [first, second]
                .iter()
                .any(|line| line.contains(&format!("ajp {name}"))),
            "{name}: {first}"
        );
        assert!(
            help.text().contains("\nExit code:\n   0  "),
            "{name}: no exit codes"
        );
        let page = dir.path().join(format!("ajp-{}.1", command.join("-")));
        let page = std::fs::read_to_string(page).unwrap();
        for part in [
            ".SH NAME\n",
            ".SH SYNOPSIS\n",
            ".SH \"EXAMPLES\"\n.nf\n",
            ".SH \"EXIT STATUS\"\n.nf\n",
        ] {
            assert!(page.contains(part), "{name}: no {part}\n{page}");
        }
        // No line is wider than a terminal.
        for line in help.text().lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

#[test]
fn every_error_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let there = file(&dir, "there", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nobody = cli::hostile::nobody();
    let check_the_path = "check the path";
    for (arguments, advice) in [
        (vec!["decode", "/nonexistent"], check_the_path),
        (vec!["decode", &there], "nothing was recorded"),
        (vec!["lint", "/nonexistent"], check_the_path),
        (vec!["lint", "--explain", "AJP999"], "--rules lists them"),
        (vec!["import", "--httpd", "/nonexistent"], check_the_path),
        (
            vec!["get", "--secret-file", "/nonexistent", &nobody],
            "No such file",
        ),
        (vec!["post", "-d", "@/nonexistent", &nobody], check_the_path),
        (vec!["get", "-o", "/nonexistent/x", &nobody], "ajp explain"),
        (vec!["get", &nobody], "ajp explain with the same URL"),
        (vec!["get", "-H", "x", &nobody], "Name: value"),
        (
            vec!["get", "-m", "soon", &nobody],
            "write 5s, 200ms, 1.5s or 2m",
        ),
        (vec!["explain", &nobody], "start the container"),
        (vec!["man", "--dir", "/nonexistent"], check_the_path),
        (
            vec!["serve", "--no-secret", "--listen", &taken],
            "take another port",
        ),
        (vec!["serve"], "--no-secret"),
        (
            vec![
                "record",
                "--listen",
                &taken,
                "--to",
                &nobody,
                "-o",
                "/nonexistent",
            ],
            "take another port",
        ),
        (
            vec![
                "record",
                "--listen",
                "127.0.0.1:0",
                "--to",
                &nobody,
                "-o",
                &there,
            ],
            "choose another name",
        ),
        (
            vec![
                "conform",
                "front",
                "--listen",
                &taken,
                "--http",
                "http://127.0.0.1/",
            ],
            "take another port",
        ),
        (
            vec![
                "conform",
                "front",
                "--listen",
                "1",
                "--http",
                "http://name.invalid/",
            ],
            "has no address",
        ),
        (vec!["top", "http://127.0.0.1:1"], "[manager]"),
        (vec!["replay", "/nonexistent", &nobody], check_the_path),
        (vec!["gateway", "--config", "/nonexistent"], "No such file"),
        (vec!["got"], "--help"),
    ] {
        let ended = ajp(&arguments);
        assert!((1..10).contains(&ended.code), "{arguments:?}: {ended:?}");
        let said = [ended.errors.as_str(), ended.text()].concat();
        assert!(said.contains(advice), "{arguments:?}: {ended:?}");
    }
}
