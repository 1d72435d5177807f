//! HTTP requests over a balancer.

mod check;
mod delivery;
mod error;
mod options;
mod response_body;
mod send;
mod upload;

pub use check::HttpCheck;
pub use error::{Attempt, BalancerError, Failure};
pub use options::SendOptions;
pub use response_body::{BalancedBody, Served};
