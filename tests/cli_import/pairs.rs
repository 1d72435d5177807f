//! Ten configurations as people have them, each served by a real httpd and by the gateway with
//! what `ajp import` made of it: both are asked for the same paths, and must answer with the
//! same status, by the same member, from the same path there.

use crate::cli::{Ended, ajp};
use crate::support::gateway::Gateway;
use crate::support::httpd::Httpd;
use crate::support::ports;
use crate::support::tls::Certificates;
use ajp::Secret;
use ajp::server::{AttributeAction, AttributePolicy, RequestClaims, ServerConfig, Trust, serve};
use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How many paths both sides of a pair are asked for.
const PATHS: usize = 200;

/// What is asked below every path of a pair.
const BELOW: [&str; 17] = [
    "",
    "/",
    "/x",
    "/x/",
    "/x/y?q=1&r=%C3%A9",
    "/a.jsp",
    "/a.do",
    "/img/b.png",
    "/img/c.gif",
    "/x;jsessionid=1.ROUTE",
    "/./y",
    "/z/../y",
    "//y",
    "/%79",
    "/a%20b",
    "x",
    "/fail/x",
];

/// One configuration.
struct Pair {
    /// The name of its file.
    name: &'static str,
    text: &'static str,
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
    /// Requests with a body of so many bytes.
    uploads: &'static [(&'static str, usize)],
    is_tls: bool,
    /// Further arguments of the import; `DIR` stands for the directory of all files.
    arguments: &'static [&'static str],
    /// What the import says of what it does not take over.
    says: &'static [&'static str],
    /// Requests of sessions, which belong to the members with these routes in turn.
    routes: &'static [&'static str],
    /// Where httpd forwards a path as it came, and the gateway its normal form.
    raw: &'static str,
    /// For which requests the two sides answer differently, each with its reason.
    differs: &'static [Difference],
}

/// An expression for paths, the status of httpd and that of the gateway.
struct Difference(&'static str, u16, u16);

macro_rules! pair {
    ($name:literal, $($field:ident: $value:expr),+ $(,)?) => {
        Pair {
            name: $name,
            text: include_str!(concat!("pairs/", $name, ".conf")),
            $($field: $value,)+
            ..PLAIN
        }
    };
}

const PLAIN: Pair = Pair {
    name: "",
    text: "",
    hosts: &["localhost"],
    paths: &[],
    uploads: &[],
    is_tls: false,
    arguments: &[],
    says: &[],
    routes: &[],
    raw: "/raw/",
    differs: &[],
};

/// httpd has `LimitRequestBody`, and does not look at it where it forwards a request.
const LIMITED: &[Difference] = &[Difference("/large$", 200, 413)];

const PAIRS: [Pair; 10] = [
    pair!("shop",
        routes: &["jvm1", "jvm2"],
        paths: &["/shop", "/shop/internal", "/shop/closed", "/server-status", "/Shop", "/shop/a/b",
            "/shop/internals", "/shop/closed/deep", "/", "/shop/img", "/other", "/shop/cart"],
    ),
    pair!("sites",
        hosts: &["www.one.example", "one.example", "two.example", "a.two.example",
            "three.example", "unknown.example"],
        paths: &["/old", "/tracker", "/wiki"],
        uploads: &[("/x", 999), ("/x/large", 1001)],
        differs: LIMITED,
    ),
    pair!("tls",
        is_tls: true,
        hosts: &["secure.example", "unknown.example"],
        paths: &["", "/app", "/deep/er", "/app.war", "/one", "/two"],
    ),
    pair!("jk",
        routes: &["jvm1", "jvm2"],
        arguments: &["--workers", "DIR/workers.properties"],
        paths: &["/shop", "/shop/star", "/shop/images", "/docs", "/docs/index", "/other", "", "/shop/images/deep",
            "/Docs", "/shop/image", "/docsx", "/shop/docs", "/x/shop"],
    ),
    pair!("jkmap",
        routes: &["jvm2", "jvm1"],
        arguments: &["--workers", "DIR/workers.properties",
            "--uriworkermap", "DIR/uriworkermap.properties"],
        paths: &["/app", "/app/star", "/app/noted", "/app/private", "/reports", "/reports/old", "/exact/page", "/off",
            "/other", "", "/exact", "/app/privates", "/reports/older", "/app/a"],
    ),
    pair!("order",
        paths: &["/first/deep", "/first", "/first/never", "/user/ann", "/download", "/raw",
            "/firstly", "/last", "", "/user", "/download/a.zip", "/lastly", "/user/ann/b"],
    ),
    pair!("members",
        routes: &["one", "two"],
        paths: &["/both", "/one", "/two", "/none", "/open", "/other", "/one/deep", "/two/deep",
            "/both/more", "/both/deep", "/open/deep", ""],
    ),
    pair!("portal",
        says: &["left to the web server: Alias /static /srv/static"],
        // What is gone is not there.
        differs: &[Difference("(?i)^/portal/gone(/|$)", 410, 404)],
        paths: &["/portal", "/portal/setup", "/portal/gone", "/portal/admin", "/portal/x/config",
            "/portal/x/debug", "/portal/a.bak", "/portal/public", "/portal/x.old", "/static",
            "/portal/admins", "/portal/GONE", "/other", "/portal/a1/closed", "/portal/order",
            "/portal/r7"],
    ),
    pair!("failures",
        routes: &["jvm1", "jvm2", "jvm3"],
        // The member has failed for both; the gateway asks another one, too.
        differs: &[Difference("^/some/fail/x$", 503, 200)],
        paths: &["/some", "/dead", "/half", "/alone", "/some/deep", "/other", "/half/deep",
            "/some/more", "/some/other", "/half/more", "/dead/deep", "/alone/deep"],
    ),
    pair!("api",
        paths: &["/api", "/api/v2", "/api/v1", "/upload", "/other", "/api/v2/deep", "/api/v22",
            "/upload/deep", "/apis", "/api/v2/attributes", "/API", "/"],
        uploads: &[("/api/x", 1999), ("/api/large", 2001), ("/api/v2/x", 499),
            ("/api/v2/large", 501), ("/upload/x", 5000)],
        differs: LIMITED,
    ),
];

/// Everything that both sides of all pairs share.
struct Lab {
    dir: tempfile::TempDir,
    members: BTreeMap<&'static str, SocketAddr>,
    connector: TlsConnector,
}

impl Lab {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tls = Certificates::create(&dir.path().join("tls"));
        // httpd runs as another user.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).unwrap();
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(tls.pem("ca")).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut members = BTreeMap::new();
        for (name, secret) in [
            ("JVM1", None),
            ("JVM2", None),
            ("JVM3", None),
            ("ONE", Some("secret-one")),
            ("TWO", Some("secret-two")),
        ] {
            members.insert(name, member(name, secret).await);
        }
        members.insert("NOBODY", ports::free_addr());
        Self {
            members,
            connector: TlsConnector::from(Arc::new(config.with_no_client_auth())),
            dir,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes the files of all pairs, each with the lines that say where its peers are.
    fn write(&self, ports: &[(SocketAddr, SocketAddr)]) {
        for (pair, (plain, tls)) in PAIRS.iter().zip(ports) {
            let mut text = format!(
                "Define PORT {}\nDefine TLSPORT {}\nDefine TLS {}\nDefine DIR {}\n",
                plain.port(),
                tls.port(),
                self.path("tls"),
                self.dir.path().display(),
            );
            for (name, address) in &self.members {
                writeln!(text, "Define {name} {address}").unwrap();
            }
            text.push_str("Listen 127.0.0.1:${PORT}\n");
            if pair.is_tls {
                text.push_str("Listen 127.0.0.1:${TLSPORT}\n");
            }
            text.push_str(pair.text);
            std::fs::write(self.path(&format!("{}.conf", pair.name)), text).unwrap();
        }
        let map = include_str!("pairs/uriworkermap.properties");
        std::fs::write(self.path("uriworkermap.properties"), map).unwrap();
        std::fs::write(self.path("workers.properties"), self.workers()).unwrap();
    }

    fn workers(&self) -> String {
        let mut workers = include_str!("pairs/workers.properties").to_owned();
        for (name, address) in &self.members {
            workers = workers.replace(&format!("@{name}@"), &address.port().to_string());
        }
        workers
    }

    fn import(&self, pair: &Pair) -> Ended {
        let conf = self.path(&format!("{}.conf", pair.name));
        let secrets = self.path(&format!("{}-secrets", pair.name));
        std::fs::create_dir(&secrets).unwrap();
        let own = pair.arguments.iter();
        let own: Vec<_> = own
            .map(|argument| argument.replace("DIR", &self.path("")))
            .collect();
        let mut arguments = vec!["import", "--httpd", &conf, "--secrets", &secrets];
        arguments.extend(own.iter().map(String::as_str));
        ajp(&arguments)
    }
}

/// A container that says who it is, what it was asked for and with which attributes.
async fn member(name: &'static str, secret: Option<&str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new()
        .fallback(move |request: Request| async move {
            let claims = request.extensions().get::<RequestClaims>().unwrap();
            let mut attributes: Vec<_> = claims
                .attributes()
                .map(|(name, value)| {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    format!("{}={}", text(name), text(value))
                })
                .collect();
            attributes.sort();
            let told = format!("{name} {} {}", request.uri(), attributes.join(" "));
            let fails = name == "JVM1" && request.uri().path().contains("/fail/");
            let status = if fails {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            };
            let _ = request.into_body().collect().await;
            (status, told).into_response()
        })
        .layer(axum::extract::DefaultBodyLimit::disable());
    let trust = match secret {
        Some(secret) => Trust::Secrets(vec![Secret::new(secret).unwrap()]),
        None => Trust::TrustedNetwork,
    };
    let accept = AttributePolicy::default().others(AttributeAction::Accept);
    let config = ServerConfig::new(trust).with_attributes(accept);
    tokio::spawn(serve(listener, app).with_config(config).into_future());
    address
}

/// A client of one side, which keeps its connection.
struct Asker {
    address: SocketAddr,
    connector: Option<TlsConnector>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Asker {
    fn new(address: SocketAddr, connector: Option<TlsConnector>) -> Self {
        Self {
            address,
            connector,
            sender: None,
        }
    }

    async fn sender(&mut self) -> &mut SendRequest<Full<Bytes>> {
        let is_ready = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_ready {
            let stream = TcpStream::connect(self.address).await.unwrap();
            self.sender = Some(match &self.connector {
                None => handshake(TokioIo::new(stream)).await,
                Some(connector) => {
                    let name = ServerName::try_from("localhost").unwrap();
                    let stream = connector.connect(name, stream).await.unwrap();
                    handshake(TokioIo::new(stream)).await
                }
            });
        }
        self.sender.as_mut().unwrap()
    }

    /// Asks for a path, in a session of the member with this route if there is one.
    async fn ask(&mut self, host: &str, path: &str, body: Option<usize>, route: &str) -> Answer {
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = Full::from(vec![b'x'; body.unwrap_or(0)]);
        let mut request = http::Request::builder().method(method).uri(path);
        if !route.is_empty() {
            request = request.header("Cookie", format!("JSESSIONID=1.{route}"));
        }
        let request = request.header("Host", host).body(body).unwrap();
        let answer = self.sender().await.send_request(request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{host} {path}: {error:?}"));
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let mut words = text.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let member =
            Some(word()).filter(|name| matches!(name.get(..3), Some("JVM" | "ONE" | "TWO")));
        let told = member.is_some();
        Answer {
            status,
            member,
            uri: if told { word() } else { String::new() },
            attributes: if told { word() } else { String::new() },
        }
    }
}

/// A status, and what a member has told: its name, what it was asked for, and attributes.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    member: Option<String>,
    uri: String,
    attributes: String,
}

async fn handshake<T>(io: TokioIo<T>) -> SendRequest<Full<Bytes>>
where
    TokioIo<T>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

impl Pair {
    /// Hosts, paths and lengths of bodies.
    fn requests(&self) -> Vec<(&'static str, String, Option<usize>)> {
        let mut requests = Vec::new();
        for below in BELOW {
            for path in self.paths {
                for host in self.hosts {
                    let route = self.routes.last().unwrap_or(&"jvm2");
                    let below = below.replace("ROUTE", route);
                    let path = format!("{}{below}", path.trim_end_matches('/'));
                    if path.starts_with('/') {
                        requests.push((*host, path, None));
                    }
                }
            }
        }
        assert!(requests.len() >= PATHS, "{}: {}", self.name, requests.len());
        requests.truncate(PATHS);
        for (path, length) in self.uploads {
            requests.push((self.hosts[0], (*path).to_owned(), Some(*length)));
        }
        requests
    }

    /// Asks both sides; what differs, a line each.
    async fn compare(&self, mut httpd: Asker, mut gateway: Asker) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, (host, path, body)) in self.requests().into_iter().enumerate() {
            // A session is told by a cookie, or in the path.
            let mut routes = self.routes.iter().cycle();
            let route = routes.nth(number).filter(|_| !path.contains(";jsessionid"));
            let route = route.copied().unwrap_or_default();
            let mut theirs = httpd.ask(host, &path, body, route).await;
            let mut ours = gateway.ask(host, &path, body, route).await;
            if path.starts_with(self.raw) {
                theirs.uri.clear();
                ours.uri.clear();
            }
            let fits = |known: &&Difference| regex::Regex::new(known.0).unwrap().is_match(&path);
            let is_right = match self.differs.iter().find(fits) {
                Some(Difference(_, of_httpd, of_gateway)) => {
                    (theirs.status, ours.status) == (*of_httpd, *of_gateway)
                }
                None => theirs == ours,
            };
            if !is_right {
                wrong.push(format!(
                    "{}: {host} {path} {body:?} {route}: httpd {theirs:?}, gateway {ours:?}",
                    self.name
                ));
            }
        }
        wrong
    }
}

/// What was imported, as a gateway on free ports.
async fn gateway(import: &Ended) -> Gateway {
    let lines = import.text().lines();
    let lines = lines.filter(|line| *line != "listen = \"127.0.0.1:8080\"");
    let config: String = lines.flat_map(|line| [line, "\n"]).collect();
    let config = config
        .replace("\"127.0.0.1:8443\"", "\"127.0.0.1:0\"")
        .replace("\"127.0.0.1:8080\"", "\"127.0.0.1:0\"");
    Gateway::start(&config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_configurations_answer_alike() {
    let lab = Lab::start().await;
    let ports: Vec<_> = PAIRS
        .iter()
        .map(|_| (ports::free_addr(), ports::free_addr()))
        .collect();
    lab.write(&ports);
    let modules = crate::support::httpd_conf::MODULES;
    let mut global = format!("DocumentRoot {}\n", lab.path("tls"));
    for module in ["alias", "access_compat", "socache_shmcb", "ssl"] {
        writeln!(
            global,
            "LoadModule {module}_module {modules}/mod_{module}.so"
        )
        .unwrap();
    }
    for pair in &PAIRS {
        writeln!(
            global,
            "Include {}",
            lab.path(&format!("{}.conf", pair.name))
        )
        .unwrap();
    }
    let httpd = Httpd::builder()
        .mod_jk(&lab.workers(), &[])
        .raw_global(&global)
        .log_level("warn")
        .start()
        .await;
    let mut wrong = Vec::new();
    for (pair, (plain, tls)) in PAIRS.iter().zip(ports) {
        let done = lab.import(pair);
        let gateway = gateway(&done).await;
        let (theirs, ours, connector) = if pair.is_tls {
            let ours = gateway.others().last().unwrap().parse().unwrap();
            (tls, ours, Some(lab.connector.clone()))
        } else {
            (plain, gateway.http, None)
        };
        let httpd = Asker::new(theirs, connector.clone());
        let differences = pair.compare(httpd, Asker::new(ours, connector)).await;
        for part in pair.says {
            if !done.errors.contains(part) {
                wrong.push(format!("{}: {part:?} is not said", pair.name));
            }
        }
        if !differences.is_empty() {
            wrong.extend(differences);
            wrong.push(format!("{}\n{}", done.text(), done.errors));
        }
    }
    drop(httpd);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
