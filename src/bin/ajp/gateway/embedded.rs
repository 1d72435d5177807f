//! The container of the gateway's own, for who has none at hand.

use super::GatewayArgs;
use super::config::{Backend, Config, Defaults};
use crate::container::Application;
use ajp::client::Address;
use ajp::server::{ServerConfig, Trust};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Body packets that it may ask for at a time.
const BODY_REQUESTS: u16 = 16;

/// A container on a free loopback port.
#[derive(Debug)]
pub(crate) struct Embedded {
    address: Address,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Embedded {
    /// Starts it.
    pub(crate) async fn start(args: &GatewayArgs) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the container of our own: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = Address::from(listener.local_addr().map_err(failed)?);
        // Loopback only; with a secret only the gateway gets in.
        let trust = match args.defaults()?.secrets.into_iter().next() {
            Some(secret) => Trust::Secrets(vec![secret]),
            None => Trust::TrustedNetwork,
        };
        let config = ServerConfig::new(trust)
            .with_packet_size(args.packet_size.longest())
            .with_body_requests(BODY_REQUESTS);
        let (stop, mut stopping) = watch::channel(false);
        let complaints = crate::complaints::Complaints::default();
        let server = ajp::server::serve(listener, Application::new(true))
            .with_config(config)
            .on_error(move |peer, error| complaints.tell(peer, error))
            .with_graceful_shutdown(async move {
                let _ = stopping.wait_for(|stop| *stop).await;
            });
        let task = tokio::spawn(server.into_future());
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Ends it with what is running. Not before all visitors have their answers.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        // A panic has been reported.
        let _ = self.task.await;
    }

    /// Leads all paths to it.
    pub(crate) fn serve(&self, args: &GatewayArgs, config: &mut Config) -> Result<(), String> {
        let defaults = Defaults {
            body_requests: BODY_REQUESTS,
            ..args.defaults()?
        };
        let backend = Backend::from(self.address.clone());
        let own = Config::of_backends(
            vec![backend],
            args.method.clone(),
            args.sticky.clone(),
            &defaults,
        );
        let own = own.map_err(|error| error.to_string())?;
        (config.balancers, config.maps) = (own.balancers, own.maps);
        Ok(())
    }
}
