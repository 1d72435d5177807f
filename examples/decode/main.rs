//! Shows recorded AJP packets: captures of any network tool, raw bytes or hex text.
//!
//! ```text
//! tcpdump -i lo -w ajp.pcap port 8009
//! cargo run --release --example decode -- ajp.pcap
//! ```
//!
//! Secrets, cookies and session ids are redacted unless `--reveal` is given. All of it is
//! the tool's `ajp decode`, which needs feature `cli`.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments of arguments are help texts"
)]

#[path = "../../src/bin/ajp/decode/mod.rs"]
mod decode;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    about = "Shows recorded AJP/1.3 packets",
    after_help = EXAMPLES,
    max_term_width = 100
)]
struct Command {
    #[command(flatten)]
    args: decode::Args,
}

const EXAMPLES: &str = "\
Examples:
  tcpdump -i lo -w ajp.pcap port 8009       record, then
  decode ajp.pcap                           one line for each packet
  decode -v ajp.pcap                        all headers and attributes
  decode --port 8009 --port 8010 all.pcapng only these ports
  decode sent.bin received.bin              raw bytes of both directions
  tcpdump -U -i lo -w - port 8009 | decode - while it happens
  echo 123400010a | decode -                hex text

Lines: [#connection] [seconds] > to the container or < to the web server, offset in the
stream, length, packet.

Exit code: 0 all packets were decoded, 1 some bytes were not, 2 wrong usage or unreadable
files.";

fn main() -> ExitCode {
    decode::run("decode", &Command::parse().args)
}
