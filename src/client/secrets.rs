//! The secrets of a pool: several while they are being changed, of which the container takes
//! one.

use crate::Secret;
use crate::common::{CacheAligned, Striped};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// The secrets, and which of them the container took last.
#[derive(Debug)]
pub(crate) struct Secrets {
    held: Striped<RwLock<Held>>,
    /// Locked while others are set.
    changing: Mutex<()>,
}

type PerThreadSecrets = Arc<CacheAligned<Box<[Secret]>>>;

/// What a thread chooses from.
#[derive(Debug)]
struct Held {
    /// Of this thread: the requests of others change another count of references.
    all: PerThreadSecrets,
    /// The place of the one that is sent first: the same for all threads.
    current: Arc<AtomicUsize>,
    /// Secrets that are set later have other places.
    version: u64,
}

/// The secrets of one request: the one that it is sent with, and those that are left to try.
#[derive(Debug, Clone)]
pub(crate) struct SecretChoice {
    all: PerThreadSecrets,
    place: usize,
    /// How many the container has refused.
    refused: usize,
    version: u64,
}

impl Secrets {
    pub(super) fn new(all: &[Secret]) -> Self {
        let current = Arc::default();
        Self {
            held: Striped::new(|| {
                RwLock::new(Held {
                    all: Arc::new(CacheAligned::new(all.into())),
                    current: Arc::clone(&current),
                    version: 0,
                })
            }),
            changing: Mutex::new(()),
        }
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        let held = self.held.own().read();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends these from now on. The one that the container takes stays the first to be sent, if
    /// it is among them.
    pub(super) fn set(&self, all: &[Secret]) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let place_of = |before: &[Secret], current: &AtomicUsize| {
            let current = before.get(current.load(Relaxed));
            let place = all.iter().position(|secret| Some(secret) == current);
            place.unwrap_or(0)
        };
        let (before, was, version) = {
            let held = self.held();
            let was = Arc::clone(&held.current);
            (Arc::clone(&held.all), was, held.version.wrapping_add(1))
        };
        let place = place_of(&before, &was);
        let current = Arc::new(AtomicUsize::new(place));
        self.held.replace(|| {
            let current = Arc::clone(&current);
            move || Held {
                all: Arc::new(CacheAligned::new(all.into())),
                current: Arc::clone(&current),
                version,
            }
        });
        // Threads whose part was not replaced yet may have found another one meanwhile.
        let found = place_of(&before, &was);
        let _ = current.compare_exchange(place, found, Relaxed, Relaxed);
    }

    pub(super) fn all(&self) -> Vec<Secret> {
        self.held().all.to_vec()
    }

    /// What a request is to be sent with.
    pub(crate) fn choose(&self) -> SecretChoice {
        let held = self.held();
        SecretChoice {
            all: Arc::clone(&held.all),
            place: held.current.load(Relaxed),
            refused: 0,
            version: held.version,
        }
    }

    /// The container took this one. Tells whether it is another one than before: of several
    /// requests that find the same one at the same time, the first is told so.
    pub(super) fn taken(&self, taken: &SecretChoice) -> bool {
        let held = self.held();
        held.version == taken.version
            && held.current.load(Relaxed) != taken.place
            && held.current.swap(taken.place, Relaxed) != taken.place
    }

    /// The place of the one that is sent first, if there are several.
    pub(super) fn current(&self) -> Option<usize> {
        let held = self.held();
        (held.all.len() > 1).then(|| held.current.load(Relaxed))
    }
}

impl SecretChoice {
    /// The secret, if there is one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.all.get(self.place)
    }

    /// Whether there are others.
    pub(crate) fn is_one_of_several(&self) -> bool {
        self.all.len() > 1
    }

    /// The place of the secret, from 0 on.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Whether the container has refused others for this request.
    pub(super) fn is_after_refusal(&self) -> bool {
        self.refused > 0
    }

    /// Whether there is one that was not tried.
    pub(crate) fn has_more(&self) -> bool {
        self.refused.saturating_add(1) < self.all.len()
    }

    /// Goes on to the next one, after a refusal; whether there is one that was not tried.
    pub(crate) fn advance(&mut self) -> bool {
        let has_more = self.has_more();
        self.refused = self.refused.saturating_add(1);
        if has_more {
            let next = self.place.saturating_add(1);
            self.place = if next < self.all.len() { next } else { 0 };
        }
        has_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets<const N: usize>(texts: [&str; N]) -> [Secret; N] {
        texts.map(|text| Secret::new(text).unwrap())
    }

    fn sent(choice: &SecretChoice) -> Option<Secret> {
        choice.secret().cloned()
    }

    #[test]
    fn the_one_that_was_taken_is_sent_first() {
        let [new, old] = secrets(["new", "old"]);
        let secrets = Secrets::new(&[new.clone(), old.clone()]);
        let first = secrets.choose();
        let mut second = first.clone();
        assert!(second.advance());
        assert_eq!(
            (sent(&first), sent(&second)),
            (Some(new.clone()), Some(old.clone()))
        );
        assert!(!second.clone().advance(), "both were tried");
        assert!(!secrets.taken(&first));
        assert!(secrets.taken(&second) && !secrets.taken(&second));
        assert_eq!(secrets.current(), Some(1));
        let mut again = secrets.choose();
        assert_eq!(sent(&again), Some(old));
        assert!(again.advance());
        assert_eq!(sent(&again), Some(new));
    }

    /// The log and the count of changes rest on this.
    #[test]
    fn one_of_many_requests_is_told_of_the_change() {
        let secrets = Secrets::new(&secrets(["new", "old"]));
        let round = std::sync::Barrier::new(4);
        let told = || {
            let count = |_| {
                round.wait();
                let mut choice = secrets.choose();
                // Nobody answers before all have chosen.
                round.wait();
                assert!(choice.advance());
                usize::from(secrets.taken(&choice))
            };
            (0..5_000).map(count).sum::<usize>()
        };
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(told)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(all, 5_000);
    }

    #[test]
    fn new_ones_keep_what_is_taken() {
        let [newer, new, old] = secrets(["newer", "new", "old"]);
        let secrets = Secrets::new(&[new.clone(), old.clone()]);
        let first = secrets.choose();
        let mut second = first.clone();
        assert!(second.advance() && secrets.taken(&second));
        secrets.set(&[newer.clone(), new, old]);
        assert_eq!(secrets.current(), Some(2));
        // Of a request that was sent before.
        assert!(!secrets.taken(&first));
        secrets.set(std::slice::from_ref(&newer));
        assert_eq!(secrets.current(), None);
        let choice = secrets.choose();
        assert_eq!(
            (sent(&choice), choice.is_one_of_several()),
            (Some(newer), false)
        );
        secrets.set(&[]);
        let mut choice = secrets.choose();
        assert_eq!((sent(&choice), choice.advance()), (None, false));
    }

    #[test]
    fn a_choice_knows_its_place_and_what_was_refused() {
        let secrets = Secrets::new(&secrets(["a", "b"]));
        let mut choice = secrets.choose();
        assert_eq!((choice.place(), choice.is_after_refusal()), (0, false));
        assert!(choice.advance());
        assert_eq!((choice.place(), choice.is_after_refusal()), (1, true));
        assert_eq!(secrets.all().len(), 2);
    }
}
