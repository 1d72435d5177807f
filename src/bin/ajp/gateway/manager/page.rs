//! The page: all balancers and their members, and forms that change one of them. It works
//! without scripts and renews itself, but not while somebody fills in a form.

use super::format;
use super::markup::{Markup, Slot};
use super::metrics::state;
use super::refusal::Refusal;
use super::{Manager, PATH};
use ajp::balancer::{
    BalancerSnapshot, Flags, LatencySnapshot, MemberSnapshot, MemberState, Method,
};
use axum::http::StatusCode;
use serde::Deserialize;
use std::time::SystemTime;

const PAGE: &str = include_str!("templates/page.html");
const BALANCER: &str = include_str!("templates/balancer.html");
const MEMBER: &str = include_str!("templates/member.html");
const LAST_ERROR: &str = include_str!("templates/last_error.html");
const ACTIONS: &str = include_str!("templates/actions.html");
const EDIT_MEMBER: &str = include_str!("templates/edit_member.html");
const EDIT_BALANCER: &str = include_str!("templates/edit_balancer.html");

/// What each flag means to an operator.
const FLAGS: [(Flags, &str, &str); 6] = [
    (
        Flags::DRAINING,
        "draining",
        "only requests of its own sessions",
    ),
    (Flags::DISABLED, "disabled", "no requests"),
    (
        Flags::STOPPED,
        "stopped",
        "no requests and no health checks",
    ),
    (
        Flags::HOT_STANDBY,
        "standby",
        "serves when no other member of its set can",
    ),
    (
        Flags::HOT_SPARE,
        "spare",
        "serves in place of a member of its set that cannot",
    ),
    (
        Flags::IGNORE_ERRORS,
        "ignores errors",
        "failures do not take it out",
    ),
];

/// Seconds between renewals.
const REFRESH: u32 = 5;

/// What is to be shown.
#[derive(Debug, Default, Deserialize)]
pub(super) struct View {
    refresh: Option<u32>,
    balancer: Option<String>,
    member: Option<String>,
}

/// The page for a view.
pub(super) fn page(manager: &Manager, view: &View) -> (StatusCode, Markup) {
    let snapshots = manager.snapshots();
    let Some(name) = &view.balancer else {
        return (StatusCode::OK, overview(manager, view, &snapshots));
    };
    let found = snapshots.iter().find(|balancer| balancer.name == *name);
    let form = match (manager.nonce(), found, &view.member) {
        (Some(nonce), Some(balancer), None) => Ok(edit_balancer(nonce, balancer)),
        (Some(nonce), Some(balancer), Some(name)) => {
            let mut members = balancer.members.iter();
            match members.find(|member| member.name == *name) {
                Some(member) => Ok(edit_member(nonce, &balancer.name, member)),
                None => Err("there is no such member"),
            }
        }
        (_, None, _) => Err("there is no such balancer"),
        (None, ..) => Err("the manager is read only"),
    };
    match form {
        Ok(form) => (
            StatusCode::OK,
            whole("Edit", "", None, Markup::default(), form),
        ),
        Err(text) => {
            let refusal = Refusal::new(StatusCode::NOT_FOUND, text);
            (refusal.status, self::refusal(&refusal))
        }
    }
}

/// A page that says why something was not done.
pub(super) fn refusal(refusal: &Refusal) -> Markup {
    let text = Markup::fill(
        "<section><p>{{text}}</p><p><a href=\"/balancer-manager\">Back</a></p></section>\n",
        &[("text", refusal.to_string().into())],
    );
    whole("Not done", "", None, Markup::default(), text)
}

fn whole(title: &str, about: &str, refresh: Option<u32>, links: Markup, main: Markup) -> Markup {
    let refresh = refresh.filter(|seconds| *seconds > 0).map(|seconds| {
        let tag = "<meta http-equiv=\"refresh\" content=\"{{seconds}}\">\n";
        Markup::fill(tag, &[("seconds", seconds.into())])
    });
    Markup::fill(
        PAGE,
        &[
            ("refresh", refresh.unwrap_or_default().into()),
            ("title", title.into()),
            ("about", about.into()),
            ("links", links.into()),
            ("main", main.into()),
        ],
    )
}

fn overview(manager: &Manager, view: &View, snapshots: &[BalancerSnapshot]) -> Markup {
    let refresh = view.refresh.unwrap_or(REFRESH);
    let links = [2, 5, 30, 0].into_iter().map(|seconds| {
        let word = match seconds {
            0 => "off".to_owned(),
            _ => format!("{seconds} s"),
        };
        let template = if seconds == refresh {
            "<b>{{word}}</b>"
        } else {
            "<a href=\"?refresh={{seconds}}\">{{word}}</a>"
        };
        Markup::fill(
            template,
            &[("seconds", seconds.into()), ("word", word.into())],
        )
    });
    let before = Markup::fill("Refresh", &[]);
    let after = "<a href=\"/balancer-manager.json\">JSON</a><a href=\"/metrics\">Metrics</a>";
    let links = [before].into_iter().chain(links);
    let links = links.chain([Markup::fill(after, &[])]).collect();
    // Sun, 06 Nov 1994 08:49:37 GMT
    let now = httpdate::fmt_http_date(SystemTime::now());
    let about = format!(
        "{} UTC, up {}{}",
        now.get(17..25).unwrap_or(&now),
        format::span(manager.started.elapsed()),
        if manager.nonce().is_some() {
            ""
        } else {
            ", read only"
        }
    );
    let nonce = manager.nonce();
    let balancers = snapshots.iter();
    let main = balancers
        .map(|snapshot| balancer(snapshot, nonce, refresh))
        .collect();
    whole("Balancer Manager", &about, Some(refresh), links, main)
}

fn balancer(snapshot: &BalancerSnapshot, nonce: Option<&str>, refresh: u32) -> Markup {
    let members = &snapshot.members;
    let elected = members.iter().map(|member| member.elected).sum();
    let rows = members.iter().map(|member| {
        let actions = nonce.map(|nonce| actions(nonce, &snapshot.name, member, refresh));
        row(member, elected, actions.unwrap_or_default())
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

/// Whether new sessions may go to it, now or when the others cannot.
fn serves(member: &MemberSnapshot) -> bool {
    let off = Flags::DRAINING | Flags::DISABLED | Flags::STOPPED;
    matches!(member.state, MemberState::Ok | MemberState::Full) && !member.flags.intersects(off)
}

fn row(member: &MemberSnapshot, elected_all: u64, actions: Markup) -> Markup {
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
    let (in_use, pool) = match member.pool {
        None => ("-".to_owned(), String::new()),
        Some(pool) => (
            format!("{} used", pool.in_use),
            format!("{} idle of {}", pool.idle, pool.max),
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
            ("actions", actions.into()),
            ("error", last_error(member, columns).into()),
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

fn link(balancer: &str, member: Option<&str>, word: &str) -> Markup {
    let slots = [
        ("url", edit_url(balancer, member).into()),
        ("word", word.into()),
    ];
    Markup::fill("<a href=\"{{url}}\">{{word}}</a>\n", &slots)
}

fn edit_url(balancer: &str, member: Option<&str>) -> String {
    let coded = |text: &str| -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let code = |b: u8| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        };
        text.bytes().map(code).collect()
    };
    let url = format!("{PATH}?balancer={}", coded(balancer));
    match member {
        Some(member) => format!("{url}&member={}", coded(member)),
        None => url,
    }
}

/// What can be done to a member with one click.
fn actions(nonce: &str, balancer: &str, member: &MemberSnapshot, refresh: u32) -> Markup {
    let flags = member.flags;
    let mut buttons = Vec::new();
    let off = Flags::DISABLED | Flags::STOPPED;
    if flags.intersects(off) {
        buttons.push(("status", "-D-S", "Enable"));
    } else if flags.contains(Flags::DRAINING) {
        buttons.push(("status", "-N", "Resume"));
    } else {
        buttons.push(("status", "+N", "Drain"));
    }
    if !flags.intersects(off) {
        buttons.push(("status", "+D", "Disable"));
    }
    if !matches!(
        member.state,
        MemberState::Ok | MemberState::Full | MemberState::Leaving
    ) {
        buttons.push(("recover", "1", "Recover"));
    }
    let buttons = buttons.into_iter().map(|(name, value, word)| {
        let button = "<button name=\"{{name}}\" value=\"{{value}}\">{{word}}</button>\n";
        let slots = [
            ("name", name.into()),
            ("value", value.into()),
            ("word", word.into()),
        ];
        Markup::fill(button, &slots)
    });
    Markup::fill(
        ACTIONS,
        &[
            ("nonce", nonce.into()),
            ("balancer", balancer.into()),
            ("member", (&*member.name).into()),
            ("refresh", refresh.into()),
            ("buttons", buttons.collect::<Markup>().into()),
            ("edit", edit_url(balancer, Some(&member.name)).into()),
        ],
    )
}

fn edit_member(nonce: &str, balancer: &str, member: &MemberSnapshot) -> Markup {
    let flags = FLAGS.iter().map(|(flag, word, meaning)| {
        let checked = if member.flags.contains(*flag) {
            " checked"
        } else {
            ""
        };
        Markup::fill(
            "<label><input type=\"checkbox\" name=\"flag\" value=\"{{letter}}\"{{checked}}> \
             {{word}} <span class=\"dim\">{{meaning}}</span></label>\n",
            &[
                ("letter", flag.to_string().into()),
                ("checked", checked.into()),
                ("word", (*word).into()),
                ("meaning", (*meaning).into()),
            ],
        )
    });
    Markup::fill(
        EDIT_MEMBER,
        &[
            ("nonce", nonce.into()),
            ("balancer", balancer.into()),
            ("name", (&*member.name).into()),
            ("weight", member.weight.to_string().into()),
            ("set", member.set.into()),
            ("flags", flags.collect::<Markup>().into()),
        ],
    )
}

fn edit_balancer(nonce: &str, balancer: &BalancerSnapshot) -> Markup {
    let methods = Method::NAMES.iter().map(|name| {
        let selected = if balancer.method == *name {
            " selected"
        } else {
            ""
        };
        let slots = [("name", (*name).into()), ("selected", selected.into())];
        Markup::fill("<option{{selected}}>{{name}}</option>", &slots)
    });
    Markup::fill(
        EDIT_BALANCER,
        &[
            ("nonce", nonce.into()),
            ("name", (&*balancer.name).into()),
            ("methods", methods.collect::<Markup>().into()),
        ],
    )
}
