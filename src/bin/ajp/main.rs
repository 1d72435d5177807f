//! `ajp`: talks to AJP containers, shows what is said, and finds out what is wrong.
//!
//! Every command is a module of its own name, `get`, `head` and `post` are `request`. They
//! share:
//!
//! - `cli`: the command line as a whole.
//! - `exit`: exit codes and failures.
//! - `ui`: terminal, colours, output that may be closed.
//! - `target`, `values`, `peer`: arguments.
//! - `watch`: connections that tell what goes over them.
//! - `config`: files of web servers and containers.
//! - `guess`: what speaks at a port that does not speak AJP.
//!
//! Nothing of this is part of the library: the tool uses what every program can use.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments of arguments are help texts"
)]

mod bench;
mod cli;
mod config;
mod decode;
mod exit;
mod explain;
mod generate;
mod guess;
mod import;
mod peer;
mod ping;
mod record;
mod replay;
mod request;
mod serve;
mod target;
mod ui;
mod values;
mod watch;

use clap::Parser;
use cli::{Cli, Command};
use exit::{Exit, Failure};
use http::Method;
use std::future::Future;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Get(args) => block_on(args.run(Method::GET)),
        Command::Head(args) => block_on(args.run(Method::HEAD)),
        Command::Post(args) => block_on(args.run(Method::POST)),
        Command::Ping(args) => block_on(args.run()),
        Command::Explain(args) => block_on(args.run()),
        Command::Decode(args) => return decode::run("ajp", &args),
        Command::Record(args) => block_on(args.run()),
        Command::Replay(args) => block_on(args.run()),
        Command::Serve(args) => block_on(args.run()),
        Command::Bench(args) => block_on(args.run()),
        Command::Import(args) => args.run(),
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(Failure::Told { exit, text }) => {
            ui::error(&text);
            exit.into()
        }
        Err(Failure::OutputClosed) => Exit::Done.into(),
    }
}

/// Runs a command on the one thread that it needs.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let result = runtime.block_on(command);
    // A read from a terminal cannot be called off.
    runtime.shutdown_background();
    result
}
