//! Random numbers for tests: no crate, so that no update changes what is drawn.

/// Random numbers that are the same in every run (xorshift64).
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// Any number but 0.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Any bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }

    /// Up to `most` bytes out of an alphabet.
    pub fn text(&mut self, most: usize, alphabet: &[u8]) -> Vec<u8> {
        let len = self.below(most + 1);
        (0..len)
            .map(|_| alphabet[self.below(alphabet.len())])
            .collect()
    }

    /// As [`text`](Self::text), and at least one.
    pub fn word(&mut self, most: usize, alphabet: &[u8]) -> Vec<u8> {
        let first = alphabet[self.below(alphabet.len())];
        let mut word = vec![first];
        word.extend(self.text(most - 1, alphabet));
        word
    }
}
