//! `ajp gateway`: HTTP in, AJP out, what httpd does in front of Tomcat.
//!
//! Without arguments it starts an AJP container of its own and forwards to it:
//!
//! ```text
//! ajp gateway
//! curl http://127.0.0.1:8080/echo
//! ```
//!
//! With `--backend ajp://127.0.0.1:8009 --secret-file /etc/ajp.secret` it forwards to a
//! real one, such as Tomcat. Several make a balancer; more of them, and paths, are described
//! in a file, see `gateway.toml` beside this one.
//!
//! - `check`: `--check`.
//! - `config`: the file and the flags, checked, as settings.
//! - `front`: the HTTP side.
//! - `manager`: the page, JSON, the API and metrics; `settings`: what can be changed live.
//! - `embedded`: the container without a backend; `greeting`: what is printed.
//! - `running`, `listeners`, `inherited`: what runs, from the start over reloads to the end.
//! - `socket_unit`: sockets of systemd, for a check of the configuration.

mod check;
mod config;
mod embedded;
mod front;
mod greeting;
mod inherited;
mod listeners;
mod manager;
mod running;
mod settings;
mod socket_unit;

use crate::exit::{Exit, Failure, codes};
use ajp::balancer::Sticky;
use config::{Backend, Config, Defaults, MethodName, Packets, argument};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How long standard error may take for the last lines.
const ERRORS_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct GatewayArgs {
    /// Configuration file in TOML; flags beside it come first
    #[arg(long)]
    config: Option<PathBuf>,
    /// Look at the configuration and the files it names, and end
    #[arg(long)]
    check: bool,
    /// With --check, a .socket unit of systemd: tells which listener takes which of its sockets, and
    /// fails where nobody would accept from one
    #[arg(long, value_name = "FILE", requires = "check")]
    socket_unit: Option<PathBuf>,
    /// As --check, and show the configuration
    #[arg(long, requires = "config")]
    print_config: bool,
    /// Address to take HTTP requests on; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// A container, ajp://host:port or unix:/path, and its route=, weight=, status= and set=;
    /// once for each [default: one of its own]
    #[arg(long, conflicts_with = "config")]
    backend: Vec<Backend>,
    /// How to choose among containers: byrequests, bytraffic, bybusyness, bysessions,
    /// least_outstanding or lowest_latency [default: byrequests]
    #[arg(long, conflicts_with = "config", value_parser = argument::<MethodName>)]
    method: Option<MethodName>,
    /// Cookie and path parameter of sticky sessions, such as JSESSIONID|jsessionid
    #[arg(long, conflicts_with = "config", value_parser = argument::<Sticky>)]
    sticky: Option<Sticky>,
    /// Loopback address of the balancer manager [default: none]
    #[arg(long)]
    manager: Option<SocketAddr>,
    /// Let the balancer manager change things
    #[arg(long, requires = "manager")]
    manager_changes: bool,
    /// Where requests are logged, - for standard output [default: nowhere]
    #[arg(long)]
    access_log: Option<PathBuf>,
    /// File that holds the secret shared with the containers; while that is being changed twice,
    /// the new one first
    #[arg(long)]
    secret_file: Vec<PathBuf>,
    /// AJP packet size in bytes, 8192 to 65536, as the containers have it; "auto" learns it of them
    #[arg(long, value_name = "BYTES", default_value = "8192")]
    packet_size: Packets,
    /// Most connections to each container
    #[arg(long, default_value_t = 100, value_parser = connections)]
    max_connections: usize,
    /// Largest request body in bytes [default: no limit]
    #[arg(long)]
    max_body: Option<u64>,
}

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp gateway                                   on 127.0.0.1:8080, before a container of its own
  ajp gateway --backend ajp://127.0.0.1:8009 --secret-file /etc/ajp.secret
  ajp gateway --sticky 'JSESSIONID|jsessionid' --manager 127.0.0.1:8081 \\
      --backend 'ajp://10.0.0.1 route=jvm1 weight=2' --backend 'ajp://10.0.0.2 route=jvm2'
  ajp gateway --config /etc/ajp/gateway.toml
  ajp gateway --config /etc/ajp/gateway.toml --check
  ajp gateway --config /etc/ajp/gateway.toml --check --socket-unit ajp-gateway.socket

Manager: with [manager] in the configuration there is a page, metrics, and an API below /api/v1:
  curl http://127.0.0.1:8081/api/v1/state                            everything, as JSON
  curl -X PUT -H \"Authorization: Bearer $(cat /etc/ajp/token)\" -d '{{\"weight\": 0.5}}' \\
      http://127.0.0.1:8081/api/v1/balancers/cart/members/jvm1       a change
Changes need token_file; they survive a restart with state_file. `ajp drain` empties a member.

Signals: HUP reads the configuration, certificates and secrets again and loses no request; a
configuration that is wrong changes nothing. USR1 opens the access log again. TERM and INT end
what is running, then the program.

{}",
        codes(None, &[])
    )
}

/// What is wrong with the keys and values of a configuration, without a look at the files that
/// it names: where, in bytes of the text, and why.
#[cfg(feature = "cli")]
pub(crate) fn faults(text: &str) -> Vec<(Option<std::ops::Range<usize>>, String)> {
    config::faults(text)
}

/// As many as the configuration may say, too.
fn connections(text: &str) -> Result<usize, &'static str> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=100_000).contains(count))
        .ok_or("expected a whole number from 1 to 100000")
}

/// Runs the gateway until it is asked to stop.
pub(crate) fn run(args: GatewayArgs) -> Result<Exit, Failure> {
    if args.check || args.print_config {
        return check::check(&args);
    }
    // What the library has to say, such as why a container refuses every request. Nobody waits for
    // whoever reads it.
    let errors = front::Lines::to(front::Target::Errors);
    let (lines, errors) =
        errors.map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    tracing_subscriber::fmt()
        .with_writer(move || lines.clone())
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let served = runtime.block_on(async {
        let served = running::serve(args).await;
        // What could not be written is lost: there is nowhere to say so.
        let _ = errors.finish(ERRORS_LIMIT).await;
        served
    });
    served.map_err(Failure::usage)?;
    Ok(Exit::Done)
}

impl GatewayArgs {
    /// How containers are reached that the file says nothing else of.
    fn defaults(&self) -> Result<Defaults, String> {
        let secrets = config::secrets(&self.secret_file);
        Ok(Defaults {
            secrets: secrets.map_err(|error| format!("secret file {error}"))?,
            packets: self.packet_size,
            body_requests: 1,
            max_connections: self.max_connections,
        })
    }

    /// What the file says, or the flags.
    fn read(&self) -> Result<Config, String> {
        let defaults = self.defaults()?;
        let config = match &self.config {
            Some(path) => Config::load(path, &defaults),
            None if self.backend.is_empty() => Ok(Config::default()),
            None => Config::of_backends(
                self.backend.clone(),
                self.method.clone(),
                self.sticky.clone(),
                &defaults,
            ),
        };
        let mut config = config.map_err(|error| error.to_string())?;
        if let Some(listen) = self.manager {
            let manager = config::Manager::new(listen, self.manager_changes);
            config.manager = Some(manager.map_err(|error| error.to_string())?);
        }
        config.listen = self.listen.or(config.listen);
        config.access_log = self.access_log.clone().or(config.access_log);
        config.max_body = self.max_body.or(config.max_body);
        Ok(config)
    }
}
