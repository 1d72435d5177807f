//! The walk-throughs of the chapter `docs::troubleshooting`, as they are written there: the
//! configuration of its blocks with real peers, the commands, and the way out.

use super::{started, write};
use crate::cli::{Ended, ajp};
use crate::support::child::ChildGuard;
use crate::support::http1::{Body, Client, Response};
use crate::support::httpd_conf::MODULES;
use crate::support::{need, ports, tomcat_conf, webapp};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(90);
/// In the chapter; here they are free ones.
const PORTS: [&str; 2] = ["8009", "8109"];

/// What one walk-through says.
#[derive(Debug, Default)]
struct Story {
    /// Lines of httpd, and what is in each `<Service>`: first as they are, then as they should be.
    steps: [Step; 2],
    commands: Vec<Said>,
}

#[derive(Debug, Default)]
struct Step {
    httpd: String,
    services: Vec<String>,
}

/// A command and lines that it prints.
#[derive(Debug)]
struct Said {
    command: String,
    lines: Vec<String>,
}

impl Story {
    fn read(heading: &str) -> Self {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/troubleshooting.md");
        let chapter = std::fs::read_to_string(path).unwrap();
        let part = chapter
            .split("\n# ")
            .find(|part| part.starts_with(heading))
            .unwrap();
        let mut story = Self::default();
        let mut step = 0;
        let mut lines = part.lines();
        while let Some(line) = lines.next() {
            if line == "Instead:" {
                step = 1;
            }
            let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else {
                continue;
            };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match kind {
                "apache" => story.steps[step].httpd = block.join("\n"),
                "xml" => story.steps[step].services.push(block.join("\n")),
                "text" => {
                    let (command, said) = block.split_first().unwrap();
                    story.commands.push(Said {
                        command: command.strip_prefix("$ ").unwrap().to_owned(),
                        lines: said
                            .iter()
                            .map(|line| line.trim().to_owned())
                            .filter(|line| line != "...")
                            .collect(),
                    });
                }
                other => panic!("{other}"),
            }
        }
        // What does not change is not written twice.
        if story.steps[1].httpd.is_empty() {
            let httpd = story.steps[0].httpd.clone();
            story.steps[1].httpd = httpd;
        }
        if story.steps[1].services.is_empty() {
            let services = story.steps[0].services.clone();
            story.steps[1].services = services;
        }
        assert!(
            !story.steps[0].httpd.is_empty()
                && !story.steps[0].services.is_empty()
                && !story.commands.is_empty(),
            "{story:?}"
        );
        story
    }
}

/// httpd and Tomcat as a step has them.
struct Peers {
    _httpd: ChildGuard,
    _tomcat: ChildGuard,
    http: SocketAddr,
    /// `site.conf`, and a `server.xml` for each service.
    files: Vec<String>,
    ports: Vec<u16>,
    _root: TempDir,
}

impl Peers {
    async fn start(step: &Step) -> Self {
        let root = tempfile::Builder::new().prefix("walk-").tempdir().unwrap();
        let own: Vec<u16> = PORTS.iter().map(|_| ports::free_addr().port()).collect();
        let here = |text: &str| {
            PORTS
                .iter()
                .zip(&own)
                .fold(text.to_owned(), |text, (port, own)| {
                    text.replace(port, &own.to_string())
                })
        };
        let docs = webapp::dir().display();
        let host = format!(
            "<Host name=\"localhost\" appBase=\"webapps\" autoDeploy=\"false\" deployOnStartup=\"false\">\n<Context path=\"/app\" docBase=\"{docs}\" containerSciFilter=\".\"><JarScanner scanClassPath=\"false\" scanManifest=\"false\"/><Manager pathname=\"\"/></Context>\n</Host>"
        );
        let service = |(number, text): (usize, &String)| {
            let text = here(text);
            let text = if text.contains("<Engine") {
                text
            } else {
                format!("{text}\n<Engine name=\"Catalina\" defaultHost=\"localhost\">")
            };
            let text = text.replace("name=\"Catalina\"", &format!("name=\"C{number}\""));
            format!("<Service name=\"C{number}\">\n{text}\n{host}\n</Engine>\n</Service>")
        };
        let services: Vec<String> = step.services.iter().enumerate().map(service).collect();
        let (base, front) = (root.path().join("tomcat"), root.path().join("httpd"));
        for dir in ["conf", "logs", "temp", "work", "webapps"] {
            std::fs::create_dir_all(base.join(dir)).unwrap();
        }
        std::fs::create_dir_all(front.join("run")).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        for dir in [root.path(), &front, &front.join("run")] {
            std::fs::set_permissions(dir, open.clone()).unwrap();
        }
        let web_xml = r#"<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"/>"#;
        std::fs::write(base.join("conf/web.xml"), web_xml).unwrap();
        std::fs::write(base.join("conf/logging.properties"), "handlers = java.util.logging.ConsoleHandler\n.handlers = java.util.logging.ConsoleHandler\n.level = INFO\n").unwrap();
        std::fs::write(
            base.join("conf/server.xml"),
            format!("<Server port=\"-1\">\n{}\n</Server>\n", services.join("\n")),
        )
        .unwrap();
        let http = ports::free_addr();
        let site = here(&step.httpd);
        let conf = front.join("httpd.conf");
        std::fs::write(&conf, httpd_conf(&front, http, &site)).unwrap();
        let tomcat = started::tomcat(tomcat_conf::command(&base, None), &base, LIMIT).await;
        let httpd = started::httpd(&conf, &front, LIMIT).await;
        let xml = services
            .iter()
            .map(|service| format!("<Server>\n{service}\n</Server>\n"))
            .collect::<Vec<_>>();
        let names: Vec<String> = (1..=xml.len())
            .map(|number| format!("server{number}.xml"))
            .collect();
        let site = format!("MaxRequestWorkers 25\n{site}\n");
        let mut files = vec![("site.conf", &*site)];
        files.extend(
            names
                .iter()
                .map(String::as_str)
                .zip(xml.iter().map(String::as_str)),
        );
        Self {
            files: write(&root, &files),
            _httpd: httpd,
            _tomcat: tomcat,
            http,
            ports: own,
            _root: root,
        }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        Client::new(self.http)
            .request("GET", path, headers, Body::None)
            .await
    }

    /// Runs a command of the chapter on what is here.
    fn run(&self, command: &str) -> Ended {
        let mut arguments = Vec::new();
        for word in command.strip_prefix("ajp ").unwrap().split(' ') {
            match word {
                "site.conf" => arguments.push(self.files[0].clone()),
                "server.xml" => arguments.extend_from_slice(&self.files[1..]),
                word => arguments.push(word.replace(PORTS[0], &self.ports[0].to_string())),
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ajp(&arguments)
    }
}

fn httpd_conf(at: &std::path::Path, http: SocketAddr, site: &str) -> String {
    let mut text = String::new();
    for name in [
        "mpm_event",
        "authz_core",
        "env",
        "proxy",
        "proxy_ajp",
        "proxy_balancer",
        "lbmethod_byrequests",
        "slotmem_shm",
    ] {
        let path = format!("{MODULES}/mod_{name}.so");
        need::file(&path, "apache2");
        writeln!(text, "LoadModule {name}_module {path}").unwrap();
    }
    let at = at.display();
    format!(
        "{text}ServerRoot {at}\nServerName localhost\nDefaultRuntimeDir {at}/run\nPidFile {at}/run/httpd.pid\nMutex file:{at}/run default\n\
         ErrorLog {at}/httpd.log\nLogLevel info\nStartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25\nTimeout 20\n\
         GracefulShutdownTimeout 1\nUser www-data\nGroup www-data\nListen {http}\n{site}\n"
    )
}

/// Plays a walk-through: the symptom, what each command says, and the end of it.
async fn replay(heading: &str, symptom: impl AsyncFn(&Peers) -> bool) {
    let story = Story::read(heading);
    let peers = Peers::start(&story.steps[0]).await;
    assert!(symptom(&peers).await, "{heading}: no symptom");
    for Said { command, lines } in &story.commands {
        let ended = tokio::task::block_in_place(|| peers.run(command));
        // Places and ports are those of this run.
        let mut text = ended.text().replace(
            &format!("{}/", peers.files[0].trim_end_matches("/site.conf")),
            "",
        );
        for (own, port) in peers.ports.iter().zip(PORTS) {
            text = text.replace(&own.to_string(), port);
        }
        for line in lines {
            assert!(
                text.lines().any(|known| known.trim().ends_with(line)),
                "{heading}: {command}: {line}\n{text}"
            );
        }
    }
    drop(peers);
    let peers = Peers::start(&story.steps[1]).await;
    assert!(!symptom(&peers).await, "{heading}: the symptom stays");
    let ended = tokio::task::block_in_place(|| peers.run("ajp lint site.conf server.xml"));
    assert_eq!(ended.code, 0, "{heading}: {}", ended.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_403() {
    replay("403 Forbidden", async |peers| {
        peers.get("/app/hello", &[]).await.status == 403
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_of_503() {
    replay("503 under load", async |peers| {
        let http = peers.http;
        // On a busy machine the requests of one round may come one after the other.
        for _ in 0..3 {
            let slow: Vec<_> = (0..16)
                .map(|_| {
                    tokio::spawn(async move {
                        let answer = Client::new(http).get("/app/sleep?ms=4000").await;
                        answer.status.as_u16()
                    })
                })
                .collect();
            let mut statuses = Vec::new();
            for one in slow {
                statuses.push(one.await.unwrap());
            }
            if statuses.contains(&503) {
                return true;
            }
        }
        false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_get_lost() {
    replay("Sessions get lost", async |peers| {
        let first = peers.get("/app/session", &[]).await;
        let cookie = first
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        for visit in 2..=5 {
            let answer = peers.get("/app/session", &[("cookie", &cookie)]).await;
            if answer.json()["count"] != visit {
                return true;
            }
        }
        false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_cut() {
    replay("Pages are cut off", async |peers| {
        let answer = peers.get("/app/bytes?n=100000", &[]).await;
        !answer.body.as_ref().is_ok_and(|body| body.len() == 100_000)
    })
    .await;
}
