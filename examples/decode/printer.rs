//! Records to lines on the standard output.

use crate::input::Failure;
use ajp::dump::Record;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

pub(crate) struct Printer {
    out: BufWriter<Stdout>,
    live: bool,
    view: View,
    errors: u64,
}

/// What to show of each packet.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub(crate) verbose: bool,
    pub(crate) hex: bool,
    pub(crate) reveal: bool,
}

impl Printer {
    pub(crate) fn new(view: View) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            live: io::stdout().is_terminal(),
            view,
            errors: 0,
        }
    }

    /// How much could not be decoded.
    pub(crate) fn errors(&self) -> u64 {
        self.errors
    }

    /// One packet of a connection; `label` stands before it.
    pub(crate) fn record(&mut self, label: &str, record: &Record) -> Result<(), Failure> {
        self.errors = self.errors.saturating_add(record.is_error().into());
        let text = match (self.view.verbose, self.view.reveal) {
            (false, false) => format!("{record}"),
            (true, false) => format!("{record:#}"),
            (false, true) => format!("{}", record.reveal()),
            (true, true) => format!("{:#}", record.reveal()),
        };
        self.line(&format!("{label}{text}"))?;
        if self.view.hex {
            let hex = if self.view.reveal {
                record.reveal().hex()
            } else {
                record.hex()
            };
            let hex = hex.to_string();
            if !hex.is_empty() {
                self.line(&hex)?;
            }
        }
        Ok(())
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        if self.live { self.flush() } else { Ok(()) }
    }

    /// Something that is wrong with the recording; the output goes on.
    pub(crate) fn error(&mut self, text: &str) -> Result<(), Failure> {
        self.errors = self.errors.saturating_add(1);
        // In the right place when both go to one terminal.
        self.flush()?;
        eprintln!("decode: {text}");
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}
