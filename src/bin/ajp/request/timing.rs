//! How long each phase of an exchange took.

use crate::values::millis;
use crate::watch::{Marks, Watch};
use std::fmt;
use std::time::{Duration, Instant};

/// The phases up to the head of the response, and to its end.
pub(crate) struct Phases {
    marks: Marks,
    head: Instant,
    end: Instant,
}

impl Phases {
    /// The head of the response is here.
    pub(crate) fn at_head(watch: &Watch) -> Self {
        let now = Instant::now();
        Self {
            marks: watch.marks(),
            head: now,
            end: now,
        }
    }

    /// The response is complete.
    pub(crate) fn until_now(mut self) -> Self {
        self.end = Instant::now();
        self
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = self.marks.connecting.unwrap_or(self.head);
        let connected = self.marks.connected.unwrap_or(begin);
        let sent = self.marks.written.unwrap_or(connected);
        let phase = |from: Instant, to: Instant| to.saturating_duration_since(from);
        let line = |f: &mut fmt::Formatter<'_>, name, time: Duration, what| {
            writeln!(f, "  {name:<8} {:>14}   {what}", millis(time))
        };
        line(
            f,
            "connect",
            phase(begin, connected),
            "name lookup included",
        )?;
        line(f, "send", phase(connected, sent), "the request")?;
        line(
            f,
            "wait",
            phase(sent, self.head),
            "for the head of the response",
        )?;
        line(f, "receive", phase(self.head, self.end), "its body")?;
        write!(f, "  {:<8} {:>14}", "total", millis(phase(begin, self.end)))
    }
}
