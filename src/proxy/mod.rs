//! Rules that every HTTP proxy in front of a container needs, apart from AJP: who the client of
//! a request is, which host it asks for, which headers it must not write, and how a container's
//! own paths are told to the visitor.
//!
//! | question | answer |
//! |---|---|
//! | whom to believe about the client, and which headers only the proxy may write | [`ForwardedRules`], [`Origin`] |
//! | which host a request is for | [`settle_host`] |
//! | what concerns one HTTP connection only | [`remove_nominated`], [`remove_hop_by_hop`] |
//! | what `Location`, `Refresh` and cookies of the container mean outside | [`ReverseMap`], [`PathMap`] |
//! | which status an error becomes | `status_of` |
//!
//! A proxy built from them, with hyper in front and a `Client` or `Balancer` behind:
//!
//! ```
//! # #[cfg(feature = "client")]
//! # mod example {
//! use ajp::client::{Client, ResponseBody};
//! use ajp::proxy::{ForwardedRules, PathMap, Peer, ReverseMap, settle_host, status_of};
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode, header::HOST};
//! use http_body::Body;
//!
//! struct Proxy {
//!     client: Client,
//!     rules: ForwardedRules,
//!     reverse: ReverseMap,
//! }
//!
//! impl Proxy {
//!     /// `peer` is made once for each connection.
//!     async fn answer<B>(&self, peer: &Peer, request: Request<B>) -> Result<Response<ResponseBody>, StatusCode>
//!     where
//!         B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
//!     {
//!         let (mut parts, body) = request.into_parts();
//!         let host = settle_host(&mut parts.headers, &parts.uri, parts.version)
//!             .map_err(|_| StatusCode::BAD_REQUEST)?;
//!         let origin = self.rules.apply(&mut parts.headers, peer);
//!         let facts = origin.facts(peer, host.as_ref());
//!         let mut response = self
//!             .client
//!             .send_parts(&parts, &facts, body)
//!             .await
//!             .map_err(|error| status_of(&error))?;
//!         let host = host.as_ref().and_then(|host| host.to_str().ok());
//!         self.reverse.apply(response.headers_mut(), host);
//!         Ok(response)
//!     }
//! }
//! # }
//! ```
//!
//! What may not live here: packets, connections, and anything that waits.

mod client_certificate;
mod client_claims;
mod forwarded;
mod hop_by_hop;
mod host;
mod node;
mod origin;
mod reverse;
#[cfg(feature = "client")]
mod status;

pub use hop_by_hop::{remove_hop_by_hop, remove_nominated};
pub use host::{InvalidHost, settle_host};
pub use origin::{ForwardedRules, Origin, Peer, Precedence};
pub use reverse::{PathMap, ReverseMap};
#[cfg(feature = "client")]
pub use status::status_of;
