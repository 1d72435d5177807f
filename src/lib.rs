//! AJP/1.3 (Apache JServ Protocol) for Rust.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "client", feature = "server"))]
mod net;
pub mod proto;
mod secret;
#[cfg(feature = "server")]
pub mod server;
#[cfg(all(feature = "tower", any(feature = "client", feature = "server")))]
mod tower;
pub mod wire;

pub use secret::{InvalidSecret, Secret};
