//! Shows recorded AJP packets: captures of any network tool, raw bytes or hex text.
//!
//! - `input`: what a file holds; raw bytes and their direction.
//! - `hextext`: hex dumps back to bytes.
//! - `sink`: where the packets go.
//! - `printer`, `json`: the sinks that print them.
//!
//! What may not live here: anything of the rest of the tool. The example `decode` is made of
//! this module alone.

mod hextext;
mod input;
mod json;
mod printer;
mod sink;

use ajp::dump::Dump;
use ajp::dump::capture::Event;
use ajp::wire::Direction;
use clap::ValueEnum;
#[allow(unused_imports, reason = "the example needs only some of it")]
pub(crate) use input::Failure as SinkFailure;
use input::{DirectedBytes, Failure, Source};
use json::JsonPrinter;
use printer::{Printer, View};
#[allow(unused_imports, reason = "the example needs only some of it")]
pub(crate) use sink::Sink;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches of the command line"
)]
pub(crate) struct Args {
    #[command(flatten)]
    recordings: Recordings,
    /// All facts of each packet, one on a line
    #[arg(short, long)]
    verbose: bool,
    /// Each packet in hexadecimal
    #[arg(long)]
    hex: bool,
    /// Show secrets, cookies and session ids
    #[arg(long)]
    reveal: bool,
    /// One JSON object on each line
    #[arg(long, conflicts_with_all = ["verbose", "hex"])]
    json: bool,
}

/// Files to read packets from.
#[derive(Debug, clap::Args)]
pub(crate) struct Recordings {
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

/// Prints the packets of all files; `program` stands before errors.
pub(crate) fn run(program: &'static str, args: &Args) -> ExitCode {
    if args.json {
        let mut printer = JsonPrinter::new(args.reveal);
        let result = args.recordings.read(&mut printer);
        let result = result.and_then(|()| printer.flush());
        return ended(program, result, printer.errors(), || {
            let _ = printer.flush();
        });
    }
    let mut printer = Printer::new(
        program,
        View {
            verbose: args.verbose,
            hex: args.hex,
            reveal: args.reveal,
        },
    );
    let result = args.recordings.read(&mut printer);
    let result = result.and_then(|()| printer.flush());
    ended(program, result, printer.errors(), || {
        let _ = printer.flush();
    })
}

/// The exit code; `flush` brings out what was printed before an error is told.
fn ended(
    program: &str,
    result: Result<(), Failure>,
    errors: u64,
    flush: impl FnOnce(),
) -> ExitCode {
    match result {
        Err(Failure::Usage(text)) => {
            flush();
            let _ = writeln!(std::io::stderr(), "{program}: {text}");
            ExitCode::from(2)
        }
        Ok(()) if errors > 0 => ExitCode::from(1),
        // With the output closed, whoever read it has seen enough.
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
    }
}

impl Recordings {
    /// Hands all packets of all files to `sink`.
    pub(crate) fn read(&self, sink: &mut impl Sink) -> Result<(), Failure> {
        let mut sources = Vec::new();
        for path in &self.files {
            sources.push((path.display().to_string(), input::open(path, self.format)?));
        }
        // Of two directions one may have said nothing.
        let is_empty = |(_, source): &(String, Source)| matches!(source, Source::Empty);
        if let [(name, Source::Empty)] = &sources[..] {
            return Err(Failure::Usage(format!(
                "{name}: is empty; nothing was recorded"
            )));
        }
        if sources.iter().all(is_empty) {
            return Err(Failure::Usage(
                "all files are empty; nothing was recorded".to_owned(),
            ));
        }
        sources.retain(|source| !is_empty(source));
        if let [(_, Source::Stream(one)), (_, Source::Stream(other))] = &sources[..] {
            if let (Some(from), Some(to)) = (one.direction(), other.direction()) {
                if from != to {
                    return both(one.bytes(), from, other.bytes(), sink);
                }
            }
        }
        let several = sources.len() > 1;
        for (name, source) in sources {
            if several {
                sink.file(&name)?;
            }
            match source {
                Source::Empty => {}
                Source::Stream(stream) => turns(stream.turns(), sink)?,
                Source::Capture(capture) => {
                    for event in capture.with_ports(&self.port) {
                        self.event(event, &name, sink)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What was found in the capture of this name.
    fn event(&self, event: Event, name: &str, sink: &mut impl Sink) -> Result<(), Failure> {
        match event {
            Event::Connection {
                number,
                web_server,
                container,
                from_start,
            } => sink.begin(number, web_server, container, from_start),
            Event::Packet { number, record } => sink.record(Some(number), &record),
            Event::Closed { number, time, text } => sink.remark(number, time, &text),
            Event::Problem(text) if text == NO_AJP => {
                let hint = if self.port.is_empty() {
                    "--port names a port whose connections are AJP whatever they look like"
                } else {
                    "without --port every TCP connection is looked at"
                };
                sink.error(&format!("{name}: {text}; {hint}"))
            }
            Event::Problem(text) => sink.error(&format!("{name}: {text}")),
            _ => Ok(()),
        }
    }
}

/// What a capture without AJP says.
const NO_AJP: &str = "no AJP connection found";

/// One file: one direction, or packets of both in their order.
fn turns(turns: &[DirectedBytes], sink: &mut impl Sink) -> Result<(), Failure> {
    let mut dump = Dump::new();
    for turn in turns {
        for record in dump.feed(turn.direction, &turn.bytes) {
            sink.record(None, &record)?;
        }
    }
    for record in dump.finish() {
        sink.record(None, &record)?;
    }
    Ok(())
}

/// Two files, put in order packet by packet.
fn both(one: &[u8], of_one: Direction, other: &[u8], sink: &mut impl Sink) -> Result<(), Failure> {
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
            sink.record(None, &record)?;
        }
    }
    for record in dump.finish() {
        sink.record(None, &record)?;
    }
    Ok(())
}
