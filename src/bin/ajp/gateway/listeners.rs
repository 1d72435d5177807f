//! The listeners that run, and what becomes of them when the configuration changes.

use super::config::Config;
use super::front::{
    self, Bound, Current, ListenAddress, Options, SocketMode, SocketOptions, TlsSettings, Traffic,
};
use super::inherited::Inherited;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One listener.
#[derive(Debug)]
struct Open {
    /// As it is configured: its port may be 0.
    configured: ListenAddress,
    address: ListenAddress,
    /// How its socket was made; none for one of the service manager's.
    socket: Option<SocketOptions>,
    options: watch::Sender<Arc<Options>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Open {
    /// Goes on as this says.
    fn change(&mut self, wanted: Wanted) {
        let address = &self.address;
        if let Some(socket) = &mut self.socket {
            if socket.only_v6 && !wanted.socket.only_v6 {
                tracing::warn!("{address} takes clients of IPv4 as well from the next start on");
            }
            if let (ListenAddress::Unix(path), true) = (address, socket.mode != wanted.socket.mode)
            {
                match wanted.socket.mode.set(path) {
                    Ok(()) => socket.mode = wanted.socket.mode,
                    Err(error) => tracing::error!("the mode of {address}: {error}"),
                }
            }
        }
        self.options.send_replace(Arc::new(wanted.options));
    }

    /// Whether its socket for all addresses of IPv6 takes clients of this one of IPv4.
    fn takes_ipv4_of(&self, wanted: &ListenAddress) -> bool {
        match (&self.address, wanted) {
            (ListenAddress::Tcp(own), ListenAddress::Tcp(wanted)) => {
                let is_dual = self.socket.is_none_or(|socket| !socket.only_v6);
                let is_v6 = own.is_ipv6() && own.ip().is_unspecified();
                is_dual && is_v6 && wanted.is_ipv4() && own.port() == wanted.port()
            }
            _ => false,
        }
    }
}

/// All of them.
pub(super) struct Listeners {
    open: Vec<Open>,
    current: Arc<Current>,
    traffic: Arc<Traffic>,
    inherited: Inherited,
    /// Whether there was a configuration before.
    is_started: bool,
    /// Those that no longer accept and end what is running.
    ending: Vec<JoinHandle<()>>,
}

/// One listener of the configuration.
struct Wanted {
    address: ListenAddress,
    socket: SocketOptions,
    options: Options,
}

/// One that is about to be served.
struct Fresh {
    bound: Bound,
    address: ListenAddress,
    socket: Option<SocketOptions>,
    wanted: Wanted,
}

impl Wanted {
    fn new(config: &Config, address: ListenAddress, mode: SocketMode, options: Options) -> Self {
        let socket = SocketOptions {
            only_v6: config.has_ipv4_beside(&address),
            mode,
        };
        Self {
            address,
            socket,
            options,
        }
    }
}

/// Where to listen, and what for, by the configuration.
fn wanted(config: &Config) -> Result<Vec<Wanted>, String> {
    let plain = Options {
        terms: format!("{:?}", config.trusted_proxies).into(),
        trusted: config.trusted_proxies.clone(),
        limits: config.limits.clone(),
        ..Options::default()
    };
    let mut all = Vec::new();
    if let Some(listen) = config.plain_address() {
        let address = ListenAddress::Tcp(listen);
        all.push(Wanted::new(
            config,
            address,
            SocketMode::default(),
            plain.clone(),
        ));
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
        let address = listener.address.clone();
        all.push(Wanted::new(config, address, listener.mode, options));
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
            inherited: Inherited::from_env(),
            is_started: false,
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
        let mut is_kept = vec![false; self.open.len()];
        let mut kept = Vec::new();
        let mut fresh = Vec::new();
        for wanted in wanted(config)? {
            let mut known = self.open.iter().zip(&mut is_kept).enumerate();
            let known =
                known.find(|(_, (open, is_kept))| !**is_kept && open.configured == wanted.address);
            if let Some((index, (_, is_kept))) = known {
                *is_kept = true;
                kept.push((index, wanted));
            } else {
                fresh.push(wanted);
            }
        }
        let fresh = self.bind_all(config, fresh).await?;
        for (index, wanted) in kept {
            if let Some(open) = self.open.get_mut(index) {
                open.change(wanted);
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
        for Fresh {
            bound,
            address,
            socket,
            wanted,
        } in fresh
        {
            let (options, given) = watch::channel(Arc::new(wanted.options));
            let (stop, stopping) = watch::channel(false);
            let task = tokio::spawn(front::run(
                bound,
                given,
                Arc::clone(&self.traffic),
                Arc::clone(&self.current),
                stopping,
            ));
            self.open.push(Open {
                configured: wanted.address,
                address,
                socket,
                options,
                stop,
                task,
            });
        }
        self.is_started = true;
        Ok(())
    }

    /// A socket for each of these: the service manager's, or one that is opened here. Those of the
    /// service manager are taken last, so that none is lost where another one cannot be opened.
    async fn bind_all(
        &mut self,
        config: &Config,
        fresh: Vec<Wanted>,
    ) -> Result<Vec<Fresh>, String> {
        let addresses: Vec<_> = fresh.iter().map(|wanted| wanted.address.clone()).collect();
        let reserved: Vec<_> = config.manager_addresses().map(ListenAddress::Tcp).collect();
        let chosen = self
            .inherited
            .choose(&addresses, &reserved, !self.is_started);
        let mut own = Vec::new();
        for (wanted, chosen) in fresh.iter().zip(&chosen) {
            own.push(if chosen.is_none() {
                let bound = Bound::at(&wanted.address, wanted.socket).await;
                Some(bound.map_err(|error| self.explain(error, &wanted.address))?)
            } else {
                None
            });
        }
        let mut all = Vec::new();
        for ((wanted, chosen), own) in fresh.into_iter().zip(chosen).zip(own) {
            let socket = own.is_some().then_some(wanted.socket);
            let inherited = || {
                let bound = self.inherited.take(&chosen?, &wanted.address)?;
                Some(bound)
            };
            let bound = match own {
                Some(own) => own,
                None => {
                    inherited().ok_or_else(|| format!("no socket for {}", wanted.address))??
                }
            };
            let address = bound.address().map_err(|error| error.to_string())?;
            all.push(Fresh {
                bound,
                address,
                socket,
                wanted,
            });
        }
        Ok(all)
    }

    /// Says more of an address that cannot be had because a listener that stays has it, too.
    fn explain(&self, error: String, wanted: &ListenAddress) -> String {
        let takes_it = |open: &&Open| open.takes_ipv4_of(wanted);
        match self.open.iter().find(takes_it) {
            Some(open) => {
                let address = &open.address;
                format!("{error}; {address} takes clients of IPv4 as well until the next start")
            }
            None => error,
        }
    }

    /// The socket for something beside the listeners: the service manager's, if it has opened one
    /// of this address.
    ///
    /// # Errors
    /// It cannot be had.
    pub(super) async fn bind_other(
        &mut self,
        config: &Config,
        address: SocketAddr,
    ) -> Result<Bound, String> {
        let address = ListenAddress::Tcp(address);
        if let Some(bound) = self.inherited.take(&address, &address) {
            return bound;
        }
        let options = SocketOptions {
            only_v6: config.has_ipv4_beside(&address),
            ..SocketOptions::default()
        };
        Bound::at(&address, options).await
    }

    /// Tells which sockets of the service manager nobody accepts from.
    pub(super) fn tell_unused(&self) {
        self.inherited.tell_unused();
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
