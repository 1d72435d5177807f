//! `ajp conform`: whether a container or a web server keeps the protocol's rules.
//!
//! - `check`: what a check and a verdict is.
//! - `connection`: a connection whose other side may do anything.
//! - `container`: checks of a container.
//! - `front`: checks of a web server.
//! - `report`: text, JSON, JUnit.

mod check;
mod connection;
mod container;
mod front;
mod report;

use crate::exit::{Exit, Failure, codes};
use crate::peer::SecretArgs;
use crate::target::Target;
use crate::ui;
use crate::values;
use check::{Check, Outcome, Verdict};
use clap::{Args, Subcommand};
use container::Container;
use front::{Accepting, FrontServer};
use report::Format;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::lookup_host;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp conform container --secret-file ajp.secret ajp://127.0.0.1:8009/app/
  ajp conform container --reading-path /app/echo --status-path '/app/status/{{}}' ajp://127.0.0.1/app/
  ajp conform container --list
  ajp conform container --only C35,C45 ajp://127.0.0.1/app/
  ajp conform container --format junit ajp://127.0.0.1/app/ > conform.xml
  ajp conform front --listen 127.0.0.1:8019 --http http://127.0.0.1:8080/app/
      with ProxyPass /app ajp://127.0.0.1:8019/app retry=0 in httpd

Each check has a rule, and a verdict: it holds, differs harmlessly, is wrong (something fails or is
damaged) or dangerous (requests can be smuggled, anybody gets in). A container gets about a hundred
connections with broken packets, and its log shows them: take one that nobody needs. A web server is
asked over HTTP and answered badly over AJP.

{}",
        conform_codes()
    )
}

fn container_help() -> String {
    format!(
        "\
Examples:
  ajp conform container --secret-file ajp.secret ajp://127.0.0.1:8009/app/
  ajp conform container --reading-path /app/echo --status-path '/app/status/{{}}' ajp://127.0.0.1/app/
  ajp conform container --only C35,C45 ajp://127.0.0.1/app/     two of the checks
  ajp conform container --list                                  what is checked

{}",
        conform_codes()
    )
}

fn front_help() -> String {
    format!(
        "\
Examples:
  ajp conform front --listen 8019 --http http://127.0.0.1:8080/app/
  ajp conform front --listen 0.0.0.0:8019 --http http://10.0.0.7/app/    on another machine
  ajp conform front --list                                      what is checked

First let the web server forward a path to the address of --listen, and not give a container up
that has failed: ProxyPass /app ajp://127.0.0.1:8019/app retry=0 in httpd.

{}",
        conform_codes()
    )
}

fn conform_codes() -> String {
    codes(Some("a verdict is wrong or dangerous"), &[])
}

#[derive(Debug, Args)]
pub(crate) struct ConformArgs {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Checks a container, as its web server
    #[command(after_help = container_help())]
    Container(ContainerArgs),
    /// Checks a web server, as its container
    #[command(after_help = front_help())]
    Front(FrontArgs),
}

#[derive(Debug, Args)]
struct ContainerArgs {
    /// ajp://host:port/path of a page that answers GET
    #[arg(value_name = "URL", required_unless_present = "list")]
    target: Option<Target>,
    /// A page that reads the body of a POST [default: the path of the URL]
    #[arg(long, value_name = "PATH")]
    reading_path: Option<String>,
    /// A page that answers with a status, for which {} stands
    #[arg(long, value_name = "PATH")]
    status_path: Option<String>,
    /// Longest wait for each packet
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = values::nonzero)]
    timeout: Duration,
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

#[derive(Debug, Args)]
struct FrontArgs {
    /// Where the web server connects to: PORT on loopback, or IP:PORT
    #[arg(short, long, value_name = "PORT", value_parser = listen, required_unless_present = "list")]
    listen: Option<SocketAddr>,
    /// http://host:port/path that the web server forwards to this container
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    http: Option<String>,
    /// Longest wait for each packet
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = values::nonzero)]
    timeout: Duration,
    #[command(flatten)]
    which: WhichArgs,
}

/// Which checks, and how to show them.
#[derive(Debug, Args)]
struct WhichArgs {
    /// Only the check with this number or name, may be repeated
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<String>,
    /// Show which checks there are, and do none
    #[arg(long)]
    list: bool,
    /// How to show what was seen
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// As --format json
    #[arg(long)]
    json: bool,
}

impl WhichArgs {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// The checks that are wanted, of those that there are.
    fn choose(&self, checks: &'static [Check]) -> Result<Vec<&'static Check>, Failure> {
        let find = |wanted: &String| {
            let mut checks = checks.iter();
            checks
                .find(|check| check.id.eq_ignore_ascii_case(wanted) || check.name == wanted)
                .ok_or_else(|| {
                    Failure::usage(format!(
                        "no check is called {wanted}; --list shows all that there are"
                    ))
                })
        };
        if self.only.is_empty() {
            return Ok(checks.iter().collect());
        }
        self.only.iter().map(find).collect()
    }
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
        let wanted = self.which.choose(container::CHECKS)?;
        let Some(target) = self.target.filter(|_| !self.which.list) else {
            return list(self.which.format(), &wanted);
        };
        let secret = self.secret.bytes()?;
        let mut container = Container {
            address: &target.address,
            path: &target.path,
            reading: self.reading_path.as_deref().unwrap_or(&target.path),
            statuses: self.status_path.as_deref(),
            secret: secret.as_deref(),
            limit: self.timeout,
        };
        let outcomes = container::run(&mut container, &wanted).await;
        finish(self.which.format(), &target.to_string(), &outcomes)
    }
}

impl FrontArgs {
    async fn run(self) -> Result<Exit, Failure> {
        let wanted = self.which.choose(front::CHECKS)?;
        let (Some(url), Some(listen), false) = (self.http, self.listen, self.which.list) else {
            return list(self.which.format(), &wanted);
        };
        let wrong = || Failure::usage(format!("--http {url}: must be http://host:port/path"));
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let address = if host.contains(':') && !host.ends_with(']') {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let http = lookup_host(&address)
            .await
            .map_err(|error| {
                let text = format!("--http {url}: {host} has no address: {error}");
                Failure::usage(text)
            })?
            .next();
        let (listener, _) = crate::listen::listen(listen).await?;
        let mut front = FrontServer {
            listener: Accepting::new(listener),
            http: http.ok_or_else(wrong)?,
            host,
            path: if path.is_empty() { "/" } else { path },
            limit: self.timeout,
        };
        let outcomes = front::run(&mut front, &wanted).await;
        finish(self.which.format(), &url, &outcomes)
    }
}

/// What `--list` shows.
fn list(format: Format, checks: &[&Check]) -> Result<Exit, Failure> {
    ui::print(&format.list(checks))?;
    Ok(Exit::Done)
}

fn finish(format: Format, peer: &str, outcomes: &[Outcome]) -> Result<Exit, Failure> {
    ui::print(&format.show(peer, outcomes))?;
    let fails = outcomes
        .iter()
        .any(|outcome| outcome.verdict >= Verdict::Wrong);
    Ok(if fails { Exit::No } else { Exit::Done })
}
