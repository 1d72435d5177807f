//! Members that are being emptied: each drain goes on in a task of its own, whether whoever
//! asked for it waits or not.

use super::edit::{self, Author, Way};
use super::farm::{Farm, Managed, View};
use super::refusal::Refusal;
use crate::gateway::settings::{Object, allowed_seconds, seconds};
use ajp::balancer::{Balancer, Drained, Flags, MemberSnapshot};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// As Tomcat's `session-timeout`.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How long a drain takes at most that says nothing of it. Whoever sends a session id of the
/// member's route, a real one or not, is sent to it, and without an end a client that asks now and
/// then would keep it draining for ever: AJP does not tell whether the container knows the session.
const AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// How long running requests may take to end after a member was disabled.
const LAST_REQUESTS: Duration = Duration::from_secs(60);

/// How often it is looked at them.
const LOOK: Duration = Duration::from_millis(50);

/// What becomes of a member at the end of its drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    /// It goes on draining.
    #[default]
    Keep,
    /// It serves no request any more: sessions that are left move to other members.
    Disable,
    /// It is removed.
    Remove,
}

/// What a drain is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    session_timeout: Option<Value>,
    at_most: Option<Value>,
    then: Then,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// It is waited for sessions and requests.
    Draining,
    /// No session and no request is left, or none is served any more.
    Drained,
    /// The time is up.
    TimeUp,
    /// Somebody took the member back or removed it.
    TakenBack,
}

#[derive(Debug)]
struct Drainage {
    started: Instant,
    session_timeout: Duration,
    at_most: Duration,
    then: Then,
    phase: Arc<Mutex<Phase>>,
    task: AbortHandle,
}

/// All of them, by balancer and member.
#[derive(Debug, Default)]
pub(super) struct Drains(Mutex<BTreeMap<(String, String), Drainage>>);

impl Drains {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Drainage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to drain a member; a drain that runs is replaced.
    pub(super) fn start(
        &self,
        farm: &Arc<Farm>,
        author: Author,
        managed: &Managed,
        name: &str,
        wish: Object,
    ) -> Result<(), Refusal> {
        let wish: Wish = serde_json::from_value(Value::Object(wish))
            .map_err(|error| Refusal::bad(error.to_string()))?;
        let session_timeout = time("session_timeout", wish.session_timeout.as_ref())?;
        let session_timeout = session_timeout.unwrap_or(SESSION_TIMEOUT);
        let at_most = time("at_most", wish.at_most.as_ref())?.unwrap_or(AT_MOST);
        let balancer = &managed.balancer;
        set(farm, author, managed, name, Flags::DRAINING, true)?;
        let phase = Arc::new(Mutex::new(Phase::Draining));
        let author = Author {
            way: Way::Drain,
            ..author
        };
        let started = Instant::now();
        let drain = Drain {
            farm: Arc::clone(farm),
            author,
            balancer: balancer.name().to_owned(),
            name: name.to_owned(),
            started,
            session_timeout,
            at_most,
            then: wish.then,
        };
        let result = Arc::clone(&phase);
        let task = tokio::spawn(async move {
            let ended = drain.run().await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = ended;
        });
        let drainage = Drainage {
            started,
            session_timeout,
            at_most,
            then: wish.then,
            phase,
            task: task.abort_handle(),
        };
        let key = (balancer.name().to_owned(), name.to_owned());
        let before = self.lock().insert(key, drainage);
        if let Some(before) = before {
            before.task.abort();
        }
        Ok(())
    }

    /// Ends a drain: the member serves again.
    pub(super) fn end(
        &self,
        farm: &Farm,
        author: Author,
        managed: &Managed,
        name: &str,
    ) -> Result<(), Refusal> {
        let key = (managed.balancer.name().to_owned(), name.to_owned());
        let before = self.lock().remove(&key);
        if let Some(before) = before {
            before.task.abort();
        }
        set(
            farm,
            author,
            managed,
            name,
            Flags::DRAINING | Flags::DISABLED,
            false,
        )
    }

    /// How far the drain of a member is; null if there is none.
    pub(super) fn state(
        &self,
        balancer: &str,
        name: &str,
        member: Option<&MemberSnapshot>,
    ) -> Value {
        let drains = self.lock();
        let Some(drain) = drains.get(&(balancer.to_owned(), name.to_owned())) else {
            return Value::Null;
        };
        let phase = *drain.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = drain.started.elapsed();
        let seen = member.and_then(|member| member.last_own_session_ago);
        let quiet = seen.unwrap_or(waited).min(waited);
        json!({
            "phase": phase,
            "waited": waited.as_secs_f64(),
            "busy": member.map_or(0, |member| member.busy),
            "last_session_ago": seen.map(|seen| seen.as_secs_f64()),
            "sessions_over_in": drain.session_timeout.saturating_sub(quiet).as_secs_f64(),
            "session_timeout": drain.session_timeout.as_secs_f64(),
            "at_most": drain.at_most.as_secs_f64(),
            "then": drain.then,
        })
    }
}

/// A drain that runs. A reload may put another balancer, or another configuration of it, in the
/// place of the one that it began with: it goes on with what is there.
struct Drain {
    farm: Arc<Farm>,
    author: Author,
    balancer: String,
    name: String,
    started: Instant,
    session_timeout: Duration,
    at_most: Duration,
    then: Then,
}

impl Drain {
    /// The balancer as it is now, unless a reload has taken it away.
    fn managed(&self) -> Option<Managed> {
        self.farm.view().balancer(&self.balancer).cloned()
    }

    async fn run(self) -> Phase {
        let phase = match self.drained().await {
            Some(Drained::Empty) => Phase::Drained,
            Some(Drained::TimeUp { .. }) => Phase::TimeUp,
            _ => return Phase::TakenBack,
        };
        let Some(managed) = self.managed() else {
            return Phase::TakenBack;
        };
        let (farm, name) = (&self.farm, &*self.name);
        match self.then {
            Then::Keep => phase,
            Then::Disable => {
                if set(farm, self.author, &managed, name, Flags::DISABLED, true).is_err() {
                    return Phase::TakenBack;
                }
                self.last_requests().await
            }
            Then::Remove => match edit::remove(farm, self.author, &managed, name) {
                // Requests that it is serving end undisturbed.
                Ok(_) => Phase::Drained,
                Err(_) => Phase::TakenBack,
            },
        }
    }

    /// Waits until the member is drained, in whichever balancer it is.
    async fn drained(&self) -> Option<Drained> {
        let mut views = self.farm.views();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let balancer = &view.balancer(&self.balancer)?.balancer;
            let left = self.at_most.saturating_sub(self.started.elapsed());
            let drain = balancer.drain(&self.name).ok()?;
            let drain = drain
                .with_session_timeout(self.session_timeout)
                .with_at_most(left);
            let is_other = |view: &Arc<View>| {
                let now = view.balancer(&self.balancer);
                !now.is_some_and(|now| now.balancer.is_same(balancer))
            };
            tokio::select! {
                drained = drain.finish() => return Some(drained),
                // An error is the end of the process.
                _ = views.wait_for(is_other) => {}
            }
        }
    }

    /// Waits for the requests that still run.
    async fn last_requests(&self) -> Phase {
        let start = tokio::time::Instant::now();
        loop {
            let Some(managed) = self.managed() else {
                return Phase::TakenBack;
            };
            let snapshot = managed.balancer.snapshot();
            let mut members = snapshot.members.iter();
            let Some(member) = members.find(|member| member.name == self.name) else {
                return Phase::TakenBack;
            };
            if !member.flags.contains(Flags::DISABLED) {
                return Phase::TakenBack;
            }
            if member.busy == 0 {
                return Phase::Drained;
            }
            if start.elapsed() >= LAST_REQUESTS {
                return Phase::TimeUp;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Sets or clears flags of a member.
fn set(
    farm: &Farm,
    author: Author,
    managed: &Managed,
    name: &str,
    flags: Flags,
    on: bool,
) -> Result<(), Refusal> {
    let current = flags_of(&managed.balancer, name)?;
    let sign = if on { "+" } else { "-" };
    let wanted = current.apply(&format!("{sign}{flags}"));
    let wanted = wanted.map_err(|error| Refusal::bad(error.to_string()))?;
    let patch = [("flags".to_owned(), wanted.to_string().into())];
    edit::member(farm, author, managed, name, patch.into_iter().collect())?;
    Ok(())
}

fn flags_of(balancer: &Balancer, name: &str) -> Result<Flags, Refusal> {
    let members = balancer.members();
    let member = members.iter().find(|member| member.name() == name);
    let member = member.ok_or_else(|| Refusal::no_member(balancer, name))?;
    Ok(member.current_flags())
}

/// A time: a number of seconds, or a text such as "30m".
fn time(key: &str, given: Option<&Value>) -> Result<Option<Duration>, Refusal> {
    let Some(given) = given.filter(|given| !given.is_null()) else {
        return Ok(None);
    };
    let wrong = || Refusal::bad(format!("{key}: must be {}", allowed_seconds!()));
    seconds(given).map(Some).ok_or_else(wrong)
}
