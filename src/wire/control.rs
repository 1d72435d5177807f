//! The short packets as bytes: CPing, CPong, End Response and Get Body Chunk.

/// CPing: `12 34 00 01 0A`. Only an idle connection may carry it (protocol chapter
/// [exchange](crate::docs::protocol::exchange#cping-and-cpong)).
pub const CPING: [u8; 5] = [0x12, 0x34, 0, 1, 10];

/// `CPong`: `41 42 00 01 09`.
pub const CPONG: [u8; 5] = [0x41, 0x42, 0, 1, 9];

/// End Response after which the container takes the next request.
pub const END_RESPONSE_REUSE: [u8; 6] = [0x41, 0x42, 0, 2, 5, 1];

/// End Response after which the container closes.
pub const END_RESPONSE_CLOSE: [u8; 6] = [0x41, 0x42, 0, 2, 5, 0];

/// Get Body Chunk asking for at most `bytes` bytes of data. Ask for
/// [`PacketSize::max_request_body`](super::PacketSize::max_request_body); 0 is a
/// protocol error.
#[must_use]
pub const fn get_body_chunk(bytes: u16) -> [u8; 7] {
    let [high, low] = bytes.to_be_bytes();
    [0x41, 0x42, 0, 3, 6, high, low]
}

pub(crate) const END_RESPONSE: u8 = 5;
pub(crate) const GET_BODY_CHUNK: u8 = 6;
pub(crate) const SHUTDOWN: u8 = 7;
pub(crate) const PING: u8 = 8;
pub(crate) const CPONG_CODE: u8 = 9;
pub(crate) const CPING_CODE: u8 = 10;
