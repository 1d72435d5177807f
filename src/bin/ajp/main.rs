//! `ajp`: talks to AJP containers, shows what is said, and finds out what is wrong.
//!
//! Every command is a module of its own name, `get`, `head` and `post` are `request`. The feature
//! `gateway` brings the commands `gateway` and `bridge`, `cli` all others. They share:
//!
//! - `cli`: the command line of the commands of that feature.
//! - `exit`: exit codes and failures.
//! - `files`: reads files that a user names.
//! - `ui`: terminal, colours, output that may be closed.
//! - `target`, `values`, `peer`: arguments.
//! - `probe`: requests that find out how a container takes them.
//! - `watch`: connections that tell what goes over them.
//! - `config`: files of web servers and containers.
//! - `paths`: patterns of paths, and how servers read a path.
//! - `container`: the application of the tool's own containers.
//! - `listen`: where commands listen.
//! - `complaints`: what servers of the tool say about connections that ended badly.
//! - `manager_client`: asks the manager of a gateway.
//! - `guess`: what speaks at a port that does not speak AJP.
//!
//! Nothing of this is part of the library: the tool uses what every program can use. What both are
//! made of is in `src/common`, and each compiles it for itself.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments of arguments are help texts"
)]

#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "gateway")]
mod bridge;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "gateway")]
#[path = "../../common/mod.rs"]
mod common;
mod complaints;
#[cfg(feature = "cli")]
mod config;
#[cfg(feature = "cli")]
mod conform;
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "other commands use the rest")
)]
mod container;
#[cfg(feature = "cli")]
mod decode;
#[cfg(feature = "gateway")]
mod descriptors;
#[cfg(feature = "cli")]
mod drain;
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "other commands use the rest")
)]
mod exit;
#[cfg(feature = "cli")]
mod explain;
mod files;
mod framing;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "cli")]
mod generate;
#[cfg(feature = "cli")]
mod guess;
#[cfg(feature = "cli")]
mod import;
#[cfg(feature = "cli")]
mod lint;
mod listen;
#[cfg(feature = "cli")]
mod manager_client;
#[cfg_attr(
    not(feature = "gateway"),
    allow(dead_code, reason = "the gateway uses the rest")
)]
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "other commands use the rest")
)]
mod paths;
#[cfg(feature = "cli")]
mod peer;
#[cfg(feature = "cli")]
mod ping;
#[cfg_attr(
    not(all(feature = "cli", feature = "gateway")),
    allow(dead_code, reason = "other commands use the rest")
)]
mod probe;
#[cfg(feature = "cli")]
mod record;
#[cfg(feature = "cli")]
mod replay;
#[cfg(feature = "cli")]
mod request;
#[cfg(feature = "cli")]
mod serve;
#[cfg(feature = "cli")]
mod target;
#[cfg(feature = "cli")]
mod top;
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "other commands use the rest")
)]
mod ui;
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "other commands use the rest")
)]
mod values;
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "other commands use the rest")
)]
mod watch;

#[cfg(feature = "cli")]
use clap::CommandFactory;
use clap::{Parser, Subcommand};
use exit::{Exit, Failure};
use std::process::ExitCode;

/// Talks to AJP/1.3 containers, such as Tomcat: gateway, requests, pings, packets, diagnosis.
#[derive(Debug, Parser)]
#[command(name = "ajp", version, propagate_version = true, max_term_width = 100, after_help = exit::all_codes())]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes HTTP and forwards it to containers, as httpd does
    #[cfg(feature = "gateway")]
    #[command(after_help = gateway::after_help())]
    Gateway(Box<gateway::GatewayArgs>),
    /// Takes AJP from a web server and forwards it to an HTTP application
    #[cfg(feature = "gateway")]
    #[command(after_help = bridge::after_help())]
    Bridge(bridge::BridgeArgs),
    #[cfg(feature = "cli")]
    #[command(flatten)]
    Tool(cli::Command),
}

fn main() -> ExitCode {
    let result = match Program::parse().command {
        #[cfg(feature = "gateway")]
        Command::Gateway(args) => gateway::run(*args).map(ExitCode::from),
        #[cfg(feature = "gateway")]
        Command::Bridge(args) => bridge::run(args).map(ExitCode::from),
        #[cfg(feature = "cli")]
        Command::Tool(command) => command.run(<Program as CommandFactory>::command),
    };
    match result {
        Ok(code) => code,
        Err(Failure::Message { exit, text }) => {
            ui::error(&text);
            exit.into()
        }
        Err(Failure::OutputClosed) => Exit::Done.into(),
    }
}
