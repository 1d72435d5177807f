//! AJP8xx: members, checks, failover.

use crate::lint::farm::{Front, Link};
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[
    &HTTP_CHECK,
    &FAILS_ON_PAGES,
    &NOBODY_SERVES,
    &SENT_TWICE,
    &OUT_OF_RANGE,
    &RETRIES_LATE,
];

const HTTP_CHECK: Rule = Rule {
    code: "AJP801",
    name: "http-check-of-ajp",
    severity: Severity::Error,
    title: "the health check speaks HTTP to an AJP port",
    reason: "hcmethod GET, HEAD and OPTIONS send HTTP to the member's address, whatever its scheme; an AJP port closes on that, and the member counts as failed",
    sees: "503 Service Unavailable, from the first check on",
    front_log: "All workers are in error state",
    container_log: "Invalid message received with signature",
    advice: "write hcmethod=CPING, or TCP",
    affects: "httpd 2.4.21 and later; CPING since 2.4.49",
    source: "httpd, mod_proxy_hcheck.c; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const FAILS_ON_PAGES: Rule = Rule {
    code: "AJP802",
    name: "fails-on-pages",
    severity: Severity::Warning,
    title: "one page that fails takes the whole container out",
    reason: "failonstatus with a status that applications send themselves puts the member in error for retry= seconds (60), for all users; a broken page takes one member after the other out",
    sees: "503 Service Unavailable for everybody, for a minute, after one user met an error",
    front_log: "matching 'failonstatus' balancer parameter",
    container_log: "",
    advice: "name only statuses that mean that the container is going down, such as 503; in mod_jk a minus sign (-500) fails the request alone",
    affects: "all httpd and mod_jk",
    source: "httpd manual, mod_proxy: failonstatus; seen with httpd 2.4.71",
};

const NOBODY_SERVES: Rule = Rule {
    code: "AJP803",
    name: "nobody-serves",
    severity: Severity::Error,
    title: "all members of a balancer are disabled or standby",
    reason: "a hot standby serves when the others are in error, and there are no others",
    sees: "503 Service Unavailable, or all load on one standby",
    front_log: "All workers are in error state",
    container_log: "",
    advice: "let at least one member be active",
    affects: "all",
    source: "httpd manual, mod_proxy: status; mod_jk reference, workers: activation",
};

const SENT_TWICE: Rule = Rule {
    code: "AJP804",
    name: "sent-twice",
    severity: Severity::Warning,
    title: "a POST may be sent to a second member after the first has had it",
    reason: "recovery_options is 0 by default: when a member dies after it got the request, mod_jk sends the request to another one, whatever it was",
    sees: "orders and records twice, after a container died or was slow",
    front_log: "sending request to tomcat failed (recoverable)",
    container_log: "",
    advice: "set worker.NAME.recovery_options=7 on the members: not again after the request was sent or the answer has begun, and close when the browser goes",
    affects: "all mod_jk",
    source: "mod_jk reference, workers: recovery_options",
};

const OUT_OF_RANGE: Rule = Rule {
    code: "AJP805",
    name: "parameter-out-of-range",
    severity: Severity::Error,
    title: "httpd does not take the value",
    reason: "loadfactor is 1 to 100, lbset 0 to 99, a route at most 95 bytes",
    sees: "httpd does not start",
    front_log: "",
    container_log: "",
    advice: "bring it into the range",
    affects: "all httpd",
    source: "httpd manual, mod_proxy; seen with httpd 2.4.71",
};

const RETRIES_LATE: Rule = Rule {
    code: "AJP806",
    name: "long-retry",
    severity: Severity::Note,
    title: "one refused connection shuts the only container out for long",
    reason: "a worker in error is not tried for retry= seconds; with one container there is no other to go to",
    sees: "503 Service Unavailable for a while after the container is back",
    front_log: "",
    container_log: "",
    advice: "write retry=1 when there is one container only",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: retry",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for link in &farm.links {
        if link.front == Front::ProxyAjp {
            proxy(findings, link);
        }
        if let Some(set) = link.setting("fail_on_status") {
            statuses(findings, &link.name, &set.value, &set.place);
        }
    }
    for group in &farm.groups {
        for name in ["failonstatus", "fail_on_status"] {
            if let Some(set) = group.settings.get(name) {
                statuses(findings, &group.name, &set.value, &set.place);
            }
        }
        let members: Vec<_> = farm.members(group).collect();
        if !members.is_empty() && members.iter().all(|link| is_out(link)) {
            findings.add(
                &NOBODY_SERVES,
                &group.place,
                format!("no member of {} is active", group.name),
            );
        }
        if group.front == Front::ModJk && members.len() > 1 {
            let of_group = group.settings.get("recovery_options");
            let repeats = |link: &&&Link| {
                let options = link.setting("recovery_options").or(of_group);
                options.is_none_or(|set| set.value.parse().is_ok_and(|bits: u32| bits & 1 == 0))
            };
            if let Some(link) = members.iter().find(repeats) {
                let text = format!(
                    "worker {} of {} has no recovery_options",
                    link.name, group.name
                );
                let place = link
                    .setting("recovery_options")
                    .map_or(&group.place, |set| &set.place);
                findings.add(&SENT_TWICE, place, text).write(format!(
                    "write worker.{}.recovery_options=7, and so for each member",
                    link.name
                ));
            }
        }
    }
    for link in &farm.links {
        let long = link
            .setting("retry")
            .filter(|set| set.value.parse().is_ok_and(|seconds: u64| seconds > 60));
        let is_member = farm.groups.iter().any(|group| {
            farm.members(group).count() > 1
                && farm.members(group).any(|member| member.place == link.place)
        });
        if let (Some(set), false) = (long, is_member) {
            findings.at(
                &RETRIES_LATE,
                set,
                format!(
                    "retry={} of {}, which has no other beside it",
                    set.value, link.name
                ),
            );
        }
    }
}

/// Whether it serves only when others fail, or never.
fn is_out(link: &Link) -> bool {
    let status = link.setting("status").is_some_and(|set| {
        let mut adds = true;
        set.value.chars().any(|letter| {
            match letter {
                '+' => adds = true,
                '-' => adds = false,
                _ => {}
            }
            adds && matches!(letter.to_ascii_uppercase(), 'D' | 'S' | 'H')
        })
    });
    let activation = link
        .setting("activation")
        .is_some_and(|set| set.value.starts_with(['D', 'd', 'S', 's']));
    status || activation
}

fn statuses(findings: &mut Findings<'_>, name: &str, list: &str, place: &crate::config::Place) {
    let bad = list
        .split([',', ' '])
        .filter_map(|one| one.trim().parse::<i32>().ok());
    let bad: Vec<_> = bad
        .filter(|status| (400..=499).contains(status) || matches!(status, 500 | 501))
        .collect();
    if !bad.is_empty() {
        findings.add(
            &FAILS_ON_PAGES,
            place,
            format!("{name} fails on {bad:?}, which applications answer themselves"),
        );
    }
}

fn proxy(findings: &mut Findings<'_>, link: &Link) {
    if let Some(set) = link.setting("hcmethod") {
        if !matches!(&*set.value.to_ascii_uppercase(), "NONE" | "TCP" | "CPING") {
            findings.at(
                &HTTP_CHECK,
                set,
                format!("hcmethod={} of {}", set.value, link.name),
            );
        }
    }
    let number = |name: &str| {
        link.setting(name)
            .and_then(|set| Some((set, set.value.parse::<f64>().ok()?)))
    };
    if let Some((set, number)) = number("loadfactor") {
        if !(1.0..=100.0).contains(&number) {
            findings
                .at(&OUT_OF_RANGE, set, format!("loadfactor={}", set.value))
                .write("write a loadfactor from 1 to 100");
        }
    }
    if let Some((set, number)) = number("lbset") {
        if !(0.0..=99.0).contains(&number) {
            findings
                .at(&OUT_OF_RANGE, set, format!("lbset={}", set.value))
                .write("write an lbset from 0 to 99");
        }
    }
    if let Some(set) = link.setting("route").filter(|set| set.value.len() > 95) {
        findings.at(
            &OUT_OF_RANGE,
            set,
            format!("a route of {} bytes", set.value.len()),
        );
    }
}
