//! What the manager shows and changes: the balancers as they run beside what the configuration
//! says of them.

use super::state::Store;
use super::state_file::StateFile;
use crate::gateway::config::Config;
use crate::gateway::front::{Action, HostName, Rule, Upgrades};
use crate::gateway::settings::{BalancerSettings, Object, apply_member, running_member};
use ajp::Secret;
use ajp::balancer::{Balancer, Sticky};
use ajp::client::{Address, Pool, PoolConfig, TcpOptions};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A balancer, and what the configuration says of it.
#[derive(Debug, Clone)]
pub(crate) struct Managed {
    pub(crate) balancer: Balancer,
    /// How members are reached that are added.
    pub(crate) pools: PoolConfig,
    pub(crate) tcp: TcpOptions,
    pub(crate) settings: BalancerSettings,
    /// The sticky sessions of the configuration.
    pub(crate) sticky: Option<Arc<Sticky>>,
    /// Where members take WebSocket.
    pub(crate) upgrades: Arc<Upgrades>,
    /// The request attributes that its members are told by settings of maps.
    pub(crate) attributes: Vec<String>,
    /// Whether further members are found.
    pub(crate) discovers: bool,
    /// The members by their names.
    pub(crate) members: BTreeMap<String, Object>,
}

/// Everything as the configuration that runs has it.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) balancers: Vec<Managed>,
    pub(crate) routes: Vec<Route>,
    pub(crate) access: Access,
}

/// A map: where a part of the site leads.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Route {
    /// Host names; none: those that no other site has.
    pub(crate) hosts: Vec<String>,
    pub(crate) path: String,
    /// A balancer and a path there, or `none` or `deny`.
    pub(crate) to: String,
}

impl Route {
    pub(crate) fn of(hosts: &[HostName], rule: &Rule) -> Self {
        let to = match &rule.action {
            Action::NotFound => "none".to_owned(),
            Action::Forbidden => "deny".to_owned(),
            Action::Forward(mapping) => mapping.target(),
        };
        Self {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            path: rule.pattern.to_string(),
            to,
        }
    }
}

/// Who may change something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// Forms of the page.
    pub(crate) forms: bool,
    /// Programs that have this.
    pub(crate) token: Option<Secret>,
    /// Names under which browsers may ask, beside IP addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
}

/// The view of this moment, and the changes that operators have made.
#[derive(Debug)]
pub(crate) struct Farm {
    view: watch::Sender<Arc<View>>,
    store: Mutex<Store>,
}

impl Farm {
    /// Reads the state file, if there is one, and makes the balancers of this configuration
    /// what it says.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(crate) fn start(config: &Config) -> Result<Self, String> {
        let path = config.manager.as_ref();
        let path: Option<PathBuf> = path.and_then(|manager| manager.state_file.clone());
        let farm = Self {
            view: watch::Sender::default(),
            store: Mutex::new(Store::open(path)?),
        };
        farm.set(config);
        Ok(farm)
    }

    /// From here on this configuration runs; its balancers are made what operators have
    /// changed them to.
    pub(crate) fn set(&self, config: &Config) {
        let view = Arc::new(View::of(config));
        let mut store = self.store();
        for note in store.apply(&view.balancers) {
            tracing::warn!("manager: {note}");
        }
        self.view.send_replace(view);
    }

    /// As it is now.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// As it is now, and whenever another configuration runs.
    pub(super) fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// The state file, if there is one.
    pub(super) fn state_file(&self) -> Option<Arc<StateFile>> {
        self.store().file().map(Arc::clone)
    }

    /// Members of a balancer that were found leave it: nobody follows where they were found.
    pub(crate) fn remove_found(&self, balancer: &Balancer) {
        let view = self.view();
        let Some(managed) = view.balancer(balancer.name()) else {
            return;
        };
        for member in balancer.members() {
            let name = member.name();
            let is_known = managed.members.contains_key(name);
            if !is_known && !self.store().added(balancer.name(), name) {
                // It may have been removed meanwhile.
                let _ = balancer.remove(name);
            }
        }
    }

    /// Waits until the changes that were made are kept.
    ///
    /// # Errors
    /// They are made, and not kept.
    pub(crate) async fn kept(&self) -> Result<(), String> {
        match self.state_file() {
            Some(file) => file.kept().await,
            None => Ok(()),
        }
    }

    /// The changes, and a balancer as the configuration has it while they are held: a reload may
    /// have come meanwhile.
    pub(super) fn locked(&self, managed: &Managed) -> (MutexGuard<'_, Store>, Managed) {
        let store = self.store();
        let view = self.view();
        let now = view.balancer(managed.balancer.name());
        (store, now.unwrap_or(managed).clone())
    }

    /// The changes. Whoever makes one holds this, so that it is the only one; nobody waits for
    /// anything with it in hand.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn of(config: &Config) -> Self {
        let balancers = config.balancers.iter().map(|plan| Managed {
            balancer: plan.balancer.clone(),
            pools: plan.pools().clone(),
            tcp: plan.tcp(),
            settings: plan.settings(),
            sticky: plan.sticky(),
            discovers: plan.discovery().is_some(),
            upgrades: plan.upgrades(),
            attributes: config.attributes_for(plan.name()),
            members: plan.members().collect(),
        });
        let manager = config.manager.as_ref();
        let access = manager.map(|manager| Access {
            forms: manager.changes,
            token: manager.token.clone(),
            hosts: manager.hosts.clone(),
        });
        Self {
            balancers: balancers.collect(),
            routes: config.routes(),
            access: access.unwrap_or_default(),
        }
    }

    /// The balancer of this name.
    pub(crate) fn balancer(&self, name: &str) -> Option<&Managed> {
        let mut balancers = self.balancers.iter();
        balancers.find(|managed| managed.balancer.name() == name)
    }
}

impl Managed {
    /// A pool for a member that is added.
    pub(super) fn pool(&self, address: &Address, config: PoolConfig) -> Pool {
        Pool::new(address.clone().with_tcp(self.tcp), config)
    }

    /// A member as it runs.
    pub(super) fn member(&self, name: &str) -> Option<Object> {
        running_member(&self.balancer, &self.upgrades, name)
    }

    /// Makes a member that runs what this object says.
    ///
    /// # Errors
    /// What is wrong with it. Then it stays as it is.
    pub(super) fn set_member(&self, name: &str, is: Object) -> Result<(), String> {
        apply_member(&self.balancer, &self.upgrades, name, is)
    }

    /// Makes the balancer work by these settings.
    ///
    /// # Errors
    /// What is wrong with them. Then it works as before.
    pub(super) fn apply(&self, settings: &BalancerSettings) -> Result<(), String> {
        settings.apply(&self.balancer, self.sticky.as_deref())
    }
}
