//! What stands in front of the cluster, httpd or the gateway, told the same.

use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::support::gateway::Gateway;
use super::support::http1::{Body, Client};
use super::support::httpd::Httpd;
use super::support::replication::Cluster;
use super::support::tomcat::Tomcat;
use super::{RETRY, STANDBY};

/// Which front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Httpd,
    Gateway,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Httpd => "httpd",
            Self::Gateway => "gateway",
        })
    }
}

/// A running front, with the cluster's `/cart` behind its own.
pub enum Front {
    Httpd(Httpd),
    Gateway(Gateway),
}

impl Front {
    /// One with `byrequests`, sticky sessions, and the last node as hot standby. Weights are
    /// those of the nodes in their order.
    pub async fn start(kind: Kind, cluster: &Cluster, weights: [u32; 2]) -> Self {
        let weights = weights.into_iter().chain([1]);
        let nodes = cluster.nodes().iter().zip(weights);
        match kind {
            Kind::Httpd => Self::Httpd(httpd(nodes).await),
            Kind::Gateway => Self::Gateway(gateway(nodes).await),
        }
    }

    /// Where it takes requests.
    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Httpd(httpd) => httpd.http_addr(),
            Self::Gateway(gateway) => gateway.http,
        }
    }

    /// How many requests it says it has given to a node.
    pub async fn elected(&self, node: &Tomcat) -> u64 {
        match self {
            Self::Httpd(httpd) => row(&httpd_page(httpd).await, node)[ELECTED]
                .parse()
                .unwrap(),
            Self::Gateway(gateway) => {
                let member = gateway.member(node.route().unwrap()).await;
                member["elected"].as_u64().unwrap()
            }
        }
    }

    /// Lets a node drain, or ends that, as an operator would.
    pub async fn drain(&self, node: &Tomcat, on: bool) {
        match self {
            Self::Httpd(httpd) => {
                let page = httpd_page(httpd).await;
                let (_, nonce) = page.split_once("nonce=").unwrap();
                let nonce = nonce.split('"').next().unwrap();
                let worker = format!("ajp://{}", node.ajp_addr());
                let on = u8::from(on);
                let form = format!("b=lab&w={worker}&nonce={nonce}&w_status_N={on}");
                let referer = format!("http://{}/balancer-manager", httpd.http_addr());
                let headers = [
                    ("Content-Type", "application/x-www-form-urlencoded"),
                    ("Referer", &*referer),
                ];
                let mut operator = Client::new(httpd.http_addr());
                let body = Body::Full(form.into());
                let target = "/balancer-manager";
                let answer = operator.request("POST", target, &headers, body).await;
                assert_eq!(answer.status, 200);
                let state = row(answer.text(), node)[STATE].to_owned();
                assert_eq!(state.contains("Drn"), on == 1, "{state}");
            }
            Self::Gateway(gateway) => {
                let member = format!("ajp://{}", node.ajp_addr());
                let status = if on { "+N" } else { "-N" };
                let fields = [
                    ("balancer", "cluster"),
                    ("member", &*member),
                    ("status", status),
                ];
                let answer = gateway.change(&fields).await;
                assert_eq!(answer.status, 303, "{}", answer.text());
            }
        }
    }
}

async fn httpd(nodes: impl Iterator<Item = (&Tomcat, u32)>) -> Httpd {
    let members: Vec<_> = nodes
        .map(|(node, weight)| {
            let route = node.route().unwrap();
            let mut params = format!(
                "route={route} loadfactor={weight} retry={} secret={}",
                RETRY.as_secs(),
                node.secret().unwrap()
            );
            if route == STANDBY {
                write!(params, " status=+H").unwrap();
            }
            (node.ajp_addr(), params)
        })
        .collect();
    let members: Vec<_> = members
        .iter()
        .map(|(addr, params)| (*addr, &**params))
        .collect();
    let params = "stickysession=JSESSIONID|jsessionid";
    // Every visitor has a connection.
    let workers = "ThreadsPerChild 64\nMaxRequestWorkers 64\nAsyncRequestWorkerFactor 4";
    let builder = Httpd::builder().raw_global(workers);
    let builder = builder.proxy_balancer("/cart", &members, params);
    builder.start().await
}

/// The gateway with the configuration of the README, which has the nodes elsewhere.
async fn gateway(nodes: impl Iterator<Item = (&Tomcat, u32)>) -> Gateway {
    let config = readme();
    let weight = "\nweight = 3\n";
    assert!(config.contains(weight), "{weight} in {config}");
    let mut config = config.replace(weight, "\n");
    let secret = tempfile::NamedTempFile::new().unwrap();
    for ((node, weight), port) in nodes.zip(["8009", "8109", "8209"]) {
        let (route, url) = (node.route().unwrap(), format!("\"ajp://127.0.0.1:{port}\""));
        let before = format!("url = {url}\nroute = \"{route}\"");
        assert!(config.contains(&before), "{before} in {config}");
        let after = format!(
            "url = \"ajp://{}\"\nweight = {weight}\nroute = \"{route}\"",
            node.ajp_addr()
        );
        config = config.replace(&before, &after);
        std::fs::write(secret.path(), node.secret().unwrap()).unwrap();
    }
    let file = secret.path().to_str().unwrap();
    for (before, after) in [
        ("listen = \"127.0.0.1:8080\"\n", ""),
        (
            "retry = \"10s\"",
            &format!("retry = \"{}s\"", RETRY.as_secs()),
        ),
        ("\"ajp.secret\"", &format!("\"{file}\"")),
    ] {
        assert!(config.contains(before), "{before} in {config}");
        config = config.replace(before, after);
    }
    // The secret is read before the gateway says that it listens.
    Gateway::start(&config).await
}

/// `cluster.toml` of the README.
fn readme() -> String {
    let text = include_str!("../../README.md");
    let (_, rest) = text.split_once("```toml\n# cluster.toml\n").unwrap();
    let (config, rest) = rest.split_once("```").unwrap();
    // As the tests start it.
    assert!(rest.contains("\najp gateway --config cluster.toml &\n"));
    // Without what is said beside the keys.
    let lines = config
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default());
    lines.flat_map(|line| [line.trim_end(), "\n"]).collect()
}

async fn httpd_page(httpd: &Httpd) -> String {
    let mut operator = Client::new(httpd.http_addr());
    let page = operator.get("/balancer-manager").await;
    page.text().to_owned()
}

/// Columns of httpd's table after the URL.
const STATE: usize = 4;
const ELECTED: usize = 5;

/// A member's line of httpd's table: what comes after the URL.
fn row<'a>(page: &'a str, node: &Tomcat) -> Vec<&'a str> {
    let name = format!(">ajp://{}</a></td><td>", node.ajp_addr());
    let (_, rest) = page.split_once(&*name).unwrap_or_else(|| panic!("{page}"));
    let (row, _) = rest.split_once("</td></tr>").unwrap();
    row.split("</td><td>").collect()
}
