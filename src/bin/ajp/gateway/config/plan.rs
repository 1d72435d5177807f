//! A balancer as the configuration has it, and what becomes of the running one when a later
//! configuration has it differently.

use super::discovery::Found;
use crate::gateway::front::Upgrades;
use crate::gateway::settings::{BalancerSettings, Object, member_object};
use ajp::Secret;
use ajp::balancer::{Balancer, Discovery, InvalidMember, Leaving, Member, Sticky};
use ajp::client::{Address, Pool, PoolConfig, TcpOptions};
use std::sync::Arc;
use std::time::Duration;

/// A balancer, and what it was made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) balancer: Balancer,
    /// The method of choosing; none: the one that is the library's own.
    method: Option<String>,
    /// What cannot be changed while it runs, as text.
    fixed: String,
    /// How members are reached that the manager adds.
    pools: PoolConfig,
    tcp: TcpOptions,
    /// What the configuration says where the running balancer may have been told otherwise.
    settings: Option<(BalancerSettings, Option<Sticky>)>,
    members: Vec<Planned>,
    /// Where members take upgrades.
    pub(super) upgrades: Arc<Upgrades>,
    /// Where further members are found.
    discovery: Option<Found>,
}

#[derive(Debug)]
struct Planned {
    member: Member,
    pool: Pool,
    /// How it is reached, as text, without the secrets.
    reached: String,
    secrets: Vec<Secret>,
}

impl Plan {
    /// A balancer without members.
    pub(super) fn new(
        balancer: Balancer,
        fixed: String,
        pools: PoolConfig,
        tcp: TcpOptions,
    ) -> Self {
        Self {
            balancer,
            method: None,
            fixed,
            pools,
            tcp,
            settings: None,
            members: Vec::new(),
            upgrades: Arc::default(),
            discovery: None,
        }
    }

    /// Finds further members there.
    pub(super) fn set_discovery(&mut self, found: Found) {
        self.discovery = Some(found);
    }

    /// All that a balancer does beside its requests: its checks, and members that come and go.
    pub(crate) async fn run(balancer: Balancer, discovery: Option<(Discovery, Leaving)>) {
        let following = async {
            if let Some((discovery, leaving)) = discovery {
                balancer.follow(discovery, leaving).await;
            }
        };
        tokio::join!(balancer.run(), following);
    }

    /// Where further members are found, and how those leave that are gone from there.
    pub(crate) fn discovery(&self) -> Option<(Discovery, Leaving)> {
        let found = self.discovery.as_ref()?;
        Some(found.discovery(self.pools.clone()))
    }

    /// How long its first members are waited for before requests are taken, if they must be
    /// found.
    pub(crate) fn first_set(&self) -> Option<Duration> {
        self.discovery.as_ref().map(Found::first_set)
    }

    pub(crate) fn name(&self) -> &str {
        self.balancer.name()
    }

    /// How members are reached that the manager adds.
    pub(crate) fn pools(&self) -> &PoolConfig {
        &self.pools
    }

    /// How their connections are opened.
    pub(crate) fn tcp(&self) -> TcpOptions {
        self.tcp
    }

    /// What the configuration says of the balancer.
    pub(crate) fn settings(&self) -> BalancerSettings {
        match &self.settings {
            Some((settings, _)) => settings.clone(),
            None => BalancerSettings::of(&self.balancer),
        }
    }

    /// How the configuration reads sessions.
    pub(crate) fn sticky(&self) -> Option<Sticky> {
        match &self.settings {
            Some((_, sticky)) => sticky.clone(),
            None => self.balancer.sticky().map(|sticky| (*sticky).clone()),
        }
    }

    /// What the configuration says of the members, by their names.
    pub(crate) fn members(&self) -> impl Iterator<Item = (String, Object)> {
        self.members.iter().map(|planned| {
            let most = planned.pool.config().max_connections();
            let object = member_object(&planned.member, most);
            (planned.member.name().to_owned(), object)
        })
    }

    /// Chooses by this method of the library.
    pub(super) fn set_method(&mut self, name: &str) {
        self.method = Some(name.into());
        if let Ok(method) = name.parse() {
            self.balancer.set_method(method);
        }
    }

    /// Adds a member at this address.
    pub(super) fn add(
        &mut self,
        member: Member,
        address: &Address,
        config: &PoolConfig,
    ) -> Result<(), InvalidMember> {
        let pool = Pool::new(address.clone(), config.clone());
        self.balancer.add(member.clone(), pool.clone())?;
        let secrets = config.secrets().to_vec();
        let config = config.clone().with_secrets([]);
        self.members.push(Planned {
            member,
            pool,
            reached: format!("{address} {config:?}"),
            secrets,
        });
        Ok(())
    }

    /// Makes the running balancer what this plan says: members that stay keep their connections
    /// and their state, new ones are added, those that are gone end what they are serving. What
    /// an operator has changed of a member stays until the configuration says something new of
    /// it. Gives nothing if the running balancer cannot become this one; then this one takes its
    /// place.
    pub(crate) fn adopt(&mut self, before: &Self) -> Option<Vec<String>> {
        if self.fixed != before.fixed {
            return None;
        }
        // Members that were found are reached as was said when they were.
        if self.discovery.is_some() && self.pools.secrets() != before.pools.secrets() {
            return None;
        }
        let running = &before.balancer;
        let sticky = self.balancer.sticky().map(|sticky| (*sticky).clone());
        self.settings = Some((BalancerSettings::of(&self.balancer), sticky.clone()));
        let mut changes = Vec::new();
        if self.method != before.method {
            let name = self.method.as_deref().unwrap_or("byrequests");
            if let Ok(method) = name.parse() {
                running.set_method(method);
                changes.push(format!("method {name}"));
            }
        }
        running.set_sticky(sticky);
        running.set_failover((*self.balancer.failover()).clone());
        for planned in &self.members {
            let name = planned.member.name();
            let known = before.members.iter();
            let known = known.clone().find(|known| known.member.name() == name);
            let result = match known {
                Some(known) if known.reached == planned.reached => {
                    if known.secrets != planned.secrets {
                        changes.push(format!("{name} has other secrets"));
                        known.pool.set_secrets(planned.secrets.clone());
                    }
                    if known.member == planned.member {
                        continue;
                    }
                    changes.push(format!("{name} changed"));
                    if running.pool(name).is_none() {
                        // An operator has removed it, and that holds.
                        continue;
                    }
                    running.update(name, |_| planned.member.clone())
                }
                Some(_) => {
                    changes.push(format!("{name} is reached otherwise"));
                    // An operator may have removed it.
                    let _ = running.remove(name);
                    running
                        .add(planned.member.clone(), planned.pool.clone())
                        .map(drop)
                }
                None => {
                    changes.push(format!("{name} added"));
                    // An operator may have added it before.
                    let _ = running.remove(name);
                    running
                        .add(planned.member.clone(), planned.pool.clone())
                        .map(drop)
                }
            };
            if let Err(error) = result {
                changes.push(format!("{name}: {error}"));
            }
        }
        for known in &before.members {
            let name = known.member.name();
            if !self
                .members
                .iter()
                .any(|planned| planned.member.name() == name)
            {
                changes.push(format!("{name} removed"));
                let _ = running.remove(name);
            }
        }
        // The pools of members that stay are the ones they have.
        for planned in &mut self.members {
            let known = before.members.iter();
            let mut same = known.filter(|known| {
                known.member.name() == planned.member.name() && known.reached == planned.reached
            });
            if let Some(known) = same.next() {
                planned.pool = known.pool.clone();
            }
        }
        self.balancer = running.clone();
        Some(changes)
    }
}
