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

    /// A length: mostly below 1200, now and then anything up to `most`.
    pub fn length(&mut self, most: usize) -> usize {
        let number = usize::from(self.number());
        match number & 0xf {
            15 => number % (most + 1),
            _ => number % 1200.min(most + 1),
        }
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

/// Lengths at which a stream is cut. Seed 0 cuts after every byte of the first 1000.
#[derive(Debug, Clone)]
pub struct Cuts {
    state: u32,
    /// Pieces of one byte that come first.
    single: u32,
}

impl Cuts {
    #[must_use]
    pub fn new(seed: u8) -> Self {
        let state = u32::from(seed).wrapping_mul(0x9e37_79b9);
        Self {
            state: state.max(1),
            single: if seed == 0 { 1000 } else { 0 },
        }
    }

    /// At least 1.
    pub fn next_len(&mut self) -> usize {
        if self.single > 0 {
            self.single -= 1;
            return 1;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        // Short ones often, now and then a whole packet.
        let bits = 1 + (self.state >> 28);
        1 + (self.state & ((1 << bits) - 1)) as usize
    }
}
