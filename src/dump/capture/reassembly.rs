//! Segments of one direction to a stream: in order, each byte once, gaps told.

use std::collections::BTreeMap;

/// Most bytes to keep behind a gap; then it is taken for final.
const MAX_PENDING: usize = 1 << 20;

/// A part of a stream.
pub(super) enum Part {
    Data(Vec<u8>),
    /// So many bytes were not captured.
    Gap(u64),
    /// The sender closed its side here.
    Closed,
}

#[derive(Default)]
pub(super) struct HalfConnection {
    /// Sequence number of the next byte, once any is known.
    next: Option<u32>,
    /// Bytes before `next`, counted from the first one known.
    position: u64,
    /// By position.
    pending: BTreeMap<u64, Vec<u8>>,
    pending_len: usize,
    fin: Option<u64>,
    closed: bool,
    /// Whether the first byte of the connection is known.
    pub(super) from_start: bool,
}

impl HalfConnection {
    pub(super) fn syn(&mut self, sequence: u32) {
        self.next = Some(sequence.wrapping_add(1));
        self.from_start = true;
    }

    /// Whether a SYN begins another connection than this one.
    pub(super) fn is_other_syn(&self, sequence: u32) -> bool {
        let same = sequence.wrapping_add(1);
        self.position > 0 || self.closed || self.next.is_some_and(|next| next != same)
    }

    /// The position of a sequence number; negative when it is before the first byte known.
    fn locate(&self, sequence: u32) -> i64 {
        let Some(next) = self.next else {
            return 0;
        };
        let ahead = i64::from(sequence.wrapping_sub(next));
        // Less than half the number space ahead, or else behind.
        let ahead = if ahead < 1 << 31 {
            ahead
        } else {
            ahead - (1 << 32)
        };
        let position = i64::try_from(self.position).unwrap_or(i64::MAX);
        position + ahead
    }

    /// Takes a segment's data and hands out what is in order now.
    pub(super) fn data(&mut self, sequence: u32, data: &[u8], fin: bool, out: &mut Vec<Part>) {
        if self.next.is_none() && (fin || !data.is_empty()) {
            self.next = Some(sequence);
        }
        let start = self.locate(sequence);
        // What is before the first byte known, or was handed out already.
        let end = start + i64::try_from(data.len()).unwrap_or_default();
        let Ok(end) = u64::try_from(end) else {
            return;
        };
        let position = i64::try_from(self.position).unwrap_or(i64::MAX);
        let old = usize::try_from(position - start).unwrap_or(0);
        let old = old.min(data.len());
        let fresh = data.get(old..).unwrap_or_default();
        if !fresh.is_empty() {
            let at = end - fresh.len() as u64;
            let kept = self.pending.entry(at).or_default();
            if fresh.len() > kept.len() {
                self.pending_len += fresh.len() - kept.len();
                *kept = fresh.to_vec();
            }
        }
        if fin {
            self.fin = Some(end);
        }
        self.deliver(out);
        while self.pending_len > MAX_PENDING {
            self.give_up(out);
        }
    }

    /// The other side has received everything before this number. What is missing by then
    /// the capture has lost.
    pub(super) fn acknowledged(&mut self, sequence: u32, out: &mut Vec<Part>) {
        if self.next.is_none() {
            return;
        }
        let acknowledged = u64::try_from(self.locate(sequence)).unwrap_or(0);
        while self
            .pending
            .first_key_value()
            .is_some_and(|(&at, _)| at <= acknowledged)
        {
            self.give_up(out);
        }
    }

    /// No more segments come.
    pub(super) fn end(&mut self, out: &mut Vec<Part>) {
        while !self.pending.is_empty() {
            self.give_up(out);
        }
        if let Some(fin) = self.fin.filter(|&fin| fin > self.position) {
            self.gap(fin, out);
            self.deliver(out);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the gap before the first pending bytes for final.
    fn give_up(&mut self, out: &mut Vec<Part>) {
        if let Some((&at, _)) = self.pending.first_key_value() {
            self.gap(at, out);
        }
        self.deliver(out);
    }

    fn gap(&mut self, to: u64, out: &mut Vec<Part>) {
        let missing = to.saturating_sub(self.position);
        if missing > 0 {
            out.push(Part::Gap(missing));
            self.advance(missing);
        }
    }

    fn deliver(&mut self, out: &mut Vec<Part>) {
        while let Some(entry) = self.pending.first_entry() {
            if *entry.key() > self.position {
                break;
            }
            let (at, mut data) = entry.remove_entry();
            self.pending_len -= data.len();
            let old = usize::try_from(self.position - at).unwrap_or(usize::MAX);
            if old < data.len() {
                data.drain(..old);
                self.advance(data.len() as u64);
                out.push(Part::Data(data));
            }
        }
        if self.fin.is_some_and(|fin| fin <= self.position) && !self.closed {
            self.closed = true;
            out.push(Part::Closed);
        }
    }

    fn advance(&mut self, len: u64) {
        self.position += len;
        // Sequence numbers wrap.
        let [.., a, b, c, d] = len.to_be_bytes();
        let step = u32::from_be_bytes([a, b, c, d]);
        self.next = self.next.map(|next| next.wrapping_add(step));
    }
}
