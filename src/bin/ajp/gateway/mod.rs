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
//! - `config`: the file and the flags, checked, as settings.
//! - `front`: the HTTP side.
//! - `manager`: the page, JSON and metrics.

mod config;
mod front;
mod manager;

use crate::container::Application;
use crate::exit::{CODES, Exit, Failure};
use crate::values;
use ajp::Secret;
use ajp::balancer::{Balancer, Sticky};
use ajp::client::Address;
use ajp::server::{ServerConfig, Trust};
use ajp::wire::PacketSize;
use config::{Backend, Config, Defaults, MethodName, argument};
use front::{
    AccessLog, Bound, Budget, Current, ListenAddress, Options, Site, TlsSettings, Traffic,
};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Body packets that the container of our own may ask for at a time.
const BODY_REQUESTS: u16 = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct GatewayArgs {
    /// Configuration file in TOML; flags beside it come first
    #[arg(long)]
    config: Option<PathBuf>,
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
    /// File that holds the secret shared with the containers
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// AJP packet size in bytes, 8192 to 65536; must be the containers'
    #[arg(long, default_value = "8192", value_parser = values::packet_size)]
    packet_size: PacketSize,
    /// Most connections to each container
    #[arg(long, default_value_t = 100)]
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

{CODES}"
    )
}

/// Runs the gateway until it is asked to stop.
pub(crate) fn run(args: GatewayArgs) -> Result<Exit, Failure> {
    // What the library has to say, such as why a container refuses every request.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let served = runtime.block_on(serve(args));
    served.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Exit::Done)
}

async fn serve(args: GatewayArgs) -> Result<(), Box<dyn Error>> {
    let defaults = Defaults {
        secret: match &args.secret_file {
            Some(path) => Some(
                Secret::from_file(path)
                    .map_err(|error| format!("secret file {}: {error}", path.display()))?,
            ),
            None => None,
        },
        packet_size: args.packet_size,
        body_requests: 1,
        max_connections: args.max_connections,
    };
    let (stop, stopping) = watch::channel(false);
    let (config, own) = configure(args, &defaults, &stopping).await?;

    let listeners = bind_all(&config).await?;
    let (log, writer) = match &config.access_log {
        None => (AccessLog::none(), None),
        Some(path) => AccessLog::open(path)
            .map(|(log, writer)| (log, Some(writer)))
            .map_err(|error| format!("access log {}: {error}", path.display()))?,
    };
    let manager = match &config.manager {
        None => None,
        Some(settings) => {
            let bound = Bound::at(&ListenAddress::Tcp(settings.listen)).await?;
            Some((bound, settings))
        }
    };
    for (index, (bound, options)) in listeners.iter().enumerate() {
        let scheme = if options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let address = bound.address()?;
        if index == 0 {
            println!("{}", greeting(scheme, &address, &config, own.is_some()));
        } else {
            println!("gateway: also {}", url(scheme, &address));
        }
    }
    let mut tasks: Vec<JoinHandle<()>> = own.into_iter().collect();
    let traffic = Arc::new(Traffic::default());
    if let Some((bound, settings)) = manager {
        let address = bound.address()?;
        println!("gateway: manager http://{address}{}", manager::PATH);
        let manager = manager::Manager::new(config.balancers.clone(), settings)?;
        tasks.push(tokio::spawn(manager::run(bound, manager, stopping.clone())));
    }
    for balancer in config.balancers.clone() {
        tokio::spawn(async move { balancer.run().await });
    }
    let budget = Budget::new(config.limits.buffer_memory);
    let current = Arc::new(Current::new(Site {
        sites: config.sites()?,
        max_body: config.max_body,
        trusted_proxies: config.trusted_proxies,
        log,
        limits: config.limits,
        budget,
    }));
    let mut exchanges = Vec::new();
    for (bound, options) in listeners {
        let (exchange, options) = watch::channel(Arc::new(options));
        exchanges.push(exchange);
        tasks.push(tokio::spawn(front::run(
            bound,
            options,
            Arc::clone(&traffic),
            Arc::clone(&current),
            stopping.clone(),
        )));
    }

    asked_to_stop().await?;
    println!("gateway: draining");
    stop.send_replace(true);
    for task in tasks.into_iter().rev() {
        task.await?;
    }
    if let Some(writer) = writer {
        writer.finish();
    }
    println!("gateway: done");
    Ok(())
}

/// What the file says, or the flags, or a container of our own.
async fn configure(
    args: GatewayArgs,
    defaults: &Defaults,
    stopping: &watch::Receiver<bool>,
) -> Result<(Config, Option<JoinHandle<()>>), Box<dyn Error>> {
    let mut config = match &args.config {
        Some(path) => Config::load(path, defaults)?,
        None if args.backend.is_empty() => Config::default(),
        None => Config::of_backends(
            args.backend.clone(),
            args.method,
            args.sticky.clone(),
            defaults,
        )?,
    };
    let mut own = None;
    if config.maps.is_empty() && config.named_sites.is_empty() {
        let secret = defaults.secret.clone();
        let (address, server) =
            start_container(secret, defaults.packet_size, stopping.clone()).await?;
        let backend = Backend::from(address);
        let ours = Defaults {
            body_requests: BODY_REQUESTS,
            ..defaults.clone()
        };
        let embedded = Config::of_backends(vec![backend], args.method, args.sticky, &ours)?;
        (config.balancers, config.maps) = (embedded.balancers, embedded.maps);
        own = Some(server);
    }
    if let Some(listen) = args.manager {
        config.manager = Some(config::Manager::new(listen, args.manager_changes)?);
    }
    config.listen = args.listen.or(config.listen);
    config.access_log = args.access_log.or(config.access_log);
    config.max_body = args.max_body.or(config.max_body);
    Ok((config, own))
}

/// All listeners, and what each does with its connections.
async fn bind_all(config: &Config) -> Result<Vec<(Bound, Options)>, Box<dyn Error>> {
    let plain = Options {
        trusted: config.trusted_proxies.clone(),
        limits: config.limits.clone(),
        ..Options::default()
    };
    let mut all = Vec::new();
    if config.listen.is_some() || config.listeners.is_empty() {
        let listen = config.listen.unwrap_or((Ipv4Addr::LOCALHOST, 8080).into());
        all.push((Bound::at(&ListenAddress::Tcp(listen)).await?, plain.clone()));
    }
    for listener in &config.listeners {
        let tls = listener.tls.as_ref().map(TlsSettings::acceptor);
        let options = Options {
            tls: tls.transpose()?,
            proxy_protocol: listener.proxy_protocol,
            redirect: listener.redirect,
            hsts: listener.hsts.clone(),
            ..plain.clone()
        };
        all.push((Bound::at(&listener.address).await?, options));
    }
    Ok(all)
}

fn url(scheme: &str, address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => format!("{scheme}://{address}"),
        ListenAddress::Unix(_) => address.to_string(),
    }
}

/// The one line that is printed when all is ready.
fn greeting(scheme: &str, address: &ListenAddress, config: &Config, embedded: bool) -> String {
    let (to, path) = match (&config.balancers[..], &config.maps[..]) {
        ([one], [map]) => (members(one), map.pattern.to_string()),
        (balancers, maps) => {
            let names: Vec<_> = balancers
                .iter()
                .map(|balancer| format!("balancer://{}", balancer.name()))
                .collect();
            (
                names.join(","),
                maps.first()
                    .map_or("/".to_owned(), |map| map.pattern.to_string()),
            )
        }
    };
    let (kind, path) = if embedded {
        (" (embedded container)", "/hello")
    } else {
        ("", path.as_str())
    };
    let try_it = match address {
        ListenAddress::Tcp(address) => format!("curl {scheme}://{address}{path}"),
        ListenAddress::Unix(socket) => {
            format!(
                "curl --unix-socket {} {scheme}://localhost{path}",
                socket.display()
            )
        }
    };
    let url = url(scheme, address);
    format!("gateway: {url} -> {to}{kind}; try: {try_it}")
}

/// The names of a balancer's members.
fn members(balancer: &Balancer) -> String {
    let members = balancer.members();
    let names: Vec<_> = members.iter().map(ajp::balancer::Member::name).collect();
    names.join(",")
}

/// Ctrl-C, or the signal that services are stopped with.
async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// An AJP container of our own, on a free loopback port.
async fn start_container(
    secret: Option<Secret>,
    packet_size: PacketSize,
    mut stopping: watch::Receiver<bool>,
) -> Result<(Address, JoinHandle<()>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = Address::from(listener.local_addr()?);
    // Loopback only; with a secret only the gateway gets in.
    let trust = secret.map_or(Trust::TrustedNetwork, |secret| Trust::Secrets(vec![secret]));
    let config = ServerConfig::new(trust)
        .with_packet_size(packet_size)
        .with_body_requests(BODY_REQUESTS);
    let complaints = crate::complaints::Complaints::default();
    let server = ajp::server::serve(listener, Application::new(true))
        .with_config(config)
        .on_error(move |peer, error| complaints.tell(peer, error))
        .with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
    Ok((address, tokio::spawn(server.into_future())))
}
