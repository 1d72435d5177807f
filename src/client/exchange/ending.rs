//! How an exchange ends, and what becomes of its connection.

use super::super::cause::CloseCause;
use super::super::error::{Error, ErrorKind};
use super::super::observer::{ExchangeReport, Outcome};
use super::Exchange;
use crate::trace::event;
use std::io;
use std::sync::Arc;
use std::task::Context;

impl Exchange {
    /// The error of a connection that ended: a failed write explains it better.
    pub(super) fn closed(&mut self, read: Option<io::Error>) -> Error {
        match (self.write_error.take(), read) {
            (Some(write), _) => Error::io(ErrorKind::Write, write),
            (None, Some(read)) => Error::io(ErrorKind::Read, read),
            (None, None) => Error::bare(ErrorKind::Closed),
        }
    }

    /// End Response came: back to the pool if nothing can be left over.
    pub(super) fn end(&mut self, cx: &mut Context<'_>, reuse: bool) {
        if self.machine.is_refusal() {
            event!(
                WARN,
                peer = self.peer(),
                "the container answered 403 and closed: it refused the secret or a request attribute"
            );
        }
        self.note_traffic();
        let cause = match &mut self.lease.connection {
            _ if !reuse => Some(CloseCause::NoReuse),
            Some(connection)
                if self.machine.is_reusable()
                    && self.write_error.is_none()
                    && connection.io.is_flushed() =>
            {
                CloseCause::of(connection.io.silence(cx))
            }
            _ => Some(CloseCause::Unclean),
        };
        match cause {
            None => {
                if let Some(connection) = &mut self.lease.connection {
                    connection.timer = self.waits.give_up();
                }
                self.lease.put_back();
            }
            Some(cause) => self.lease.release(cause),
        }
        self.lease.shared.counters.completed();
        self.outcome = Some(Outcome::Completed);
    }

    /// Closes the connection and completes an error.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        let peer = Arc::clone(&self.lease.shared.peer);
        let error = error.at(self.progress(), &peer);
        if self.outcome.is_some() {
            return error;
        }
        self.note_traffic();
        if self.lease.connection.is_some() {
            self.unanswered = self.traffic.0 == 0;
        }
        let stale = self.lease.reused && self.unanswered;
        self.lease.close(closing(error.kind(), stale));
        if !stale {
            self.lease.release_permit();
        }
        self.lease.shared.counters.failed(error.kind());
        event!(DEBUG, peer = &*peer, progress = ?error.progress(), error = %error.kind(), "AJP exchange failed");
        self.outcome = Some(Outcome::Failed(error.kind()));
        error
    }

    /// Bytes received and sent since the exchange began.
    fn note_traffic(&mut self) {
        if let Some(connection) = &self.lease.connection {
            let (received, sent) = connection.io.traffic();
            self.traffic = (
                received.saturating_sub(self.marks.0),
                sent.saturating_sub(self.marks.1),
            );
        }
    }

    /// Tells, once, who wants to know how it ended.
    pub(super) fn report(&mut self) {
        let Some(outcome) = self.outcome else {
            return;
        };
        let started = self.lease.limits.started;
        let Some(phases) = self.lease.stopwatch.end(started) else {
            return;
        };
        let report = ExchangeReport {
            pool: &self.lease.shared.id,
            outcome,
            status: self.status,
            progress: self.progress(),
            reused: self.lease.reused,
            phases,
            bytes_in: self.traffic.0,
            bytes_out: self.traffic.1,
        };
        self.span.end(&report);
        let observer = &self.lease.shared.config.observer;
        observer.tell(|observer| observer.exchange_finished(&report));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.outcome.is_none() {
            self.note_traffic();
            self.lease.release(CloseCause::Dropped);
            self.outcome = Some(Outcome::Dropped);
        }
        self.report();
    }
}

/// Why an error closes the connection.
fn closing(kind: ErrorKind, stale: bool) -> CloseCause {
    match kind {
        ErrorKind::Protocol => CloseCause::Protocol,
        ErrorKind::WriteTimeout
        | ErrorKind::ResponseHeadTimeout
        | ErrorKind::BetweenPacketsTimeout
        | ErrorKind::RequestTimeout => CloseCause::Timeout,
        ErrorKind::Read | ErrorKind::Write | ErrorKind::Closed if stale => CloseCause::Stale,
        ErrorKind::Read | ErrorKind::Write | ErrorKind::Closed => CloseCause::Broken,
        _ => CloseCause::Request,
    }
}
