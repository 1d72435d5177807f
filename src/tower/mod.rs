//! The tower side: the client as a `Service`, and [`serve`] for any service over
//! `http::Request<RequestBody>`, such as an axum `Router`.
//!
//! What may not live here: protocol rules and HTTP mapping; this layer only connects them
//! to services, tasks and shutdown.

#[cfg(feature = "balancer")]
mod balancer;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "retry")]
pub(crate) mod retry;
#[cfg(feature = "server")]
pub(crate) mod server;
