//! HTTP in, AJP out.
//!
//! Without arguments it starts an AJP container of its own and forwards to it:
//!
//! ```text
//! cargo run --release --example gateway
//! curl http://127.0.0.1:8080/echo
//! ```
//!
//! With `--backend ajp://127.0.0.1:8009 --secret-file /etc/ajp.secret` it forwards to a
//! real one, such as Tomcat.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments of arguments are help texts"
)]

mod container;
mod proxy;

use ajp::Secret;
use ajp::client::{Address, Client, Pool, PoolConfig};
use ajp::server::{ServerConfig, Trust};
use ajp::wire::PacketSize;
use clap::Parser;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Parser)]
#[command(about = "An HTTP/1.1 gateway to an AJP container (Tomcat, JBoss, or its own)")]
struct Args {
    /// Address to take HTTP requests on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The container, ajp://host:port or unix:/path [default: one of its own]
    #[arg(long)]
    backend: Option<Address>,
    /// File that holds the secret shared with the container
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// AJP packet size in bytes, 8192 to 65536; must be the container's
    #[arg(long, default_value = "8192", value_parser = packet_size)]
    packet_size: PacketSize,
    /// Most connections to the container
    #[arg(long, default_value_t = 100)]
    max_connections: usize,
    /// Largest request body in bytes [default: no limit]
    #[arg(long)]
    max_body: Option<u64>,
}

fn packet_size(text: &str) -> Result<PacketSize, String> {
    text.parse()
        .ok()
        .and_then(PacketSize::new)
        .ok_or_else(|| "not a number from 8192 to 65536".into())
}

#[tokio::main]
async fn main() -> ExitCode {
    // What the library has to say, such as why a container refuses every request.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let secret = match &args.secret_file {
        Some(path) => Some(
            Secret::from_file(path)
                .map_err(|error| format!("secret file {}: {error}", path.display()))?,
        ),
        None => None,
    };
    let http = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let (stop, stopping) = watch::channel(false);

    let (backend, own) = if let Some(address) = args.backend {
        (address, None)
    } else {
        let (address, server) =
            start_container(secret.clone(), args.packet_size, stopping.clone()).await?;
        (address, Some(server))
    };
    let kind = if own.is_some() {
        " (embedded container)"
    } else {
        ""
    };
    let config = PoolConfig::default()
        .secret(secret)
        .packet_size(args.packet_size)
        .max_connections(args.max_connections);
    let address = http.local_addr()?;
    println!("gateway: http://{address} -> {backend}{kind}; try: curl http://{address}/hello");

    let client = Client::new(Pool::new(backend, config));
    let front = tokio::spawn(proxy::run(http, client, args.max_body, stopping));
    tokio::signal::ctrl_c().await?;
    println!("gateway: draining");
    stop.send_replace(true);
    front.await?;
    if let Some(own) = own {
        own.await?;
    }
    println!("gateway: done");
    Ok(())
}

/// An AJP container of our own, on a free loopback port.
async fn start_container(
    secret: Option<Secret>,
    packet_size: PacketSize,
    mut stopping: watch::Receiver<bool>,
) -> Result<(Address, tokio::task::JoinHandle<()>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = Address::from(listener.local_addr()?);
    // Loopback only; with a secret only the gateway gets in.
    let trust = secret.map_or(Trust::TrustedNetwork, |secret| Trust::Secrets(vec![secret]));
    let config = ServerConfig::new(trust).packet_size(packet_size);
    let server = ajp::server::serve(listener, container::app())
        .config(config)
        .on_error(|peer, error| eprintln!("container: {peer:?}: {error}"))
        .with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
    Ok((address, tokio::spawn(server.into_future())))
}
