//! AJP to and from the types of the `http` crate. The only place where names and
//! semantics of HTTP are converted.
//!
//! What `http::Request` has no place for stands in the request's extensions: in a container
//! what the web server claims (`server::RequestClaims`), in a web server what the container is
//! told (`client::RequestFacts`).
//!
//! What may not live here: sockets, timers, accept loops, `tower`.

#[cfg(feature = "balancer")]
pub(crate) mod balancer;
#[cfg(feature = "client")]
pub(crate) mod client;
pub(crate) mod header_names;
mod reason_phrase;
#[cfg(feature = "client")]
pub(crate) mod replay_body;
#[cfg(feature = "server")]
pub(crate) mod request_body;
#[cfg(feature = "server")]
pub(crate) mod request_claims;
#[cfg(feature = "server")]
mod request_decode;
#[cfg(feature = "client")]
mod request_encode;
#[cfg(feature = "client")]
pub(crate) mod request_facts;
#[cfg(feature = "client")]
pub(crate) mod response_body;
mod response_decode;
mod response_encode;
#[cfg(feature = "client")]
pub(crate) mod send_error;
pub(crate) mod site_path;
mod target;
mod text;
mod tls_facts;
mod uncoded_header_names;
#[cfg(feature = "client")]
mod upload;

pub use reason_phrase::ReasonPhrase;
#[cfg(feature = "server")]
pub use request_decode::{parse_with_headers, request_parts, request_parts_with_headers};
#[cfg(feature = "client")]
pub use request_encode::write_forward_request;
pub use response_decode::response_parts;
pub use response_encode::write_send_headers;
#[cfg(feature = "server")]
pub use target::{InvalidTarget, RawTarget};
pub use text::text;
pub use tls_facts::TlsFacts;
