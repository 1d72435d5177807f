//! The web server's role: a pool of connections to one container, and one exchange at a
//! time on each of them.
//!
//! The task that calls drives the socket: nothing is spawned, no channel lies between.
//! An [`Exchange`] owns its connection; it gives it back to its [`Pool`] only from the one
//! state in which nothing can be left over (protocol section 4.11), and closes it in
//! every other case, also when it is dropped.
//!
//! What may not live here: HTTP types (see [`crate::http`]), choosing between containers.

mod address;
mod config;
mod connection;
mod error;
mod exchange;
mod pool;
mod tcp;
mod transport;

pub use address::{Address, InvalidAddress};
pub use config::{PoolConfig, Timeouts};
pub use error::{Error, ErrorKind, Retry};
pub use exchange::Exchange;
pub use pool::{Lease, Pool, PoolStats};
pub use tcp::Lookup;
pub use transport::{Connect, Connecting, Transport};

#[cfg(feature = "http")]
#[doc(inline)]
pub use crate::http::{
    client::Client,
    replay_body::{ReplayBody, ReplayError},
    response_body::ResponseBody,
    send_error::SendError,
};

#[cfg(feature = "retry")]
#[doc(inline)]
pub use crate::tower::retry::RetryPolicy;
