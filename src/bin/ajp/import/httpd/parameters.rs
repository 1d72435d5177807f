//! `key=value` of `ProxyPass`, `ProxySet` and `BalancerMember`.

use crate::import::plan::{Balancer, Member, MemberSettings, Remarks};
use crate::import::values::{self, limit, millis, seconds, weight, whole};

/// What a parameter belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ParameterOwner {
    Balancer,
    Member,
}

/// Takes over what it can, and tells the rest.
pub(super) fn parameters(
    of: ParameterOwner,
    balancer: &mut Balancer,
    settings: &[&str],
    told: &mut Remarks,
) {
    for setting in settings {
        match setting.split_once('=') {
            Some((key, value)) => parameter(of, balancer, key, value, told),
            None if setting.eq_ignore_ascii_case("nocanon") => {
                told.note(
                    "nocanon: the normal form of a path is forwarded here as everywhere; \
                     paths = \"strict\" forwards it as it came",
                );
            }
            None => told.lost(format!("{setting} is not known to the gateway")),
        }
    }
}

/// The settings of one member, and what of them is the balancer's in the gateway.
pub(super) fn member(
    url: String,
    settings: &[&str],
    place: &str,
    told: &mut Remarks,
) -> (Member, MemberSettings) {
    let mut member = Member {
        place: place.to_owned(),
        url,
        ..Member::default()
    };
    let mut own = Balancer::default();
    for setting in settings {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        match &*key.to_ascii_lowercase() {
            "route" => member.route = Some(value.to_owned()),
            "loadfactor" => {
                member.weight = weight(value);
                if member.weight.is_none() {
                    told.lost(format!(
                        "loadfactor={value} is no weight from 0.01 to 10000"
                    ));
                }
            }
            "lbset" => match whole(value, &values::SET) {
                Some(set) => member.set = Some(set).filter(|set| *set > 0),
                None => told.lost(format!("lbset={value} is no set from 0 to 1000")),
            },
            "status" => status(value, &mut member, told),
            "redirect" => member.redirect = Some(value.to_owned()),
            _ => parameters(ParameterOwner::Member, &mut own, &[setting], told),
        }
    }
    member.secret.clone_from(&own.pool.secret);
    let own = MemberSettings {
        pool: own.pool,
        health: own.health,
        retry: own.retry,
    };
    (member, own)
}

/// httpd's letters, each with `+` or without, or `-` to take it away.
fn status(value: &str, member: &mut Member, told: &mut Remarks) {
    let mut adds = true;
    for letter in value.chars() {
        match letter.to_ascii_uppercase() {
            '+' => adds = true,
            '-' => adds = false,
            known @ ('I' | 'D' | 'S' | 'H' | 'R' | 'N') => {
                member.status.retain(|other| other != known);
                if adds {
                    member.status.push(known);
                }
            }
            other => told.lost(format!("status {other} is httpd's own state")),
        }
    }
}

/// Puts a value into its place; whether it is one that can be there.
fn put<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let fits = value.is_some();
    if fits {
        *place = value;
    }
    fits
}

fn parameter(
    of: ParameterOwner,
    balancer: &mut Balancer,
    key: &str,
    value: &str,
    told: &mut Remarks,
) {
    let pool = &mut balancer.pool;
    let health = &mut balancer.health;
    let key = key.to_ascii_lowercase();
    let fits = match &*key {
        "secret" => {
            told.note("the secret goes to a file, see secret_file");
            put(&mut pool.secret, Some(value.to_owned()))
        }
        "iobuffersize" => {
            let size = values::packet_size(value);
            if let Some(size) = size.filter(|size| size.to_string() != value) {
                told.note(format!("iobuffersize={value} counts as {size}"));
            }
            if size.is_some() {
                told.note(
                    "iobuffersize: httpd takes it for AJP since 2.4.64, and before that \
                     ProxyIOBufferSize alone; packet_size must be what the container has",
                );
            }
            put(&mut pool.packet_size, size)
        }
        "max" => {
            told.note(format!(
                "max={value} was for each process of httpd; max_connections is for all"
            ));
            put(
                &mut pool.max_connections,
                whole(value, &values::CONNECTIONS),
            )
        }
        "connectiontimeout" | "connecttimeout" => {
            put(&mut pool.connect_timeout, limit(seconds(value)))
        }
        "acquire" => put(&mut pool.acquire_timeout, limit(millis(value))),
        // Of a balancer it is the time for a free connection.
        "timeout" if of == ParameterOwner::Balancer => {
            put(&mut pool.acquire_timeout, limit(seconds(value)))
        }
        "timeout" => put(&mut pool.timeout, limit(seconds(value))),
        "retry" => put(&mut balancer.retry, seconds(value)),
        "hcmethod" => {
            health.check = match &*value.to_ascii_uppercase() {
                "CPING" | "TCP" => Some("cping"),
                "NONE" => None,
                _ => {
                    health.path.get_or_insert_with(|| "/".to_owned());
                    Some("http")
                }
            };
            true
        }
        "hcinterval" => put(&mut health.interval, limit(seconds(value))),
        "hcpasses" => put(&mut health.rise, whole(value, &values::COUNT)),
        "hcfails" => put(&mut health.fall, whole(value, &values::COUNT)),
        "hcuri" => {
            let path = value.split('?').next().unwrap_or_default();
            let is_path = crate::paths::fault(path).is_none();
            put(&mut health.path, is_path.then(|| value.to_owned()))
        }
        "ping" => {
            let text = "ping: the pool probes connections that were idle for a second";
            told.note(text);
            true
        }
        "forcerecovery" => {
            if value.eq_ignore_ascii_case("off") {
                told.lost("forcerecovery=Off: the gateway tries a member again when all failed");
            }
            true
        }
        "min" | "smax" | "ttl" | "keepalive" | "disablereuse" | "enablereuse" | "flushpackets"
        | "flushwait" | "receivebuffersize" | "addressttl" | "growth" | "nonce"
        | "scolonpathdelim" => {
            told.note(format!("{key}: not needed, or the gateway's own way"));
            true
        }
        _ if of == ParameterOwner::Balancer => of_balancer(balancer, &key, value),
        _ => false,
    };
    if !fits {
        told.lost(format!(
            "{key}={value} is nothing that the gateway takes; see its settings"
        ));
    }
}

fn of_balancer(balancer: &mut Balancer, key: &str, value: &str) -> bool {
    match key {
        "stickysession" => put(&mut balancer.sticky, Some(value.to_owned())),
        "nofailover" => {
            balancer.nofailover = value.eq_ignore_ascii_case("on");
            true
        }
        "maxattempts" => {
            let more = value.parse::<u64>().ok().and_then(|n| n.checked_add(1));
            put(
                &mut balancer.attempts,
                more.filter(|count| values::COUNT.contains(count)),
            )
        }
        "failonstatus" => {
            let statuses = value.split(',').map(|one| one.trim().parse::<i64>().ok());
            let fitting = statuses.map(|one| one.filter(|status| (400..=599).contains(status)));
            let statuses: Option<Vec<_>> = fitting.collect();
            let fits = statuses.is_some();
            balancer
                .fail_on_status
                .extend(statuses.into_iter().flatten());
            fits
        }
        "lbmethod" => {
            balancer.method = match value {
                "byrequests" => None,
                "bytraffic" => Some("bytraffic"),
                "bybusyness" => Some("bybusyness"),
                _ => return false,
            };
            true
        }
        _ => false,
    }
}
