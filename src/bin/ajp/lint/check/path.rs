//! AJP701, AJP702, AJP706 to AJP708, AJP714: which request goes where, and who may ask for it.

use crate::config::Place;
use crate::config::workers::is_on;
use crate::lint::farm::{Front, Map, Target};
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[
    &NEVER_REACHED,
    &SLASHES,
    &BASE_NOT_MOUNTED,
    &MANAGER_OPEN,
    &FORWARD_PROXY,
    &NO_WEBSOCKET,
];

const NEVER_REACHED: Rule = Rule {
    code: "AJP701",
    name: "never-reached",
    severity: Severity::Error,
    title: "an earlier line takes all requests of this one",
    reason: "httpd takes the first ProxyPass that fits, not the longest; exclusions and longer paths must come first",
    sees: "the excluded path is open, or another container answers",
    front_log: "",
    container_log: "",
    advice: "move this line before the other one",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: Ordering ProxyPass Directives; seen with httpd 2.4.71",
};

const SLASHES: Rule = Rule {
    code: "AJP702",
    name: "slash-on-one-side",
    severity: Severity::Error,
    title: "the path ends in a slash on one side and not on the other",
    reason: "what follows the path is put behind the URL as it is: /app/ to ajp://host/app makes /apphello of /app/hello",
    sees: "404 Not Found on every page",
    front_log: "",
    container_log: "",
    advice: "write a slash at the end of both, or of none",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: ProxyPass; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const BASE_NOT_MOUNTED: Rule = Rule {
    code: "AJP706",
    name: "base-not-mounted",
    severity: Severity::Note,
    title: "the path itself is not mounted, only what is below it",
    reason: "/app/* does not stand for /app: httpd looks for a file of that name",
    sees: "404 Not Found for http://site/app without a slash",
    front_log: "AH00128: File does not exist",
    container_log: "",
    advice: "write /app|/* instead of /app/*",
    affects: "all mod_jk",
    source: "mod_jk reference, uriworkermap; seen with mod_jk 1.2.48",
};

const MANAGER_OPEN: Rule = Rule {
    code: "AJP707",
    name: "manager-open",
    severity: Severity::Error,
    title: "everybody can stop members",
    reason: "the balancer manager and the status worker change the balancer; nothing here asks who wants to",
    sees: "nothing, until somebody finds the page",
    front_log: "",
    container_log: "",
    advice: "put Require ip or Require user into its <Location>",
    affects: "all httpd and mod_jk",
    source: "httpd manual, mod_proxy_balancer; CVE-2012-4558; CVE-2007-6420",
};

const FORWARD_PROXY: Rule = Rule {
    code: "AJP708",
    name: "forward-proxy",
    severity: Severity::Error,
    title: "httpd is a proxy to anywhere, for anybody",
    reason: "ProxyRequests belongs to forward proxies; ProxyPass needs none of it",
    sees: "the server is slow, and others send mail and attacks through it",
    front_log: "",
    container_log: "",
    advice: "write ProxyRequests Off",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: ProxyRequests",
};

const NO_WEBSOCKET: Rule = Rule {
    code: "AJP714",
    name: "no-websocket",
    severity: Severity::Warning,
    title: "WebSockets do not go over AJP",
    reason: "the protocol has no Upgrade; an upgrade request is answered as if it were a plain one",
    sees: "chat and live pages fall back to polling, or fail with 400",
    front_log: "",
    container_log: "",
    advice: "send that path to the HTTP connector: ProxyPass /ws http://host:8080/ws upgrade=websocket, before the line for AJP",
    affects: "all",
    source: "httpd manual, mod_proxy: upgrade; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for (at, map) in farm.maps.iter().enumerate() {
        covered(findings, at, map);
        slashes(findings, map);
        if map.front == Front::ModJk && !farm.workers.is_empty() {
            base_not_mounted(findings, map);
            status_worker(findings, map);
        }
    }
    if let Some(tree) = &farm.httpd {
        for item in tree.named("proxyrequests") {
            if item.arg(0).eq_ignore_ascii_case("on") {
                findings.add(&FORWARD_PROXY, &item.place, "ProxyRequests On");
            }
        }
        for item in tree.named("sethandler") {
            if item.arg(0) == "balancer-manager" {
                let section = item.open("location").map(|section| section.place.clone());
                let what = "the balancer manager";
                manager(findings, section.as_ref(), &item.place, what);
            }
        }
    }
    let of_httpd = farm
        .links
        .iter()
        .filter(|link| link.front == Front::ProxyAjp);
    for link in of_httpd {
        if let Some(set) = link.setting("upgrade") {
            let text = format!("upgrade={} of {} means nothing", set.value, link.name);
            findings.at(&NO_WEBSOCKET, set, text);
        }
    }
}

/// Whether a path is another one or below it, as httpd looks at it.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || above.ends_with('/') || rest.starts_with('/'))
}

fn covered(findings: &mut Findings<'_>, at: usize, map: &Map) {
    if map.front != Front::ProxyAjp || !map.is_in_order {
        return;
    }
    let earlier = findings.farm.maps.iter().take(at).filter(|other| {
        other.front == Front::ProxyAjp && other.is_in_order && other.site == map.site
    });
    let mut earlier =
        earlier.filter(|other| is_below(&map.path, &other.path) && other.target != map.target);
    if let Some(other) = earlier.next() {
        let what = if matches!(map.target, Target::Excluded(_)) {
            "is not excluded"
        } else {
            "does not lead here"
        };
        let text = format!("{} {what}: {} takes it first", map.path, other.path);
        findings
            .add(&NEVER_REACHED, &map.place, text)
            .see(&other.place, "this line takes it");
    }
}

fn slashes(findings: &mut Findings<'_>, map: &Map) {
    let leads = matches!(map.target, Target::Link(_) | Target::Named(_));
    if map.front != Front::ProxyAjp
        || !leads
        || map.inner.is_empty() && map.path != "/" && !map.path.ends_with('/')
    {
        return;
    }
    let ends = |path: &str| path.ends_with('/');
    // Without a path the URL gets what follows: a slash if the path had none.
    let is_odd = ends(&map.path) != ends(&map.inner);
    // `ProxyPass / ajp://host` is common, and httpd makes it fit.
    if is_odd && !(map.path == "/" && map.inner.is_empty()) {
        let text = format!(
            "{} leads to {}",
            map.path,
            if map.inner.is_empty() {
                "a URL without a path"
            } else {
                &map.inner
            }
        );
        let inner = map.inner.trim_end_matches('/');
        let slash = if ends(&map.path) { "/" } else { "" };
        let advice = format!("write {} and {inner}{slash}", map.path);
        findings.add(&SLASHES, &map.place, text).write(advice);
    }
}

/// `/app/*` of mod_jk without `/app`.
fn base_not_mounted(findings: &mut Findings<'_>, map: &Map) {
    let base = map
        .path
        .strip_suffix("/*")
        .filter(|base| !base.is_empty() && !base.contains('*'));
    let (Some(base), Target::Named(worker)) = (base, &map.target) else {
        return;
    };
    let takes_base = |other: &Map| {
        let is_over_it = other.front == Front::ModJk && matches!(other.path.as_str(), "/*" | "/")
            || other.path == base
            || other.path == format!("{base}*");
        // Who takes it away from this worker knows of it; what is taken from another one says
        // nothing.
        let is_of_worker = match &other.target {
            Target::Excluded(of) => of.as_ref().is_none_or(|of| of == worker),
            _ => true,
        };
        is_over_it && is_of_worker
    };
    if !findings.farm.maps.iter().any(takes_base) {
        findings
            .add(
                &BASE_NOT_MOUNTED,
                &map.place,
                format!("{base} itself is not mounted"),
            )
            .write(format!("write {base}|/* instead of {base}/*"));
    }
}

/// A status worker of mod_jk that can change members.
fn status_worker(findings: &mut Findings<'_>, map: &Map) {
    let farm = findings.farm;
    let Target::Named(name) = &map.target else {
        return;
    };
    let changes_members = farm.workers.iter().any(|workers| {
        let Some(worker) = workers.all.get(name) else {
            return false;
        };
        let is = |property: &str, wanted: &dyn Fn(&str) -> bool| {
            worker
                .get(property)
                .is_some_and(|property| wanted(&property.value))
        };
        is("type", &|kind| kind == "status") && !is("read_only", &is_on)
    });
    if changes_members {
        let section = farm.httpd.as_ref().and_then(|tree| {
            let item = tree.named("jkmount").find(|item| item.place == map.place)?;
            item.open("location").map(|section| section.place.clone())
        });
        manager(findings, section.as_ref(), &map.place, "the status worker");
    }
}

fn manager(findings: &mut Findings<'_>, section: Option<&Place>, place: &Place, what: &str) {
    let Some(tree) = &findings.farm.httpd else {
        return;
    };
    let guards = ["require", "allow", "deny", "authtype", "satisfy"];
    let is_guarded = tree.items.iter().any(|item| {
        let asks = guards.contains(&&*item.name)
            && !(item.name == "require" && item.args.join(" ").eq_ignore_ascii_case("all granted"));
        asks && item.sections.iter().any(|open| {
            Some(&open.place) == section
                || open.name == "location" && section.is_none() && open.args.join(" ") != "/"
        })
    });
    if !is_guarded {
        findings.add(
            &MANAGER_OPEN,
            place,
            format!("{what} asks nobody who he is"),
        );
    }
}
