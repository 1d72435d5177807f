//! An axum application on an AJP port, behind Apache httpd.
//!
//! ```text
//! cargo run --release --example axum_behind_httpd -- --secret-file ajp.secret
//! ```
//!
//! `proxy_ajp.conf` and `mod_jk.conf` beside this file put httpd in front of two of them,
//! with sticky sessions; the tests use the very same files. `--help` prints the lines for one.
//! httpd's own features work unchanged: authentication arrives as `remote_user`, TLS as
//! `TlsFacts`, balancing by `route`.

mod app;
mod route;

use ajp::Secret;
use ajp::server::{ServerConfig, Trust, serve, shutdown_signal};
use clap::{CommandFactory, FromArgMatches, Parser};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(about = "An axum application on an AJP port")]
struct Args {
    /// Address of the AJP port; stay on loopback unless only web servers can reach it
    #[arg(long, default_value = "127.0.0.1:8009")]
    listen: SocketAddr,
    /// File that holds the secret shared with the web server
    #[arg(long, required_unless_present = "no_secret")]
    secret_file: Option<PathBuf>,
    /// Believe whoever can connect
    #[arg(long, conflicts_with = "secret_file")]
    no_secret: bool,
    /// Name of this instance, as httpd's `route=` has it; sessions carry it
    #[arg(long, default_value = "one")]
    route: String,
    /// Take the user that the web server has authenticated for authenticated
    #[arg(long)]
    trust_remote_user: bool,
}

const PUT_IN_FRONT: &str = "\
httpd with mod_proxy_ajp (2.4.42 or later for secret=):
  LoadModule proxy_module      modules/mod_proxy.so
  LoadModule proxy_ajp_module  modules/mod_proxy_ajp.so
  ProxyPass \"/\" \"ajp://127.0.0.1:8009/\" secret=s3cr3t

httpd with mod_jk:
  LoadModule jk_module modules/mod_jk.so
  JkWorkerProperty worker.list=app
  JkWorkerProperty worker.app.type=ajp13
  JkWorkerProperty worker.app.host=127.0.0.1
  JkWorkerProperty worker.app.port=8009
  JkWorkerProperty worker.app.secret=s3cr3t
  JkMount /* app

s3cr3t stands for what is in the secret file. Without a secret (--no-secret) leave it out.";

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Args::command().after_help(PUT_IN_FRONT).get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_behind_httpd: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let trust = match &args.secret_file {
        Some(path) => {
            let secret = Secret::from_file(path)
                .map_err(|error| format!("secret file {}: {error}", path.display()))?;
            Trust::Secrets(vec![secret])
        }
        None => Trust::TrustedNetwork,
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    println!("axum_behind_httpd: AJP on {}", listener.local_addr()?);
    serve(listener, app::app(&args.route))
        .with_config(ServerConfig::new(trust).with_trust_remote_user(args.trust_remote_user))
        .on_error(|peer, error| eprintln!("axum_behind_httpd: {peer:?}: {error}"))
        .with_graceful_shutdown(shutdown_signal())
        .await;
    Ok(())
}
