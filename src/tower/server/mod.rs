//! Any service over `http::Request<RequestBody>` on an AJP port: accepting, connections, exchanges,
//! draining and shutdown.

mod accept;
pub(crate) mod application;
mod complaints;
pub(crate) mod connection;
pub(crate) mod drain;
mod exchange;
mod packing;
pub(crate) mod remote_addr;
pub(crate) mod serve;
mod span;
