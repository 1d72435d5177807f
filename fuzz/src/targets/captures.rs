//! Captures of network tools, which come from anywhere: any bytes are read to an end, without a
//! panic and within bounded memory, and the records of `Dump` lie one behind the other.

use crate::input::Input;
use ajp::dump::Dump;
use ajp::dump::capture::{Capture, Event};
use ajp::wire::Direction;
use std::io::Cursor;

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let switches = input.byte();
    if switches & 1 == 0 {
        capture(input.rest(), switches);
    } else {
        dump(input, switches);
    }
}

fn capture(file: &[u8], switches: u8) {
    let capture = if switches & 2 == 0 {
        match Capture::new(Cursor::new(file.to_vec())) {
            Ok(capture) => capture,
            Err(error) => return assert!(!error.to_string().is_empty()),
        }
    } else {
        let frames: Vec<Vec<u8>> = file.chunks(120).map(<[u8]>::to_vec).collect();
        Capture::of_ethernet(frames)
    };
    let capture = if switches & 4 == 0 {
        capture
    } else {
        capture.with_ports(&[8009])
    };
    let mut events = 0_usize;
    for event in capture {
        events += 1;
        if let Event::Packet { record, .. } = &event {
            let _ = (record.to_string(), record.hex().to_string());
        }
    }
    assert!(
        events <= 16 * file.len() + 16,
        "{events} events of {} bytes",
        file.len()
    );
}

/// Bytes of both directions, in pieces.
fn dump(mut input: Input<'_>, switches: u8) {
    let mut dump = if switches & 2 == 0 {
        Dump::new()
    } else {
        Dump::midway()
    };
    let mut fed = [0_u64; 2];
    let mut next = [0_u64; 2];
    let mut shown = 0_usize;
    while !input.is_empty() {
        let head = input.byte();
        let at = usize::from(head & 1);
        let direction = [Direction::ToContainer, Direction::ToWebServer][at];
        let piece = input.take(1 + usize::from(head >> 1));
        fed[at] += piece.len() as u64;
        for record in dump.feed(direction, piece) {
            assert_eq!(record.direction(), direction);
            assert!(record.offset() >= next[at], "{record:?}");
            next[at] = record.offset() + record.len();
            assert!(next[at] <= fed[at], "{record:?} ends behind {fed:?}");
            shown += record.to_string().len();
            shown += record.reveal().to_string().len();
        }
    }
    for record in dump.finish() {
        shown += record.hex().to_string().len();
    }
    assert!(shown < 1 << 26, "{shown} characters");
}
