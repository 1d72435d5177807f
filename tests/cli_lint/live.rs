//! What real peers do with configurations that lint complains about: a bad farm with every
//! symptom, and the same farm with each advice taken.

use super::{findings, started, write};
use crate::cli::ajp;
use crate::support::child::ChildGuard;
use crate::support::http1::{Body, Client, Response};
use crate::support::httpd_conf::MODULES;
use crate::support::{need, ports, tomcat_conf, webapp};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(90);

/// Every case, by the code of its rule; each has an application of this name.
const CASES: [&str; 21] = [
    "AJP101", "AJP102", "AJP103", "AJP152", "AJP153", "AJP154", "AJP201", "AJP202", "AJP301",
    "AJP402", "AJP601", "AJP603", "AJP605", "AJP611", "AJP612", "AJP613", "AJP701", "AJP702",
    "AJP703", "AJP704", "AJP712",
];

/// Both sides of a farm, running.
struct Farm {
    httpd: ChildGuard,
    tomcat: ChildGuard,
    http: SocketAddr,
    conf: PathBuf,
    xml: PathBuf,
    jk_log: PathBuf,
    /// Virtual hosts for encoded slashes.
    sites: [SocketAddr; 2],
    _root: TempDir,
}

/// Ports of connectors by case.
struct Ports {
    http: u16,
    plain: u16,
    of_case: Vec<(&'static str, u16)>,
}

impl Ports {
    fn new() -> Self {
        let port = || ports::free_addr().port();
        let own = [
            "AJP101",
            "AJP102",
            "AJP103",
            "AJP152",
            "AJP201",
            "AJP202",
            "AJP301",
            "AJP601",
            "AJP603",
            "AJP605",
            "AJP611",
            "AJP612",
            "AJP712",
            "node1",
            "node2",
            "site of AJP611",
            "site of AJP612",
        ];
        Self {
            http: port(),
            plain: port(),
            of_case: own.iter().map(|case| (*case, port())).collect(),
        }
    }

    fn of(&self, case: &str) -> u16 {
        let found = self.of_case.iter().find(|(known, _)| *known == case);
        found.map_or(self.plain, |(_, port)| *port)
    }
}

fn server_xml(ports: &Ports, is_bad: bool) -> String {
    // The rest of the good farm has one packet size everywhere, since httpd has one.
    let size = if is_bad { "" } else { "packetSize=\"65536\"" };
    let open = format!("address=\"127.0.0.1\" secretRequired=\"false\" {size}");
    let mut connectors = format!(
        "<Connector protocol=\"HTTP/1.1\" address=\"127.0.0.1\" port=\"{}\"/>\n",
        ports.http
    );
    let mut connector = |case: &str, attributes: &str| {
        writeln!(
            connectors,
            "<Connector protocol=\"AJP/1.3\" port=\"{}\" {attributes}/>",
            ports.of(case)
        )
        .unwrap();
    };
    let pick = |bad: &str, good: &str| {
        if is_bad {
            bad.to_owned()
        } else {
            good.to_owned()
        }
    };
    connector("plain", &open);
    connector("AJP101", &format!("{open} secret=\"f00d\""));
    connector("AJP102", &format!("{open} secret=\"f00d\""));
    connector(
        "AJP103",
        &pick("address=\"127.0.0.1\"", &format!("{open} secret=\"f00d\"")),
    );
    connector("AJP152", &open);
    connector("AJP201", &open);
    connector(
        "AJP202",
        &pick(&format!("{open} packetSize=\"65536\""), &open),
    );
    connector(
        "AJP301",
        &pick(
            &format!("{open} maxThreads=\"2\" minSpareThreads=\"1\""),
            &format!("{open} maxThreads=\"40\""),
        ),
    );
    connector(
        "AJP601",
        &pick(
            &open,
            &format!("{open} allowedRequestAttributesPattern=\"TENANT\""),
        ),
    );
    connector(
        "AJP603",
        &pick(
            &open,
            &format!("{open} secret=\"f00d\" tomcatAuthentication=\"false\""),
        ),
    );
    connector(
        "AJP605",
        &pick(&format!("{open} URIEncoding=\"ISO-8859-1\""), &open),
    );
    let passes = format!("{open} encodedSolidusHandling=\"passthrough\"");
    connector("AJP611", &passes);
    connector("AJP612", &pick(&open, &passes));
    connector("AJP712", &format!("{open} secret=\"f00d\""));
    let docs = webapp::dir().display();
    let context = |path: &str| {
        format!(
            "<Context path=\"/{path}\" docBase=\"{docs}\" containerSciFilter=\".\"><JarScanner scanClassPath=\"false\" scanManifest=\"false\"/><Manager pathname=\"\"/></Context>\n"
        )
    };
    let contexts: String = CASES
        .iter()
        .chain(&["inner", "AJP801", "AJP706"])
        .map(|case| context(case))
        .collect();
    let service = |name: &str, connectors: &str, route: &str, contexts: &str| {
        format!(
            "<Service name=\"{name}\">\n{connectors}<Engine name=\"{name}\" defaultHost=\"localhost\" {route}>\n\
             <Host name=\"localhost\" appBase=\"webapps\" autoDeploy=\"false\" deployOnStartup=\"false\">\n{contexts}</Host>\n</Engine>\n</Service>\n"
        )
    };
    let node = |name: &str| {
        let connector = format!(
            "<Connector protocol=\"AJP/1.3\" port=\"{}\" {open}/>\n",
            ports.of(name)
        );
        service(
            name,
            &connector,
            &format!("jvmRoute=\"{name}\""),
            &context("AJP501"),
        )
    };
    format!(
        "<Server port=\"-1\">\n{}{}{}</Server>\n",
        service("main", &connectors, "", &contexts),
        node("node1"),
        node("node2")
    )
}

#[allow(clippy::too_many_lines, reason = "a configuration as a whole")]
fn httpd_conf(root: &Path, http: SocketAddr, ports: &Ports, is_bad: bool) -> String {
    let mut text = String::new();
    for name in [
        "mpm_event",
        "authn_core",
        "authn_file",
        "authz_core",
        "authz_host",
        "authz_user",
        "auth_basic",
        "env",
        "headers",
        "proxy",
        "proxy_ajp",
        "proxy_balancer",
        "proxy_http",
        "proxy_hcheck",
        "lbmethod_byrequests",
        "setenvif",
        "slotmem_shm",
        "jk",
    ] {
        let path = format!("{MODULES}/mod_{name}.so");
        need::file(&path, "apache2");
        writeln!(text, "LoadModule {name}_module {path}").unwrap();
    }
    let at = root.display();
    write!(
        text,
        "ServerRoot {at}\nServerName localhost\nDefaultRuntimeDir {at}/run\nPidFile {at}/run/httpd.pid\nMutex file:{at}/run default\n\
         ErrorLog {at}/httpd.log\nLogLevel info\nStartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25\nTimeout 20\n\
         KeepAliveTimeout 30\nGracefulShutdownTimeout 1\nListen {http}\nUser www-data\nGroup www-data\n\
         JkWorkersFile {at}/workers.properties\nJkLogFile {at}/run/mod_jk.log\nJkLogLevel info\nJkShmFile {at}/run/jk.shm\n"
    )
    .unwrap();
    if !is_bad {
        text.push_str("ProxyIOBufferSize 65536\n");
    }
    let mut line = |bad: String, good: String| {
        text.push_str(if is_bad { &bad } else { &good });
        text.push('\n');
    };
    let pass = |case: &str, settings: &str| {
        let port = ports.of(case);
        format!("ProxyPass /{case} ajp://127.0.0.1:{port}/{case} {settings}")
    };
    line(pass("AJP101", ""), pass("AJP101", "secret=f00d"));
    line(pass("AJP102", "secret=beef"), pass("AJP102", "secret=f00d"));
    line(
        pass("AJP103", "timeout=1"),
        pass("AJP103", "timeout=5 secret=f00d"),
    );
    line(
        pass("AJP152", "").replace("127.0.0.1", "[::1]"),
        pass("AJP152", ""),
    );
    line(
        pass("AJP153", "").replace(&ports.plain.to_string(), &ports.http.to_string()),
        pass("AJP153", ""),
    );
    line(
        pass("AJP154", "").replace("ajp:", "http:"),
        pass("AJP154", ""),
    );
    line(pass("AJP202", ""), pass("AJP202", ""));
    line(pass("AJP301", "ping=1"), pass("AJP301", "ping=1"));
    let variable = "\n<Location /AJP601>\nSetEnv AJP_TENANT blue\n</Location>";
    line(pass("AJP601", "") + variable, pass("AJP601", "") + variable);
    let login = "\n<Location /AJP603>\nAuthType Basic\nAuthName lab\nAuthUserFile users\nRequire valid-user\n</Location>";
    line(
        pass("AJP603", "") + login,
        pass("AJP603", "secret=f00d") + login,
    );
    line(pass("AJP605", ""), pass("AJP605", ""));
    let excluded = "ProxyPass /AJP701/private !";
    line(
        format!("{}\n{excluded}", pass("AJP701", "")),
        format!("{excluded}\n{}", pass("AJP701", "")),
    );
    line(
        pass("AJP702", "").replacen("/AJP702", "/AJP702/", 1),
        pass("AJP702", ""),
    );
    let empty = "ProxyPass /AJP704 balancer://empty/AJP704";
    line(
        empty.to_owned(),
        format!(
            "<Proxy balancer://empty>\nBalancerMember ajp://127.0.0.1:{}\n</Proxy>\n{empty}",
            ports.plain
        ),
    );
    // One worker, made by the first line.
    let second = pass("AJP712", "secret=f00d");
    line(
        format!(
            "ProxyPass /shared ajp://127.0.0.1:{}/AJP712\n{second}",
            ports.of("AJP712")
        )
        .replace("/shared ", "/AJP712x "),
        second.clone(),
    );
    let node = |name: &str, route: &str| {
        format!(
            "BalancerMember ajp://127.0.0.1:{} route={route} ping=1",
            ports.of(name)
        )
    };
    let farm = |one: &str, two: &str| {
        format!(
            "<Proxy balancer://farm>\n{}\n{}\nProxySet stickysession=JSESSIONID|jsessionid\n</Proxy>\nProxyPass /AJP501 balancer://farm/AJP501",
            node("node1", one),
            node("node2", two)
        )
    };
    line(farm("one", "two"), farm("node1", "node2"));
    let shop = format!("ProxyPass /AJP509 ajp://127.0.0.1:{}/inner", ports.plain);
    line(
        shop.clone(),
        format!(
            "{shop}\nProxyPassReverseCookiePath /inner /AJP509\nProxyPassReverse /AJP509 http://{http}/inner"
        ),
    );
    let checked = |method: &str| {
        format!(
            "<Proxy balancer://checked>\nBalancerMember ajp://localhost:{} hcmethod={method} hcinterval=1 hcuri=/AJP801/hello\n</Proxy>\nProxyPass /AJP801 balancer://checked/AJP801",
            ports.plain
        )
    };
    line(checked("GET"), checked("TCP"));
    let site = |case: &str, lines: &[&str]| {
        let at = format!("127.0.0.1:{}", ports.of(&format!("site of {case}")));
        let lines = lines.join("\n");
        format!("Listen {at}\n<VirtualHost {at}>\n{lines}\n</VirtualHost>")
    };
    let slashes = "AllowEncodedSlashes NoDecode";
    let line611 = pass("AJP611", "");
    line(
        site("AJP611", &[&line611]),
        site("AJP611", &[slashes, &line611]),
    );
    let line612 = pass("AJP612", "");
    let line613 = line612.replace("/AJP612", "/AJP613");
    line(
        site("AJP612", &[slashes, &line612, "JkMount /AJP613|/* plain"]),
        site("AJP612", &[slashes, &line612, &line613]),
    );
    line(
        "JkMount /AJP703/* nobody".to_owned(),
        "JkMount /AJP703|/* plain".to_owned(),
    );
    line(
        "JkMount /AJP706/* plain".to_owned(),
        "JkMount /AJP706|/* plain".to_owned(),
    );
    line(
        "JkMount /AJP402|/* slow".to_owned(),
        "JkMount /AJP402|/* slow".to_owned(),
    );
    line(
        "JkMount /AJP201|/* large".to_owned(),
        "JkMount /AJP201|/* large".to_owned(),
    );
    text
}

fn workers(ports: &Ports, is_bad: bool) -> String {
    let size = |name: &str| {
        if is_bad {
            String::new()
        } else {
            format!("worker.{name}.max_packet_size=65536\n")
        }
    };
    let (reply, large) = if is_bad {
        ("60", "16384")
    } else {
        ("60000", "65536")
    };
    format!(
        "worker.list=plain,slow,large\nworker.plain.host=127.0.0.1\nworker.plain.port={plain}\n{}\
         worker.slow.host=127.0.0.1\nworker.slow.port={plain}\nworker.slow.reply_timeout={reply}\nworker.slow.recovery_options=7\n{}\
         worker.large.host=127.0.0.1\nworker.large.port={of_large}\nworker.large.max_packet_size={large}\n",
        size("plain"),
        size("slow"),
        plain = ports.plain,
        of_large = ports.of("AJP201"),
    )
}

impl Farm {
    async fn start(is_bad: bool) -> Self {
        let root = tempfile::Builder::new().prefix("farm-").tempdir().unwrap();
        let ports = Ports::new();
        let http = ports::free_addr();
        let (base, front) = (root.path().join("tomcat"), root.path().join("httpd"));
        for dir in ["conf", "logs", "temp", "work", "webapps"] {
            std::fs::create_dir_all(base.join(dir)).unwrap();
        }
        std::fs::create_dir_all(front.join("run")).unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.path(), open.clone()).unwrap();
        std::fs::set_permissions(&front, open).unwrap();
        std::fs::set_permissions(front.join("run"), std::fs::Permissions::from_mode(0o777))
            .unwrap();
        let conf_dir = base.join("conf");
        let web_xml = r#"<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"/>"#;
        std::fs::write(conf_dir.join("web.xml"), web_xml).unwrap();
        let logging = "handlers = java.util.logging.ConsoleHandler\n.handlers = java.util.logging.ConsoleHandler\n.level = INFO\njava.util.logging.ConsoleHandler.level = ALL\n";
        std::fs::write(conf_dir.join("logging.properties"), logging).unwrap();
        let users = need::run(
            Command::new("openssl").args(["passwd", "-apr1", "open sesame"]),
            "openssl",
        );
        let users = format!("ali:{}", String::from_utf8(users.stdout).unwrap());
        std::fs::write(front.join("users"), users).unwrap();
        let private = |path: PathBuf, text: String| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let xml = private(conf_dir.join("server.xml"), server_xml(&ports, is_bad));
        let conf = private(
            front.join("httpd.conf"),
            httpd_conf(&front, http, &ports, is_bad),
        );
        private(front.join("workers.properties"), workers(&ports, is_bad));
        // Bad connectors must not end it.
        let arguments: Vec<_> = tomcat_conf::command(&base, None)
            .get_args()
            .filter(|argument| !argument.to_string_lossy().contains("EXIT_ON_INIT_FAILURE"))
            .map(std::ffi::OsStr::to_owned)
            .collect();
        let mut command = Command::new("java");
        command.args(arguments);
        let tomcat = started::tomcat(command, &base, START_LIMIT).await;
        let httpd = started::httpd(&conf, &front, START_LIMIT).await;
        Self {
            httpd,
            tomcat,
            http,
            conf,
            xml,
            jk_log: front.join("run/mod_jk.log"),
            sites: ["site of AJP611", "site of AJP612"]
                .map(|site| SocketAddr::from(([127, 0, 0, 1], ports.of(site)))),
            _root: root,
        }
    }

    async fn get(&self, path: &str) -> Response {
        Client::new(self.http).get(path).await
    }

    async fn with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        Client::new(self.http)
            .request("GET", path, headers, Body::None)
            .await
    }

    /// Whether each case shows its symptom.
    #[allow(clippy::too_many_lines, reason = "one symptom after the other")]
    async fn symptoms(&self) -> Vec<(&'static str, bool)> {
        let mut seen = Vec::new();
        for (code, status) in [
            ("AJP101", 403),
            ("AJP102", 403),
            ("AJP103", 503),
            ("AJP152", 503),
            ("AJP153", 503),
            ("AJP154", 502),
            ("AJP601", 403),
            ("AJP702", 404),
            ("AJP703", 500),
            ("AJP704", 503),
            ("AJP712", 403),
        ] {
            let answer = self.get(&format!("/{code}/hello")).await;
            assert!(
                [status, 200].contains(&answer.status.as_u16()),
                "{code}: {}",
                answer.status
            );
            seen.push((code, answer.status == status));
        }
        let [mut refusing, mut passing] = self.sites.map(Client::new);
        for (code, site, status) in [
            ("AJP611", &mut refusing, 404),
            ("AJP612", &mut passing, 400),
        ] {
            let answer = site.get(&format!("/{code}/echo/a%2Fb")).await;
            assert!(
                [status, 200].contains(&answer.status.as_u16()),
                "{code}: {}",
                answer.status
            );
            seen.push((code, answer.status == status));
        }
        let answer = passing.get("/AJP613/echo/a%2Fb").await;
        let uri = answer.json()["uri"].as_str().unwrap().to_owned();
        seen.push(("AJP613", uri.contains("%252F")));
        let cookie = format!("a={}", "x".repeat(12_000));
        // Larger than httpd's own limit of one line, so in two.
        let (one, two) = cookie.split_at(6_000);
        let answer = self
            .with("/AJP201/hello", &[("cookie", one), ("x-more", two)])
            .await;
        assert!(
            [200, 400, 500].contains(&answer.status.as_u16()),
            "{}",
            answer.status
        );
        seen.push(("AJP201", answer.status != 200));
        for code in ["AJP202"] {
            let answer = Client::new(self.http)
                .get(&format!("/{code}/bytes?n=100000"))
                .await;
            seen.push((code, !is_whole(&answer)));
        }
        let sleeping: Vec<_> = (0..4)
            .map(|_| {
                let http = self.http;
                tokio::spawn(async move {
                    Client::new(http)
                        .get("/AJP301/sleep?ms=4000")
                        .await
                        .status
                        .as_u16()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = self.get("/AJP301/hello").await;
        seen.push(("AJP301", answer.status == 503));
        for one in sleeping {
            one.await.unwrap();
        }
        let answer = self.get("/AJP402/sleep?ms=600").await;
        seen.push(("AJP402", answer.status == 504));
        let answer = self.get("/AJP605/echo/%C3%A9").await;
        seen.push(("AJP605", answer.json()["pathInfo"] != "/\u{e9}"));
        let answer = self
            .with(
                "/AJP603/echo",
                &[("authorization", "Basic YWxpOm9wZW4gc2VzYW1l")],
            )
            .await;
        seen.push(("AJP603", answer.json()["remoteUser"] != "ali"));
        let answer = self.get("/AJP701/private/x").await;
        seen.push(("AJP701", answer.status == 200));
        let answer = self.get("/AJP706").await;
        seen.push((
            "AJP706",
            answer.status == 404 && !answer.text().contains("Tomcat"),
        ));
        seen.push(("AJP501", self.session_is_lost("/AJP501/session").await));
        seen.push(("AJP509", self.session_is_lost("/AJP509/session").await));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(8);
        // The first check must have been made.
        let mut failed = false;
        while tokio::time::Instant::now() < deadline && !failed {
            failed = self.get("/AJP801/hello").await.status == 503;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        seen.push(("AJP801", failed));
        seen
    }

    /// As a browser: with the cookie only where its path allows it.
    async fn session_is_lost(&self, path: &str) -> bool {
        let mut cookie: Option<(String, String)> = None;
        for visit in 1..=4 {
            let sent = cookie.as_ref().filter(|(_, of)| path.starts_with(&**of));
            let headers: Vec<(&str, &str)> =
                sent.iter().map(|(pair, _)| ("cookie", &**pair)).collect();
            let answer = self.with(path, &headers).await;
            if answer.json()["count"] != visit {
                return true;
            }
            if let Some(set) = answer.header("set-cookie") {
                let mut parts = set.split(';').map(str::trim);
                let pair = parts.next().unwrap().to_owned();
                let of = parts
                    .find_map(|part| part.strip_prefix("Path="))
                    .unwrap_or("/");
                cookie = Some((pair, of.to_owned()));
            }
        }
        false
    }

    fn lint(&self) -> BTreeSet<String> {
        let paths = [self.conf.to_str().unwrap(), self.xml.to_str().unwrap()];
        findings(&paths, &[])
            .into_iter()
            .map(|(code, ..)| code)
            .collect()
    }
}

fn is_whole(answer: &Response) -> bool {
    answer.status == 200 && answer.body.as_ref().is_ok_and(|body| body.len() == 100_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn symptoms_come_with_the_findings_and_go_with_the_advice() {
    let bad = Farm::start(true).await;
    let found = bad.lint();
    let symptoms = bad.symptoms().await;
    assert!(symptoms.len() >= 12, "{symptoms:?}");
    let missing: Vec<_> = symptoms
        .iter()
        .filter(|(code, is_seen)| !is_seen || !found.contains(*code))
        .collect();
    let logs = format!(
        "{}\n{}",
        bad.httpd.log(),
        std::fs::read_to_string(&bad.jk_log).unwrap()
    );
    assert!(missing.is_empty(), "{missing:?}\n{found:?}\n{logs}");
    // The logs say what the rules say that they do.
    let tomcat = bad.tomcat.log();
    for (code, _) in &symptoms {
        let told = ajp(&["lint", "--explain", code]);
        let line = |name: &str| {
            let line = told
                .ok()
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            line.trim().to_owned()
        };
        let (front, container) = (line("web server log:"), line("container log:"));
        assert!(
            front == "nothing" || logs.contains(&front),
            "{code}: {front}\n{logs}"
        );
        assert!(
            container == "nothing" || tomcat.contains(&container),
            "{code}: {container}\n{tomcat}"
        );
    }
    drop(bad);

    let good = Farm::start(false).await;
    assert_eq!(
        good.lint(),
        BTreeSet::new(),
        "{}",
        std::fs::read_to_string(&good.conf).unwrap()
    );
    let symptoms = good.symptoms().await;
    let left: Vec<_> = symptoms.iter().filter(|(_, is_seen)| *is_seen).collect();
    assert!(
        left.is_empty(),
        "{left:?}\n{}\n{}",
        good.httpd.log(),
        good.tomcat.log()
    );
}

/// What keeps httpd from starting.
#[test]
fn httpd_refuses_what_lint_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let modules = [
        "mpm_event",
        "authz_core",
        "proxy",
        "proxy_ajp",
        "proxy_balancer",
        "lbmethod_byrequests",
        "slotmem_shm",
        "jk",
    ];
    let start: String = modules.iter().fold(String::new(), |mut text, name| {
        writeln!(text, "LoadModule {name}_module {MODULES}/mod_{name}.so").unwrap();
        text
    });
    let start = format!(
        "{start}ServerName localhost\nServerRoot {at}\nErrorLog {at}/httpd.log\nJkLogFile {at}/jk.log\n",
        at = dir.path().display()
    );
    let member = |settings: &str| {
        format!(
            "{start}<Proxy balancer://b>\nBalancerMember ajp://127.0.0.1:8009 {settings}\n</Proxy>\n"
        )
    };
    let line = |line: &str| format!("{start}{line}\n");
    for (bad, good) in [
        ("<Location /a>", "<Location /a>\n</Location>"),
        ("</Location>", ""),
        (
            "\u{feff}<Location /a>\n</Location>",
            "<Location /a>\n</Location>",
        ),
        (
            "ProxyPassMatch ^/(.*$ ajp://127.0.0.1:8009/$1",
            "ProxyPassMatch ^/(.*)$ ajp://127.0.0.1:8009/$1",
        ),
    ] {
        for (text, is_bad) in [(bad, true), (good, false)] {
            let paths = write(&dir, &[("httpd.conf", &line(text))]);
            let ended = Command::new("/usr/sbin/apache2")
                .args(["-t", "-f", &paths[0]])
                .output()
                .unwrap();
            assert_eq!(ended.status.success(), !is_bad, "{text}: {ended:?}");
            let found = findings(&paths, &[]);
            let is_found = found.iter().any(|(known, ..)| known == "AJP005");
            assert_eq!(is_found, is_bad, "{text}: {found:?}");
        }
    }
    for (code, bad, good) in [
        (
            "AJP107",
            format!("secret={}", "x".repeat(64)),
            format!("secret={}", "x".repeat(63)),
        ),
        (
            "AJP805",
            "loadfactor=200".to_owned(),
            "loadfactor=100".to_owned(),
        ),
        ("AJP805", "lbset=100".to_owned(), "lbset=99".to_owned()),
    ] {
        for (settings, is_bad) in [(bad, true), (good, false)] {
            let paths = write(&dir, &[("httpd.conf", &member(&settings))]);
            let ended = Command::new("/usr/sbin/apache2")
                .args(["-t", "-f", &paths[0]])
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.success(), !is_bad, "{code}: {told}");
            let found = findings(&paths, &[]);
            assert_eq!(
                found.iter().any(|(known, ..)| known == code),
                is_bad,
                "{code}: {found:?}"
            );
            if is_bad && code == "AJP107" {
                assert!(told.contains("Secret length must be < 64"), "{told}");
            }
        }
    }
}
