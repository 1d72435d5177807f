//! The byte sequence the webapp also knows, and its digest: bodies are compared by content.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The first `n` bytes of the sequence `/app/bytes` and its like send.
pub fn bytes(n: usize) -> Bytes {
    (0..n)
        .map(|i| (i.wrapping_mul(31).wrapping_add(i >> 8) & 0xff) as u8)
        .collect()
}

/// The digest as `/app/echo` prints it.
pub fn sha256_hex(data: &[u8]) -> String {
    Sha256::digest(data)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
}
