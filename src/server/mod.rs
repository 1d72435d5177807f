//! The container's role: one connection, its requests one after the other, and the rules
//! of whom to believe.
//!
//! [`Connection`] answers by itself what needs no application: CPing, malformed and
//! refused requests, SHUTDOWN. Between [`Connection::next_request`] and
//! [`Connection::finish`] lies one exchange.
//!
//! What may not live here: HTTP types (see [`crate::http`]), services, accept loops
//! (see [`serve`]).

mod admission;
mod config;
mod connection;
mod error;
mod listener;
mod trust;

pub use config::{ServerConfig, ServerTimeouts};
pub use connection::Connection;
#[cfg(feature = "tower")]
pub(crate) use error::Refusal;
pub use error::{Error, Step};
pub use listener::Listener;
pub use trust::{AttributePolicy, Trust};

#[cfg(feature = "tower")]
#[doc(inline)]
pub use crate::http::request_body::{RequestBody, RequestBodyError};
#[cfg(feature = "tower")]
#[doc(inline)]
pub use crate::tower::{
    connection::serve_connection,
    serve::{Serve, Undecided, serve},
};
