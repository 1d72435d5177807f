//! The two httpds, alike but for the container behind them.

use super::container;
use super::support::httpd::{Httpd, HttpdBuilder};
use super::support::tomcat::{SECRET, Tomcat};
use ajp::Secret;
use ajp::server::{AttributePolicy, ServerConfig, ServerTimeouts, Trust, serve};
use ajp::wire::PacketSize;
use axum::Router;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long the containers keep an idle connection in [`Setup::ShortIdle`].
pub(crate) const SHORT_IDLE: Duration = Duration::from_secs(1);

/// The attribute that the web server adds.
pub(crate) const ATTRIBUTE: &str = "LAB_COLOUR";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    ProxyAjp,
    Jk,
}

impl Via {
    /// Its name in the manifest.
    pub(crate) fn peer(self) -> &'static str {
        match self {
            Self::ProxyAjp => "httpd",
            Self::Jk => "jk",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Tomcat,
    Ours,
}

/// What web server and container agree on, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    Plain,
    /// Packets of 65536 bytes.
    Large,
    Tls,
    /// A user whom the web server knows, and whom the container believes.
    User,
    /// An attribute that the container accepts.
    Attribute,
    /// The same, which it does not.
    AttributeRefused,
    SecretWrong,
    SecretMissing,
    /// A balancer with one member, `jvm1`.
    Balanced,
    /// The container closes idle connections soon.
    ShortIdle,
}

pub(crate) struct Sides {
    tomcat: Httpd,
    ours: Httpd,
    errors: Arc<Mutex<Vec<String>>>,
    /// Last, so that the web servers are gone before it.
    _tomcat: Tomcat,
}

impl Sides {
    pub(crate) async fn start(via: Via, setup: Setup) -> Self {
        let tomcat = tomcat(setup).await;
        let errors = Arc::new(Mutex::new(Vec::new()));
        let ours = ours(setup, Arc::clone(&errors)).await;
        Self {
            tomcat: front(via, setup, tomcat.ajp_addr()).start().await,
            ours: front(via, setup, ours).start().await,
            errors,
            _tomcat: tomcat,
        }
    }

    pub(crate) fn httpd(&self, side: Side) -> &Httpd {
        match side {
            Side::Tomcat => &self.tomcat,
            Side::Ours => &self.ours,
        }
    }

    pub(crate) fn http(&self, side: Side) -> SocketAddr {
        self.httpd(side).http_addr()
    }

    /// What our server reported, refusals and lost clients aside.
    pub(crate) fn unexpected_errors(&self) -> Vec<String> {
        let errors = self.errors.lock().unwrap();
        let known = ["Refused", "Closed", "ConnectionReset", "BrokenPipe"];
        let unknown = |error: &&String| !known.iter().any(|known| error.contains(known));
        errors.iter().filter(unknown).cloned().collect()
    }
}

async fn tomcat(setup: Setup) -> Tomcat {
    let builder = Tomcat::builder().connector_attr("tomcatAuthentication", "false");
    let builder = match setup {
        Setup::Large => builder.packet_size(65536),
        Setup::Attribute => builder.connector_attr("allowedRequestAttributesPattern", ATTRIBUTE),
        Setup::ShortIdle => {
            let limit = SHORT_IDLE.as_millis().to_string();
            builder.connector_attr("keepAliveTimeout", &limit)
        }
        _ => builder,
    };
    builder.start().await
}

async fn ours(setup: Setup, errors: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trust = Trust::Secrets(vec![Secret::new(SECRET).unwrap()]);
    let config = ServerConfig::new(trust).with_trust_remote_user(true);
    let config = match setup {
        Setup::Large => config.with_packet_size(PacketSize::MAX),
        Setup::Attribute => config.with_attributes(AttributePolicy::default().accept(ATTRIBUTE)),
        Setup::ShortIdle => config.with_timeouts(ServerTimeouts::default().with_idle(SHORT_IDLE)),
        _ => config,
    };
    let app = Router::new().nest("/app", container::app());
    let server = serve(listener, app)
        .with_config(config)
        .on_error(move |_, error| errors.lock().unwrap().push(format!("{error:?}")));
    tokio::spawn(server.into_future());
    address
}

/// httpd, with a CPing before each request.
fn front(via: Via, setup: Setup, container: SocketAddr) -> HttpdBuilder {
    let secret = match setup {
        Setup::SecretWrong => "secret=wrong".to_owned(),
        Setup::SecretMissing => String::new(),
        _ => format!("secret={SECRET}"),
    };
    let mut httpd = Httpd::builder().tls(setup == Setup::Tls);
    match (via, setup) {
        (Via::ProxyAjp, Setup::Balanced) => {
            let member = format!("{secret} ping=1 route=jvm1");
            let members = [(container, &*member)];
            httpd = httpd.proxy_balancer("/app", &members, "stickysession=JSESSIONID|jsessionid");
        }
        (Via::ProxyAjp, _) => {
            let params = match setup {
                Setup::Large => format!("{secret} ping=1 iobuffersize=65536"),
                _ => format!("{secret} ping=1"),
            };
            httpd = httpd.proxy_ajp("/app", container, &params);
        }
        (Via::Jk, _) => {
            let mut lines = vec!["ping_mode=A", "ping_timeout=2000"];
            if !secret.is_empty() {
                lines.push(&secret);
            }
            if setup == Setup::Large {
                lines.push("max_packet_size=65536");
            }
            if setup == Setup::Balanced {
                lines.push("route=jvm1");
                let properties: Vec<_> = lines
                    .iter()
                    .map(|line| format!("worker.jvm1.{line}\n"))
                    .collect();
                let workers = format!(
                    "worker.list=lab\nworker.lab.type=lb\nworker.lab.balance_workers=jvm1\n\
                     worker.jvm1.type=ajp13\nworker.jvm1.host={}\nworker.jvm1.port={}\n{}",
                    container.ip(),
                    container.port(),
                    properties.concat()
                );
                httpd = httpd.mod_jk(&workers, &[("/app/*", "lab")]);
            } else {
                httpd = httpd.mod_jk_worker(container, &lines);
            }
        }
    }
    match setup {
        Setup::User => httpd = httpd.basic_auth("/app/echo", "lab", "lab"),
        Setup::Attribute | Setup::AttributeRefused => {
            httpd = httpd.raw(&match via {
                Via::ProxyAjp => format!("SetEnv AJP_{ATTRIBUTE} green"),
                Via::Jk => format!("SetEnv {ATTRIBUTE} green\nJkEnvVar {ATTRIBUTE}"),
            });
        }
        _ => {}
    }
    httpd
}
