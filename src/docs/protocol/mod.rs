#![doc = include_str!("overview.md")]

#[doc = include_str!("packets.md")]
pub mod packets {}

#[doc = include_str!("codes.md")]
pub mod codes {}

#[doc = include_str!("exchange.md")]
pub mod exchange {}

#[doc = include_str!("framing.md")]
pub mod framing {}

#[doc = include_str!("reuse.md")]
pub mod reuse {}

#[doc = include_str!("peers.md")]
pub mod peers {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("balancing.md")]
pub mod balancing {}
