//! The container's role: one connection, its requests one after the other, and the rules
//! of whom to believe.
//!
//! | you have | take |
//! |---|---|
//! | a listener and a tower service, such as an axum `Router` | [`serve`]; [`serve_with`] for a service that is told who connected |
//! | a connection and a tower service | [`serve_connection`] |
//! | a connection, and something else than a tower service | [`Connection`] |
//! | packets, without IO | [`crate::proto`] |
//!
//! [`Connection`] answers by itself what needs no application: CPing, malformed and
//! refused requests, SHUTDOWN. Between [`Connection::next_request`] and
//! [`Connection::finish`] lies one exchange.
//!
//! What may not live here: HTTP types (see [`crate::mapping`]), services, accept loops
//! (see [`serve`]).

mod admission;
mod attributes;
mod closing;
mod config;
mod connection;
mod error;
mod exchange;
mod listener;
mod monitor;
mod peers;
mod refusal;
mod shutdown;
mod timeouts;
mod trust;

pub use attributes::{AttributeAction, AttributePolicy};
pub use config::ServerConfig;
pub use connection::Connection;
#[cfg(feature = "tracing")]
pub(crate) use error::Chain;
pub use error::{ServerError, Step};
pub use listener::{Accepted, Listener, ListenerExt, TapIo};
pub use monitor::{Monitor, Refusals, ServerStats};
#[cfg(unix)]
pub use peers::UnixPeer;
pub use peers::{InvalidNetwork, Networks};
pub use refusal::Refusal;
pub use shutdown::shutdown_signal;
pub use timeouts::ServerTimeouts;
pub use trust::Trust;

#[doc(inline)]
pub use crate::mapping::request_body::{RequestBody, RequestBodyError};
#[doc(inline)]
pub use crate::mapping::request_claims::RequestClaims;
#[doc(inline)]
pub use crate::tower::server::{
    application::{AnswerBody, Answers, Application, Decided, IsBody, Never},
    connection::serve_connection,
    drain::{Drain, DrainFuture, DrainLayer, DrainSwitch},
    remote_addr::{WithRemoteAddr, with_remote_addr},
    serve::{Serve, Undecided, serve, serve_with},
};
