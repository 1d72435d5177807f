//! `ajp import`: what becomes of a configuration, and that the gateway starts with it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]

mod bad;
#[path = "../cli/mod.rs"]
mod cli;
mod closed;
mod mutated;
mod pairs;
mod shapes;
#[path = "../support/mod.rs"]
mod support;

use cli::{Ended, ajp, file, serve};
use std::path::Path;
use support::gateway::Gateway;
use support::http1::Body;

/// The gateway with what was written, which says where it listens; the test says otherwise.
async fn gateway(import: &Ended) -> Gateway {
    let toml = without_comments(import);
    let config = toml.strip_prefix("listen = \"127.0.0.1:8080\"\n");
    Gateway::start(config.unwrap_or_else(|| panic!("{toml}"))).await
}

/// What was written, without what it says of what was not taken over.
fn without_comments(import: &Ended) -> String {
    let lines = import.text().lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn assert_says(import: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(import.errors.contains(part), "{part}\n{}", import.errors);
    }
}

fn assert_has_lines(import: &Ended, lines: &[&str]) {
    let toml = import.text();
    for line in lines {
        assert!(toml.lines().any(|known| known == *line), "{line}\n{toml}");
    }
}

const WORKERS: &str = "\
# A farm.
ps=/
workers.host=127.0.0.1
worker.list=farm, stat
worker.list=single

worker.template.type=ajp13
worker.template.host=$(workers.host)
worker.template.secret=jk-secret
worker.template.max_packet_size=65536
worker.template.socket_connect_timeout=2500
worker.template.reply_timeout=30000
worker.template.ping_mode=A
worker.jvm1.reference=worker.template
worker.jvm1.port=8011
worker.jvm1.lbfactor=3
worker.jvm1.redirect=jvm3
worker.jvm2.reference=worker.template
worker.jvm2.port=8012
worker.jvm2.distance=1
worker.jvm3.reference=worker.template
worker.jvm3.port=8013
worker.jvm3.activation=disabled
worker.farm.type=lb
worker.farm.balance_workers=jvm1,jvm2
worker.farm.balance_workers=jvm3
worker.farm.method=B
worker.farm.sticky_session_force=1
worker.farm.recover_time=20
worker.farm.max_reply_timeouts=5
worker.single.type=ajp13
worker.single.port=9009
worker.stat.type=status
";

const MAP: &str = "\
/shop|/*=farm
/single/*=single
!/shop/static/*=farm
/*.jsp=farm
/exact=single;use_server_errors=400
/free=farm;sticky_ignore=1;stateless=0
/img=farm;stateless=1
";

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a configuration as a whole")]
async fn a_mod_jk_configuration_becomes_one_of_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let workers = file(&dir, "workers.properties", WORKERS);
    let map = file(&dir, "uriworkermap.properties", MAP);
    let done = ajp(&["import", "--workers", &workers, "--uriworkermap", &map]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(
        without_comments(&done),
        r#"listen = "127.0.0.1:8080"
order = "file"
paths = "normalise"

[manager]
changes = true

[[balancer]]
name = "farm"
method = "bybusyness"
sticky = "JSESSIONID|jsessionid"
nofailover = true
retry = "20s"
secret_file = "farm.secret"
packet_size = 65536
connect_timeout = "2500ms"
timeout = "30s"

[[balancer.member]]
url = "ajp://127.0.0.1:8011"
route = "jvm1"
weight = 3.0

[[balancer.member]]
url = "ajp://127.0.0.1:8012"
route = "jvm2"
set = 1

[[balancer.member]]
url = "ajp://127.0.0.1:8013"
route = "jvm3"
status = "+H"

[[balancer]]
name = "single"

[[balancer.member]]
url = "ajp://localhost:9009"
route = "single"

[[map]]
path = "= /single"
to = "none"

[[map]]
path = "/single"
to = "balancer://single/single"

[[map]]
path = "= /shop/static"
to = "balancer://farm/shop/static"

[[map]]
path = "/shop/static"
to = "none"

[[map]]
path = "/shop"
to = "balancer://farm/shop"

[[map]]
path = "/*.jsp"
to = "balancer://farm/"

[[map]]
path = "= /exact"
to = "balancer://single/exact"

[[map]]
path = "= /free"
to = "balancer://farm/free"
sticky_ignore = true

[[map]]
path = "= /img"
to = "balancer://farm/img"
stateless = true
"#
    );
    for part in [
        "workers.properties:30: no equal: max_reply_timeouts of worker farm",
        "uriworkermap.properties:5: no equal: option use_server_errors=400",
        "workers.properties:17: note: jvm3, disabled and a redirect, becomes a hot standby",
        "ajp: 2 balancers, 9 paths; 2 settings without an equal",
    ] {
        assert!(done.errors.contains(part), "{part}\n{}", done.errors);
    }
    assert!(!done.errors.contains("jk-secret"));
    let secrets = dir.path().to_str().unwrap();
    let paths = ["--workers", &workers, "--uriworkermap", &map];
    let whole = ajp(&[&["import", "--secrets", secrets], &paths[..]].concat());
    let path = dir.path().join("farm.secret");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "jk-secret");
    assert_eq!(
        whole.text(),
        done.text().replace("farm.secret", path.to_str().unwrap())
    );
    gateway(&whole).await;
}

/// What httpd would do is done by the gateway with the imported configuration.
#[tokio::test]
#[allow(
    clippy::too_many_lines,
    reason = "a configuration, and what becomes of it"
)]
async fn an_httpd_configuration_works_in_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "httpd.secret", "farm-secret");
    let (_one, one) = serve(&["--secret-file", &secret, "--route", "jvm1", "-q"]);
    let (_two, two) = serve(&["--secret-file", &secret, "--route", "jvm2", "-q"]);
    let (_alone, alone) = serve(&["--no-secret", "-q"]);
    let conf = format!(
        r#"
# A site
LoadModule proxy_module modules/mod_proxy.so
ServerName www.example
ProxyTimeout 40
<VirtualHost *:80>
    <Proxy "balancer://farm">
        BalancerMember "{one}" route=jvm1 loadfactor=2 secret=farm-secret \
            ping=1 retry=7
        BalancerMember {two} route=jvm2 secret=farm-secret
        ProxySet stickysession=JSESSIONID|jsessionid lbmethod=bytraffic maxattempts=1
        ProxySet hcmethod=CPING hcinterval=5 hcpasses=2
    </Proxy>
    ProxyPass /shop/static !
    ProxyPass "/shop" "balancer://farm/app" failonstatus=503 timeout=3
    ProxyPassReverse "/shop" "balancer://farm/app"
    <Location "/alone">
        ProxyPass "{alone}/alone" connectiontimeout=250ms iobuffersize=10000
    </Location>
    <Location "/balancer-manager">
        SetHandler balancer-manager
    </Location>
    ProxyPass /http http://127.0.0.1:8080/
    ProxyVia On
</VirtualHost>
"#
    );
    let conf = file(&dir, "site.conf", &conf);
    let secrets = dir.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let secrets = secrets.to_str().unwrap();
    let done = ajp(&["import", "--httpd", &conf, "--secrets", secrets]);
    assert_eq!(done.code, 1, "{done:?}");
    for part in [
        "site.conf:23: no equal: /http leads to http://",
        "site.conf:24: no equal: ProxyVia is httpd's own",
        "note: ping: the pool probes",
        "site.conf:18: note: iobuffersize=10000 counts as 10240",
        "site.conf:18: note: iobuffersize: httpd takes it for AJP since 2.4.64, and before",
        "2 balancers, 4 paths; 2 settings without an equal",
    ] {
        assert!(done.errors.contains(part), "{part}\n{}", done.errors);
    }
    let toml = done.text();
    for line in [
        "method = \"bytraffic\"",
        "sticky = \"JSESSIONID|jsessionid\"",
        "retry = \"7s\"",
        "attempts = 2",
        "fail_on_status = [503]",
        "acquire_timeout = \"3s\"",
        "connect_timeout = \"250ms\"",
        "packet_size = 10240",
        "health = { check = \"cping\", interval = \"5s\", rise = 2 }",
        "weight = 2.0",
        "timeout = \"40s\"",
    ] {
        assert!(toml.lines().any(|known| known == line), "{line}\n{toml}");
    }
    let written = Path::new(secrets).join("farm.secret");
    assert!(
        toml.contains(&format!("secret_file = \"{}\"", written.display())),
        "{toml}"
    );
    assert_eq!(std::fs::read_to_string(&written).unwrap(), "farm-secret");

    let gateway = gateway(&done).await;
    let mut client = gateway.client();
    let mut routes = Vec::new();
    for _ in 0..4 {
        let answer = client.get("/shop/cart?x=1").await;
        assert!(
            answer.text().contains("uri: /app/cart?x=1\n"),
            "{}",
            answer.text()
        );
        let cookie = answer.header("set-cookie").unwrap();
        let (cookie, _) = cookie.split_once(';').unwrap();
        routes.push(cookie.rsplit('.').next().unwrap().to_owned());
        let headers = [("cookie", cookie)];
        let again = client.request("GET", "/shop/", &headers, Body::None).await;
        assert!(
            again
                .text()
                .contains(&format!("route: {}\n", routes.last().unwrap())),
            "{}",
            again.text()
        );
    }
    assert!(
        routes.contains(&"jvm1".to_owned()) && routes.contains(&"jvm2".to_owned()),
        "{routes:?}"
    );
    let alone = client.get("/alone").await;
    assert!(alone.text().contains("uri: /alone\n"), "{}", alone.text());
    assert_eq!(client.get("/elsewhere").await.status, 404);
    assert_eq!(client.get("/shop/static/x").await.status, 404);
}

#[test]
fn imports_that_cannot_be() {
    let usage = |ended: &Ended, part: &str| {
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.errors.contains(part), "{ended:?}");
    };
    usage(&ajp(&["import"]), "--httpd");
    usage(&ajp(&["import", "--httpd", "no-such-file"]), "no-such-file");
    usage(&ajp(&["import", "--uriworkermap", "x"]), "--workers");
    let dir = tempfile::tempdir().unwrap();
    let conf = file(&dir, "empty.conf", "ServerName a\n");
    // Wherever the gateway is started from.
    let one = file(
        &dir,
        "one.conf",
        "ProxyPass / ajp://127.0.0.1:8009/ secret=s\n",
    );
    let relative = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let name = relative.path().strip_prefix(env!("CARGO_MANIFEST_DIR"));
    let name = name.unwrap_or(relative.path()).to_str().unwrap();
    let absolute = ajp(&["import", "--httpd", &one, "--secrets", name]);
    let line = format!(
        "secret_file = \"{}/ajp-127.0.0.1-8009.secret\"",
        relative.path().display()
    );
    assert!(absolute.text().contains(&line), "{absolute:?}");
    let empty = ajp(&["import", "--httpd", &conf]);
    assert_eq!(empty.code, 1);
    assert!(empty.errors.contains("map no path"), "{empty:?}");
    // Files of something else become no configuration.
    assert!(empty.text().is_empty(), "{empty:?}");
    assert!(empty.errors.contains("nothing was written"), "{empty:?}");
    let other = file(
        &dir,
        "other.properties",
        "log4j.rootLogger=INFO\nworkers=2\n",
    );
    usage(
        &ajp(&["import", "--workers", &other]),
        "begins with worker.",
    );
    let told = ajp(&["import", "--httpd", &one]);
    let dash = ajp(&["import", "--httpd", &one, "-o", "-"]);
    assert_eq!((dash.code, dash.text()), (told.code, told.text()));
    assert!(!std::path::Path::new("-").exists());
    let there = file(&dir, "there.toml", "mine");
    usage(&ajp(&["import", "--httpd", &conf, "-o", &there]), "exists");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "mine");
}

/// What almost every mod_jk has: the path and what is below it, and a page of its own.
#[tokio::test]
async fn a_path_and_what_is_below_it_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let workers = file(
        &dir,
        "workers.properties",
        "worker.list=jk,jk-status\nworker.jk.type=ajp13\nworker.jk.host=127.0.0.1\n\
         worker.jk-status.type=status\n",
    );
    let conf = file(
        &dir,
        "jk.conf",
        "JkWorkersFile workers.properties\nJkMount /app jk\nJkMount /app/* jk\n\
         JkMount /other jk\nJkMount /jk-status jk-status\n\
         <Location /loc/>\nJkMount jk\n</Location>\nJkOptions +ForwardDirectories\n",
    );
    let done = ajp(&["import", "--workers", &workers, "--httpd", &conf]);
    assert_eq!(
        without_comments(&done),
        r#"listen = "127.0.0.1:8080"
paths = "normalise"

[manager]
changes = true

[[balancer]]
name = "jk"

[[balancer.member]]
url = "ajp://127.0.0.1:8009"
route = "jk"

[[map]]
path = "/app"
to = "balancer://jk/app"

[[map]]
path = "= /other"
to = "balancer://jk/other"

[[map]]
path = "= /loc/"
to = "balancer://jk/loc/"
"#
    );
    assert_says(
        &done,
        &[
            "jk.conf:9: no equal: JkOptions +ForwardDirectories",
            "1 settings without an equal",
        ],
    );
    assert!(!done.errors.contains("/app:"), "{}", done.errors);
    gateway(&done).await;
}

#[tokio::test]
async fn httpd_takes_the_first_path_and_the_gateway_the_longest() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, one) = serve(&["--no-secret", "--route", "one", "-q"]);
    let (_two, two) = serve(&["--no-secret", "--route", "two", "-q"]);
    let conf = file(
        &dir,
        "order.conf",
        &format!(
            "Define ONE {one}\nProxyPass /first/deep ${{ONE}}/deep\nProxyPass /first {two}/\n\
             ProxyPass /first/never {one}/never\nProxyPass /firstly {one}/firstly\n\
             ProxyPass /unset ajp://${{UNSET}}/unset\n"
        ),
    );
    let done = ajp(&["import", "--httpd", &conf]);
    assert_says(
        &done,
        &[
            "order.conf:4: note: /first/never is left out: httpd takes /first at ",
            "order.conf:6: no equal: ProxyPass /unset ajp://${UNSET}/unset: Define",
            "2 balancers, 3 paths; 1 settings without an equal",
        ],
    );
    let gateway = gateway(&done).await;
    let mut client = gateway.client();
    for (path, uri, route) in [
        ("/first/deep/a", "/deep/a", "one"),
        ("/first/never", "/never", "two"),
        ("/firstly", "/firstly", "one"),
    ] {
        let answer = client.get(path).await;
        let text = answer.text();
        assert!(text.contains(&format!("uri: {uri}\n")), "{path}\n{text}");
        let cookie = answer.header("set-cookie").unwrap_or_default();
        assert!(cookie.contains(&format!(".{route};")), "{path} {cookie}");
    }
}

/// No site is served under the name of another without a word.
#[tokio::test]
async fn virtual_hosts_without_names_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let site = |port: u16, path: &str| {
        format!(
            "<VirtualHost *:80>\nProxyPass {path} ajp://127.0.0.1:{port}{path}\n</VirtualHost>\n"
        )
    };
    let alike = file(&dir, "alike.conf", &(site(9001, "/a") + &site(9001, "/a")));
    let done = ajp(&["import", "--httpd", &alike]);
    assert_eq!(done.code, 0, "{done:?}");
    let other = site(9001, "/a") + &site(9002, "/a") + &site(9002, "/b");
    let other = file(&dir, "other.conf", &other);
    let done = ajp(&["import", "--httpd", &other]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_says(
        &done,
        &[
            "other.conf:5: no equal: /a leads elsewhere at ",
            "several virtual hosts need a ServerName each",
        ],
    );
    gateway(&done).await;
}
