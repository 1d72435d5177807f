//! The web server's role: a pool of connections to one container, and one exchange at a
//! time on each of them.
//!
//! The task that calls drives the socket: no channel lies between. The only task that a pool
//! spawns is its watchdog: it runs while connections are in use, and ends exchanges whose caller
//! stays away. An [`Exchange`] owns its connection; it gives it back to its [`Pool`] only from the
//! one state in which nothing can be left over (protocol chapter
//! [reuse](crate::docs::protocol::reuse#conditions)), and closes it in every other case, also when
//! it is dropped.
//!
//! | question | answer |
//! |---|---|
//! | how many connections, who waits | [`PoolConfig`] |
//! | how long a step may take | [`Timeouts`]; for one request [`RequestTimeouts`] |
//! | when a connection is probed | [`CPingMode`] |
//! | what failed, may it be sent again | [`ClientError`], [`ErrorKind`], [`Retry`] |
//! | what goes on | [`Pool::stats`], [`Observer`], a span per exchange with `tracing` |
//!
//! What may not live here: requests, responses and headers as HTTP types (see
//! [`crate::mapping`]), choosing between containers. Of the `http` crate only the method and the
//! extensions of a request are looked at, to decide whether it may be sent again, and a status is
//! suggested for an error.

mod acquire;
mod address;
mod cause;
mod config;
mod connection;
mod container_size;
mod counters;
mod cping;
mod error;
mod exchange;
mod idle;
mod idle_order;
mod keep_alive;
mod labels;
mod lease;
mod limits;
mod local_resources;
mod maintain;
mod mismatch;
mod observer;
mod parking;
mod permits;
mod phases;
mod pool;
pub(crate) mod repeat;
#[cfg_attr(
    not(feature = "balancer"),
    allow(dead_code, reason = "it is a balancer that counts")
)]
mod request_counter;
mod request_id;
mod secrets;
mod shared;
mod span;
mod stats;
mod tcp;
mod tcp_options;
mod timeouts;
mod transport;
mod waits;
mod watchdog;

pub use address::{Address, InvalidAddress};
pub use cause::CloseCause;
pub use config::{InvalidPacketSize, PoolConfig};
pub use cping::CPingMode;
pub use error::{Blame, ClientError, ErrorKind, Retry};
pub use exchange::Exchange;
pub use idle_order::IdleOrder;
pub use lease::Lease;
pub use mismatch::Mismatch;
pub use observer::{ConnectionReport, ExchangeOutcome, ExchangeReport, Observer, PoolId};
pub use phases::Phases;
pub use pool::Pool;
pub use repeat::Idempotent;
#[cfg(feature = "balancer")]
pub(crate) use request_counter::RequestCounter;
pub use request_id::{InvalidRequestId, RequestId};
pub(crate) use secrets::SecretChoice;
pub use stats::{PoolStats, TimeoutCounts};
pub use tcp::Lookup;
pub use tcp_options::{TcpKeepAlive, TcpOptions};
pub use timeouts::{RequestTimeouts, Timeouts};
pub use transport::{Connect, Connecting, Transport};

#[doc(inline)]
pub use crate::mapping::{
    client::Client,
    replay_body::{ReplayBody, ReplayError},
    request_facts::RequestFacts,
    response_body::ResponseBody,
    send_error::SendError,
};

#[cfg(feature = "retry")]
#[doc(inline)]
pub use crate::tower::retry::{MaybeClientError, RetryPolicy};
