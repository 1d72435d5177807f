//! Whoever knows which members there are: here the world itself.

use super::network::{Host, Wire};
use ajp::balancer::{Discover, Discovered, Discovering, Member};
use ajp::client::{Pool, PoolConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// A member as the discovery knows it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) host: Arc<Host>,
    pub(crate) config: PoolConfig,
}

/// The members by name.
pub(crate) type Set = BTreeMap<String, Known>;

/// Tells a balancer each set that is published.
pub(crate) struct Discovery(pub(crate) watch::Receiver<Set>);

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discovery")
    }
}

impl Discover for Discovery {
    fn next_set(&mut self) -> Discovering<'_> {
        Box::pin(async move {
            self.0.changed().await.ok()?;
            let set = self.0.borrow_and_update().clone();
            let members = set.into_iter().map(|(name, known)| Discovered {
                member: Member::new(&name).with_route(&known.host.name),
                pool: Pool::new(Wire(known.host), known.config),
            });
            Some(members.collect())
        })
    }
}
