//! The commands of the feature `cli`.

use crate::bench::{self, BenchArgs};
use crate::conform::{self, ConformArgs};
use crate::decode;
use crate::drain::{self, DrainArgs};
use crate::exit::{Exit, Failure, codes};
use crate::explain::{self, ExplainArgs};
use crate::generate::{self, CompletionsArgs, ManArgs};
use crate::import::{self, ImportArgs};
use crate::lint::{self, LintArgs};
use crate::ping::{self, PingArgs};
use crate::record::{self, RecordArgs};
use crate::replay::{self, ReplayArgs};
use crate::request::{self, RequestArgs};
use crate::serve::{self, ServeArgs};
use crate::top::{self, TopArgs};
use clap::Subcommand;
use http::Method;
use std::future::Future;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends a GET request and shows the response
    #[command(after_help = request::after_help("get"))]
    Get(Box<RequestArgs>),
    /// Sends a HEAD request and shows the response with --include
    #[command(after_help = request::after_help("head"))]
    Head(Box<RequestArgs>),
    /// Sends a POST request and shows the response
    #[command(after_help = request::after_help("post"))]
    Post(Box<RequestArgs>),
    /// Sends CPing and tells how long CPong takes
    #[command(after_help = ping::after_help())]
    Ping(PingArgs),
    /// Tells why a container does not answer as it should
    #[command(after_help = explain::after_help())]
    Explain(Box<ExplainArgs>),
    /// Shows recorded packets
    #[command(after_help = decode_help())]
    Decode(decode::Args),
    /// Relays connections to a container and stores them
    #[command(after_help = record::after_help())]
    Record(RecordArgs),
    /// Sends recorded requests once more and compares the answers
    #[command(after_help = replay::after_help())]
    Replay(ReplayArgs),
    /// Is a container that tells what it was asked
    #[command(after_help = serve::after_help())]
    Serve(ServeArgs),
    /// Puts a container under load and tells how long it takes
    #[command(after_help = bench::after_help())]
    Bench(Box<BenchArgs>),
    /// Reads a configuration of httpd or mod_jk and writes one of the gateway
    #[command(after_help = import::after_help())]
    Import(ImportArgs),
    /// Finds configuration files of web servers and containers that disagree
    #[command(after_help = lint::after_help())]
    Lint(LintArgs),
    /// Checks whether a container or a web server keeps the protocol's rules
    #[command(after_help = conform::after_help())]
    Conform(Box<ConformArgs>),
    /// Shows the members of a gateway as they are now
    #[command(after_help = top::after_help())]
    Top(TopArgs),
    /// Takes a member of a gateway out of service without losing a session
    #[command(after_help = drain::after_help())]
    Drain(Box<DrainArgs>),
    /// Writes completions for a shell
    #[command(after_help = generate::completions_help())]
    Completions(CompletionsArgs),
    /// Writes the manual
    #[command(after_help = generate::man_help())]
    Man(ManArgs),
}

impl Command {
    /// `program` describes the whole command line, for what is generated from it.
    pub(crate) fn run(self, program: fn() -> clap::Command) -> Result<ExitCode, Failure> {
        let exit = match self {
            Self::Get(args) => block_on(args.run(Method::GET)),
            Self::Head(args) => block_on(args.run(Method::HEAD)),
            Self::Post(args) => block_on(args.run(Method::POST)),
            Self::Ping(args) => block_on(args.run()),
            Self::Explain(args) => block_on(args.run()),
            Self::Decode(args) => return Ok(decode::run("ajp", &args)),
            Self::Record(args) => block_on(args.run()),
            Self::Replay(args) => block_on(args.run()),
            Self::Serve(args) => block_on(args.run()),
            Self::Bench(args) => block_on(args.run()),
            Self::Import(args) => args.run(),
            Self::Lint(args) => args.run(),
            Self::Conform(args) => block_on(args.run()),
            Self::Top(args) => block_on(args.run()),
            Self::Drain(args) => block_on(args.run()),
            Self::Completions(args) => args.run(program()),
            Self::Man(args) => args.run(program()),
        };
        exit.map(ExitCode::from)
    }
}

/// Runs a command on the one thread that it needs.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("the runtime cannot start: {error}; the limit of open files may be reached (ulimit -n)")))?;
    let result = runtime.block_on(command);
    // A read from a terminal cannot be called off.
    runtime.shutdown_background();
    result
}

fn decode_help() -> String {
    format!(
        "\
Examples:
  tcpdump -i lo -w ajp.pcap port 8009           record, then
  ajp decode ajp.pcap                           one line for each packet
  ajp decode -v ajp.pcap                        all headers and attributes
  ajp decode --port 8009 --port 8010 all.pcapng only these ports
  ajp decode sent.bin received.bin              raw bytes of both directions
  tcpdump -U -i lo -w - port 8009 | ajp decode - while it happens
  echo 123400010a | ajp decode -                hex text

Lines: [#connection] [seconds] > to the container or < to the web server, offset in the
stream, length, packet. Secrets, cookies and session ids are redacted until --reveal.

{}",
        codes(Some("some bytes could not be decoded"), &[])
    )
}
