//! Shows recorded AJP packets: captures of any network tool, raw bytes or hex text.
//!
//! ```text
//! tcpdump -i lo -w ajp.pcap port 8009
//! cargo run --release --example decode -- ajp.pcap
//! ```
//!
//! Secrets, cookies and session ids are redacted unless `--reveal` is given.
//!
//! - `input`: what a file holds; raw bytes and their direction.
//! - `hextext`: hex dumps back to bytes.
//! - `pcap`: frames out of pcap and pcapng files.
//! - `segment`: TCP segments out of frames.
//! - `reassembly`: segments to streams, and what is missing in them.
//! - `connections`: which streams are AJP, and their packets.
//! - `printer`: records to lines.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments of arguments are help texts"
)]

mod connections;
mod hextext;
mod input;
mod pcap;
mod printer;
mod reassembly;
mod segment;

use ajp::dump::Dump;
use ajp::wire::Direction;
use clap::{Parser, ValueEnum};
use connections::Connections;
use input::{Failure, Source, Turn};
use printer::{Printer, View};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    about = "Shows recorded AJP/1.3 packets",
    after_help = EXAMPLES,
    max_term_width = 100
)]
struct Args {
    /// What to read; - is the standard input. Two files of raw bytes, one of each direction,
    /// are shown as one conversation
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are
    #[arg(long, value_enum, default_value = "auto")]
    format: Format,
    /// AJP port of the container, may be repeated [default: every TCP connection with AJP on it]
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// All facts of each packet, one on a line
    #[arg(short, long)]
    verbose: bool,
    /// Each packet in hexadecimal
    #[arg(long)]
    hex: bool,
    /// Show secrets, cookies and session ids
    #[arg(long)]
    reveal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Told by the first bytes
    Auto,
    /// The bytes of one direction, or of both mixed
    Raw,
    /// Digits, with or without offsets and text: xxd, hexdump -C, tshark -x
    Hex,
    /// tcpdump, Wireshark
    Pcap,
    /// Wireshark, dumpcap
    Pcapng,
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
    let args = Args::parse();
    let mut printer = Printer::new(View {
        verbose: args.verbose,
        hex: args.hex,
        reveal: args.reveal,
    });
    let result = run(&args, &mut printer).and_then(|()| printer.flush());
    match result {
        Err(Failure::Usage(text)) => {
            let _ = printer.flush();
            eprintln!("decode: {text}");
            ExitCode::from(2)
        }
        Ok(()) if printer.errors() > 0 => ExitCode::from(1),
        // With the output closed, whoever read it has seen enough.
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
    }
}

fn run(args: &Args, printer: &mut Printer) -> Result<(), Failure> {
    let mut sources = Vec::new();
    for path in &args.files {
        sources.push((path.display().to_string(), input::open(path, args.format)?));
    }
    if let [(_, Source::Stream(one)), (_, Source::Stream(other))] = &sources[..] {
        if let (Some(from), Some(to)) = (one.direction(), other.direction()) {
            if from != to {
                return both(one.bytes(), from, other.bytes(), printer);
            }
        }
    }
    let several = sources.len() > 1;
    for (name, source) in sources {
        if several {
            printer.line(&format!("{name}:"))?;
        }
        match source {
            Source::Stream(stream) => turns(stream.turns(), printer)?,
            Source::Frames(frames) => {
                let mut connections = Connections::new(&args.port);
                for frame in frames {
                    match frame {
                        Ok(frame) => connections.frame(&frame, printer)?,
                        Err(text) => {
                            printer.error(&format!("{name}: {text}"))?;
                            break;
                        }
                    }
                }
                connections.finish(&name, printer)?;
            }
        }
    }
    Ok(())
}

/// One file: one direction, or packets of both in their order.
fn turns(turns: &[Turn], printer: &mut Printer) -> Result<(), Failure> {
    let mut dump = Dump::new();
    for turn in turns {
        for record in dump.feed(turn.direction, &turn.bytes) {
            printer.record("", &record)?;
        }
    }
    for record in dump.finish() {
        printer.record("", &record)?;
    }
    Ok(())
}

/// Two files, put in order packet by packet.
fn both(one: &[u8], of_one: Direction, other: &[u8], printer: &mut Printer) -> Result<(), Failure> {
    let (mut up, mut down) = match of_one {
        Direction::ToContainer => (one, other),
        Direction::ToWebServer => (other, one),
    };
    let mut dump = Dump::new();
    while !up.is_empty() || !down.is_empty() {
        let direction = match dump.expects() {
            _ if down.is_empty() => Direction::ToContainer,
            _ if up.is_empty() => Direction::ToWebServer,
            expected => expected,
        };
        let rest = match direction {
            Direction::ToContainer => &mut up,
            Direction::ToWebServer => &mut down,
        };
        let (packet, later) = rest.split_at(input::packet_len(rest));
        *rest = later;
        for record in dump.feed(direction, packet) {
            printer.record("", &record)?;
        }
    }
    for record in dump.finish() {
        printer.record("", &record)?;
    }
    Ok(())
}
