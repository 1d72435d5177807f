//! Who may send what, and when: the two sides of one exchange as state machines without IO and
//! without a clock.
//!
//! An exchange is one Forward Request and its response. [`ClientExchange`] is the web server's side
//! of it (protocol chapter [exchange](crate::docs::protocol::exchange)), [`ServerExchange`] the
//! container's. Packets go in, events come out; the caller moves the bytes and tells the machine what it has written.
//!
//! What may not live here: sockets, timers, buffers, HTTP types.

mod client;
mod error;
mod server;

pub use client::{ClientEvent, ClientExchange, Progress};
pub use error::ProtocolError;
pub use server::{BodyEvent, Finish, Idle, IdleEvent, ServerExchange};
