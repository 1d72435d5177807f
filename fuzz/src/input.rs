//! The bytes that libFuzzer gives, read from the front. At the end every number is 0.

/// A cursor over the input of a target.
#[derive(Debug, Clone)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (part, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        part
    }

    #[must_use]
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Lengths at which a stream is cut. Seed 0 cuts after every byte.
#[derive(Debug, Clone)]
pub struct Cuts(u32);

impl Cuts {
    #[must_use]
    pub fn new(seed: u8) -> Self {
        Self(u32::from(seed).wrapping_mul(0x9e37_79b9))
    }

    /// At least 1.
    pub fn next_len(&mut self) -> usize {
        if self.0 == 0 {
            return 1;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        // Short ones often, now and then a whole packet.
        let bits = 1 + (self.0 >> 28);
        1 + (self.0 & ((1 << bits) - 1)) as usize
    }
}
