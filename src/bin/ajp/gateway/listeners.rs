//! The listeners that run, and what becomes of them when the configuration changes.

use super::config::Config;
use super::front::{self, Bound, Current, ListenAddress, Options, TlsSettings, Traffic};
use listenfd::ListenFd;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One listener.
#[derive(Debug)]
struct Open {
    /// As it is configured: its port may be 0.
    configured: ListenAddress,
    address: ListenAddress,
    options: watch::Sender<Arc<Options>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// All of them.
pub(super) struct Listeners {
    open: Vec<Open>,
    current: Arc<Current>,
    traffic: Arc<Traffic>,
    /// Sockets that systemd has opened, in the order of the listeners.
    inherited: ListenFd,
    next_inherited: usize,
    /// Those that no longer accept and end what is running.
    ending: Vec<JoinHandle<()>>,
}

/// Where to listen, and what for, by the configuration.
fn wanted(config: &Config) -> Result<Vec<(ListenAddress, Options)>, String> {
    let plain = Options {
        terms: format!("{:?}", config.trusted_proxies).into(),
        trusted: config.trusted_proxies.clone(),
        limits: config.limits.clone(),
        ..Options::default()
    };
    let mut all = Vec::new();
    if config.listen.is_some() || config.listeners.is_empty() {
        let listen = config.listen.unwrap_or((Ipv4Addr::LOCALHOST, 8080).into());
        all.push((ListenAddress::Tcp(listen), plain.clone()));
    }
    for listener in &config.listeners {
        let tls = listener.tls.as_ref().map(TlsSettings::acceptor);
        let terms = listener.tls.as_ref().map(TlsSettings::terms);
        let options = Options {
            terms: format!("{:?} {:?} {terms:?}", plain.trusted, listener.redirect).into(),
            tls: tls.transpose().map_err(|error| error.to_string())?,
            proxy_protocol: listener.proxy_protocol,
            redirect: listener.redirect,
            hsts: listener.hsts.clone(),
            ..plain.clone()
        };
        all.push((listener.address.clone(), options));
    }
    Ok(all)
}

impl Listeners {
    /// None yet.
    pub(super) fn new(current: Arc<Current>, traffic: Arc<Traffic>) -> Self {
        Self {
            open: Vec::new(),
            current,
            traffic,
            inherited: ListenFd::from_env(),
            next_inherited: 0,
            ending: Vec::new(),
        }
    }

    /// Where they listen, and whether over TLS.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, &ListenAddress)> {
        self.open.iter().map(|open| {
            let is_tls = open.options.borrow().tls.is_some();
            (if is_tls { "https" } else { "http" }, &open.address)
        })
    }

    /// Listens where the configuration says: listeners that stay keep their connections and
    /// take new certificates and limits, those that are gone end what is running. Connections that
    /// were let in by other terms, such as by another authority for client certificates, end with
    /// their next answer. Nothing is changed unless all can be done.
    ///
    /// # Errors
    /// Where it cannot listen, and why.
    pub(super) async fn apply(&mut self, config: &Config) -> Result<(), String> {
        let wanted = wanted(config)?;
        let mut fresh = Vec::new();
        let mut is_kept = vec![false; self.open.len()];
        let mut kept = Vec::new();
        for (address, options) in wanted {
            let mut known = self.open.iter().zip(&mut is_kept).enumerate();
            let known = known.find(|(_, (open, is_kept))| !**is_kept && open.configured == address);
            if let Some((index, (_, is_kept))) = known {
                *is_kept = true;
                kept.push((index, options));
            } else {
                let bound = self.bind(&address).await?;
                let bound_to = bound.address().map_err(|error| error.to_string())?;
                fresh.push((address, bound_to, bound, options));
            }
        }
        for (index, options) in kept {
            if let Some(open) = self.open.get(index) {
                open.options.send_replace(Arc::new(options));
            }
        }
        let mut is_kept = is_kept.into_iter();
        let (stay, go) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|_| is_kept.next().unwrap_or(false));
        self.open = stay;
        for open in go {
            self.end(open);
        }
        for (configured, address, bound, options) in fresh {
            let (options, given) = watch::channel(Arc::new(options));
            let (stop, stopping) = watch::channel(false);
            let task = tokio::spawn(front::run(
                bound,
                given,
                Arc::clone(&self.traffic),
                Arc::clone(&self.current),
                stopping,
            ));
            self.open.push(Open {
                configured,
                address,
                options,
                stop,
                task,
            });
        }
        Ok(())
    }

    async fn bind(&mut self, address: &ListenAddress) -> Result<Bound, String> {
        let index = self.next_inherited;
        let given = match address {
            ListenAddress::Tcp(_) => match self.inherited.take_tcp_listener(index) {
                Ok(Some(listener)) => Some(Bound::from_tcp(listener)),
                _ => None,
            },
            ListenAddress::Unix(path) => match self.inherited.take_unix_listener(index) {
                Ok(Some(listener)) => Some(Bound::from_unix(listener, path.clone())),
                _ => None,
            },
        };
        match given {
            Some(bound) => {
                self.next_inherited = index.saturating_add(1);
                bound.map_err(|error| format!("the socket for {address}: {error}"))
            }
            None => Bound::at(address).await,
        }
    }

    fn end(&mut self, open: Open) {
        open.stop.send_replace(true);
        self.ending.push(open.task);
    }

    /// Accepts nothing more, and waits for what is running.
    pub(super) async fn stop(mut self) {
        for open in std::mem::take(&mut self.open) {
            self.end(open);
        }
        for task in self.ending {
            // A panic has been reported.
            let _ = task.await;
        }
    }
}
