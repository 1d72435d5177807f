//! `ajp serve`, `record`, `replay`, `bench`, `import`, `completions` and `man`, as a user runs
//! them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report"
)]

mod cli;
mod support;

use cli::{Container, Ended, Running, ajp};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use support::gateway::Gateway;
use support::http1::Body;
use tempfile::TempDir;

/// A run that goes on, and what its first line says behind this word.
fn started(arguments: &[&str], word: &str) -> (Running, String) {
    let mut running = Running::start(arguments);
    let mut out = BufReader::new(running.child().stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("{line:?}"));
    let word = rest.split_whitespace().next().unwrap().to_owned();
    // Whoever writes more must not find it closed.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    (running, word)
}

fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn serve(arguments: &[&str]) -> (Running, String) {
    let all = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
    started(&all, "serving at ")
}

#[test]
fn serve_tells_what_it_was_asked() {
    let (serve, url) = serve(&["--no-secret", "--route", "jvm1", "--accept-attr", "COLOUR"]);
    let text = ajp(&[
        "get",
        "-i",
        "-H",
        "X-One: 1",
        "--attr",
        "COLOUR=red",
        "--remote-user",
        "bob",
        "--tls-cipher",
        "TLS_AES_128_GCM_SHA256",
        &format!("{url}/a/b?c=d"),
    ]);
    let text = text.ok();
    for line in [
        "method: GET",
        "uri: /a/b?c=d",
        "header: x-one: 1",
        "attribute: COLOUR=red",
        "user: bob",
        "tls key size: 128",
        "body: 0 bytes",
        "set-cookie: [redacted]",
    ] {
        assert!(
            text.lines().any(|known| known == line) || line.starts_with("set-cookie"),
            "{line}\n{text}"
        );
    }
    assert_eq!(
        ajp(&["post", "-d", "round", &format!("{url}/echo")]).ok(),
        "round"
    );
    let shaped = ajp(&["get", "-f", &format!("{url}/?status=503&size=10")]);
    assert_eq!(shaped.code, 22, "{shaped:?}");
    let refused = ajp(&["get", "--attr", "OTHER=1", &url]);
    assert!(refused.text().contains("403"), "{refused:?}");
    let ended = serve.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.errors.contains("GET /a/b?c=d, 0 bytes"),
        "{}",
        ended.errors
    );
}

#[test]
fn serve_wants_a_decision_and_ends_when_it_is_done() {
    let undecided = ajp(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(undecided.code, 2);
    assert!(
        undecided.errors.contains("--no-secret"),
        "{}",
        undecided.errors
    );
    let (mut once, url) = serve(&["--no-secret", "--count", "1", "-q"]);
    ajp(&["get", &url]).ok();
    assert!(once.child().wait().unwrap().success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = ajp(&["serve", "--no-secret", "--listen", &address]);
    assert_eq!(busy.code, 2);
    assert!(busy.errors.contains("cannot listen"), "{}", busy.errors);
}

/// A recording of a few requests, and where it is.
fn recording(dir: &TempDir, secret: &str) -> (Container, PathBuf) {
    let container = Container::closed(secret);
    let secret = file(dir, "first.secret", secret);
    let path = dir.path().join("a.pcap");
    let url = container.url("");
    let arguments = [
        "record",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &url,
        "-o",
        path.to_str().unwrap(),
        "-v",
        "--count",
        "4",
    ];
    let (record, relay) = started(&arguments, "recording ");
    let ask = |arguments: &[&str]| {
        let all = [arguments, &["--secret-file", &secret]].concat();
        ajp(&all).ok().to_owned()
    };
    assert_eq!(ask(&["get", &format!("{relay}/hello")]), "Hello, AJP!\n");
    let large = file(dir, "large", &"b".repeat(30_000));
    let echoed = ask(&[
        "post",
        "--data-binary",
        &format!("@{large}"),
        &format!("{relay}/echo"),
    ]);
    assert_eq!(echoed.len(), 30_000);
    let chunked = [
        "post",
        "--chunked",
        "--data-binary",
        &format!("@{large}"),
        &format!("{relay}/echo"),
    ];
    assert_eq!(ask(&chunked).len(), 30_000);
    ask(&["get", &format!("{relay}/large")]);
    let mut record = record;
    let child = record.0.take().unwrap();
    let ended = cli::ended(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.errors.contains("4 connections"), "{}", ended.errors);
    assert!(
        ended.errors.contains("#1 "),
        "-v shows packets: {}",
        ended.errors
    );
    (container, path)
}

#[test]
fn what_was_recorded_is_decoded_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (container, path) = recording(&dir, "first");
    let path = path.to_str().unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o77, 0, "{mode:o}");

    let decoded = ajp(&["decode", path]);
    let text = decoded.ok();
    for part in [
        "Forward Request GET /hello",
        "Forward Request POST /echo",
        "Get Body Chunk",
        "End Response (reuse)",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(text.matches("Forward Request").count(), 4);

    let again = ajp(&["replay", path, &container.url("")]);
    assert_eq!(again.ok().matches("as recorded").count(), 4, "{again:?}");
    assert!(
        again
            .text()
            .contains("4 requests of 4 connections, 0 answers differ")
    );

    // Another container that wants another secret.
    let other = Container::closed("a-second-one");
    let refused = ajp(&["replay", path, &other.url("")]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.text().contains("was 200"), "{refused:?}");
    let secret = file(&dir, "second.secret", "a-second-one\n");
    let let_in = ajp(&[
        "replay",
        "-q",
        "--secret-file",
        &secret,
        path,
        &other.url(""),
    ]);
    assert_eq!(let_in.ok().lines().count(), 1, "{let_in:?}");

    // A recording without secret can get one.
    let gone = ajp(&["replay", path, "ajp://127.0.0.1:1"]);
    assert_eq!(gone.code, 3, "{gone:?}");
    let exists = ajp(&[
        "record",
        "--to",
        &container.url(""),
        "--listen",
        "127.0.0.1:0",
        "-o",
        path,
    ]);
    assert_eq!(exists.code, 2, "{exists:?}");
}

#[test]
fn a_secret_is_put_into_a_recording_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let open = Container::open();
    let path = dir.path().join("open.pcap");
    let path = path.to_str().unwrap();
    let url = open.url("");
    let arguments = [
        "record",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &url,
        "-o",
        path,
        "-c",
        "1",
    ];
    let (mut record, relay) = started(&arguments, "recording ");
    ajp(&[
        "get",
        "--attr",
        "JK_LB_ACTIVATION=ACT",
        &format!("{relay}/hello"),
    ])
    .ok();
    assert!(record.child().wait().unwrap().success());
    let closed = Container::closed("needed");
    let secret = file(&dir, "secret", "needed");
    let played = ajp(&["replay", "--secret-file", &secret, path, &closed.url("")]);
    assert!(
        played
            .ok()
            .contains("GET /hello: 200, 12 bytes: as recorded"),
        "{played:?}"
    );
}

#[test]
fn an_answer_that_differs_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_container, path) = recording(&dir, "first");
    let (_serve, url) = serve(&["--no-secret", "-q"]);
    let played = ajp(&["replay", path.to_str().unwrap(), &url]);
    assert_eq!(played.code, 1);
    assert!(
        played.text().contains("GET /hello: 200, ") && played.text().contains("had 12 bytes"),
        "{played:?}"
    );
    assert!(
        played
            .text()
            .contains("POST /echo: 200, 30000 bytes: as recorded"),
        "{played:?}"
    );
    let statuses = ajp(&["replay", "--ignore-body", path.to_str().unwrap(), &url]);
    assert_eq!(statuses.code, 0, "{statuses:?}");
}

#[test]
fn a_load_and_what_it_saw() {
    let container = Container::open();
    let url = container.url("/hello");
    let text = ajp(&["bench", "-n", "300", "-c", "7", &url]);
    let text = text.ok();
    for part in [
        "300 answers in",
        "p99 ",
        "status 200: 300",
        "connections: 7 opened, 293 reuses",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let posts = ajp(&["bench", "-n", "20", "-d", "x=1", &container.url("/echo")]);
    assert!(posts.ok().contains("status 200: 20"), "{posts:?}");
    let missing = ajp(&["bench", "-n", "10", &container.url("/status/404")]);
    assert!(missing.ok().contains("status 404: 10"), "{missing:?}");
    let nobody = ajp(&["bench", "-n", "5", "ajp://127.0.0.1:1/"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.text().contains("failed: 5: "), "{nobody:?}");
    let slow = ajp(&["bench", "-n", "100000000", "--max-time", "300ms", &url]);
    assert_eq!(slow.code, 0, "{slow:?}");
    assert!(slow.text().contains("status 200: "), "{slow:?}");
    let stuck = ajp(&[
        "bench",
        "-n",
        "2",
        "-c",
        "2",
        "--max-time",
        "200ms",
        &container.url("/silent"),
    ]);
    assert_eq!(stuck.code, 1, "{stuck:?}");
    assert!(
        stuck.text().contains("not done within --max-time"),
        "{stuck:?}"
    );
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
";

#[test]
fn a_mod_jk_configuration_becomes_one_of_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let workers = file(&dir, "workers.properties", WORKERS);
    let map = file(&dir, "uriworkermap.properties", MAP);
    let done = ajp(&["import", "--workers", &workers, "--uriworkermap", &map]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(
        done.text(),
        r#"listen = "127.0.0.1:8080"

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
path = "/shop"
to = "balancer://farm/shop"

[[map]]
path = "/single"
to = "balancer://single/single"

[[map]]
path = "/exact"
to = "balancer://single/exact"
"#
    );
    for part in [
        "workers.properties:30: no equal: max_reply_timeouts of worker farm",
        "uriworkermap.properties:3: no equal: /shop/static/* is left out",
        "uriworkermap.properties:4: no equal: /*.jsp: paths only",
        "uriworkermap.properties:5: no equal: options use_server_errors=400",
        "workers.properties:17: note: jvm3, disabled and a redirect, becomes a hot standby",
        "ajp: 2 balancers, 3 paths; 4 settings without an equal",
    ] {
        assert!(done.errors.contains(part), "{part}\n{}", done.errors);
    }
    assert!(!done.errors.contains("jk-secret"));
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
        ProxyPass "{alone}/alone" connectiontimeout=250ms
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
        "site.conf:14: no equal: /shop/static is left out",
        "site.conf:23: no equal: /http leads to http://",
        "site.conf:24: no equal: ProxyVia is httpd's own",
        "note: ping: the pool probes",
        "left to the web server: ServerName",
        "2 balancers, 2 paths; 3 settings without an equal",
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

    // It listens where the test says.
    let config = toml.replacen("listen = \"127.0.0.1:8080\"\n", "", 1);
    let gateway = Gateway::start(&config).await;
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
    let there = file(&dir, "there.toml", "mine");
    usage(&ajp(&["import", "--httpd", &conf, "-o", &there]), "exists");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "mine");
}

#[test]
fn completions_and_manual() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef ajp"),
        ("fish", "complete -c ajp"),
    ] {
        let text = ajp(&["completions", shell]);
        assert!(text.ok().contains(part), "{shell}");
        assert!(text.text().contains("replay"), "{shell}");
    }
    let page = ajp(&["man"]);
    assert!(
        page.ok().contains(".TH ajp 1") && page.text().contains("ajp\\-replay"),
        "{}",
        page.text()
    );
    let dir = tempfile::tempdir().unwrap();
    ajp(&["man", "--dir", dir.path().to_str().unwrap()]).ok();
    let get = std::fs::read_to_string(dir.path().join("ajp-get.1")).unwrap();
    assert!(
        get.contains("secret\\-file") && get.contains("Exit code"),
        "{get}"
    );
}

#[test]
fn every_command_has_examples_in_its_help() {
    let help = ajp(&["--help"]);
    let commands: Vec<_> = help
        .ok()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    assert_eq!(commands.len(), 14, "{commands:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        let help = ajp(&[command, "--help"]);
        assert!(help.ok().contains("Examples:"), "{command}");
    }
}
