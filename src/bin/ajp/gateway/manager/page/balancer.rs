//! A balancer and its members, each in a row.

use super::super::Manager;
use super::super::farm::Managed;
use super::super::format;
use super::super::health::serves;
use super::super::markup::{Markup, Slot};
use super::super::metrics::state;
use super::super::verdicts::Verdict;
use super::edit::actions;
use super::{FLAGS, link, page_of};
use ajp::balancer::{Flags, LatencySnapshot, MemberSnapshot, MemberState};
use ajp::client::PoolStats;

const BALANCER: &str = include_str!("../templates/balancer.html");
const MEMBER: &str = include_str!("../templates/member.html");
const LAST_ERROR: &str = include_str!("../templates/last_error.html");
const VERDICT: &str = include_str!("../templates/verdict.html");

/// One balancer.
pub(super) fn balancer(manager: &Manager, entry: &Managed, refresh: u32) -> Markup {
    let nonce = manager.nonce();
    let snapshot = &entry.balancer.snapshot();
    let members = &snapshot.members;
    let elected = members.iter().map(|member| member.elected).sum();
    let rows = members.iter().map(|member| {
        let actions = nonce.map(|nonce| actions(nonce, &snapshot.name, member, refresh));
        let shown = Shown {
            balancer: &snapshot.name,
            member,
            pool: entry.balancer.pool(&member.name).map(|pool| pool.stats()),
            verdict: manager.verdicts.of(&snapshot.name, &member.name),
        };
        shown.row(elected, actions.unwrap_or_default())
    });
    let serving = members.iter().filter(|member| serves(member)).count();
    let health = match serving {
        0 => "bad",
        n if n < members.len() => "warn",
        _ => "good",
    };
    let sticky = match (&snapshot.sticky, snapshot.sticky_force) {
        (None, _) => "no".to_owned(),
        (Some(names), false) => names.clone(),
        (Some(names), true) => format!("{names}, no failover"),
    };
    let attempts = snapshot.max_attempts;
    let attempts = attempts.map_or("all members".to_owned(), |most| most.to_string());
    let edit = nonce.map(|_| link(&snapshot.name, None, "Edit"));
    let head = nonce.map(|_| Markup::fill("<th></th>\n", &[]));
    let count = |number| Slot::from(format::count(number));
    let unknown = match &snapshot.last_unknown_route {
        Some(route) => format!("{}, last {route}", format::count(snapshot.unknown_routes)),
        None => format::count(snapshot.unknown_routes),
    };
    Markup::fill(
        BALANCER,
        &[
            ("name", (&*snapshot.name).into()),
            ("health", health.into()),
            ("serving", serving.into()),
            ("all", members.len().into()),
            ("edit", edit.unwrap_or_default().into()),
            ("method", (&*snapshot.method).into()),
            ("sticky", sticky.into()),
            ("attempts", attempts.into()),
            (
                "check",
                snapshot.health_check.as_deref().unwrap_or("no").into(),
            ),
            ("refused_full", count(snapshot.refused_full)),
            ("refused_down", count(snapshot.refused_down)),
            ("moved", count(snapshot.moved_sessions)),
            ("refused", count(snapshot.refused_sessions)),
            ("lost", count(snapshot.lost_sessions)),
            ("unknown", unknown.into()),
            ("repeated", count(snapshot.repeated)),
            ("actions", head.unwrap_or_default().into()),
            ("members", rows.collect::<Markup>().into()),
        ],
    )
}

/// A member, and what else is shown of it.
struct Shown<'a> {
    balancer: &'a str,
    member: &'a MemberSnapshot,
    /// None once it is leaving.
    pool: Option<PoolStats>,
    verdict: Option<Verdict>,
}

impl Shown<'_> {
    fn row(&self, elected_all: u64, actions: Markup) -> Markup {
        let member = self.member;
        let columns = if actions == Markup::default() {
            10u32
        } else {
            11
        };
        let share = member.elected.saturating_mul(100).checked_div(elected_all);
        let (word, colour) = word(member);
        let fails = if member.failed > 0 { "fails" } else { "" };
        let sub = "<span class=\"sub\">{{text}}</span>";
        let sub = |text: Option<String>| {
            text.map(|text| Markup::fill(sub, &[("text", text.into())]))
                .unwrap_or_default()
        };
        let [median, slow, slowest] = latency(&member.latency);
        let (in_use, pool) = match &self.pool {
            None => ("-".to_owned(), String::new()),
            Some(pool) => (
                format!("{} used", pool.in_use),
                format!("{} idle of {}", pool.idle, pool.max_connections),
            ),
        };
        let recovery = member
            .recovery_in
            .filter(|_| member.state == MemberState::Error)
            .map(|time| format!("tried in {}", format::left(time)));
        let weight = member.weight;
        let is_less = weight.hundredths() != member.effective_weight;
        let effective = format!(
            "{}.{:02} now",
            member.effective_weight / 100,
            member.effective_weight % 100
        );
        Markup::fill(
            MEMBER,
            &[
                ("name", (&*member.name).into()),
                ("address", non_empty(&member.address, &member.name).into()),
                (
                    "route",
                    sub(member.route.as_ref().map(|route| format!("route {route}"))).into(),
                ),
                ("state", state(member.state).into()),
                ("letters", member.flags.to_string().into()),
                ("word", word.into()),
                ("colour", colour.into()),
                ("flags", flag_pills(member.flags).into()),
                ("secret", self.secret().into()),
                ("page", page_of(self.balancer, Some(&member.name)).into()),
                ("recovery", sub(recovery).into()),
                ("weight", weight.to_string().into()),
                ("effective", sub(is_less.then_some(effective)).into()),
                ("set", member.set.into()),
                ("elected", format::count(member.elected).into()),
                ("elected_exact", member.elected.into()),
                ("elected_all", elected_all.max(1).into()),
                ("share", share.unwrap_or(0).into()),
                ("busy", member.busy.into()),
                ("max_busy", member.max_busy.into()),
                ("limit", adaptive_limit(member).into()),
                ("received", format::bytes(member.received_bytes).into()),
                ("received_exact", member.received_bytes.into()),
                ("sent", format::bytes(member.sent_bytes).into()),
                ("sent_exact", member.sent_bytes.into()),
                ("fails", fails.into()),
                ("failed", member.failed.into()),
                ("timed_out", member.timed_out.into()),
                ("full", member.full.into()),
                ("median", median.into()),
                ("slow", slow.into()),
                ("slowest", slowest.into()),
                ("in_use", in_use.into()),
                ("pool", pool.into()),
                ("waiting", self.waiting().into()),
                ("actions", actions.into()),
                ("error", self.errors(columns).into()),
            ],
        )
    }

    /// How many requests wait for a connection, if any do.
    fn waiting(&self) -> Markup {
        let waiting = self.pool.as_ref().map_or(0, |pool| pool.waiting);
        if waiting == 0 {
            return Markup::default();
        }
        let pill = "<span class=\"pill warn\" data-field=\"waiting\">{{count}} waiting</span>";
        Markup::fill(pill, &[("count", waiting.into())])
    }

    /// That it still takes an older secret than the first, if it does.
    fn secret(&self) -> Markup {
        let place = self.pool.as_ref().and_then(|pool| pool.secret_in_use);
        let Some(place) = place.filter(|place| *place > 0) else {
            return Markup::default();
        };
        let pill = "<span class=\"pill warn\" data-field=\"secret\" title=\"it takes number \
                    {{number}} of secret_file\">old secret</span>";
        Markup::fill(pill, &[("number", place.saturating_add(1).into())])
    }

    /// What was found out to be wrong, and the last error.
    fn errors(&self, columns: u32) -> Markup {
        let member = self.member;
        let verdict = self.verdict.as_ref().and_then(|verdict| {
            let cause = verdict.cause.as_ref()?;
            let name = member.route.as_deref().unwrap_or(&member.name);
            Some(Markup::fill(
                VERDICT,
                &[
                    ("label", cause.label().into()),
                    ("columns", columns.into()),
                    ("ago", format::span(verdict.age()).into()),
                    ("cause", cause.of(name).into()),
                    ("advice", cause.advice().into()),
                ],
            ))
        });
        // What the verdict explains needs not be said twice.
        let mismatch = self.pool.as_ref().and_then(|pool| pool.last_mismatch);
        let mismatch = mismatch.map(|(mismatch, _)| mismatch.to_string());
        let is_explained = verdict.is_some() && member.last_error == mismatch;
        let last = (!is_explained).then(|| last_error(member, columns));
        verdict.into_iter().chain(last).collect()
    }
}

/// How many requests it may have at a time, if that is found out.
fn adaptive_limit(member: &MemberSnapshot) -> Markup {
    let Some(limit) = member.adaptive_limit else {
        return Markup::default();
    };
    let text = "<span class=\"sub\" data-field=\"adaptive_limit\" data-value=\"{{limit}}\" \
                title=\"Requests that wait for an answer, of those that it can take at a time; \
                refused beyond that: {{refused}}\">{{in_flight}} of {{limit}}</span>";
    let in_flight = member.adaptive_in_flight.unwrap_or(0);
    Markup::fill(
        text,
        &[
            ("limit", limit.into()),
            ("in_flight", in_flight.into()),
            ("refused", member.adaptive_refused.into()),
        ],
    )
}

/// The median, what the slower ones took, and the slowest.
fn latency(latency: &LatencySnapshot) -> [String; 3] {
    if latency.count == 0 {
        return ["-".into(), String::new(), String::new()];
    }
    let slow = [("p90", latency.p90), ("p99", latency.p99)];
    let slow = slow.map(|(name, time)| format!("{name} {}", format::time(time)));
    let slowest = format!("slowest {}", format::time(latency.max));
    [format::time(latency.p50), slow.join(", "), slowest]
}

fn non_empty<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

fn last_error(member: &MemberSnapshot, columns: u32) -> Markup {
    let (Some(error), Some(ago)) = (&member.last_error, member.last_error_ago) else {
        return Markup::default();
    };
    Markup::fill(
        LAST_ERROR,
        &[
            ("columns", columns.into()),
            ("ago", format::span(ago).into()),
            ("error", (&**error).into()),
        ],
    )
}

/// A state for people, with its colour.
fn word(member: &MemberSnapshot) -> (&'static str, &'static str) {
    match member.state {
        MemberState::Ok => ("ok", "good"),
        MemberState::Full => ("full", "warn"),
        MemberState::Error if member.keeps_sessions => ("own sessions only", "warn"),
        MemberState::Error => ("error", "bad"),
        MemberState::Due => ("error, due", "bad"),
        MemberState::Trial => ("on trial", "warn"),
        MemberState::Unhealthy => ("unhealthy", "bad"),
        MemberState::Leaving => ("leaving", "off"),
        _ => ("unknown", "off"),
    }
}

fn flag_pills(flags: Flags) -> Markup {
    let set = FLAGS.iter().filter(|(flag, ..)| flags.contains(*flag));
    set.map(|(_, word, meaning)| {
        let pill = "<span class=\"pill off\" title=\"{{meaning}}\">{{word}}</span>";
        Markup::fill(
            pill,
            &[("word", (*word).into()), ("meaning", (*meaning).into())],
        )
    })
    .collect()
}
