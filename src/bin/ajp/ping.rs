//! `ajp ping`: CPing, and how long CPong takes.

use crate::exit::{Exit, Failure, chain, codes, exit_of};
use crate::guess;
use crate::target::Target;
use crate::ui;
use crate::values::{self, millis};
use crate::watch::Watch;
use ajp::client::{CPingMode, ClientError, ErrorKind, Pool, PoolConfig, Timeouts};
use clap::Args;
use serde_json::json;
use std::time::Duration;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp ping ajp://127.0.0.1:8009
  ajp ping -c 100 -i 10ms ajp://127.0.0.1      how evenly it answers
  ajp ping --fresh ajp://127.0.0.1             a connection for each, as a check without pool
  ajp ping -q -c 1 ajp://127.0.0.1 && echo up
  ajp ping --json -c 20 ajp://127.0.0.1 | jq '.milliseconds | max'

CPing needs no secret, and tells only that the connector answers; the application may be down
all the same.

{}",
        codes(
            Some("some were lost"),
            &[Exit::Connect, Exit::Timeout, Exit::Protocol, Exit::Broken]
        )
    )
}

#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches of the command line"
)]
pub(crate) struct PingArgs {
    /// ajp://host:port or unix:/path/of/socket
    #[arg(value_name = "URL")]
    target: Target,
    /// How many; 0: until Ctrl-C
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    count: u64,
    /// Pause between two
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    interval: Duration,
    /// A new connection for each
    #[arg(long)]
    fresh: bool,
    /// One JSON object at the end, and nothing else
    #[arg(long)]
    json: bool,
    /// Only the summary
    #[arg(short, long)]
    quiet: bool,
    /// Show packets on the standard error
    #[arg(short, long)]
    verbose: bool,
    /// Longest time to open a connection
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::nonzero)]
    connect_timeout: Duration,
    /// Longest time for an answer
    #[arg(short = 'W', long, value_name = "TIME", default_value = "5s", value_parser = values::nonzero)]
    timeout: Duration,
}

impl PingArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut session = Session::new(&self);
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupted => break,
                result = session.ping() => self.show(&mut session, result)?,
            }
            if session.sent == self.count {
                break;
            }
            tokio::select! {
                biased;
                _ = &mut interrupted => break,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
        ui::print(&if self.json {
            session.json(&self.target)
        } else {
            session.summary(&self.target)
        })?;
        Ok(match session.failed {
            None => Exit::Done,
            // Nobody ever answered: the reason is the answer.
            Some(exit) if session.times.is_empty() => exit,
            Some(_) => Exit::No,
        })
    }

    fn show(
        &self,
        session: &mut Session,
        result: Result<Duration, ClientError>,
    ) -> Result<(), Failure> {
        session.sent = session.sent.saturating_add(1);
        let number = session.sent;
        match result {
            Ok(time) => {
                session.times.push(time);
                let connected = match session.watch.connect_time() {
                    Some(time) if self.fresh || number == 1 => {
                        format!(", connected in {}", millis(time))
                    }
                    _ => String::new(),
                };
                if self.quiet || self.json {
                    return Ok(());
                }
                let address = &self.target.address;
                let time = millis(time);
                ui::print_line(&format!(
                    "CPong from {address}: {number}: {time}{connected}"
                ))
            }
            Err(error) => {
                session.watch.finish();
                let first = session.watch.first_bytes();
                let mut text = format!("{number}: {}", chain(&error));
                let exit = match (error.kind(), guess::hint(&first)) {
                    (_, Some(hint)) => {
                        text = format!("{text}\n  {hint}");
                        Exit::Protocol
                    }
                    // Not answered wrongly, but not at all.
                    (ErrorKind::CPing, None) if first.is_empty() => Exit::Broken,
                    _ => exit_of(&error),
                };
                session.failed = Some(exit);
                if self.json {
                    session.errors.push(text);
                } else {
                    ui::error(&text);
                }
                Ok(())
            }
        }
    }
}

struct Session {
    watch: Watch,
    pool: Pool,
    sent: u64,
    times: Vec<Duration>,
    /// Kept for JSON.
    errors: Vec<String>,
    failed: Option<Exit>,
}

impl Session {
    fn new(args: &PingArgs) -> Self {
        let verbose = args.verbose;
        let watch = Watch::new(move |record| {
            if verbose {
                ui::record(record, false);
            }
        });
        let timeouts = Timeouts::default()
            .with_connect(args.connect_timeout)
            .with_cping(args.timeout);
        let config = PoolConfig::default()
            .with_timeouts(timeouts)
            // Each CPing is one of ours.
            .with_cping(CPingMode::NEVER)
            .with_idle_timeout(if args.fresh {
                Some(Duration::ZERO)
            } else {
                None
            });
        Self {
            pool: Pool::new(watch.connector(args.target.address.clone()), config),
            watch,
            sent: 0,
            times: Vec::new(),
            errors: Vec::new(),
            failed: None,
        }
    }

    async fn ping(&mut self) -> Result<Duration, ClientError> {
        self.pool.ping().await
    }

    fn json(&self, target: &Target) -> String {
        let millis = |time: &Duration| time.as_secs_f64() * 1000.0;
        let answered = self.times.len() as u64;
        let value = json!({
            "target": target.address.to_string(),
            "sent": self.sent,
            "answered": answered,
            "lost": self.sent.saturating_sub(answered),
            "milliseconds": self.times.iter().map(millis).collect::<Vec<_>>(),
            "errors": self.errors,
        });
        format!("{value:#}\n")
    }

    fn summary(&self, target: &Target) -> String {
        let answered = self.times.len() as u64;
        let lost = self.sent.saturating_sub(answered);
        let mut text = format!(
            "{}: {} sent, {answered} answered, {lost} lost",
            target.address, self.sent
        );
        if let (Some(least), Some(most)) = (self.times.iter().min(), self.times.iter().max()) {
            let sum: Duration = self.times.iter().sum();
            let mean = sum.div_f64(f64::from(u32::try_from(answered).unwrap_or(u32::MAX)));
            let mut sorted = self.times.clone();
            sorted.sort_unstable();
            let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
            text = format!(
                "{text}; min {}, mean {}, median {}, max {}",
                millis(*least),
                millis(mean),
                millis(median),
                millis(*most)
            );
        }
        text.push('\n');
        text
    }
}
