//! The page: all balancers and their members, and forms that change one of them. It works
//! without scripts and renews itself, but not while somebody fills in a form.

mod balancer;
mod details;
mod edit;

use super::farm::{Managed, Route, View as FarmView};
use super::format;
use super::markup::Markup;
use super::refusal::Refusal;
use super::{Manager, PATH};
use crate::gateway::settings::BalancerSettings;
use ajp::balancer::Flags;
use axum::http::StatusCode;
use balancer::balancer;
use edit::{edit_balancer, edit_member};
use serde::Deserialize;
use std::time::SystemTime;

const PAGE: &str = include_str!("../templates/page.html");
const PROBLEM: &str = include_str!("../templates/problem.html");
const ROUTES: &str = include_str!("../templates/routes.html");
const ROUTE: &str = include_str!("../templates/route.html");

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
    let farm = manager.farm.view();
    let Some(name) = &view.balancer else {
        return (StatusCode::OK, overview(manager, view, &farm));
    };
    let nonce = manager.nonce();
    let main = match (farm.balancer(name), &view.member) {
        (None, _) => Err("there is no such balancer"),
        (Some(entry), Some(name)) => member(nonce, entry, name),
        (Some(entry), None) => match nonce {
            Some(nonce) => {
                let settings = BalancerSettings::of(&entry.balancer).object();
                Ok(edit_balancer(nonce, &entry.balancer.snapshot(), &settings))
            }
            None => Err("the manager is read only"),
        },
    };
    match main {
        Ok(main) => {
            let title = view.member.as_deref().unwrap_or(name);
            let page = whole(title, "", None, Markup::default(), main);
            (StatusCode::OK, page)
        }
        Err(text) => {
            let refusal = Refusal::new(StatusCode::NOT_FOUND, text);
            (refusal.status, self::refusal(&refusal))
        }
    }
}

/// A member with all that is known of it, and with a form if it can be changed.
fn member(nonce: Option<&str>, managed: &Managed, name: &str) -> Result<Markup, &'static str> {
    let snapshot = managed.balancer.snapshot();
    let mut members = snapshot.members.iter();
    let member = members.find(|member| member.name == name);
    let member = member.ok_or("there is no such member")?;
    let settings = managed.member(name).unwrap_or_default();
    let form = nonce.map(|nonce| edit_member(nonce, &snapshot.name, member, &settings));
    let parts = [form.unwrap_or_default(), details::details(managed, member)];
    Ok(parts.into_iter().collect())
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

fn overview(manager: &Manager, view: &View, farm: &FarmView) -> Markup {
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
    let problem = manager
        .farm
        .state_file()
        .and_then(|file| file.problem())
        .map(|problem| Markup::fill(PROBLEM, &[("text", problem.into())]));
    let balancers = farm.balancers.iter();
    let balancers = balancers.map(|entry| balancer(manager, entry, refresh));
    let main = problem.into_iter().chain(balancers);
    let main = main.chain([routes(&farm.routes)]).collect();
    whole("Balancer Manager", &about, Some(refresh), links, main)
}

/// Which part of the site goes where.
fn routes(routes: &[Route]) -> Markup {
    let rows = routes.iter().map(|route| {
        let hosts = match &route.hosts[..] {
            [] => "any other".to_owned(),
            hosts => hosts.join(", "),
        };
        let (to, kind) = match &*route.to {
            "none" => ("nobody: 404", "dim"),
            "deny" => ("nobody: 403", "dim"),
            to => (to, "url"),
        };
        Markup::fill(
            ROUTE,
            &[
                ("hosts", hosts.into()),
                ("path", (&*route.path).into()),
                ("to", to.into()),
                ("kind", kind.into()),
            ],
        )
    });
    Markup::fill(ROUTES, &[("rows", rows.collect::<Markup>().into())])
}

fn link(balancer: &str, member: Option<&str>, word: &str) -> Markup {
    let slots = [
        ("url", page_of(balancer, member).into()),
        ("word", word.into()),
    ];
    Markup::fill("<a href=\"{{url}}\">{{word}}</a>\n", &slots)
}

fn page_of(balancer: &str, member: Option<&str>) -> String {
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
