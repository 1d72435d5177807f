//! Several containers that serve one application: which of them serves a request, what
//! happens when one fails, and what an operator sees and changes.
//!
//! | part | what it is |
//! |---|---|
//! | [`Cluster`] | the choice and its bookkeeping, without IO; time comes from outside |
//! | [`Method`] | how to choose among members that can serve |
//! | [`Sticky`] | which member a session lives on |
//! | [`Balancer`] | a cluster with a [`Pool`](crate::client::Pool) for each member: picks, health checks, management |
//! | [`Balancer::send`] | requests, with failover |
//!
//! It does what `mod_proxy_balancer` and `mod_jk` do (protocol chapter
//! [balancing](crate::docs::protocol::balancing)), with these differences: a member that failed is
//! tried by one request and not by all; a failure counts against a member only if it is the
//! member's; session names are compared whole; a member that returns is not flooded; nothing is
//! sent twice that may do harm twice.
//!
//! A balancer is a cluster behind a lock. Nothing of the user's runs under that lock: no
//! [`Choose`], [`Check`], [`Connect`](crate::client::Connect) or
//! [`Observer`](crate::client::Observer), no closure given to [`Balancer::update`], no listener
//! of [`Balancer::events`] and no subscriber of `tracing`. All of them may ask the balancer.
//!
//! What may not live here: packets, and how requests are written (see [`crate::mapping`]).

mod abandoned;
mod adaptive_limit;
mod budget;
mod circuit;
mod cluster;
mod config;
mod cookie;
mod discovery;
mod drain;
mod events;
mod failover;
mod fault;
mod flags;
mod fnv;
mod follow;
mod handle;
mod health;
mod latency;
mod member;
mod method;
mod outcome;
mod outlier;
mod pick;
mod request;
mod roster;
mod route_cookie;
mod run;
#[cfg(feature = "serde")]
mod seconds;
mod select;
mod settings;
pub(crate) mod shared;
mod slot;
mod snapshot;
mod sticky;
mod totals;
mod traffic;
mod unavailable;
mod weight;

pub use adaptive_limit::AdaptiveLimit;
pub use budget::RetryBudget;
pub use cluster::Cluster;
pub use config::ClusterConfig;
pub use cookie::InvalidSticky;
pub use discovery::Discovery;
pub use drain::{Drained, MemberDrain};
pub use events::{MemberChange, MemberEvent, MemberEvents};
pub use failover::{Failover, OnStatus};
pub use flags::{Flags, InvalidFlags};
pub use follow::{Discover, Discovered, Discovering, Leaving};
pub use handle::{Balancer, BalancerConfig};
pub use health::{CPing, Check, CheckError, Checking, Health};
pub use latency::LatencySnapshot;
pub use member::{InvalidMember, Member, MemberId};
pub use method::{Candidate, Choose, HashBy, InvalidMethod, Method};
pub use outlier::Outlier;
pub use pick::Pick;
pub use request::{Affinity, CheckOutcome, Choice, RequestInfo, RequestOutcome};
pub use route_cookie::{RouteCookie, SameSite};
pub use snapshot::{BalancerSnapshot, MemberSnapshot, MemberState, PoolSnapshot};
pub use sticky::{Session, Sticky};
pub use unavailable::{Reason, Unavailable};
pub use weight::{InvalidWeight, Weight};

#[doc(inline)]
pub use crate::client::Idempotent;
#[doc(inline)]
pub use crate::mapping::balancer::{
    Attempt, BalancedBody, BalancerError, Failure, HttpCheck, SendOptions, Served,
};
