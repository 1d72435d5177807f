//! mod_jk: `workers.properties` and `uriworkermap.properties`.

use super::plan::{Balancer, Member, Mount, Plan, Pool, Settings};
use super::values::{self, weight, whole};
use crate::config::workers::{OtherLine, Property, Worker, Workers, is_on, names};
use crate::config::{Text, uri_map};
use std::time::Duration;

/// How long mod_jk leaves a worker alone that failed.
const RECOVER_TIME: Duration = Duration::from_secs(60);

pub(super) fn read(text: &Text, map: Option<&Text>, plan: &mut Plan) {
    let workers = Workers::read(text);
    for line in &workers.other_lines {
        match line {
            // Whatever it was meant to be, a secret may be in it.
            OtherLine::NoProperty(place) => {
                plan.lost(&place.to_string(), "is no property; mod_jk ignores it too");
            }
            OtherLine::Global(place, name) => plan.note(
                &place.to_string(),
                format!("worker.{name}: the gateway needs no such thing"),
            ),
        }
    }
    for (at, name) in workers.list.iter().enumerate() {
        if workers.list.iter().take(at).any(|before| before == name) {
            continue;
        }
        let worker = workers.whole(name);
        let kind = worker.get("type").map_or("ajp13", |kind| &kind.value);
        let place = worker
            .values()
            .next()
            .map_or_else(|| name.clone(), |property| property.place.to_string());
        match kind {
            "lb" => balancer(&workers, name, &worker, plan),
            "ajp13" | "ajp14" => {
                let balancer = plan.balancer(name);
                let (mut member, pool) = member(name, &worker);
                member.place = place;
                balancer.members.push(member);
                balancer.pool = pool;
                balancer.fail_on_status = fail_on_status(&worker);
                remarks(name, &worker, plan);
            }
            "status" => {
                plan.manager = true;
                plan.silent.push(name.clone());
                plan.note(
                    &place,
                    format!("worker {name}: the page of [manager] instead"),
                );
            }
            other => plan.lost(
                &place,
                format!("worker {name} has the type {other}; the gateway speaks AJP/1.3 only"),
            ),
        }
    }
    match map {
        Some(map) => uri_map(map, plan),
        None => plan.note(
            &text.name,
            "no uriworkermap.properties was given; add a [[map]] for each JkMount",
        ),
    }
}

fn balancer(all: &Workers, name: &str, worker: &Worker, plan: &mut Plan) {
    let value = |property: &str| worker.get(property).map(|property| &*property.value);
    let has = |property: &str, default| value(property).map_or(default, is_on);
    let mut settings = Balancer::default();
    if has("sticky_session", true) {
        let cookie = value("session_cookie").unwrap_or("JSESSIONID");
        let path = value("session_path").unwrap_or(";jsessionid");
        settings.sticky = Some(format!("{cookie}|{}", path.trim_start_matches(';')));
        settings.nofailover = has("sticky_session_force", false);
    }
    settings.method = match value("method").and_then(|method| method.chars().next()) {
        Some('S' | 's') => Some("bysessions"),
        Some('T' | 't') => Some("bytraffic"),
        Some('B' | 'b') => Some("bybusyness"),
        _ => None,
    };
    settings.retry = Some(number(worker, "recover_time").map_or(RECOVER_TIME, Duration::from_secs));
    settings.attempts = value("retries").and_then(|count| whole(count, &values::COUNT));
    if let Some(property) = worker
        .get("method")
        .filter(|method| method.value.starts_with(['N', 'n']))
    {
        plan.lost(
            &property.place.to_string(),
            "method Next: by requests instead, which spreads alike",
        );
    }
    remarks(name, worker, plan);

    let members: Vec<_> = names(value("balance_workers").unwrap_or_default()).collect();
    let workers: Vec<_> = members.iter().map(|name| all.whole(name)).collect();
    // A disabled worker that another one redirects to is mod_jk's hot standby.
    let standbys: Vec<_> = workers
        .iter()
        .filter_map(|worker| worker.get("redirect"))
        .collect();
    let mut pool: Option<Pool> = None;
    let mut standby_names = Vec::new();
    for (name, worker) in members.iter().zip(&workers) {
        let (mut member, of_member) = member(name, worker);
        member.place.clone_from(name);
        if worker.is_empty() {
            plan.note(
                name,
                "has no properties; as for mod_jk it is at localhost:8009",
            );
        }
        let route = member.route.clone().unwrap_or_default();
        let standby = standbys
            .iter()
            .find(|other| other.value == route || other.value == *name);
        if let Some(redirect) = standby {
            if member.status == "N" {
                "H".clone_into(&mut member.status);
                standby_names.push(redirect.value.clone());
                plan.note(
                    &redirect.place.to_string(),
                    format!("{name}, disabled and a redirect, becomes a hot standby"),
                );
            }
        }
        remarks(name, worker, plan);
        match &pool {
            Some(known) if known.without_secret() != of_member.without_secret() => plan.lost(
                name,
                "differs from the first member in packet size, connections or timeouts, which \
                 are the balancer's in the gateway; the first one's are kept, else split the \
                 balancer",
            ),
            Some(_) => {}
            None => pool = Some(of_member),
        }
        settings.members.push(member);
    }
    for member in &mut settings.members {
        // Everybody goes to a hot standby.
        member
            .redirect
            .take_if(|route| standby_names.contains(route));
    }
    settings.pool = pool.unwrap_or_default();
    settings.fail_on_status = workers.first().map(fail_on_status).unwrap_or_default();
    for (name, worker) in members.iter().zip(&workers) {
        if fail_on_status(worker) != settings.fail_on_status {
            plan.lost(
                name,
                "differs from the first member in fail_on_status, which is the balancer's in the \
                 gateway: the first one's is kept",
            );
        }
    }
    let balancer = plan.balancer(name);
    settings.source.clone_from(&balancer.source);
    settings.name.clone_from(&balancer.name);
    *balancer = settings;
}

/// `fail_on_status` of a worker.
fn fail_on_status(worker: &Worker) -> Vec<i64> {
    let value = worker.get("fail_on_status");
    value.map_or_else(Vec::new, |property| statuses(&property.value))
}

/// What of a worker the gateway has too.
fn member(name: &str, worker: &Worker) -> (Member, Pool) {
    let value = |property: &str| worker.get(property).map(|property| &*property.value);
    let host = value("host").unwrap_or("localhost");
    let port = value("port").unwrap_or("8009");
    let millis = |property: &str| {
        let limit = number(worker, property).map(Duration::from_millis);
        limit.filter(|limit| !limit.is_zero())
    };
    let seconds = |property: &str| {
        let limit = number(worker, property).map(Duration::from_secs);
        limit.filter(|limit| !limit.is_zero())
    };
    let member = Member {
        url: if host.contains(':') {
            format!("ajp://[{host}]:{port}")
        } else {
            format!("ajp://{host}:{port}")
        },
        route: Some(value("route").unwrap_or(name).to_owned()),
        weight: value("lbfactor").and_then(weight),
        status: match value("activation").and_then(|state| state.chars().next()) {
            Some('D' | 'd') => "N".to_owned(),
            Some('S' | 's') => "S".to_owned(),
            _ => String::new(),
        },
        set: value("distance")
            .and_then(|set| whole(set, &values::SET))
            .filter(|set| *set > 0),
        place: String::new(),
        domain: value("domain").map(str::to_owned),
        redirect: value("redirect").map(str::to_owned),
        retry: None,
        secret: value("secret").map(str::to_owned),
    };
    let pool = Pool {
        secret: value("secret").map(str::to_owned),
        packet_size: value("max_packet_size").and_then(values::packet_size),
        max_connections: value("connection_pool_size")
            .and_then(|count| whole(count, &values::CONNECTIONS)),
        connect_timeout: millis("socket_connect_timeout").or_else(|| millis("connect_timeout")),
        acquire_timeout: millis("connection_acquire_timeout"),
        timeout: millis("reply_timeout").or_else(|| seconds("socket_timeout")),
    };
    (member, pool)
}

/// What of a worker the gateway does otherwise, or not.
fn remarks(name: &str, worker: &Worker, plan: &mut Plan) {
    for (property, Property { value, place, .. }) in worker {
        let place = &place.to_string();
        let text = |text: &str| format!("{property} of worker {name}: {text}");
        match &**property {
            "type" | "host" | "port" | "route" | "lbfactor" | "distance" | "activation" | "secret"
            | "max_packet_size" | "connection_pool_size" | "connection_acquire_timeout"
            | "socket_connect_timeout" | "reply_timeout" | "redirect" | "reference"
            | "balance_workers" | "sticky_session" | "sticky_session_force" | "method"
            | "recover_time" | "session_cookie" | "session_path" | "retries" => {
                limits(property, value, place, name, plan);
                if property == "secret" {
                    plan.note(place, text("goes to a file, see secret_file"));
                }
            }
            "connect_timeout" | "socket_timeout" if value.parse::<u64>().is_err() => {
                plan.lost(place, text(&format!("{value} is no number")));
            }
            "connect_timeout" | "prepost_timeout" | "ping_mode" | "ping_timeout"
            | "connection_ping_interval" => plan.note(
                place,
                text("the pool probes connections that were idle for a second"),
            ),
            "connection_pool_timeout" | "connection_pool_minsize" => plan.note(
                place,
                text("the pool learns when the container closes, and keeps no minimum"),
            ),
            "socket_timeout" | "socket_keepalive" | "socket_buffer" | "lock" | "mx" | "ms"
            | "retry_interval" | "recover_wait_time" => {
                plan.note(place, text("not needed, or as the system has it"));
            }
            "recovery_options" => plan.note(
                place,
                text("the gateway sends a request to another member only where that cannot do harm twice"),
            ),
            "fail_on_status" if statuses(value).len() != value.split([',', ' ']).count() => {
                plan.lost(place, text("only statuses from 400 to 599 are taken over"));
            }
            "fail_on_status" | "domain" => {}
            "mount" => {
                for pattern in value.split_whitespace() {
                    mount(pattern, name, place, None, plan);
                }
            }
            _ => plan.lost(place, text("is not known to the gateway; leave it, or see its README")),
        }
    }
}

/// Numbers that the gateway does not take as they are.
fn limits(property: &str, value: &str, place: &str, name: &str, plan: &mut Plan) {
    let text = |text: &str| format!("{property} of worker {name}: {value} {text}");
    let fits = |range| whole(value, range).is_some();
    let lost = match property {
        "lbfactor" if weight(value).is_none() => "is no weight from 0.01 to 10000",
        "distance" if !fits(&values::SET) => "is no set from 0 to 1000",
        "retries" if !fits(&values::COUNT) => "is no number of attempts from 1 to 1000",
        "connection_pool_size" if !fits(&values::CONNECTIONS) => {
            "is no number of connections from 1 to 100000"
        }
        "max_packet_size" => match values::packet_size(value) {
            Some(size) if size.to_string() == value => return,
            Some(size) => return plan.note(place, text(&format!("counts as {size}"))),
            None => "is no packet size",
        },
        "reply_timeout" if value == "0" => {
            return plan.note(
                place,
                text("is never; the gateway's limit is 60s, set timeout"),
            );
        }
        "socket_connect_timeout" | "connection_acquire_timeout" if value == "0" => {
            return plan.note(
                place,
                text("is never; the gateway has a limit, see its settings"),
            );
        }
        "reply_timeout"
        | "socket_connect_timeout"
        | "connection_acquire_timeout"
        | "recover_time"
            if value.parse::<u64>().is_err() =>
        {
            "is no time that the gateway has"
        }
        _ => return,
    };
    plan.lost(place, text(lost));
}

/// `/path/*=worker`, and `!` for what is left out.
fn uri_map(map: &Text, plan: &mut Plan) {
    for rule in uri_map::rules(map) {
        let rule = match rule {
            Ok(rule) => rule,
            Err((place, line)) => {
                let text = format!("\"{line}\" is no rule; mod_jk ignores it too");
                plan.lost(&place.to_string(), text);
                continue;
            }
        };
        let place = rule.place.to_string();
        let settings = options(&rule.options, &place, plan);
        let before = plan.mounts.len();
        for pattern in rule.base.iter().chain([&rule.pattern]) {
            mount(pattern, &rule.worker, &place, None, plan);
        }
        for mount in plan.mounts.iter_mut().skip(before) {
            mount.is_of_file = true;
            mount.settings = settings.clone();
        }
    }
}

/// One pattern of `JkMount`, or of a map, in a virtual host.
pub(super) fn mount(pattern: &str, worker: &str, place: &str, site: Option<&str>, plan: &mut Plan) {
    if let Some(off) = pattern.strip_prefix('-') {
        plan.note(place, format!("{off} is switched off, and left out"));
        return;
    }
    let excluded = pattern.strip_prefix('!');
    let (pattern, base) = uri_map::patterns(excluded.unwrap_or(pattern));
    for pattern in base.into_iter().chain([pattern]) {
        if !pattern.starts_with('/') {
            // Not even mod_jk knows what is meant, and goes on without it.
            let text = format!("{pattern:?} does not begin with a slash; mod_jk ignores it too");
            plan.lost(place, text);
            continue;
        }
        plan.mounts.push(Mount {
            place: place.to_owned(),
            pattern,
            worker: worker.to_owned(),
            is_excluded: excluded.is_some(),
            site: site.map(str::to_owned),
            is_of_file: false,
            settings: Settings::default(),
        });
    }
}

/// The options of a rule, as far as a map of the gateway has them.
fn options(text: &str, place: &str, plan: &mut Plan) -> Settings {
    let mut settings = Settings::default();
    for option in text.split(';').map(str::trim).filter(|one| !one.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = value.parse::<u64>().ok();
        match (name.trim(), number) {
            ("reply_timeout", Some(millis)) if millis > 0 => {
                settings.timeout = Some(Duration::from_millis(millis));
            }
            ("sticky_ignore", Some(on)) => settings.sticky_ignore = on != 0,
            ("stateless", Some(on)) => settings.stateless = on != 0,
            ("fail_on_status", _) => settings.fail_on_status = statuses(value),
            _ => plan.lost(
                place,
                format!("option {option}: not for a path; some are the balancer's"),
            ),
        }
    }
    settings
}

/// Statuses that the gateway takes: `-` keeps the member.
fn statuses(text: &str) -> Vec<i64> {
    let all = text.split([',', ' ', ':']);
    let all = all.filter_map(|one| one.parse::<i64>().ok());
    all.filter(|status| (400..=599).contains(&status.abs()))
        .collect()
}

fn number(worker: &Worker, property: &str) -> Option<u64> {
    worker.get(property)?.value.parse().ok()
}
