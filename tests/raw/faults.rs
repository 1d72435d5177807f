//! Wrong answers.

use super::packets::{answer_packet, chunk, head, response};
use ajp::wire::{CPONG, FLUSH, get_body_chunk};

pub(crate) const FAULTS: usize = 23;

/// What to send instead of the right answer, and whether to close afterwards.
pub(crate) fn misbehave(fault: usize, token: &str) -> (Vec<u8>, bool) {
    let good = response(token, 1);
    let join = |parts: &[&[u8]]| parts.concat();
    let head = head(200, &[]);
    let data = chunk(token.as_bytes());
    match fault {
        0 => (join(&[&good, &good]), false),
        1 => (join(&[&good, &FLUSH]), false),
        2 => (join(&[&good, &CPONG]), false),
        3 => (join(&[&good, &[0x41]]), false),
        4 => (response(token, 0), false),
        5 => (response(token, 2), false),
        6 => (good, true),
        7 => (vec![], true),
        8 => (good[..3].to_vec(), true),
        9 => (head, true),
        10 => (join(&[&head, &data]), true),
        11 => (good[..good.len() - 2].to_vec(), true),
        12 => (join(&[&CPONG, &good]), false),
        13 => (join(&[&data, &good]), false),
        14 => (join(&[&head, &good]), false),
        15 => (join(&[&answer_packet(&[0x1e]), &good]), false),
        16 => (join(&[&[0x12, 0x34, 0, 1, 10], &good]), false),
        17 => (join(&[&[0x41, 0x42, 0xff, 0xff], &good]), false),
        18 => (
            join(&[&head, &answer_packet(b"\x03\0\x09ok\0"), &good]),
            false,
        ),
        19 => (join(&[&answer_packet(&[6, 0, 0]), &good]), false),
        20 => (
            join(&[&get_body_chunk(8186), &get_body_chunk(8186), &good]),
            false,
        ),
        21 => (join(&[&good[..good.len() - 6], &data, &good]), false),
        _ => (join(&[&good[good.len() - 6..], &good]), false),
    }
}
