//! `ajp serve`: a container that tells what it was asked.

use crate::complaints::Complaints;
use crate::container::Application;
use crate::exit::{Exit, Failure, codes};
use crate::listen::listen;
use crate::peer::SecretArgs;
use crate::ui;
use crate::values;
use ajp::server::{AttributeAction, AttributePolicy, ServerConfig, Trust, serve, shutdown_signal};
use ajp::wire::{DecodeOptions, PacketSize};
use clap::Args;
use std::net::SocketAddr;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp serve --no-secret                         on 127.0.0.1:8009, for whoever can connect
  ajp serve --secret-file /etc/ajp.secret --listen 127.0.0.1:8010 --route jvm1
  ajp serve --no-secret --count 1               until one request is answered
  ajp serve --no-secret --lenient-uri           behind lighttpd, which decodes paths
  ajp get 'ajp://127.0.0.1/any/path?status=503&sleep=200ms'
  ajp post -d @file ajp://127.0.0.1/echo        the body comes back

Every path answers with what arrived, as text; /echo with the body that it got. In the query,
status=NNN, sleep=TIME and size=BYTES shape the answer. Ctrl-C and SIGTERM let running requests end.

{}",
        codes(None, &[])
    )
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0: any free one
    #[arg(short, long, value_name = "IP:PORT", default_value = "127.0.0.1:8009")]
    listen: SocketAddr,
    /// AJP packet size in bytes, 8192 to 65536; must be the web server's
    #[arg(long, value_name = "BYTES", default_value = "8192", value_parser = values::packet_size)]
    packet_size: PacketSize,
    /// Route of this container: answers carry a JSESSIONID cookie that ends in it
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Accept request attributes of this name, may be repeated; *: of every name
    #[arg(long = "accept-attr", value_name = "NAME")]
    attributes: Vec<String>,
    /// Take the user that the web server has authenticated for authenticated
    #[arg(long)]
    trust_remote_user: bool,
    #[command(flatten)]
    tolerance: Tolerance,
    /// End after so many requests
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,
    /// No line for each request
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    secret: SecretArgs,
}

/// What web servers send that is refused by default.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches, each for one kind of web server"
)]
struct Tolerance {
    /// Accept decoded paths, with spaces and bytes beyond ASCII: lighttpd, and mod_jk with
    /// ForwardURICompat
    #[arg(long)]
    lenient_uri: bool,
    /// Accept http://host/path as the path
    #[arg(long)]
    absolute_uri: bool,
    /// Accept client certificates as DER
    #[arg(long)]
    der_certificate: bool,
    /// A request that announces no length has no body, as in Undertow
    #[arg(long)]
    absent_length_as_empty: bool,
}

impl Tolerance {
    fn options(&self) -> DecodeOptions {
        DecodeOptions::default()
            .with_lenient_uri(self.lenient_uri)
            .with_absolute_uri(self.absolute_uri)
            .with_der_certificate(self.der_certificate)
            .with_absent_length_as_empty(self.absent_length_as_empty)
    }
}

impl ServeArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let trust = match self.secret.read()? {
            Some(secret) => Trust::Secrets(vec![secret]),
            None if self.secret.is_refused() => Trust::TrustedNetwork,
            None => {
                return Err(Failure::usage(
                    "whom to believe? Give --secret-file, --secret-env or AJP_SECRET, or say \
                     --no-secret where only web servers can connect",
                ));
            }
        };
        let (listener, address) = listen(self.listen).await?;
        let mut policy = AttributePolicy::default();
        for name in &self.attributes {
            policy = match &**name {
                "*" => policy.others(AttributeAction::Accept),
                name => policy.accept(name),
            };
        }
        let config = ServerConfig::new(trust)
            .with_packet_size(self.packet_size)
            .with_attributes(policy)
            .with_decode_options(self.tolerance.options())
            .with_trust_remote_user(self.trust_remote_user);
        let app = Application::new(self.quiet).with(self.route, self.count);
        let counted = app.clone();
        let complaints = Complaints::default();
        ui::print_line(&format!("ajp: serving at ajp://{address}"))?;
        serve(listener, app)
            .with_config(config)
            .on_error(move |peer, error| complaints.tell(peer, error))
            .with_graceful_shutdown(async move {
                tokio::select! {
                    () = shutdown_signal() => {}
                    () = counted.all_done() => {}
                }
            })
            .await;
        Ok(Exit::Done)
    }
}
