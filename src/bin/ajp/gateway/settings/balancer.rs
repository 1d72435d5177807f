//! How a balancer works: what of it can be changed while it runs.

use super::Object;
use super::values::Seconds;
use crate::gateway::config::METHODS;
use ajp::balancer::{
    Balancer, ClusterConfig, Failover, Health, InvalidSticky, Method, OnStatus, RetryBudget, Sticky,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The settings of a balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches of a configuration, each with a key of its own"
)]
pub(crate) struct BalancerSettings {
    /// How it chooses.
    method: String,
    /// Cookie and path parameter of sessions; none: no sticky sessions.
    sticky: Option<String>,
    /// Whether sessions are refused rather than moved.
    nofailover: bool,
    /// Most members that a request is tried on; none: all.
    attempts: Option<u32>,
    /// Statuses on which a member has failed; negative: it is well, and another is tried.
    fail_on_status: Vec<i32>,
    /// Of bodies so much is kept to be sent again.
    replay_bytes: usize,
    repeat_sent_bodies: bool,
    repeat_timed_out: bool,
    /// How long a doubtful member is asked for; none: as long as it takes.
    probe_limit: Option<Seconds>,
    send_activation: bool,
    budget_percent: u32,
    budget_min_per_second: u32,
    /// How long a member that failed is left alone.
    retry: Seconds,
    forced_recovery: bool,
    slow_start: Option<Seconds>,
    max_timeouts: Option<u32>,
    retry_after: Seconds,
    panic_threshold: u32,
    /// The rhythm of health checks; none: there are no checks.
    health_interval: Option<Seconds>,
    health_limit: Option<Seconds>,
    health_rise: Option<u32>,
    health_fall: Option<u32>,
}

impl BalancerSettings {
    /// Those of a balancer as it runs.
    pub(crate) fn of(balancer: &Balancer) -> Self {
        let sticky = balancer.sticky();
        let failover = balancer.failover();
        let cluster = balancer.cluster_config();
        let health = balancer.health();
        let health = health.as_ref();
        let statuses = failover.statuses().iter();
        Self {
            method: balancer.method().name(),
            sticky: sticky.as_ref().map(|sticky| sticky.names()),
            nofailover: sticky.is_some_and(|sticky| sticky.is_forced()),
            attempts: failover.max_attempts(),
            fail_on_status: statuses
                .map(|(status, action)| match action {
                    OnStatus::TryOther => i32::from(*status).wrapping_neg(),
                    _ => i32::from(*status),
                })
                .collect(),
            replay_bytes: failover.replay_bytes(),
            repeat_sent_bodies: failover.repeat_sent_bodies(),
            repeat_timed_out: failover.repeat_timed_out(),
            probe_limit: failover.probe_limit().map(Seconds),
            send_activation: failover.send_activation(),
            budget_percent: failover.budget().percent(),
            budget_min_per_second: failover.budget().min_per_second(),
            retry: Seconds(cluster.retry()),
            forced_recovery: cluster.forced_recovery(),
            slow_start: cluster.slow_start().map(Seconds),
            max_timeouts: cluster.max_timeouts(),
            retry_after: Seconds(cluster.retry_after()),
            panic_threshold: cluster.panic_threshold(),
            health_interval: health.map(|health| Seconds(health.interval())),
            health_limit: health.map(|health| Seconds(health.limit())),
            health_rise: health.map(Health::rise),
            health_fall: health.map(Health::fall),
        }
    }

    /// What an object says, all keys of which are there.
    ///
    /// # Errors
    /// Which key is wrong, and why.
    pub(crate) fn read(object: Object) -> Result<Self, String> {
        serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string())
    }

    /// As an object.
    pub(crate) fn object(&self) -> Object {
        super::object(self)
    }

    /// Makes a balancer work by these settings: all of them, or none when one is wrong.
    ///
    /// # Errors
    /// Which one is wrong, and what is allowed.
    pub(crate) fn apply(
        &self,
        balancer: &Balancer,
        configured: Option<&Sticky>,
    ) -> Result<(), String> {
        let before = Self::of(balancer);
        let method = self.changed_method(&before)?;
        let sticky = self.new_sticky(balancer, configured)?;
        let failover = self.new_failover(&balancer.failover())?;
        let cluster = self.new_cluster(balancer.cluster_config())?;
        let health = self.new_health(balancer.health())?;
        if let Some(method) = method {
            balancer.set_method(method);
        }
        balancer.set_sticky(sticky);
        balancer.set_failover(failover);
        balancer.set_cluster_config(cluster);
        if Self::of(balancer).health() != self.health() {
            balancer.set_health(health);
        }
        Ok(())
    }

    fn health(&self) -> [Option<Value>; 4] {
        let value = |seconds: Option<Seconds>| serde_json::to_value(seconds?).ok();
        [
            value(self.health_interval),
            value(self.health_limit),
            self.health_rise.map(Into::into),
            self.health_fall.map(Into::into),
        ]
    }

    fn new_cluster(&self, before: ClusterConfig) -> Result<ClusterConfig, String> {
        if self.max_timeouts == Some(0) {
            return Err("max_timeouts: must be 1 or more, or null for none".into());
        }
        if self.panic_threshold > 100 {
            return Err("panic_threshold: must be from 0 to 100 percent".into());
        }
        Ok(before
            .with_retry(self.retry.0)
            .with_forced_recovery(self.forced_recovery)
            .with_slow_start(self.slow_start.map(|time| time.0))
            .with_max_timeouts(self.max_timeouts)
            .with_retry_after(self.retry_after.0)
            .with_panic_threshold(self.panic_threshold))
    }

    fn new_health(&self, before: Option<Health>) -> Result<Option<Health>, String> {
        let given = self.health();
        let Some(before) = before else {
            if given.iter().any(Option::is_some) {
                let text = "health_interval, health_limit, health_rise, health_fall: there are no \
                            checks; `health` in the configuration has them";
                return Err(text.into());
            }
            return Ok(None);
        };
        let (Some(interval), Some(limit), Some(rise), Some(fall)) = (
            self.health_interval,
            self.health_limit.filter(|limit| !limit.0.is_zero()),
            self.health_rise.filter(|count| *count > 0),
            self.health_fall.filter(|count| *count > 0),
        ) else {
            let text = "health_interval and health_limit: must be times above 0; health_rise and \
                        health_fall: must be 1 or more";
            return Err(text.into());
        };
        let least = std::time::Duration::from_millis(100);
        let health = before
            .with_interval(interval.0.max(least))
            .with_limit(limit.0)
            .with_rise(rise)
            .with_fall(fall);
        Ok(Some(health))
    }

    fn changed_method(&self, before: &Self) -> Result<Option<Method>, String> {
        let plain = self.method.replace('_', "");
        if plain == before.method || self.method == before.method {
            return Ok(None);
        }
        let known = self.method.parse().or_else(|_| plain.parse::<Method>());
        known
            .map(Some)
            .map_err(|_| format!("method: {:?} is none; allowed is {METHODS}", self.method))
    }

    /// The names of the sticky sessions that run or are configured mean those, with all else that
    /// is configured of them.
    fn new_sticky(
        &self,
        balancer: &Balancer,
        configured: Option<&Sticky>,
    ) -> Result<Option<Sticky>, String> {
        let Some(names) = &self.sticky else {
            if self.nofailover {
                return Err("nofailover: true needs sticky".into());
            }
            return Ok(None);
        };
        let running = balancer.sticky();
        let mut known = running.as_deref().into_iter().chain(configured);
        let sticky = match known.find(|known| known.names() == *names) {
            Some(known) => known.clone(),
            None => named(names).map_err(|error| format!("sticky: {error}"))?,
        };
        Ok(Some(sticky.with_force(self.nofailover)))
    }

    fn new_failover(&self, before: &Failover) -> Result<Failover, String> {
        if self
            .attempts
            .is_some_and(|most| !(1..=1000).contains(&most))
        {
            return Err("attempts: must be from 1 to 1000, or null for all members".into());
        }
        if self.replay_bytes > 1_000_000_000 {
            return Err("replay_bytes: must be from 0 to 1000000000".into());
        }
        if self.budget_percent > 1000 || self.budget_min_per_second > 1_000_000 {
            let text = "budget_percent: must be from 0 to 1000; budget_min_per_second: from 0 to \
                        1000000";
            return Err(text.into());
        }
        if self.probe_limit.is_some_and(|limit| limit.0.is_zero()) {
            return Err("probe_limit: must be above 0, or null for no limit".into());
        }
        let mut statuses = Vec::new();
        for number in &self.fail_on_status {
            let Ok(status @ 400..=599) = u16::try_from(number.unsigned_abs()) else {
                let text = "statuses from 400 to 599, or negative to try another member only";
                return Err(format!(
                    "fail_on_status: {number} is not allowed; allowed are {text}"
                ));
            };
            let mut known = before.statuses().iter();
            let action = match known.find(|(known, _)| *known == status) {
                _ if *number < 0 => OnStatus::TryOther,
                Some((_, OnStatus::Fail)) => OnStatus::Fail,
                _ => OnStatus::FailAndTryOther,
            };
            statuses.push((status, action));
        }
        let budget = RetryBudget::default()
            .with_percent(self.budget_percent)
            .with_min_per_second(self.budget_min_per_second);
        Ok(before
            .clone()
            .with_max_attempts(self.attempts)
            .with_statuses(statuses)
            .with_budget(budget)
            .with_replay_bytes(self.replay_bytes)
            .with_repeat_sent_bodies(self.repeat_sent_bodies)
            .with_repeat_timed_out(self.repeat_timed_out)
            .with_probe_limit(self.probe_limit.map(|time| time.0))
            .with_send_activation(self.send_activation))
    }
}

/// Sticky sessions of these names, as [`Sticky::names`] has them: further ones behind commas.
fn named(names: &str) -> Result<Sticky, InvalidSticky> {
    let (cookies, parameters) = names.split_once('|').unwrap_or((names, ""));
    let mut cookies = cookies.split(',');
    let mut parameters = parameters.split(',');
    let first = (cookies.next().unwrap_or_default(), parameters.next());
    let sticky = match first {
        (cookie, None | Some("")) if !names.contains('|') => Sticky::new(cookie)?,
        (cookie, parameter) => Sticky::new(&format!("{cookie}|{}", parameter.unwrap_or_default()))?,
    };
    let sticky = cookies.try_fold(sticky, Sticky::with_cookie)?;
    parameters.try_fold(sticky, Sticky::with_path_parameter)
}
