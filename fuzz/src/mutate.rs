//! Inputs made from a corpus by number: the same seed and number give the same input, whatever
//! was run before. What is changed is what packets consist of: bytes, lengths, codes, strings.

/// Numbers by SplitMix64: any start is a good one.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    #[must_use]
    pub fn new(seed: u64, index: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 for 0.
    pub fn below(&mut self, end: usize) -> usize {
        // The upper half of a product: no division.
        let product = u128::from(self.next_number()) * end as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next_number().to_be_bytes()[0]
    }
}

/// Bytes that mean something in packets, and their neighbours.
const TELLING: [u8; 32] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x1f,
    0x20, 0x23, 0x2f, 0x30, 0x39, 0x3f, 0x41, 0x7e, 0x7f, 0x80, 0x9f, 0xa0, 0xa1, 0xfe, 0xff, 0x12,
];

/// Whole pieces of packets.
const PIECES: [&[u8]; 20] = [
    b"\xff\xff",
    b"\x00\x00\x00",
    b"\xa0\x08\x00\x010\x00",
    b"\xa0\x08\x00\x0212\x00",
    b"\xa0\x03\x00\x0212\x00",
    b"\x00\x11transfer-encoding\x00\x00\x07chunked\x00",
    b"\x00\x0econtent-length\x00\x00\x013\x00",
    b"\xa0\x0b\x00\x01h\x00",
    b"\xa0\x09\x00\x03a=b\x00",
    b"\x05\x00\x03a=b\x00",
    b"\x0c\x00\x06s3cr3t\x00",
    b"\x0d\x00\x03GET\x00",
    b"\x0a\x00\x0fAJP_REMOTE_PORT\x00\x00\x041234\x00",
    b"\x0a\x00\x01a\x00\xff\xff",
    b"\x0b\x01\x00",
    b"\x0b\x00\x03256\x00",
    b"\x06\x1f\xfa",
    b"\x41\x42\x00\x02\x05\x01",
    b"\x12\x34\x00\x01\x0a",
    b"\x03\x00\x00\x00",
];

/// The longest input; beyond it a mutation cuts.
const LONGEST: usize = 4096;

/// The input of this seed and number, in `out`.
pub fn input(corpus: &[Vec<u8>], seed: u64, index: u64, out: &mut Vec<u8>) {
    let mut numbers = Numbers::new(seed, index);
    out.clear();
    let Some(from) = pick(corpus, &mut numbers) else {
        return;
    };
    out.extend_from_slice(from);
    // One most often: what is changed little gets far.
    let changes = 1 + numbers.next_number().trailing_zeros().min(6);
    for _ in 0..changes {
        change(corpus, &mut numbers, out);
    }
    out.truncate(LONGEST);
}

/// The shortest of four, seven times of eight: short inputs are quick and reach as much.
fn pick<'a>(corpus: &'a [Vec<u8>], numbers: &mut Numbers) -> Option<&'a [u8]> {
    let mut picked = corpus.get(numbers.below(corpus.len()))?;
    if numbers.below(8) > 0 {
        for _ in 0..3 {
            let other = corpus.get(numbers.below(corpus.len()))?;
            if other.len() < picked.len() {
                picked = other;
            }
        }
    }
    Some(picked)
}

fn change(corpus: &[Vec<u8>], numbers: &mut Numbers, out: &mut Vec<u8>) {
    let at = numbers.below(out.len());
    let operation = numbers.below(16);
    if out.is_empty() {
        let piece = PIECES[numbers.below(PIECES.len())];
        return out.extend_from_slice(piece);
    }
    match operation {
        0 | 1 => out[at] ^= 1 << numbers.below(8),
        2 | 3 => out[at] = TELLING[numbers.below(TELLING.len())],
        4 => out[at] = numbers.byte(),
        5 => out[at] = out[at].wrapping_add(if numbers.below(2) == 0 { 1 } else { 0xff }),
        6 => {
            // The switches in front, and the cuts.
            let at = numbers.below(out.len().min(5));
            out[at] = numbers.byte();
        }
        7 => {
            // A length that is not that of what follows.
            if let Some(at) = string(out, at) {
                out[at + 1] = match numbers.below(4) {
                    0 => out[at + 1].wrapping_add(1),
                    1 => out[at + 1].wrapping_sub(1),
                    _ => numbers.byte(),
                };
                out[at] = if numbers.below(4) == 0 {
                    TELLING[numbers.below(TELLING.len())]
                } else {
                    out[at]
                };
            }
        }
        8 | 9 => resize_string(numbers, out, at),
        10 => {
            // Another code, of a header or of an attribute.
            let next = out[at..].iter().position(|&b| b == 0xa0 || b <= 0x0d);
            if let Some(next) = next.map(|next| at + next) {
                let at = if out[next] == 0xa0 { next + 1 } else { next };
                if let Some(code) = out.get_mut(at) {
                    *code = u8::try_from(numbers.below(18)).unwrap_or(0);
                }
            }
        }
        11 => out.truncate(at),
        12 => {
            let piece = PIECES[numbers.below(PIECES.len())];
            insert(out, at, piece);
        }
        13 => {
            let end = at + numbers.below(out.len() - at).min(64);
            out.drain(at..end);
        }
        14 => {
            // A piece of its own again.
            let len = numbers.below(out.len() - at).min(128);
            let from = out[at..at + len].to_vec();
            let to = numbers.below(out.len());
            insert(out, to, &from);
        }
        _ => {
            // A piece of another input, in place of what is here or before it.
            let Some(other) = pick(corpus, numbers) else {
                return;
            };
            let from = numbers.below(other.len());
            let len = numbers.below(other.len() - from).min(256);
            let piece = &other[from..from + len];
            if numbers.below(2) == 0 {
                insert(out, at, piece);
            } else {
                let end = (at + len).min(out.len());
                out[at..end].copy_from_slice(&piece[..end - at]);
            }
        }
    }
}

fn insert(out: &mut Vec<u8>, at: usize, piece: &[u8]) {
    out.splice(at..at, piece.iter().copied());
}

/// Where a string begins at `at` or shortly after it: a length, as many bytes, and NUL.
fn string(bytes: &[u8], at: usize) -> Option<usize> {
    (at..bytes.len().min(at + 48)).find(|&at| {
        let len = match bytes[at..] {
            [high @ 0..=15, low, ..] => usize::from(high) << 8 | usize::from(low),
            _ => return false,
        };
        len > 0 && bytes.get(at + 2 + len) == Some(&0)
    })
}

/// Makes a string longer or shorter, or other text of it, its length with it.
fn resize_string(numbers: &mut Numbers, out: &mut Vec<u8>, at: usize) {
    let Some(at) = string(out, at) else {
        return;
    };
    let len = usize::from(out[at]) << 8 | usize::from(out[at + 1]);
    let within = at + 2 + numbers.below(len);
    let new = match numbers.below(8) {
        0 | 1 => {
            out.remove(within);
            len - 1
        }
        2..=4 => {
            let byte = if numbers.below(4) == 0 {
                numbers.byte()
            } else {
                b' ' + numbers.byte() % 95
            };
            out.insert(within, byte);
            len + 1
        }
        5 => {
            // Nothing of it.
            out.drain(at + 2..at + 2 + len);
            0
        }
        6 => {
            let text = out[within];
            let more = numbers.below(64);
            out.splice(within..within, std::iter::repeat_n(text, more));
            len + more
        }
        _ => {
            out[within] = numbers.byte();
            len
        }
    };
    let [high, low] = u16::try_from(new).unwrap_or(u16::MAX).to_be_bytes();
    out[at] = high;
    out[at + 1] = low;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same number gives the same input, and the next one another.
    #[test]
    fn inputs_are_made_by_number() {
        let corpus = vec![
            b"\x02\x02\x00\x08HTTP/1.1\x00".to_vec(),
            vec![],
            vec![9; 5000],
        ];
        let made = |index| {
            let mut out = b"before".to_vec();
            input(&corpus, 7, index, &mut out);
            assert!(out.len() <= LONGEST);
            out
        };
        let all: Vec<_> = (0..20_000).map(made).collect();
        assert!(all.iter().eq(&(0..20_000).map(made).collect::<Vec<_>>()));
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert!(different.len() > 10_000, "{} different", different.len());
        let mut out = Vec::new();
        input(&[], 1, 1, &mut out);
        assert!(out.is_empty());
    }

    /// A string that is changed with its length is one afterwards.
    #[test]
    fn strings_keep_their_lengths() {
        let mut numbers = Numbers::new(1, 1);
        for _ in 0..1000 {
            let mut out = b"\x00\x05hello\x00".to_vec();
            assert_eq!(string(&out, 0), Some(0));
            resize_string(&mut numbers, &mut out, 0);
            let len = usize::from(out[1]);
            assert_eq!((out[0], out.len(), out[len + 2]), (0, len + 3, 0));
        }
    }
}
