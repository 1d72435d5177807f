//! Random numbers, injected so that every choice can be replayed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A source of random numbers. Not for secrets.
pub trait Random: Send {
    /// Any number, all equally likely.
    fn next_u64(&mut self) -> u64;
}

/// The default source (`SplitMix64`): the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// A source with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source with a seed that differs from process to process.
    #[must_use]
    pub fn from_process() -> Self {
        // The standard library's only randomness.
        Self(RandomState::new().build_hasher().finish())
    }
}

impl Random for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A number below `n`; 0 when `n` is 0.
pub(super) fn below(random: &mut dyn Random, n: u64) -> u64 {
    let wide = u128::from(random.next_u64()).saturating_mul(u128::from(n)) >> 64;
    u64::try_from(wide).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_their_bound_and_spread() {
        let mut random = Seeded::new(1);
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[usize::try_from(below(&mut random, 7)).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|&n| (9_500..10_500).contains(&n)),
            "{seen:?}"
        );
        assert_eq!(below(&mut random, 0), 0);
        // The reference numbers of SplitMix64.
        assert_eq!(Seeded::new(1_234_567).next_u64(), 6_457_827_717_110_365_317);
    }
}
