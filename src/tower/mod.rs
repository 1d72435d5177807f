//! The tower side: the client as a `Service`, and [`serve`] for any service over
//! `http::Request<RequestBody>`, such as an axum `Router`.
//!
//! What may not live here: protocol rules and HTTP mapping; this layer only connects them
//! to services, tasks and shutdown.

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
pub(crate) mod application;
#[cfg(feature = "balancer")]
mod balancer;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "server")]
mod complaints;
#[cfg(feature = "server")]
pub(crate) mod connection;
#[cfg(feature = "server")]
pub(crate) mod drain;
#[cfg(feature = "server")]
mod exchange;
#[cfg(feature = "server")]
mod packing;
#[cfg(feature = "server")]
pub(crate) mod remote_addr;
#[cfg(feature = "retry")]
pub(crate) mod retry;
#[cfg(feature = "server")]
pub(crate) mod serve;
#[cfg(feature = "server")]
mod span;
