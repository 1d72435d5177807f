//! What the compiler says to a program that uses `serve` wrongly: the cause and what to do, and
//! nothing about futures or tower's traits first.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![cfg(feature = "server")]

use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The libraries that this program was built with, by crate name.
fn libraries() -> HashMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["test", "--no-run", "--quiet", "--message-format=json"])
        .args(["--test", "compile_errors"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // With the same features nothing is built again.
    if cfg!(feature = "cli") {
        cargo.arg("--all-features");
    }
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&variable);
        }
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut found = HashMap::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let is_library = message["target"]["kind"][0] == "lib";
        if message["reason"] == "compiler-artifact" && is_library {
            let name = message["target"]["name"].as_str().unwrap();
            let files = message["filenames"].as_array().unwrap();
            let files = files.iter().filter_map(Value::as_str);
            let file = files.into_iter().find(|file| {
                let extension = Path::new(file).extension();
                extension.is_some_and(|extension| extension == "rlib")
            });
            found.insert(name.to_owned(), file.unwrap().into());
        }
    }
    found
}

/// The errors of a program with this body of an async function, each with its notes.
fn errors(libraries: &HashMap<String, PathBuf>, body: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("program.rs");
    let program = format!(
        "use ajp::server::*;
use axum::{{Router, routing::get, extract::State}};
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct AppState;

pub async fn hello(_: State<AppState>) -> &'static str {{ \"hello\" }}

pub async fn run(listener: TcpListener, secret: ajp::Secret) {{
{body}
}}
"
    );
    std::fs::write(&source, program).unwrap();
    let mut rustc = Command::new("rustc");
    rustc
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .args(["--error-format", "json", "--out-dir"])
        .arg(directory.path())
        .arg(&source);
    for name in ["ajp", "axum", "tokio", "tower", "http"] {
        let library = libraries[name].display();
        rustc.arg("--extern").arg(format!("{name}={library}"));
    }
    let beside = libraries["ajp"].parent().unwrap();
    for folder in [beside.to_owned(), beside.join("deps")] {
        rustc
            .arg("-L")
            .arg(format!("dependency={}", folder.display()));
    }
    let output = rustc.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let mut errors = Vec::new();
    for line in stderr.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let is_summary = message["spans"].as_array().is_none_or(Vec::is_empty);
        if message["level"] == "error" && !is_summary {
            let mut text = message["message"].as_str().unwrap().to_owned();
            for note in message["children"].as_array().unwrap() {
                text = text + "\n" + note["message"].as_str().unwrap();
            }
            errors.push(text);
        }
    }
    assert_eq!(errors.is_empty(), output.status.success(), "{stderr}");
    errors
}

#[test]
fn the_compiler_names_the_cause() {
    let libraries = libraries();
    let right = "let app = Router::new().route(\"/\", get(hello)).with_state(AppState);
        serve(listener, app).with_secret(secret).await";
    assert_eq!(errors(&libraries, right), [""; 0]);
    for (what, body, cause, advice) in [
        (
            "no decision whom to believe",
            "serve(listener, Router::<()>::new()).await",
            "this server has not been told whom to believe, so it cannot run",
            "call `.with_secret(...)`",
        ),
        (
            "a router that lacks its state",
            "let app = Router::new().route(\"/\", get(hello));
             serve(listener, app).with_secret(secret).await",
            "`Router<AppState>` cannot answer AJP requests",
            "call `.with_state(...)` before",
        ),
        (
            "what axum's serve takes",
            "let app = Router::<()>::new().into_make_service();
             serve(listener, app).with_secret(secret).await",
            "`IntoMakeService<Router>` cannot answer AJP requests",
            "not as the result of its `.into_make_service()`",
        ),
        (
            "a maker of something else",
            "let app = Router::<()>::new();
             serve_with(listener, move |_: &SocketAddr| app.clone().into_make_service())
                 .with_secret(secret).await",
            "`IntoMakeService<Router>` cannot answer AJP requests",
            "a router goes in as it is",
        ),
        (
            "a body that is none",
            "let app = tower::service_fn(|_: http::Request<RequestBody>| async {
                 Ok::<_, std::io::Error>(http::Response::new(5_u32))
             });
             serve(listener, app).with_secret(secret).await",
            "`u32` cannot be the body of a response over AJP",
            "http_body_util::Full::new",
        ),
        (
            "an answer that is no response",
            "let app = tower::service_fn(|_: http::Request<RequestBody>| async {
                 Ok::<_, std::io::Error>(String::new())
             });
             serve(listener, app).with_secret(secret).await",
            "cannot answer AJP requests",
            "with `http::Response` as its response",
        ),
    ] {
        let errors = errors(&libraries, body);
        assert!(!errors.is_empty(), "{what}");
        let first = &errors[0];
        assert!(first.contains(cause), "{what}: {errors:#?}");
        assert!(first.contains(advice), "{what}: {errors:#?}");
        for error in &errors {
            assert!(!error.contains("is not a future"), "{what}: {errors:#?}");
        }
    }
}
