//! The packet size of a container, as far as it was learned.

use super::config::PoolConfig;
use crate::wire::PacketSize;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// A container that took no longer heads is not asked again for so long.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What a pool knows of its container's packet size. Packets of a request's body go by what the
/// container has shown over the same connection instead ([`Connection`](super::connection)): this
/// may be about a process that does not run any more.
#[derive(Debug)]
pub(super) struct ContainerSize {
    /// The pool's own packet size.
    most: PacketSize,
    learns: bool,
    /// In bytes.
    known: AtomicU32,
    /// When it was asked last whether it takes longer heads.
    asked: Mutex<Option<Instant>>,
}

impl ContainerSize {
    pub(super) fn new(config: &PoolConfig) -> Self {
        let learns = config.learn_packet_size;
        let known = first(config);
        Self {
            most: config.packet_size,
            learns,
            known: AtomicU32::new(bytes(known)),
            asked: Mutex::default(),
        }
    }

    /// Up to which size packets are sent that the container may not take: `None` when its size
    /// is not learned.
    pub(super) fn learned_up_to(&self) -> Option<PacketSize> {
        self.learns.then_some(self.most)
    }

    /// How long the head of a request may be.
    pub(super) fn of_heads(&self) -> PacketSize {
        PacketSize::new(self.known.load(Relaxed)).unwrap_or_default()
    }

    /// What was learned, if it is more than what every container takes.
    pub(super) fn learned(&self) -> Option<PacketSize> {
        let known = self.of_heads();
        (self.learns && known > PacketSize::DEFAULT).then_some(known)
    }

    /// The container has shown that it takes packets of this size.
    pub(super) fn shown(&self, size: PacketSize) {
        self.known.fetch_max(bytes(size.min(self.most)), Relaxed);
    }

    /// The container did not take the head of a request that was longer than 8192 bytes.
    pub(super) fn forget(&self) {
        if self.learns {
            self.known.store(bytes(PacketSize::DEFAULT), Relaxed);
            // It is another process now, perhaps: it may be asked at once.
            if let Ok(mut asked) = self.asked.try_lock() {
                *asked = None;
            }
        }
    }

    /// The turn to ask whether it takes longer heads; one caller asks at a time and the others
    /// wait for what comes of it. `None` when it was asked lately, and when nothing is left to
    /// ask.
    pub(super) async fn turn_to_ask(&self) -> Option<Turn<'_>> {
        let asked = self.asked.lock().await;
        let lately = asked.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        (!lately && self.of_heads() < self.most).then(|| Turn(asked))
    }
}

/// The right to ask a container for its packet size.
pub(crate) struct Turn<'a>(MutexGuard<'a, Option<Instant>>);

impl Turn<'_> {
    /// The container has given an answer of some kind.
    pub(crate) fn end(mut self) {
        *self.0 = Some(Instant::now());
    }
}

/// With which packets a connection begins.
pub(super) fn first(config: &PoolConfig) -> PacketSize {
    if config.learn_packet_size {
        PacketSize::DEFAULT
    } else {
        config.packet_size
    }
}

fn bytes(size: PacketSize) -> u32 {
    // At most 65536.
    u32::try_from(size.bytes()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(learns: bool) -> ContainerSize {
        let config = PoolConfig::new().with_packet_size(PacketSize::MAX);
        ContainerSize::new(&config.with_learn_packet_size(learns))
    }

    #[test]
    fn what_is_shown_counts_until_it_is_refused() {
        let size = of(true);
        let small = PacketSize::new(16384).unwrap();
        assert_eq!(
            (size.of_heads(), size.learned()),
            (PacketSize::DEFAULT, None)
        );
        size.shown(small);
        size.shown(PacketSize::DEFAULT);
        assert_eq!(size.learned(), Some(small));
        size.forget();
        assert_eq!(size.learned(), None);

        let fixed = of(false);
        fixed.forget();
        assert_eq!(fixed.of_heads(), PacketSize::MAX);
        assert_eq!((fixed.learned(), fixed.learned_up_to()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_once_a_minute_and_after_a_refusal() {
        let size = of(true);
        size.turn_to_ask().await.unwrap().end();
        assert!(size.turn_to_ask().await.is_none());
        tokio::time::advance(ASK_AGAIN).await;
        size.turn_to_ask().await.unwrap().end();
        size.forget();
        // Given up before there was an answer: the next one asks.
        drop(size.turn_to_ask().await.unwrap());
        size.turn_to_ask().await.unwrap().end();
        tokio::time::advance(ASK_AGAIN).await;
        size.shown(PacketSize::MAX);
        assert!(size.turn_to_ask().await.is_none(), "nothing is left to ask");
        assert!(of(false).turn_to_ask().await.is_none());
    }

    #[test]
    fn what_may_be_learned_is_at_most_what_is_set() {
        assert_eq!(of(true).learned_up_to(), Some(PacketSize::MAX));
    }
}
