//! A piece of what waits to be written: data as the caller has it, and the few bytes in front.

use bytes::{Buf, Bytes};

/// Room for the bytes in front: the terminator of one body chunk and the header of the next
/// are 8.
const PREFIX_ROOM: usize = 22;

#[derive(Debug)]
pub(super) struct Segment {
    prefix: [u8; PREFIX_ROOM],
    /// What of `prefix` is still to be written.
    from: u8,
    to: u8,
    pub(super) data: Bytes,
}

impl Segment {
    pub(super) fn new(data: Bytes) -> Self {
        Self {
            prefix: [0; PREFIX_ROOM],
            from: 0,
            to: 0,
            data,
        }
    }

    /// Puts a copy of these bytes in front; false when they are too many.
    pub(super) fn set_prefix(&mut self, bytes: &[u8]) -> bool {
        let (Some(room), Ok(len)) = (
            self.prefix.get_mut(..bytes.len()),
            u8::try_from(bytes.len()),
        ) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.to = len;
        true
    }

    pub(super) fn prefix(&self) -> &[u8] {
        self.prefix
            .get(usize::from(self.from)..usize::from(self.to))
            .unwrap_or_default()
    }

    /// The bytes to be written next, for streams that take one slice at a time.
    pub(super) fn next(&self) -> &[u8] {
        match self.prefix() {
            [] => &self.data,
            lead => lead,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.prefix().len() + self.data.len()
    }

    /// Leaves out the first `n` bytes, of at most [`len`](Self::len).
    pub(super) fn advance(&mut self, n: usize) {
        let lead = n.min(self.prefix().len());
        // At most `PREFIX_ROOM`.
        self.from += u8::try_from(lead).unwrap_or_default();
        let data = (n - lead).min(self.data.len());
        self.data.advance(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_leaves_the_rest() {
        let whole = b"leaddata";
        for first in 0..=whole.len() {
            for second in 0..=whole.len() - first {
                let mut segment = Segment::new(Bytes::from_static(b"data"));
                assert!(segment.set_prefix(b"lead"));
                segment.advance(first);
                segment.advance(second);
                let rest = [segment.prefix(), &segment.data].concat();
                assert_eq!(rest, whole[first + second..]);
                assert_eq!(segment.len(), rest.len());
                assert!(rest.starts_with(segment.next()));
                assert_eq!(segment.next().is_empty(), rest.is_empty());
            }
        }
    }

    #[test]
    fn what_is_too_long_stays_outside() {
        let mut segment = Segment::new(Bytes::new());
        assert!(segment.set_prefix(&[7; PREFIX_ROOM]));
        assert_eq!(segment.prefix(), [7; PREFIX_ROOM]);
        let mut segment = Segment::new(Bytes::from_static(b"x"));
        assert!(!segment.set_prefix(&[7; PREFIX_ROOM + 1]));
        assert_eq!(segment.next(), b"x");
    }
}
