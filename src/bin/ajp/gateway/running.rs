//! The program while it runs: from its start over every reload to its end.

mod balancer_tasks;
mod health;
mod log_file;
mod signals;

use super::config::Config;
use super::embedded::Embedded;
use super::front::{Budget, Current, Requests, Site, Traffic, Tunnels};
use super::greeting::{greeting, url};
use super::listeners::Listeners;
use super::manager::Farm;
use super::{GatewayArgs, manager};
use balancer_tasks::{BalancerTasks, first_sets, tend};
use health::HealthListener;
use log_file::LogFile;
use sd_notify::NotifyState;
use signals::{Signal, Signals};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long standard output may take for a line: the access log may be there too.
const SAY_LIMIT: Duration = Duration::from_secs(1);

/// Serves until the program is asked to end.
pub(super) async fn serve(args: GatewayArgs) -> Result<(), String> {
    let mut signals = Signals::new()?;
    let (stop, stopping) = watch::channel(false);
    // The members of a discovery are waited for: a stop is not.
    let mut running = tokio::select! {
        started = RunningGateway::start(args, &stopping) => started?,
        () = signals.stop() => return Ok(()),
    };
    tell(&[NotifyState::Ready]);
    loop {
        let signal = tokio::select! {
            biased;
            () = running.waited() => {
                running.go_over();
                tell(&[NotifyState::Ready]);
                continue;
            }
            signal = signals.next() => signal,
        };
        match signal {
            Signal::Reload => {
                tell_reloading();
                if !running.reload().await {
                    tell(&[NotifyState::Ready]);
                }
            }
            Signal::Reopen => running.reopen(),
            Signal::Stop => break,
        }
    }
    // Before it is said: who reads the line may ask whether it is so.
    stop.send_replace(true);
    say("gateway: draining").await;
    tell(&[NotifyState::Stopping]);
    running.end().await;
    say("gateway: done").await;
    Ok(())
}

/// Says a line, or goes on if nobody takes it.
async fn say(line: &'static str) {
    let start = Instant::now();
    let said = std::thread::spawn(move || print(line));
    while !said.is_finished() && start.elapsed() < SAY_LIMIT {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Prints a line; a gateway serves whether or not somebody reads it.
fn print(line: &str) {
    let _ = crate::ui::print_line(line);
}

/// Says how it stands to the service manager, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    // Nobody listens outside of a service.
    let _ = sd_notify::notify(false, states);
}

/// Says that it reads its configuration, and since when: by the time systemd knows the answer
/// to its own request (`Type=notify-reload`).
fn tell_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Everything that runs.
struct RunningGateway {
    args: GatewayArgs,
    /// How many files and sockets may be open, if that has a limit.
    descriptors: Option<u64>,
    config: Config,
    embedded: Option<Embedded>,
    current: Arc<Current>,
    requests: Arc<Requests>,
    budget: Arc<Budget>,
    tunnels: Arc<Tunnels>,
    listeners: Listeners,
    farm: Arc<Farm>,
    tended: Vec<BalancerTasks>,
    log: LogFile,
    manager: Option<JoinHandle<()>>,
    health: Option<HealthListener>,
    next: Option<PendingSite>,
}

/// What is served as soon as its balancers have members. Until then all is served as before.
struct PendingSite {
    site: Site,
    /// What has changed, in words.
    changes: Vec<String>,
    first_sets: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Says that there are not as many connections as the configuration allows: the clients beyond
/// them wait until others leave, instead of being answered with 503.
fn warn_of_few_descriptors(limit: Option<u64>, config: &Config) {
    let wanted = config.descriptors();
    if let Some(limit) = limit.filter(|limit| *limit < wanted) {
        tracing::warn!(
            "this process may open {limit} files and sockets; limits.max_connections, \
             max_connections of the balancers' members and files take up to {wanted}: raise the \
             limit (LimitNOFILE of systemd, ulimit -Hn), or lower these"
        );
    }
}

impl RunningGateway {
    async fn start(args: GatewayArgs, stopping: &watch::Receiver<bool>) -> Result<Self, String> {
        let descriptors = crate::descriptors::raise_limit();
        let mut config = args.read()?;
        warn_of_few_descriptors(descriptors, &config);
        let mut embedded = None;
        if config.maps.is_empty() && config.named_sites.is_empty() {
            let own = Embedded::start(&args).await?;
            own.serve(&args, &mut config)?;
            embedded = Some(own);
        }
        let mut log = LogFile::default();
        let opened = log.opened(config.access_log.as_ref(), config.log_format)?;
        log.go_on(opened, config.access_log.as_ref(), config.log_format);
        let budget = Budget::new(config.limits.buffer_memory);
        let tunnels = Arc::new(Tunnels::default());
        let farm = Arc::new(Farm::start(&config)?);
        let requests = Arc::new(Requests::default());
        let first = site(&config, &log, &budget, &tunnels, &requests)?;
        let current = Arc::new(Current::new(first));
        let traffic = Arc::new(Traffic::default());
        let mut tended = Vec::new();
        tend(&mut tended, &config.balancers, &farm);
        first_sets(&config.balancers).await;
        let mut listeners = Listeners::new(Arc::clone(&current), Arc::clone(&traffic));
        listeners.apply(&config).await?;
        let bound = match &config.manager {
            None => None,
            Some(settings) => Some(listeners.bind_other(&config, settings.listen).await?),
        };
        for (index, (scheme, address)) in listeners.addresses().enumerate() {
            if index == 0 {
                print(&greeting(scheme, address, &config, embedded.is_some()));
            } else {
                print(&format!("gateway: also {}", url(scheme, address)));
            }
        }
        let health = match config
            .manager
            .as_ref()
            .and_then(|manager| manager.health_listen)
        {
            None => None,
            Some(listen) => {
                let bound = listeners.bind_other(&config, listen).await?;
                Some(HealthListener::start(bound, &farm, stopping)?)
            }
        };
        listeners.tell_unused();
        let manager = match bound {
            None => None,
            Some(bound) => {
                let address = bound.address().map_err(|error| error.to_string())?;
                print(&format!(
                    "gateway: manager http://{address}{}",
                    manager::PATH
                ));
                let manager =
                    manager::Manager::new(Arc::clone(&farm), traffic, Arc::clone(&requests))?;
                Some(tokio::spawn(manager::run(bound, manager, stopping.clone())))
            }
        };
        Ok(Self {
            args,
            descriptors,
            config,
            embedded,
            current,
            requests,
            budget,
            tunnels,
            listeners,
            farm,
            tended,
            log,
            manager,
            health,
            next: None,
        })
    }

    /// Reads the configuration again. One that is wrong changes nothing. Whether there is
    /// something to [go over](Self::go_over) to.
    async fn reload(&mut self) -> bool {
        let read = self.try_reload().await;
        if let Err(error) = &read {
            let error = error.replace('\n', "; ");
            tracing::error!("not reloaded, all goes on as before: {error}");
        }
        self.reopen();
        read.is_ok()
    }

    /// Completes when there is something to [go over](Self::go_over) to. Signals are looked at
    /// meanwhile: members that must be found may take their time.
    ///
    /// # Cancel safety
    /// Safe: call again.
    async fn waited(&mut self) {
        match &mut self.next {
            Some(next) => next.first_sets.as_mut().await,
            None => std::future::pending().await,
        }
    }

    /// Serves what was read last.
    fn go_over(&mut self) {
        let Some(PendingSite { site, changes, .. }) = self.next.take() else {
            return;
        };
        self.current.set(site);
        let plans = &self.config.balancers;
        let stays = |known: &BalancerTasks| {
            plans
                .iter()
                .any(|plan| plan.balancer.is_same(&known.balancer))
        };
        self.tended.retain(stays);
        if changes.is_empty() {
            tracing::warn!("reloaded");
        } else {
            tracing::warn!("reloaded: {}", changes.join("; "));
        }
    }

    async fn try_reload(&mut self) -> Result<(), String> {
        let mut config = self.args.read()?;
        if config.maps.is_empty() && config.named_sites.is_empty() {
            match &self.embedded {
                Some(own) => own.serve(&self.args, &mut config)?,
                None => return Err("there is no [[map]] any more".into()),
            }
        }
        warn_of_few_descriptors(self.descriptors, &config);
        // Whatever can fail comes before anything is changed.
        config.sites()?;
        let (path, format) = (config.access_log.clone(), config.log_format);
        let opened = self.log.opened(path.as_ref(), format)?;
        self.listeners.apply(&config).await?;
        self.listeners.tell_unused();
        self.log.go_on(opened, path.as_ref(), format);
        self.budget.resize(config.limits.buffer_memory);
        // What another reload has changed that is not served yet.
        let mut changes = self.next.take().map_or(Vec::new(), |next| next.changes);
        changes.extend(config.hold_manager(&self.config));
        changes.extend(config.adopt(&self.config));
        self.farm.set(&config);
        tend(&mut self.tended, &config.balancers, &self.farm);
        let site = site(
            &config,
            &self.log,
            &self.budget,
            &self.tunnels,
            &self.requests,
        )?;
        self.next = Some(PendingSite {
            site,
            changes,
            first_sets: Box::pin(first_sets(&config.balancers)),
        });
        self.config = config;
        Ok(())
    }

    /// Opens the access log again: it may have been renamed.
    fn reopen(&self) {
        self.log.reopen();
    }

    /// Ends what is running, then all the rest.
    async fn end(self) {
        self.listeners.stop().await;
        if let Some(task) = self.manager {
            let _ = task.await;
        }
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
        if let Err(error) = self.farm.kept().await {
            tracing::error!("manager: {error}");
        }
        self.log.finish().await;
        if let Some(health) = self.health {
            health.end().await;
        }
    }
}

fn site(
    config: &Config,
    log: &LogFile,
    budget: &Arc<Budget>,
    tunnels: &Arc<Tunnels>,
    requests: &Requests,
) -> Result<Site, String> {
    let names = config.site_names();
    let counts = names.iter().map(|name| requests.of(name));
    Ok(Site {
        counts: (counts.collect(), requests.of("none")),
        sites: config.sites()?,
        max_body: config.max_body,
        forwarded: config.forwarded(),
        log: log.access.clone(),
        limits: config.limits.clone(),
        budget: Arc::clone(budget),
        tunnels: Arc::clone(tunnels),
    })
}
