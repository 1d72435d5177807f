//! Records to lines of JSON on the standard output.

use super::input::Failure;
use super::sink::Sink;
use ajp::dump::Record;
use ajp::wire::Direction;
use serde_json::{Value, json};
use std::io::{self, BufWriter, Stdout, Write};
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) struct JsonPrinter {
    out: BufWriter<Stdout>,
    file: Option<String>,
    reveal: bool,
    errors: u64,
}

impl JsonPrinter {
    pub(crate) fn new(reveal: bool) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            file: None,
            reveal,
            errors: 0,
        }
    }

    /// How much could not be decoded.
    pub(crate) fn errors(&self) -> u64 {
        self.errors
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    fn line(&mut self, mut value: Value) -> Result<(), Failure> {
        if let (Some(file), Some(object)) = (&self.file, value.as_object_mut()) {
            object.insert("file".to_owned(), file.as_str().into());
        }
        Ok(writeln!(self.out, "{value}")?)
    }
}

impl Sink for JsonPrinter {
    fn file(&mut self, name: &str) -> Result<(), Failure> {
        self.file = Some(name.to_owned());
        Ok(())
    }

    fn begin(
        &mut self,
        number: u32,
        from: SocketAddr,
        to: SocketAddr,
        from_start: bool,
    ) -> Result<(), Failure> {
        self.line(json!({
            "event": "connection",
            "connection": number,
            "web_server": from.to_string(),
            "container": to.to_string(),
            "from_start": from_start,
        }))
    }

    fn record(&mut self, number: Option<u32>, record: &Record) -> Result<(), Failure> {
        self.errors = self.errors.saturating_add(record.is_error().into());
        let (text, facts) = if self.reveal {
            let revealed = record.reveal();
            (revealed.to_string(), format!("{revealed:#}"))
        } else {
            (record.to_string(), format!("{record:#}"))
        };
        // Behind direction, offset and length, which have keys of their own.
        let len = record.len().to_string();
        let packet = text
            .split_once(&format!(" {len} "))
            .map_or(&*text, |(_, rest)| rest.trim());
        let facts: Vec<&str> = facts.lines().skip(1).map(str::trim).collect();
        self.line(json!({
            "event": "packet",
            "connection": number,
            "seconds": record.time().map(|time| time.as_secs_f64()),
            "to": match record.direction() {
                Direction::ToContainer => "container",
                Direction::ToWebServer => "web server",
            },
            "offset": record.offset(),
            "length": record.len(),
            "packet": packet,
            "facts": facts,
            "is_error": record.is_error(),
        }))
    }

    fn remark(&mut self, number: u32, time: Option<Duration>, text: &str) -> Result<(), Failure> {
        self.line(json!({
            "event": "closed",
            "connection": number,
            "seconds": time.map(|time| time.as_secs_f64()),
            "text": text.trim_start_matches(['<', '>', ' ']),
        }))
    }

    fn error(&mut self, text: &str) -> Result<(), Failure> {
        self.errors = self.errors.saturating_add(1);
        self.line(json!({ "event": "problem", "text": text }))
    }
}
