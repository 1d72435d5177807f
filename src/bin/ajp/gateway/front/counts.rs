//! Counts the requests of each site: how many are there, what they were answered, and how long
//! they took from the head of the request to the end of the answer.

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// Upper bounds of the times that are counted apart, in seconds.
pub(crate) const BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// A place for each status from 100 to 999, whatever a container makes of them.
const STATUSES: usize = 900;
/// Counts for a request whose client has gone before there was an answer, as in the log.
const CLIENT_HAS_GONE: u16 = 499;

/// The numbers of one site.
#[derive(Debug)]
pub(crate) struct SiteCounts {
    /// Its first host name, `default`, or `none` for requests that are of no site.
    pub(crate) name: String,
    statuses: Vec<AtomicU64>,
    /// By [`BOUNDS`], and those that took longer.
    times: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
    running: AtomicU64,
}

impl SiteCounts {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            statuses: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            times: Default::default(),
            micros: AtomicU64::new(0),
            running: AtomicU64::new(0),
        }
    }

    /// Requests that are not over yet.
    pub(crate) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Requests that were answered, by those statuses that occurred.
    pub(crate) fn answered(&self) -> Vec<(u16, u64)> {
        let counts = self
            .statuses
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let counts = (100u16..).zip(counts);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// How many took so long or less, by [`BOUNDS`] and those that took longer, each alone; and
    /// the seconds of all together.
    pub(crate) fn times(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let counts = self
            .times
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        let micros = std::time::Duration::from_micros(self.micros.load(Ordering::Relaxed));
        (counts, micros.as_secs_f64())
    }
}

/// The counts of all sites that there are or were.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<String, Arc<SiteCounts>>>);

impl Requests {
    /// Those of the site of this name.
    pub(crate) fn of(&self, name: &str) -> Arc<SiteCounts> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(name.to_owned());
        Arc::clone(known.or_insert_with(|| Arc::new(SiteCounts::new(name))))
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<SiteCounts>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().map(Arc::clone).collect()
    }
}

/// A request that is not over.
#[derive(Debug)]
pub(crate) struct Running {
    counts: Arc<SiteCounts>,
    since: Instant,
    is_answered: bool,
}

impl Running {
    /// A request of a site has come.
    pub(crate) fn begin(counts: Arc<SiteCounts>, since: Instant) -> Self {
        counts.running.fetch_add(1, Ordering::Relaxed);
        Self {
            counts,
            since,
            is_answered: false,
        }
    }

    /// The head of its answer is there.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.is_answered = true;
        self.count(status.as_u16());
    }

    fn count(&self, status: u16) {
        let place = usize::from(status).checked_sub(100);
        let count = place.and_then(|place| self.counts.statuses.get(place));
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_answered {
            self.count(CLIENT_HAS_GONE);
        }
        let time = self.since.elapsed();
        let seconds = time.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.times.get(place.unwrap_or(BOUNDS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counts.micros.fetch_add(micros, Ordering::Relaxed);
        self.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body with which a request is over.
#[derive(Debug)]
pub(crate) struct CountedBody<B> {
    body: B,
    _running: Running,
}

impl<B> CountedBody<B> {
    pub(crate) fn new(body: B, running: Running) -> Self {
        Self {
            body,
            _running: running,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[test]
    fn a_request_is_counted_from_its_head_to_the_end_of_its_body() {
        let requests = Requests::default();
        let counts = requests.of("default");
        let mut running = Running::begin(requests.of("default"), Instant::now());
        running.answered(StatusCode::NOT_FOUND);
        let body = CountedBody::new(Full::new(Bytes::from("x")), running);
        assert_eq!((counts.running(), counts.answered()), (1, vec![(404, 1)]));
        assert_eq!(counts.times().0.iter().sum::<u64>(), 0);
        drop(body);
        assert_eq!(
            (counts.running(), counts.times().0.iter().sum::<u64>()),
            (0, 1)
        );
        // Each is counted with a status, as the times of all are: one whose client has gone, and one
        // of a container that says what it likes.
        let mut odd = Running::begin(requests.of("default"), Instant::now());
        odd.answered(StatusCode::from_u16(999).unwrap());
        drop(odd);
        assert_eq!(counts.answered(), vec![(404, 1), (999, 1)]);
        drop(Running::begin(requests.of("none"), Instant::now()));
        let all = requests.all();
        let names: Vec<_> = all.iter().map(|counts| &*counts.name).collect();
        assert_eq!(names, ["default", "none"]);
        assert_eq!(all[1].answered(), [(499, 1)]);
    }
}
