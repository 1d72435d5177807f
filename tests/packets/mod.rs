//! What `vectors.rs`, `captures.rs` and `tshark_agrees` share:
//!
//! - [`observer::Observer`]: both state machines of `ajp::proto` beside one conversation;
//! - [`rewrite`]: every packet written again and compared;
//! - [`split`]: a stream cut into payloads, in steps of any size.

#![allow(
    dead_code,
    reason = "each of the test binaries uses its own part of this module"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

pub(crate) mod observer;
pub(crate) mod rewrite;

use ajp::wire::{DecodeError, Direction, PacketSize, split_packet};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

pub(crate) fn load(path: &str) -> Vec<Value> {
    let text = std::fs::read(fixture(path)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Every payload of a stream that arrives `step` bytes at a time. Nothing may be left over.
pub(crate) fn split(
    stream: &[u8],
    direction: Direction,
    size: PacketSize,
    step: usize,
) -> Result<Vec<Bytes>, DecodeError> {
    let mut payloads = Vec::new();
    let mut buffer = BytesMut::new();
    for part in stream.chunks(step.max(1)) {
        buffer.extend_from_slice(part);
        while let Some(payload) = split_packet(&mut buffer, direction, size)? {
            payloads.push(payload);
        }
    }
    assert!(buffer.is_empty(), "the stream ends inside a packet");
    Ok(payloads)
}
