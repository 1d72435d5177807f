//! Counts the requests of each site: how many are there, what they were answered, and how long
//! they took from the head of the request to the end of the answer.

use super::connection::{BROKEN_OFF, CLIENT_HAS_GONE, State};
use crate::common::{CacheAligned, Striped};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Upper bounds of the times that are counted apart, in seconds.
pub(crate) const BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// The numbers of one site, counted by each thread apart.
#[derive(Debug)]
pub(crate) struct SiteCounts {
    /// Its first host name, `default`, or `none` for requests that are of no site.
    pub(crate) name: String,
    parts: Striped<Part>,
}

/// What some threads have counted.
#[derive(Debug, Default)]
struct Part {
    /// Requests that have come. Those that are over are in `times`.
    begun: AtomicU64,
    micros: AtomicU64,
    /// By [`BOUNDS`], and those that took longer.
    times: [AtomicU64; BOUNDS.len() + 1],
    statuses: Statuses,
}

/// The counts of the statuses from 100 to 999, whatever a container makes of them, each hundred
/// from its first one on.
#[derive(Debug, Default)]
struct Statuses([OnceLock<Box<Hundred>>; 9]);

type Hundred = [AtomicU64; 100];

impl Statuses {
    fn count(&self, status: u16) {
        let status = usize::from(status);
        let hundred = (status / 100).checked_sub(1);
        let hundred = hundred.and_then(|hundred| self.0.get(hundred));
        let counts = hundred.map(|counts| {
            counts.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
        });
        if let Some(count) = counts.and_then(|counts| counts.get(status % 100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that occurred, with their counts.
    fn all(&self) -> impl Iterator<Item = (u16, u64)> {
        let hundreds = (100u16..).step_by(100).zip(&self.0);
        let hundreds = hundreds.filter_map(|(first, counts)| Some((first, counts.get()?)));
        let counts = hundreds.flat_map(|(first, counts)| (first..).zip(counts.iter()));
        let counts = counts.map(|(status, count)| (status, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }
}

impl SiteCounts {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            parts: Striped::new(Part::default),
        }
    }

    /// Requests that are not over yet.
    pub(crate) fn running(&self) -> u64 {
        // In this order: one that ends meanwhile has begun.
        let (ended, _) = self.times();
        let ended: u64 = ended.iter().sum();
        let begun = self.parts.parts().map(|part| &part.begun);
        let begun: u64 = begun.map(|count| count.load(Ordering::Acquire)).sum();
        begun.saturating_sub(ended)
    }

    /// Requests that were answered, by those statuses that occurred.
    pub(crate) fn answered(&self) -> Vec<(u16, u64)> {
        let mut sums = BTreeMap::new();
        for (status, count) in self.parts.parts().flat_map(|part| part.statuses.all()) {
            let sum: &mut u64 = sums.entry(status).or_default();
            *sum = sum.saturating_add(count);
        }
        sums.into_iter().collect()
    }

    /// How many took so long or less, by [`BOUNDS`] and those that took longer, each alone; and
    /// the seconds of all together.
    pub(crate) fn times(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let mut sums = [0u64; BOUNDS.len() + 1];
        let mut micros = 0u64;
        for part in self.parts.parts() {
            for (sum, count) in sums.iter_mut().zip(&part.times) {
                *sum = sum.saturating_add(count.load(Ordering::Acquire));
            }
            micros = micros.saturating_add(part.micros.load(Ordering::Relaxed));
        }
        let time = std::time::Duration::from_micros(micros);
        (sums, time.as_secs_f64())
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

/// A request that is not over until this is dropped.
#[derive(Debug)]
pub(crate) struct CountedRequest {
    part: Arc<CacheAligned<Part>>,
    since: Instant,
    is_answered: bool,
}

impl CountedRequest {
    /// A request of a site has come.
    pub(crate) fn begin(counts: &SiteCounts, since: Instant) -> Self {
        let part = Arc::clone(counts.parts.own());
        part.begun.fetch_add(1, Ordering::Release);
        Self {
            part,
            since,
            is_answered: false,
        }
    }

    /// The head of its answer is there.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.is_answered = true;
        self.part.statuses.count(status.as_u16());
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        if !self.is_answered {
            let has_failed = std::thread::panicking();
            let status = if has_failed { 500 } else { CLIENT_HAS_GONE };
            self.part.statuses.count(status);
        }
        let time = self.since.elapsed();
        let seconds = time.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.part.micros.fetch_add(micros, Ordering::Relaxed);
        let places = &self.part.times;
        if let Some(count) = places.get(place.unwrap_or(BOUNDS.len())) {
            count.fetch_add(1, Ordering::Release);
        }
    }
}

/// A request that is not answered yet. Dropped, its client has gone, or its connection was broken off.
pub(crate) struct UnansweredRequest<'s> {
    request: Option<CountedRequest>,
    connection: &'s State,
}

impl<'s> UnansweredRequest<'s> {
    /// A request that came over this connection.
    pub(crate) fn new(request: CountedRequest, connection: &'s State) -> Self {
        Self {
            request: Some(request),
            connection,
        }
    }

    /// The head of its answer is there.
    pub(crate) fn answered(mut self, status: StatusCode) -> Option<CountedRequest> {
        let mut request = self.request.take();
        if let Some(request) = &mut request {
            request.answered(status);
        }
        request
    }
}

impl Drop for UnansweredRequest<'_> {
    fn drop(&mut self) {
        let request = self.request.as_mut();
        if let Some(request) = request.filter(|_| self.connection.is_over()) {
            request.answered(BROKEN_OFF);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::Listener;
    use super::*;
    use tokio::sync::{mpsc, watch};

    #[test]
    fn a_request_is_counted_from_its_head_to_its_end() {
        let requests = Requests::default();
        let counts = requests.of("default");
        let mut running = CountedRequest::begin(&counts, Instant::now());
        running.answered(StatusCode::NOT_FOUND);
        assert_eq!((counts.running(), counts.answered()), (1, vec![(404, 1)]));
        assert_eq!(counts.times().0.iter().sum::<u64>(), 0);
        drop(running);
        assert_eq!(
            (counts.running(), counts.times().0.iter().sum::<u64>()),
            (0, 1)
        );
        // Each is counted with a status, as the times of all are: one whose client has gone, and one
        // of a container that says what it likes.
        let mut odd = CountedRequest::begin(&counts, Instant::now());
        odd.answered(StatusCode::from_u16(999).unwrap());
        drop(odd);
        assert_eq!(counts.answered(), vec![(404, 1), (999, 1)]);
        drop(CountedRequest::begin(&requests.of("none"), Instant::now()));
        let all = requests.all();
        let names: Vec<_> = all.iter().map(|counts| &*counts.name).collect();
        assert_eq!(names, ["default", "none"]);
        assert_eq!(all[1].answered(), [(499, 1)]);
    }

    /// The client waits for its answer, and it is the gateway that has no time left for it.
    #[test]
    fn what_a_stop_breaks_off_is_not_the_clients_doing() {
        let (_stop, stopping) = watch::channel(false);
        let (running, _ended) = mpsc::channel(1);
        let listener = Listener::new(stopping, running);
        let state = State::new(listener.clone());
        let counts = SiteCounts::new("default");
        let begin =
            || UnansweredRequest::new(CountedRequest::begin(&counts, Instant::now()), &state);
        drop(begin());
        let answered = begin().answered(StatusCode::OK);
        let before = begin();
        listener.is_over.store(true, Ordering::Release);
        drop((answered, before));
        assert_eq!(counts.answered(), [(200, 1), (499, 1), (503, 1)]);
        assert_eq!(counts.running(), 0);
    }

    /// A request may begin on one thread and end on another one.
    #[test]
    fn what_threads_count_is_put_together() {
        let counts = SiteCounts::new("default");
        let begin = || CountedRequest::begin(&counts, Instant::now());
        let mut one = begin();
        let mut others = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
            let others = threads.into_iter().map(|thread| thread.join().unwrap());
            others.collect::<Vec<_>>()
        });
        assert_eq!(counts.running(), 5);
        for (running, status) in others.iter_mut().zip([100, 200, 200, 599]) {
            running.answered(StatusCode::from_u16(status).unwrap());
        }
        one.answered(StatusCode::from_u16(999).unwrap());
        assert_eq!(counts.answered(), [(100, 1), (200, 2), (599, 1), (999, 1)]);
        std::thread::scope(|scope| scope.spawn(|| drop(one)).join().unwrap());
        assert_eq!(counts.running(), 4);
        drop(others);
        assert_eq!(counts.running(), 0);
        assert_eq!(counts.times().0.iter().sum::<u64>(), 5);
    }
}
