//! Values that all requests change, kept apart for the threads that serve them.
//!
//! A number that every request counts up is in the cache of the core that has counted last. With
//! two threads it goes to and fro several times for each request, and each way takes longer
//! than a hundred plain instructions. So each thread has a part of its own, and whoever wants to
//! know the whole puts the parts together.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More parts than this would cost more memory than they save time: some threads share one then.
const MOST: usize = 8;

static PARTS: LazyLock<usize> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism();
    threads.map_or(1, |threads| threads.get().min(MOST))
});

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which thread this is, counted from the first one that asked.
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// A value in as many parts as threads run at a time.
#[derive(Debug)]
pub(crate) struct Striped<T> {
    first: Apart<T>,
    others: Box<[Apart<T>]>,
}

/// In lines of the cache of its own: processors fetch two of 64 bytes together.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Striped<T> {
    /// Makes each part.
    pub(crate) fn new(mut part: impl FnMut() -> T) -> Self {
        Self {
            first: Apart(part()),
            others: (1..*PARTS).map(|_| Apart(part())).collect(),
        }
    }

    /// The part of this thread.
    pub(crate) fn own(&self) -> &T {
        // A thread that ends has no number any more.
        let thread = THREAD.try_with(|thread| *thread).unwrap_or(0);
        let place = thread.checked_rem(*PARTS).unwrap_or(0).checked_sub(1);
        let part = place.and_then(|place| self.others.get(place));
        &part.unwrap_or(&self.first).0
    }

    /// All parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &T> {
        let others = self.others.iter();
        std::iter::once(&self.first)
            .chain(others)
            .map(|part| &part.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn what_threads_count_apart_is_whole_together() {
        let count = Striped::new(|| AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..MOST {
                scope.spawn(|| {
                    for _ in 0..100 {
                        count.own().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let sum: u64 = count.parts().map(|part| part.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 100 * MOST as u64);
        assert_eq!(count.parts().count(), *PARTS);
        // Neighbours share no line of the cache.
        let places: Vec<_> = count
            .parts()
            .map(|part| std::ptr::from_ref(part).addr())
            .collect();
        assert!(places.iter().all(|place| place % 128 == 0), "{places:?}");
        assert_eq!(count.own().as_ptr(), count.own().as_ptr());
    }
}
