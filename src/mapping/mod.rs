//! AJP to and from the types of the `http` crate. The only place where names and
//! semantics of HTTP are converted.
//!
//! [`RequestFacts`] is the request extension for everything that `http::Request` has no
//! place for: a container finds it in the extensions, a web server puts it there.
//!
//! What may not live here: sockets, timers, accept loops, `tower`.

#[cfg(feature = "balancer")]
pub(crate) mod balancer;
#[cfg(feature = "client")]
pub(crate) mod client;
mod facts;
mod names;
mod prepared;
#[cfg(feature = "client")]
pub(crate) mod repeat;
#[cfg(feature = "client")]
pub(crate) mod replay_body;
#[cfg(feature = "server")]
pub(crate) mod request_body;
#[cfg(feature = "server")]
mod request_decode;
mod request_encode;
#[cfg(feature = "client")]
pub(crate) mod response_body;
mod response_decode;
mod response_encode;
#[cfg(feature = "client")]
pub(crate) mod send_error;
mod target;
mod tls_facts;
#[cfg(feature = "client")]
mod upload;

pub use facts::{RequestFacts, text};
#[cfg(feature = "server")]
pub use request_decode::request_parts;
pub use request_encode::write_forward_request;
pub use response_decode::response_parts;
pub use response_encode::write_send_headers;
#[cfg(feature = "server")]
pub use target::{InvalidTarget, RawTarget};
pub use tls_facts::TlsFacts;
