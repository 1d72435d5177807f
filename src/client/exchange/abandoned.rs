//! A request whose caller has gone while the container works on it.
//!
//! A container does not notice that its web server has gone before it writes. If the slot in the
//! pool were free at once, a client that asks and goes away again and again would have any number
//! of requests run at the container at a time. httpd waits for the container in such a case, so
//! no more run than it has connections. Here the wait has an end
//! ([`PoolConfig::with_abandoned`](super::super::PoolConfig::with_abandoned)).

use super::super::span::ExchangeSpan;
use super::{Exchange, Stage, Writing};
use crate::proto::{ClientEvent, ClientExchange, Progress};
use crate::wire::{BodyFraming, PacketSize};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Bytes of an answer that are read for nobody. A container that has more finds the connection
/// closed when it writes, and so does not go on.
const MOST_DISCARDED: usize = 65_536;

impl Exchange {
    /// How long the container may go on although the caller has gone, and who sees to it; `None`
    /// where closing the connection ends its work, or nothing of the request is there.
    pub(super) fn outlives_its_caller(&self) -> Option<(Handle, Duration)> {
        let limit = self.lease.shared.config.abandoned?;
        let is_running = !self.is_abandoned
            && self.lease.connection.is_some()
            && self.lease.has_permit
            && self.progress() != Progress::NotSent
            // It waits for the body, and reads that there is none.
            && self.machine.credit().is_none()
            && !matches!(self.writing, Writing::Failed(_));
        let runtime = is_running.then(Handle::try_current)?;
        Some((runtime.ok()?, limit))
    }

    /// Lets the container go on, as [`outlives_its_caller`](Self::outlives_its_caller) says, with
    /// the slot in the pool. What is left here has neither.
    pub(super) fn finish_abandoned(&mut self, runtime: &Handle, limit: Duration, stage: Stage) {
        let is_answered = self.status.is_some();
        let counted = self
            .lease
            .shared
            .request_counters
            .abandoned_begins(is_answered);
        let none = ClientExchange::new(BodyFraming::Absent, false, PacketSize::DEFAULT);
        let alone = Self {
            lease: self.lease.take(),
            parking: self.parking.take(),
            machine: std::mem::replace(&mut self.machine, none),
            stage,
            writing: std::mem::replace(&mut self.writing, Writing::Flowing),
            waits: std::mem::take(&mut self.waits),
            bytes: self.bytes,
            status: self.status,
            span: ExchangeSpan::default(),
            request_id: None,
            is_abandoned: true,
        };
        runtime.spawn(async move {
            // Without its end the connection is closed.
            let _ = timeout(limit, alone.discard()).await;
            drop(counted);
        });
    }

    /// Reads the answer for nobody, to its end or as far as it is worth it.
    async fn discard(mut self) {
        let mut discarded: usize = 0;
        while discarded <= MOST_DISCARDED {
            match self.next_event().await {
                Ok(ClientEvent::Data(data)) => discarded = discarded.saturating_add(data.len()),
                Ok(ClientEvent::Head(_) | ClientEvent::Flush | ClientEvent::Ignored) => {}
                Ok(ClientEvent::BodyRequested | ClientEvent::End) | Err(_) => return,
            }
        }
    }
}
