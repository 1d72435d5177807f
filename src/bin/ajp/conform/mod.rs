//! `ajp conform`: whether a container or a web server keeps the protocol's rules.
//!
//! - `check`: what a check and a verdict is.
//! - `packets`: packets as no writer would make them.
//! - `container`: checks of a container.
//! - `front`: checks of a web server.
//! - `report`: text, JSON, JUnit.

mod check;
mod container;
mod front;
mod packets;
mod report;

use crate::exit::{CODES, Exit, Failure};
use crate::peer::SecretArgs;
use crate::target::Target;
use crate::ui;
use crate::values;
use check::{Outcome, Verdict};
use clap::{Args, Subcommand};
use container::Container;
use front::{Accepting, FrontServer};
use report::Format;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, lookup_host};

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp conform container --secret-file ajp.secret ajp://127.0.0.1:8009/app/
  ajp conform container --reading-path /app/echo --status-path '/app/status/{{}}' ajp://127.0.0.1/app/
  ajp conform container --format junit ajp://127.0.0.1/app/ > conform.xml
  ajp conform front --listen 127.0.0.1:8019 --http http://127.0.0.1:8080/app/
      with ProxyPass /app ajp://127.0.0.1:8019/app retry=0 in httpd

Each check has a rule, and a verdict: it holds, differs harmlessly, is wrong (something fails or is
damaged) or dangerous (requests can be smuggled, anybody gets in). A container gets about a hundred
connections with broken packets, and its log shows them: take one that nobody needs. A web server is
asked over HTTP and answered badly over AJP.

{CODES}
Here 1 is a verdict of wrong or dangerous."
    )
}

#[derive(Debug, Args)]
pub(crate) struct ConformArgs {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Checks a container, as its web server
    #[command(after_help = CODES)]
    Container(ContainerArgs),
    /// Checks a web server, as its container
    #[command(after_help = CODES)]
    Front(FrontArgs),
}

#[derive(Debug, Args)]
struct ContainerArgs {
    /// ajp://host:port/path of a page that answers GET
    #[arg(value_name = "URL")]
    target: Target,
    /// A page that reads the body of a POST [default: the path of the URL]
    #[arg(long, value_name = "PATH")]
    reading_path: Option<String>,
    /// A page that answers with a status, for which {} stands
    #[arg(long, value_name = "PATH")]
    status_path: Option<String>,
    /// Longest wait for each packet
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = values::nonzero)]
    timeout: Duration,
    /// How to show what was seen
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// As --format json
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    secret: SecretArgs,
}

#[derive(Debug, Args)]
struct FrontArgs {
    /// Where the web server connects to: PORT on loopback, or IP:PORT
    #[arg(short, long, value_name = "PORT", value_parser = listen)]
    listen: SocketAddr,
    /// http://host:port/path that the web server forwards to this container
    #[arg(long, value_name = "URL")]
    http: String,
    /// Longest wait for each packet
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = values::nonzero)]
    timeout: Duration,
    /// How to show what was seen
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// As --format json
    #[arg(long)]
    json: bool,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = || {
        text.parse()
            .map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)))
    };
    text.parse()
        .or_else(|_| port())
        .map_err(|_| "must be a port, or an IP address with one".to_owned())
}

impl ConformArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        match self.side {
            Side::Container(args) => args.run().await,
            Side::Front(args) => args.run().await,
        }
    }
}

impl ContainerArgs {
    async fn run(self) -> Result<Exit, Failure> {
        let secret = self.secret.bytes()?;
        let container = Container {
            address: &self.target.address,
            path: &self.target.path,
            reading: self.reading_path.as_deref().unwrap_or(&self.target.path),
            statuses: self.status_path.as_deref(),
            secret: secret.as_deref(),
            limit: self.timeout,
        };
        let outcomes = container.run().await;
        finish(
            format_of(self.format, self.json),
            &self.target.to_string(),
            &outcomes,
        )
    }
}

impl FrontArgs {
    async fn run(self) -> Result<Exit, Failure> {
        let wrong = || Failure::usage(format!("{}: must be http://host:port/path", self.http));
        let rest = self.http.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let address = if host.contains(':') && !host.ends_with(']') {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let http = lookup_host(&address)
            .await
            .map_err(|error| Failure::new(Exit::Connect, format!("{host}: {error}")))?
            .next();
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            Failure::usage(format!("cannot listen on {}: {error}", self.listen))
        })?;
        let mut front = FrontServer {
            listener: Accepting::new(listener),
            http: http.ok_or_else(wrong)?,
            host,
            path: if path.is_empty() { "/" } else { path },
            limit: self.timeout,
        };
        let outcomes = front.run().await;
        finish(format_of(self.format, self.json), &self.http, &outcomes)
    }
}

fn format_of(format: Format, json: bool) -> Format {
    if json { Format::Json } else { format }
}

fn finish(format: Format, peer: &str, outcomes: &[Outcome]) -> Result<Exit, Failure> {
    ui::print(&format.show(peer, outcomes))?;
    let fails = outcomes
        .iter()
        .any(|outcome| outcome.verdict >= Verdict::Wrong);
    Ok(if fails { Exit::No } else { Exit::Done })
}
