//! Which idle connection is used first.

/// Which of the idle connections the next request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum IdleOrder {
    /// The one that became idle last. So no more stay open than are needed, the others reach
    /// [`PoolConfig::with_idle_timeout`](super::PoolConfig::with_idle_timeout), and the one that is
    /// used is the least likely to have been closed by the container.
    #[default]
    Lifo,
    /// The one that became idle first. So all are used in turn: for containers or firewalls
    /// that close what is quiet, and behind a load balancer for connections that should
    /// share the work evenly.
    Fifo,
}
