//! A balancer as the configuration has it, and what becomes of the running one when a later
//! configuration has it differently.

use ajp::balancer::{Balancer, InvalidMember, Member};
use ajp::client::{Address, Pool, PoolConfig};

/// A balancer, and what it was made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) balancer: Balancer,
    /// The method of choosing; none: the one that is the library's own.
    method: Option<&'static str>,
    /// What cannot be changed while it runs, as text.
    fixed: String,
    members: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    member: Member,
    pool: Pool,
    /// How it is reached, as text, the secret as a digest.
    reached: String,
}

impl Plan {
    /// A balancer without members.
    pub(super) fn new(balancer: Balancer, fixed: String) -> Self {
        Self {
            balancer,
            method: None,
            fixed,
            members: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.balancer.name()
    }

    /// Chooses by this method of the library.
    pub(super) fn set_method(&mut self, name: &'static str) {
        self.method = Some(name);
        if let Ok(method) = name.parse() {
            self.balancer.set_method(method);
        }
    }

    /// Adds a member at this address. `secret` tells whether its secret has changed.
    pub(super) fn add(
        &mut self,
        member: Member,
        address: &Address,
        config: &PoolConfig,
        secret: u64,
    ) -> Result<(), InvalidMember> {
        let pool = Pool::new(address.clone(), config.clone());
        self.balancer.add(member.clone(), pool.clone())?;
        self.members.push(Planned {
            member,
            pool,
            reached: format!("{address} {config:?} {secret}"),
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
        let running = &before.balancer;
        let mut changes = Vec::new();
        if self.method != before.method {
            let name = self.method.unwrap_or("byrequests");
            if let Ok(method) = name.parse() {
                running.set_method(method);
                changes.push(format!("method {name}"));
            }
        }
        running.set_sticky(self.balancer.sticky().map(|sticky| (*sticky).clone()));
        running.set_failover((*self.balancer.failover()).clone());
        for planned in &self.members {
            let name = planned.member.name();
            let known = before.members.iter();
            let known = known.clone().find(|known| known.member.name() == name);
            let result = match known {
                Some(known) if known.reached == planned.reached => {
                    if known.member == planned.member {
                        continue;
                    }
                    changes.push(format!("{name} changed"));
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
