//! Records to lines on the standard output.

use super::input::Failure;
use super::sink::Sink;
use ajp::dump::Record;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) struct Printer {
    /// The program, as its errors begin.
    program: &'static str,
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
    pub(crate) fn new(program: &'static str, view: View) -> Self {
        Self {
            program,
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

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        if self.live { self.flush() } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

impl Sink for Printer {
    fn file(&mut self, name: &str) -> Result<(), Failure> {
        self.line(&format!("{name}:"))
    }

    fn begin(
        &mut self,
        number: u32,
        from: SocketAddr,
        to: SocketAddr,
        from_start: bool,
    ) -> Result<(), Failure> {
        let note = if from_start {
            ""
        } else {
            ", recorded from midway"
        };
        self.line(&format!("#{number} {from} > {to}{note}"))
    }

    fn record(&mut self, number: Option<u32>, record: &Record) -> Result<(), Failure> {
        self.errors = self.errors.saturating_add(record.is_error().into());
        let text = match (self.view.verbose, self.view.reveal) {
            (false, false) => format!("{record}"),
            (true, false) => format!("{record:#}"),
            (false, true) => format!("{}", record.reveal()),
            (true, true) => format!("{:#}", record.reveal()),
        };
        let label = number.map_or_else(String::new, |number| format!("#{number} "));
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

    fn remark(&mut self, number: u32, time: Option<Duration>, text: &str) -> Result<(), Failure> {
        // As a record shows it.
        let time = time.map_or_else(String::new, |time| {
            format!("{:>4}.{:06} ", time.as_secs(), time.subsec_micros())
        });
        self.line(&format!("#{number} {time}{text}"))
    }

    fn error(&mut self, text: &str) -> Result<(), Failure> {
        self.errors = self.errors.saturating_add(1);
        // In the right place when both go to one terminal.
        self.flush()?;
        let _ = writeln!(std::io::stderr(), "{}: {text}", self.program);
        Ok(())
    }
}
