//! The terminal: colours where there is one, and output that may be closed at any time.

use crate::exit::Failure;
use ajp::dump::Record;
use ajp::wire::Direction;
use std::io::{self, IsTerminal, Write};

/// One line on the standard error. That nobody reads it is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A text of somebody else's, of one line or several, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What went wrong.
pub(crate) fn error(text: &str) {
    say(&format!("ajp: {}", paint(&io::stderr(), RED, text)));
}

/// One packet of a trace on the standard error, with all its facts if `verbose`.
pub(crate) fn record(record: &Record, verbose: bool) {
    let colour = match record.direction() {
        _ if record.is_error() => RED,
        Direction::ToContainer => GREEN,
        Direction::ToWebServer => CYAN,
    };
    let text = if verbose {
        format!("{record:#}")
    } else {
        record.to_string()
    };
    say(&paint(&io::stderr(), colour, &text));
}

/// One packet of one of several connections on the standard error.
pub(crate) fn record_of(connection: u64, record: &Record) {
    say(&format!("#{connection} {record}"));
}

/// Writes a text to the standard output and flushes it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// For the standard output.
pub(crate) fn good(text: &str) -> String {
    paint(&io::stdout(), GREEN, text)
}

/// For the standard output.
pub(crate) fn bad(text: &str) -> String {
    paint(&io::stdout(), RED, text)
}

const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

fn paint(to: &impl IsTerminal, colour: &str, text: &str) -> String {
    // https://no-color.org
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if to.is_terminal() && !unwanted {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
