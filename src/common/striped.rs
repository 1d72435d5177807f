//! Values that all requests change, kept apart for the threads that serve them.
//!
//! A number that every request counts up is in the cache of the core that has counted last. With
//! two threads it goes to and fro several times for each request, and each way takes longer
//! than a hundred plain instructions. So each thread has a part of its own, and whoever wants to
//! know the whole puts the parts together.
//!
//! What is shared by reference is such a number as well: the count of its references. A part is
//! therefore an `Arc` that is made for this part alone. To clone it counts in that part, also where
//! what it holds is an `Arc` that all parts have in common.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

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
    parts: Box<[Arc<CacheAligned<T>>]>,
    /// The first of the parts, which there is in any case.
    first: Arc<CacheAligned<T>>,
    /// Locked while all parts are replaced.
    replacing: Mutex<()>,
}

/// A value in lines of the cache of its own: processors fetch two of 64 bytes together. In an `Arc` the
/// counts of references are in lines of their own too, as they stand before what is aligned so.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CacheAligned<T>(T);

impl<T> CacheAligned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for CacheAligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Striped<T> {
    /// Makes each part.
    pub(crate) fn new(mut part: impl FnMut() -> T) -> Self {
        let parts = (0..*PARTS).map(|_| Arc::new(CacheAligned(part())));
        let parts: Box<[_]> = parts.collect();
        let first = parts.first().map(Arc::clone);
        Self {
            first: first.unwrap_or_else(|| Arc::new(CacheAligned(part()))),
            parts,
            replacing: Mutex::new(()),
        }
    }

    /// The part of this thread.
    pub(crate) fn own(&self) -> &Arc<CacheAligned<T>> {
        // A thread that ends has no number any more.
        let thread = THREAD.try_with(|thread| *thread).unwrap_or(0);
        let place = thread.checked_rem(self.parts.len());
        let part = place.and_then(|place| self.parts.get(place));
        part.unwrap_or(&self.first)
    }

    /// All parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().map(|part| &part.0)
    }
}

impl<T> Striped<RwLock<T>> {
    /// Replaces all parts by others. Of two callers at a time one waits for the other, so that in the
    /// end all parts are of the same one: `values` is called when it is this one's turn, and gives
    /// what makes each part.
    pub(crate) fn replace<V: FnMut() -> T>(&self, values: impl FnOnce() -> V) {
        let alone = self.replacing.lock();
        let alone = alone.unwrap_or_else(PoisonError::into_inner);
        let mut value = values();
        let replaced = self.parts().map(|part| {
            let value = value();
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *part, value)
        });
        let replaced: Vec<_> = replaced.collect();
        drop(alone);
        // Under no lock.
        drop(replaced);
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
        assert_eq!(count.own().as_ptr(), count.own().as_ptr());
        // One thread has one part.
        let others = count
            .parts()
            .filter(|part| part.as_ptr() != count.own().as_ptr());
        assert_eq!(others.count(), *PARTS - 1);
    }

    /// What is written when a part is used and when it is cloned: the value, and the counts of its
    /// references, which stand at the beginning of what the `Arc` has in the heap.
    #[test]
    fn no_two_parts_are_in_the_same_lines_of_the_cache() {
        // As many as there are at most, and small ones, which the heap would put close together.
        let parts: Vec<_> = (0..MOST)
            .map(|_| Arc::new(CacheAligned::new(0u8)))
            .collect();
        let mut lines: Vec<_> = parts
            .iter()
            .flat_map(|part| {
                let value = Arc::as_ptr(part).addr();
                [value, value - 128].map(|place| place / 128)
            })
            .collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), MOST * 2);
        let striped = Striped::new(|| 0u8);
        let places: Vec<_> = striped
            .parts()
            .map(|part| std::ptr::from_ref(part).addr())
            .collect();
        assert!(places.iter().all(|place| place % 128 == 0), "{places:?}");
        for (at, one) in places.iter().enumerate() {
            for other in places.iter().skip(at + 1) {
                assert!(one.abs_diff(*other) >= 256, "{places:?}");
            }
        }
    }

    #[test]
    fn after_replacements_at_the_same_time_all_parts_are_of_one() {
        let striped = Striped::new(|| RwLock::new(0));
        for _ in 0..200 {
            std::thread::scope(|scope| {
                for value in 1..=4 {
                    let striped = &striped;
                    scope.spawn(move || striped.replace(|| move || value));
                }
            });
            let values = striped.parts().map(|part| *part.read().unwrap());
            let values: std::collections::BTreeSet<_> = values.collect();
            assert_eq!(values.len(), 1, "{values:?}");
        }
    }
}
