//! Where the time of an exchange went.

use std::time::Duration;
use tokio::time::Instant;

/// How long the phases of an exchange took. What did not happen has no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Phases {
    /// Waiting for a permit, while all connections were in use.
    pub acquire: Duration,
    /// Opening a connection.
    pub connect: Option<Duration>,
    /// Asking with `CPing`, idle connections that did not answer included.
    pub cping: Option<Duration>,
    /// Sending the request, with its first body packet if it was at hand.
    pub write: Option<Duration>,
    /// From there to the first packet of the container.
    pub first_packet: Option<Duration>,
    /// From there to the end of the response, the waits for whoever reads it included.
    pub body: Option<Duration>,
    /// All together, from asking for a connection to the end.
    pub total: Duration,
}

/// Measures them. The phases of the exchange itself cost a look at the clock each, so
/// they are only measured for somebody.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// On the heap, if there is anything to note: most requests wait for nothing, and what is
    /// measured of them is told to nobody.
    noted: Option<Box<Phases>>,
    /// When the running phase began; `None` when nobody wants to know.
    mark: Option<Instant>,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self {
            noted: None,
            mark: None,
        }
    }

    /// What was measured so far.
    pub(super) fn phases(&self) -> Phases {
        self.noted.as_deref().copied().unwrap_or_default()
    }

    /// How long a permit was waited for.
    pub(super) fn waited(&self) -> Duration {
        let noted = self.noted.as_ref();
        noted.map_or(Duration::ZERO, |phases| phases.acquire)
    }

    fn note(&mut self) -> &mut Phases {
        self.noted.get_or_insert_default()
    }

    pub(super) fn permitted(&mut self, took: Duration) {
        self.note().acquire = took;
    }

    pub(super) fn connected(&mut self, took: Duration) {
        self.note().connect = Some(took);
    }

    /// Probes add up.
    pub(super) fn pinged(&mut self, took: Duration) {
        let phases = self.note();
        let before = phases.cping.unwrap_or_default();
        phases.cping = Some(before + took);
    }

    /// An exchange begins, on a connection that was asked for at `started`: the same moment,
    /// where nothing was waited for.
    pub(super) fn begin(&mut self, wanted: bool, started: Instant) {
        let has_waited = self.noted.is_some();
        let began = || if has_waited { Instant::now() } else { started };
        self.mark = wanted.then(began);
    }

    pub(super) fn written(&mut self) {
        let is_noted = self
            .noted
            .as_ref()
            .is_some_and(|phases| phases.write.is_some());
        if !is_noted {
            if let Some(took) = self.lap() {
                self.note().write = Some(took);
            }
        }
    }

    pub(super) fn first_packet(&mut self) {
        if let Some(took) = self.lap() {
            self.note().first_packet = Some(took);
        }
    }

    fn lap(&mut self) -> Option<Duration> {
        let now = self.mark.map(|_| Instant::now())?;
        let mark = self.mark.replace(now)?;
        Some(now.saturating_duration_since(mark))
    }

    /// The exchange that began with asking for a connection at `started` is over. `None`
    /// when nobody wants to know.
    pub(super) fn end(&mut self, started: Instant) -> Option<Phases> {
        let mark = self.mark.take()?;
        let now = Instant::now();
        let phases = self.note();
        if phases.first_packet.is_some() {
            phases.body = Some(now.saturating_duration_since(mark));
        }
        phases.total = now.saturating_duration_since(started);
        Some(*phases)
    }
}
