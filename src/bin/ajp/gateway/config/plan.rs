//! A balancer as the configuration has it, and what becomes of the running one when a later
//! configuration has it differently.

use super::discovery::Found;
use crate::gateway::front::Upgrades;
use crate::gateway::settings::{BalancerSettings, Object, member_object};
use ajp::Secret;
use ajp::balancer::{Balancer, Discovery, InvalidMember, Leaving, Member, Sticky};
use ajp::client::{Address, Pool, PoolConfig, TcpOptions};
use http::uri::Authority;
use std::sync::Arc;
use std::time::Duration;

/// A balancer, and what it was made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) balancer: Balancer,
    /// The method of choosing; none: the one that is the library's own.
    method: Option<String>,
    /// The health checks, as text.
    checks: String,
    /// How members are reached that the manager adds.
    pools: PoolConfig,
    tcp: TcpOptions,
    /// What the configuration says where the running balancer may have been told otherwise.
    settings: Option<BalancerSettings>,
    sticky: Option<Arc<Sticky>>,
    members: Vec<Planned>,
    /// Where members take upgrades.
    pub(super) upgrades: Arc<Upgrades>,
    /// Where further members are found.
    discovery: Option<Found>,
}

#[derive(Debug)]
struct Planned {
    member: Member,
    address: Address,
    pool: PoolConfig,
    upgrade: Option<Authority>,
}

impl Planned {
    /// How it is reached, as text, without the secrets.
    fn reached(&self) -> String {
        reached(&self.address, &self.pool)
    }
}

fn reached(address: &Address, pool: &PoolConfig) -> String {
    format!("{address:?} {:?}", pool.clone().with_secrets([]))
}

impl Plan {
    /// A balancer without members.
    pub(super) fn new(
        balancer: Balancer,
        checks: String,
        pools: PoolConfig,
        tcp: TcpOptions,
    ) -> Self {
        let balancer_sticky = balancer.sticky();
        Self {
            balancer,
            method: None,
            checks,
            sticky: balancer_sticky,
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

    /// Where further members are found, how they are reached, and how those leave that are gone
    /// from there.
    pub(crate) fn discovery(&self) -> Option<(Discovery, Leaving)> {
        let found = self.discovery.as_ref()?;
        Some(found.discovery(self.pools.clone(), self.tcp))
    }

    /// How long its first members are waited for before requests are taken, if they must be
    /// found.
    pub(crate) fn first_set(&self) -> Option<Duration> {
        self.discovery.as_ref().map(Found::first_set)
    }

    /// The place where further members are found and the way to them, to be compared.
    fn place(&self) -> Option<(String, &[Secret])> {
        let found = self.discovery.as_ref()?;
        let pools = self.pools.clone().with_secrets([]);
        let place = format!("{found:?} {pools:?} {:?}", self.tcp);
        Some((place, self.pools.secrets()))
    }

    /// As [`place`](Self::place), with the members of the configuration: one that is no longer among
    /// them may be found there.
    pub(crate) fn finds(&self) -> Option<(String, Vec<Secret>)> {
        let (place, secrets) = self.place()?;
        let members = self.members.iter().map(|planned| planned.member.name());
        let members: Vec<&str> = members.collect();
        Some((format!("{place} {members:?}"), secrets.to_vec()))
    }

    pub(crate) fn name(&self) -> &str {
        self.balancer.name()
    }

    /// How many connections the members of the configuration may have together.
    pub(crate) fn most_connections(&self) -> usize {
        let most = |planned: &Planned| planned.pool.max_connections();
        self.members.iter().map(most).fold(0, usize::saturating_add)
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
            Some(settings) => settings.clone(),
            None => BalancerSettings::of(&self.balancer),
        }
    }

    /// The sticky sessions of the configuration.
    pub(crate) fn sticky(&self) -> Option<Arc<Sticky>> {
        self.sticky.clone()
    }

    /// Where its members take upgrades.
    pub(crate) fn upgrades(&self) -> Arc<Upgrades> {
        Arc::clone(&self.upgrades)
    }

    /// What the configuration says of the members, by their names.
    pub(crate) fn members(&self) -> impl Iterator<Item = (String, Object)> {
        self.members.iter().map(|planned| {
            let most = planned.pool.max_connections();
            let upgrade = planned.upgrade.as_ref();
            let object = member_object(&planned.member, &planned.pool, most, upgrade);
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
        self.balancer.add(member.clone(), pool)?;
        self.members.push(Planned {
            upgrade: self.upgrades.get(member.name()),
            member,
            address: address.clone(),
            pool: config.clone(),
        });
        Ok(())
    }

    /// Makes the running balancer what this plan says; what has changed, in words. Members that
    /// stay keep their state, and their connections unless they are reached otherwise; new ones
    /// are added, those that are gone end what they are serving. What an operator has changed of
    /// a member stays until the configuration says something new of it.
    pub(crate) fn adopt(&mut self, before: &Self) -> Vec<String> {
        let running = &before.balancer;
        self.settings = Some(BalancerSettings::of(&self.balancer));
        let mut changes = Vec::new();
        if self.method != before.method {
            let name = self.method.as_deref().unwrap_or("byrequests");
            if let Ok(method) = name.parse() {
                running.set_method(method);
                changes.push(format!("method {name}"));
            }
        }
        running.set_sticky(self.balancer.sticky().map(|sticky| (*sticky).clone()));
        running.set_failover((*self.balancer.failover()).clone());
        running.set_cluster_config(self.balancer.cluster_config());
        if self.checks != before.checks {
            running.set_health(self.balancer.health());
            changes.push("other health checks".into());
        }
        if self.place() != before.place() {
            changes.push("other discovery".into());
        }
        for planned in &self.members {
            if let Err(error) = planned.settle(before, &mut changes) {
                changes.push(format!("{}: {error}", planned.member.name()));
            }
        }
        for known in &before.members {
            let name = known.member.name();
            if !self.has(name) {
                changes.push(format!("{name} removed"));
                let _ = running.remove(name);
            }
        }
        self.reach_others(before);
        self.balancer = running.clone();
        changes
    }

    /// Whether the configuration names this member.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut members = self.members.iter();
        members.any(|planned| planned.member.name() == name)
    }

    /// Members that the configuration does not name are reached as it says for all.
    fn reach_others(&self, before: &Self) {
        let running = &before.balancer;
        let is_other = |before: &PoolConfig| {
            let text = |config: &PoolConfig| format!("{:?}", config.clone().with_secrets([]));
            text(before) != text(&self.pools)
        };
        let changed = is_other(&before.pools) || self.tcp != before.tcp;
        for member in running.members() {
            let name = member.name();
            let Some(pool) = running.pool(name).filter(|_| !self.has(name)) else {
                continue;
            };
            if changed {
                let other = match pool.peer().parse::<Address>() {
                    Ok(address) if self.tcp != before.tcp => {
                        Pool::new(address.with_tcp(self.tcp), self.pools.clone())
                    }
                    _ => pool.with_config(self.pools.clone()),
                };
                // It may have been removed meanwhile.
                let _ = running.set_pool(name, other);
            }
            pool.set_secrets(self.pools.secrets().to_vec());
        }
    }
}

impl Planned {
    /// Makes the member that runs this one, or adds it.
    fn settle(&self, before: &Plan, changes: &mut Vec<String>) -> Result<(), InvalidMember> {
        let running = &before.balancer;
        let name = self.member.name();
        let known = before.members.iter();
        let known = known.clone().find(|known| known.member.name() == name);
        let Some(known) = known else {
            changes.push(format!("{name} added"));
            // An operator may have added it before.
            let _ = running.remove(name);
            let pool = Pool::new(self.address.clone(), self.pool.clone());
            return running.add(self.member.clone(), pool).map(drop);
        };
        let Some(pool) = running.pool(name) else {
            // An operator has removed it, and that holds.
            return Ok(());
        };
        if known.reached() != self.reached() {
            changes.push(format!("{name} is reached otherwise"));
            let pool = Pool::new(self.address.clone(), self.pool.clone());
            running.set_pool(name, pool)?;
        } else if known.pool.secrets() != self.pool.secrets() {
            changes.push(format!("{name} has other secrets"));
            pool.set_secrets(self.pool.secrets().to_vec());
        }
        if known.member != self.member {
            changes.push(format!("{name} changed"));
            running.update(name, |_| self.member.clone())?;
        }
        Ok(())
    }
}
