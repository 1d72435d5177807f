//! Why a member refuses what it is sent. AJP has no word for it: a container that is told
//! another secret answers 403, one with smaller packets closes. When that happens the gateway
//! asks the member a few questions of its own, without anything of a visitor's, and tells what
//! they come to in the log, on the page and in a metric.

use super::farm::{Farm, Managed};
use crate::probe::{HeadSize, Question, head_size};
use ajp::Secret;
use ajp::client::{Address, Mismatch, Pool, PoolConfig, PoolStats, RequestFacts, Timeouts};
use ajp::wire::PacketSize;
use http::{HeaderMap, HeaderValue, header};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

/// How often it is looked whether a member has refused something.
const LOOK: Duration = Duration::from_millis(500);

/// Members are asked no more often.
const PAUSE: Duration = Duration::from_secs(30);

/// A verdict that nothing contradicts is looked at again after this time.
const CONFIRM: Duration = Duration::from_secs(600);

/// Longest time for each step of a question.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longest time for all questions.
const ALL: Duration = Duration::from_secs(30);

/// What is wrong between the gateway and a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// None of the secrets is taken.
    Secret {
        /// Whether any is sent.
        sent: bool,
    },
    /// These request attributes are not allowed.
    Attributes(Vec<String>),
    /// The container's packets are smaller.
    PacketSize { theirs: u32, ours: usize },
}

impl Cause {
    /// A short name, for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "secret",
            Self::Attributes(_) => "attribute",
            Self::PacketSize { .. } => "packet_size",
        }
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Secret { .. } => "give both the same: secret of the <Connector> in Tomcat, \
                                    secret_file here"
                .into(),
            Self::Attributes(names) => format!(
                "allow it in Tomcat's <Connector>: allowedRequestAttributesPattern=\"{}\"",
                names.join("|")
            ),
            Self::PacketSize { ours, .. } => format!(
                "give both the same: packetSize=\"{ours}\" of the <Connector> in Tomcat, or \
                 packet_size here"
            ),
        }
    }

    /// In one sentence about a member.
    pub(super) fn of(&self, member: &str) -> String {
        match self {
            Self::Secret { sent: true } => format!("{member} refuses our secret"),
            Self::Secret { sent: false } => format!("{member} wants a secret, and we send none"),
            Self::Attributes(names) => {
                format!(
                    "{member} does not allow the request attribute {}",
                    names.join(", ")
                )
            }
            Self::PacketSize { theirs: 0, ours } => {
                format!("{member}'s packetSize is smaller than ours, {ours}")
            }
            Self::PacketSize { theirs, ours } => {
                format!("{member}'s packetSize is {theirs}, ours {ours}")
            }
        }
    }
}

/// What was found out last of a member.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// None: all was taken.
    pub(super) cause: Option<Cause>,
    at: Instant,
    /// What the pool had counted by then.
    counted: Counted,
}

impl Verdict {
    pub(super) fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    refused: u64,
    cut: u64,
    /// Exchanges that neither of these is about.
    others: u64,
}

impl Counted {
    fn of(stats: &PoolStats) -> Self {
        let refused = stats.mismatched(Mismatch::Refused);
        let cut = stats.mismatched(Mismatch::Cut);
        Self {
            refused,
            cut,
            others: stats.completed.saturating_sub(refused),
        }
    }

    fn mismatches(self) -> u64 {
        self.refused.saturating_add(self.cut)
    }
}

/// A member by the names of its balancer and its own.
type Key = (String, String);

/// What is known of the members that refuse something.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Mutex<BTreeMap<Key, Verdict>>);

impl Verdicts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of one member, if there is one and it blames something.
    pub(super) fn of(&self, balancer: &str, member: &str) -> Option<Verdict> {
        let verdicts = self.lock();
        let verdict = verdicts.get(&(balancer.to_owned(), member.to_owned()))?;
        verdict.cause.as_ref()?;
        Some(verdict.clone())
    }

    /// Looks on until `stopping` turns true.
    pub(super) async fn run(self: Arc<Self>, farm: Arc<Farm>, mut stopping: watch::Receiver<bool>) {
        loop {
            let look = async {
                tokio::time::sleep(LOOK).await;
                self.look(&farm).await;
            };
            tokio::select! {
                () = look => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Looks at all members, and asks those that have refused something new.
    async fn look(&self, farm: &Farm) {
        let view = farm.view();
        let mut known = Vec::new();
        for managed in &view.balancers {
            let balancer = &managed.balancer;
            for member in balancer.members() {
                let key = (balancer.name().to_owned(), member.name().to_owned());
                let Some(pool) = balancer.pool(member.name()) else {
                    continue;
                };
                known.push(key.clone());
                let counted = Counted::of(&pool.stats());
                if !self.is_due(&key, counted) {
                    continue;
                }
                let shown = member.route_name().unwrap_or(member.name());
                // What the questions bring to light is told once, as a verdict.
                let questions = ask(managed, &pool).with_subscriber(NoSubscriber::new());
                let asked = tokio::time::timeout(ALL, questions).await;
                let cause = asked.unwrap_or(None);
                self.tell(&key, shown, cause.as_ref());
                let verdict = Verdict {
                    cause,
                    at: Instant::now(),
                    counted,
                };
                self.lock().insert(key, verdict);
            }
        }
        self.lock().retain(|key, _| known.contains(key));
    }

    /// Whether a member is to be asked: it has refused something since the last time, which was
    /// long enough ago, and something has changed in between; or a verdict is to be confirmed.
    fn is_due(&self, key: &Key, now: Counted) -> bool {
        let verdicts = self.lock();
        let Some(last) = verdicts.get(key) else {
            return now.mismatches() > 0;
        };
        let age = last.age();
        if age < PAUSE {
            return false;
        }
        let before = last.counted;
        let is_new = now.mismatches() > before.mismatches();
        let other_kind = (now.refused > before.refused && before.refused == 0)
            || (now.cut > before.cut && before.cut == 0);
        let served_others = now.others > before.others;
        match &last.cause {
            // It takes requests again: either all is well, or it is another cause.
            Some(Cause::Secret { .. }) if served_others => true,
            Some(_) => (is_new && (other_kind || served_others)) || age >= CONFIRM,
            None => is_new,
        }
    }

    /// Tells the log what is new.
    fn tell(&self, key: &Key, member: &str, cause: Option<&Cause>) {
        let before = self
            .lock()
            .get(key)
            .and_then(|verdict| verdict.cause.clone());
        match (before, cause) {
            (Some(before), Some(cause)) if before == *cause => {}
            (_, Some(cause)) => {
                tracing::error!("{}: {}; {}", key.0, cause.of(member), cause.advice());
            }
            (Some(before), None) => {
                tracing::warn!("{}: no longer so: {}", key.0, before.of(member));
            }
            (None, None) => {}
        }
    }
}

/// Asks a member, over connections of its own.
async fn ask(managed: &Managed, pool: &Pool) -> Option<Cause> {
    let address: Address = pool.peer().parse().ok()?;
    let timeouts = Timeouts::default()
        .with_connect(PATIENCE)
        .with_write(PATIENCE)
        .with_response_head(PATIENCE)
        .with_between_packets(PATIENCE);
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    let config = PoolConfig::default()
        .with_packet_size(PacketSize::MAX)
        .with_timeouts(timeouts);
    let question = Question::of_container(&address, &headers, config);
    let bare = RequestFacts::own_request();
    let secret = match taken_secret(&question, &bare, &pool.secrets()).await {
        Ok(secret) => secret,
        Err(cause) => return cause,
    };
    let secret = secret.as_ref();
    let mut refused = Vec::new();
    for name in &managed.attributes {
        let facts = bare.clone().with_attribute(name, "1");
        match question.ask(facts, secret, 0).await {
            Ok(answer) if answer.is_refusal() => refused.push(name.clone()),
            _ => {}
        }
    }
    if !refused.is_empty() {
        return Some(Cause::Attributes(refused));
    }
    let ours = pool.config().packet_size();
    match head_size(&question, &bare, secret, ours).await {
        HeadSize::Whole => None,
        HeadSize::UpTo(theirs) => Some(Cause::PacketSize {
            theirs,
            ours: ours.bytes(),
        }),
    }
}

/// The secret that is taken; the cause when none is, and nothing when there is no answer to
/// judge by.
async fn taken_secret(
    question: &Question<'_>,
    facts: &RequestFacts,
    secrets: &[Secret],
) -> Result<Option<Secret>, Option<Cause>> {
    let mut refused = false;
    let all = secrets.iter().map(Some);
    let all: Vec<Option<&Secret>> = if secrets.is_empty() {
        vec![None]
    } else {
        all.collect()
    };
    for secret in all {
        match question.ask(facts.clone(), secret, 0).await {
            Ok(answer) if answer.is_refusal() => refused = true,
            Ok(_) => return Ok(secret.cloned()),
            Err(_) => {}
        }
    }
    let sent = !secrets.is_empty();
    Err(refused.then_some(Cause::Secret { sent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(refused: u64, cut: u64, others: u64) -> Counted {
        Counted {
            refused,
            cut,
            others,
        }
    }

    #[test]
    fn a_member_is_asked_once_for_each_change_and_not_too_often() {
        let key = ("b".to_owned(), "m".to_owned());
        let verdicts = Verdicts::default();
        assert!(!verdicts.is_due(&key, counted(0, 0, 9)));
        assert!(verdicts.is_due(&key, counted(1, 0, 9)));
        let secret = Cause::Secret { sent: true };
        let attribute = Cause::Attributes(vec!["x".into()]);
        let size = Cause::PacketSize {
            theirs: 8192,
            ours: 65536,
        };
        let old = Duration::from_secs(31);
        for (cause, age, now, due) in [
            // Too early, whatever it is.
            (
                Some(&secret),
                Duration::from_secs(29),
                counted(9, 9, 99),
                false,
            ),
            // The same goes on.
            (Some(&secret), old, counted(500, 0, 9), false),
            (Some(&size), old, counted(1, 0, 9), false),
            // It takes something again.
            (Some(&secret), old, counted(1, 0, 10), true),
            (Some(&attribute), old, counted(1, 0, 10), false),
            (Some(&attribute), old, counted(2, 0, 10), true),
            // Something else is refused.
            (Some(&attribute), old, counted(1, 1, 9), true),
            // All was well.
            (None, old, counted(1, 0, 9), false),
            (None, old, counted(2, 0, 9), true),
            // From time to time.
            (Some(&size), CONFIRM, counted(1, 0, 9), true),
        ] {
            let verdict = Verdict {
                cause: cause.cloned(),
                at: Instant::now().checked_sub(age).unwrap(),
                counted: counted(1, 0, 9),
            };
            verdicts.lock().insert(key.clone(), verdict);
            assert_eq!(verdicts.is_due(&key, now), due, "{cause:?} {age:?} {now:?}");
        }
    }
}
