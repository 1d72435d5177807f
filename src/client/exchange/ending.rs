//! How an exchange ends, and what becomes of its connection.

use super::super::cause::CloseCause;
use super::super::error::{ClientError, ErrorKind};
use super::super::lease::Lease;
use super::super::mismatch::Mismatch;
use super::super::observer::{ExchangeOutcome, ExchangeReport};
use super::super::parking::Cut;
use super::super::request_id::RequestId;
use super::{Bytecount, Ending, Exchange, Stage, Writing};
use crate::trace::event;
use std::io;
use std::sync::Arc;
use std::task::Context;

impl Exchange {
    /// The error of a connection that ended: a failed write explains it better.
    #[cold]
    pub(super) fn closed(&mut self, read: Option<io::Error>) -> ClientError {
        match (self.take_write_error(), read) {
            (Some(write), _) => ClientError::io(ErrorKind::Write, write),
            (None, Some(read)) => ClientError::io(ErrorKind::Read, read),
            (None, None) => ClientError::bare(ErrorKind::Closed),
        }
    }

    pub(super) fn take_write_error(&mut self) -> Option<io::Error> {
        match std::mem::replace(&mut self.writing, Writing::Flowing) {
            Writing::Failed(error) => Some(error),
            other => {
                self.writing = other;
                None
            }
        }
    }

    /// There is no connection any more: says once more what ended the exchange.
    #[cold]
    pub(super) fn gone(&self) -> ClientError {
        ClientError::bare(match self.outcome() {
            Some(ExchangeOutcome::Failed(kind)) => kind,
            _ => ErrorKind::Closed,
        })
    }

    fn outcome(&self) -> Option<ExchangeOutcome> {
        match self.stage {
            Stage::Over(ending) => Some(ending.outcome),
            _ => None,
        }
    }

    /// End Response came: back to the pool if nothing can be left over.
    pub(super) fn end(&mut self, cx: &mut Context<'_>, reuse: bool) {
        let refusal = self.machine.is_refusal();
        let mismatch = if reuse {
            None
        } else {
            Mismatch::of_answer(self.status, refusal, self.bytes.head())
        };
        self.note_mismatch(mismatch);
        let traffic = self.traffic();
        let cause = match &mut self.lease.connection {
            _ if !reuse => Some(CloseCause::NoReuse),
            Some(connection)
                if self.machine.is_reusable()
                    && !matches!(self.writing, Writing::Failed(_))
                    && connection.io.is_flushed() =>
            {
                CloseCause::of(connection.io.peer_state(cx))
            }
            _ => Some(CloseCause::Unclean),
        };
        match cause {
            None => {
                if let Some(connection) = &mut self.lease.connection {
                    connection.timer = self.waits.take_timer();
                    if let Some(parking) = self.parking.take() {
                        connection.parking = Some(parking);
                    }
                }
                self.lease.put_back();
            }
            Some(cause) => self.lease.release(cause),
        }
        self.lease.shared.counters.completed();
        self.stage = Stage::Over(Ending {
            outcome: ExchangeOutcome::Completed,
            traffic,
            mismatch,
        });
    }

    /// Closes the connection and completes an error.
    #[cold]
    pub(super) fn fail(&mut self, error: ClientError) -> ClientError {
        let peer = Arc::clone(&self.lease.shared.peer);
        let error = error
            .at(self.progress(), &peer)
            .of_request(self.request_id.as_ref());
        if self.outcome().is_some() {
            return error;
        }
        let outcome = ExchangeOutcome::Failed(error.kind());
        let traffic = self.traffic();
        let stale = self.lease.reused && traffic.0 == 0;
        let mismatch = if stale || traffic.0 > 0 {
            None
        } else {
            Mismatch::of_failure(error.kind(), self.bytes.head())
        };
        self.note_mismatch(mismatch);
        let error = error.hinting(mismatch);
        self.stage = Stage::Over(Ending {
            outcome,
            traffic,
            mismatch,
        });
        self.lease.close(closing(error.kind(), stale));
        if !stale {
            self.lease.release_permit();
        }
        self.lease.shared.counters.failed(error.kind());
        event!(DEBUG, peer = &*peer, progress = ?error.progress(), error = %error.kind(), "AJP exchange failed");
        error
    }

    /// The watchdog has closed the connection and given up its permit.
    #[cold]
    pub(super) fn cut(&mut self, cut: Cut) {
        self.lease.forget_permit();
        self.stage = Stage::Over(Ending {
            outcome: ExchangeOutcome::Failed(cut.kind),
            traffic: self.bytes.since_before(cut.traffic),
            mismatch: None,
        });
    }

    /// Counts what tells of settings that differ, and says it where that is news.
    fn note_mismatch(&self, mismatch: Option<Mismatch>) {
        let Some(mismatch) = mismatch else {
            return;
        };
        let shared = &self.lease.shared;
        if mismatch == Mismatch::Cut {
            shared.container_size.forget();
        }
        if shared.counters.mismatched(mismatch) {
            event!(WARN, pool = shared.id.name(), peer = &*shared.peer, %mismatch, "settings seem to differ from the AJP container's");
        }
    }

    /// Bytes received and sent since the exchange began.
    fn traffic(&self) -> (u64, u64) {
        match &self.lease.connection {
            Some(connection) => self.bytes.since_before(connection.io.traffic()),
            None => (0, 0),
        }
    }

    /// Whether the exchange failed before one byte of an answer came.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(
            self.stage,
            Stage::Over(Ending {
                outcome: ExchangeOutcome::Failed(_),
                traffic: (0, _),
                ..
            })
        )
    }

    /// Gives the exchange up because of an error of the caller's side.
    #[cold]
    pub(crate) fn abandon(&mut self, error: ClientError) -> ClientError {
        let error = self.fail(error);
        self.report();
        error
    }

    /// What is left after a failure: the permit, if the connection was stale, so that
    /// [`Lease::reopen`] need not wait for one.
    pub(crate) fn take_lease(&mut self) -> Lease {
        self.lease.take()
    }

    /// Tells, once, who wants to know how it ended.
    pub(super) fn report(&mut self) {
        let Stage::Over(ending) = self.stage else {
            return;
        };
        let (outcome, traffic) = (ending.outcome, ending.traffic);
        let started = self.lease.limits.started;
        let Some(phases) = self.lease.stopwatch.end(started) else {
            return;
        };
        let report = ExchangeReport {
            pool: &self.lease.shared.id,
            request_id: self.request_id.as_ref().map(RequestId::as_str),
            outcome,
            status: self.status,
            progress: self.progress(),
            reused: self.lease.reused,
            mismatch: ending.mismatch,
            phases,
            bytes_in: traffic.0,
            bytes_out: traffic.1,
        };
        self.span.end(&report);
        let observer = &self.lease.shared.config.observer;
        observer.tell(|observer| observer.exchange_finished(&report));
    }
}

impl Bytecount {
    /// Length of the Forward Request.
    fn head(&self) -> u64 {
        self.head_sent_at.saturating_sub(self.before.1)
    }

    /// What `traffic` counts from the opening of the connection on, counted from the
    /// beginning of the exchange on.
    fn since_before(&self, traffic: (u64, u64)) -> (u64, u64) {
        (traffic.0 - self.before.0, traffic.1 - self.before.1)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.resume();
        if self.outcome().is_some() {
            return self.report();
        }
        let outlives = self.outlives_its_caller();
        let traffic = self.traffic();
        if outlives.is_none() {
            self.lease.release(CloseCause::Dropped);
        }
        let stage = self.stage;
        self.stage = Stage::Over(Ending {
            outcome: ExchangeOutcome::Dropped,
            traffic,
            mismatch: None,
        });
        self.report();
        if let Some((runtime, limit)) = outlives {
            self.finish_abandoned(&runtime, limit, stage);
        }
    }
}

/// Why an error closes the connection.
fn closing(kind: ErrorKind, stale: bool) -> CloseCause {
    match kind {
        ErrorKind::Protocol => CloseCause::Protocol,
        ErrorKind::WriteTimeout
        | ErrorKind::ResponseHeadTimeout
        | ErrorKind::BetweenPacketsTimeout
        | ErrorKind::RequestBodyTimeout
        | ErrorKind::ResponseReadTimeout
        | ErrorKind::RequestTimeout => CloseCause::Timeout,
        ErrorKind::Read | ErrorKind::Write | ErrorKind::Closed if stale => CloseCause::Stale,
        ErrorKind::Read
        | ErrorKind::Write
        | ErrorKind::Closed
        | ErrorKind::LocalResources
        | ErrorKind::RuntimeShutDown => CloseCause::Broken,
        _ => CloseCause::Request,
    }
}
