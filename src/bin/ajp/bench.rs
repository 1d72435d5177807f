//! `ajp bench`: a bounded load, and how long the answers take.

use crate::exit::{EXCHANGE, Exit, Failure, chain, codes};
use crate::peer::{FactsArgs, PeerArgs};
use crate::target::Target;
use crate::ui;
use crate::values::{self, Header, millis};
use ajp::client::RequestFacts;
use ajp::client::{Client, ClientError, Pool};
use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longest time that the histogram tells apart, in microseconds.
const MOST: u64 = 3_600_000_000;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp bench ajp://127.0.0.1:8009/app/                    1000 requests, 10 at a time
  ajp bench -n 100000 -c 50 --max-time 30s ajp://127.0.0.1/app/
  ajp bench -d @order.json -H 'Content-Type: application/json' ajp://127.0.0.1/app/api

It ends after --requests or --max-time, whichever comes first. Statuses of 400 and above count
as answers, and are listed.

{}",
        codes(Some("some requests failed"), EXCHANGE)
    )
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// ajp://host:port/path?query, or unix:/path/of/socket|ajp://host/path
    #[arg(value_name = "URL")]
    target: Target,
    /// How many requests
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    requests: u64,
    /// How many at a time, each on a connection
    #[arg(short = 'c', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Longest time for all of it
    #[arg(short, long, value_name = "TIME", default_value = "60s", value_parser = values::nonzero)]
    max_time: Duration,
    /// Another method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    /// Request header, may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Request body: text, or @FILE
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// No progress bar
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    peer: PeerArgs,
    #[command(flatten)]
    facts: FactsArgs,
}

/// What every request is made of.
struct Plan {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    facts: RequestFacts,
    body: Bytes,
}

/// What one caller saw.
struct Tally {
    times: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    bytes: u64,
}

impl Tally {
    fn new() -> Result<Self, Failure> {
        let times = Histogram::new_with_bounds(1, MOST, 3);
        Ok(Self {
            times: times.map_err(|error| Failure::usage(error.to_string()))?,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            bytes: 0,
        })
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.times.add(&other.times);
        for (status, count) in &other.statuses {
            let sum = self.statuses.entry(*status).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (error, count) in &other.errors {
            let sum = self.errors.entry(error.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl BenchArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let plan = Arc::new(self.plan()?);
        let most = usize::from(self.connections);
        let config = self
            .peer
            .pool_config()?
            .with_max_connections(most)
            .with_max_idle(most);
        let client = Client::for_own_requests(Pool::new(self.target.address.clone(), config));
        let started = Arc::new(AtomicU64::new(0));
        let done = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let mut callers = Vec::new();
        for _ in 0..most {
            let (client, plan) = (client.clone(), Arc::clone(&plan));
            let (started, done, stop) = (started.clone(), done.clone(), stop.clone());
            let (requests, mut tally) = (self.requests, Tally::new()?);
            callers.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed)
                    && started.fetch_add(1, Ordering::Relaxed) < requests
                {
                    plan.ask(&client, &mut tally).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                tally
            }));
        }
        self.wait(&callers, &done, &stop).await;
        let mut all = Tally::new()?;
        for caller in callers {
            // A request that takes longer than the whole load is given up.
            let abort = caller.abort_handle();
            match tokio::time::timeout(Duration::from_secs(1), caller).await {
                Ok(Ok(tally)) => all.add(&tally),
                Ok(Err(error)) => return Err(Failure::new(Exit::No, error.to_string())),
                Err(_) => {
                    abort.abort();
                    let text = "not done within --max-time".to_owned();
                    let count = all.errors.entry(text).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        let elapsed = start.elapsed();
        ui::print(&if self.json {
            self.json(&all, elapsed, &client)
        } else {
            self.report(&all, elapsed, &client)
        })?;
        Ok(if all.errors.is_empty() && !all.times.is_empty() {
            Exit::Done
        } else {
            Exit::No
        })
    }

    /// Shows the progress until all is done, the time is over or the user has seen enough.
    async fn wait<T>(
        &self,
        callers: &[tokio::task::JoinHandle<T>],
        done: &AtomicU64,
        stop: &AtomicBool,
    ) {
        let bar = if self.quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let style = "{bar:40} {pos}/{len} {per_sec} {elapsed}";
            let style = ProgressStyle::with_template(style);
            ProgressBar::new(self.requests)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        let mut end = std::pin::pin!(sleep(self.max_time));
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
            tokio::select! {
                () = &mut end => break,
                _ = &mut interrupted => break,
                () = sleep(Duration::from_millis(20)) => {}
            }
            bar.set_position(done.load(Ordering::Relaxed));
        }
        stop.store(true, Ordering::Relaxed);
        bar.finish_and_clear();
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let uri = self.target.path.parse();
        let uri =
            uri.map_err(|error| Failure::new(Exit::Request, format!("{}: {error}", self.target)))?;
        let headers = self.target.headers(&self.headers)?;
        let body = match &self.data {
            None => Bytes::new(),
            Some(data) => match data.strip_prefix('@') {
                Some(path) => std::fs::read(path)
                    .map_err(|error| Failure::file(Path::new(path), &error))?
                    .into(),
                None => data.clone().into(),
            },
        };
        let default = if self.data.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        Ok(Plan {
            method: self.method.clone().unwrap_or(default),
            uri,
            headers,
            facts: self.facts.facts()?,
            body,
        })
    }

    fn json(&self, all: &Tally, elapsed: Duration, client: &Client) -> String {
        let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1000.0;
        let at = |quantile| millis(all.times.value_at_quantile(quantile));
        let statuses: BTreeMap<String, u64> = all
            .statuses
            .iter()
            .map(|(status, count)| (status.to_string(), *count))
            .collect();
        let stats = client.pool().stats();
        let value = json!({
            "target": self.target.to_string(),
            "answers": all.times.len(),
            "seconds": elapsed.as_secs_f64(),
            "bytes": all.bytes,
            "milliseconds": {
                "min": millis(all.times.min()),
                "p50": at(0.5),
                "p90": at(0.9),
                "p99": at(0.99),
                "p99.9": at(0.999),
                "max": millis(all.times.max()),
            },
            "statuses": statuses,
            "failed": all.errors,
            "connections": { "opened": stats.created, "reuses": stats.reused },
        });
        format!("{value:#}\n")
    }

    fn report(&self, all: &Tally, elapsed: Duration, client: &Client) -> String {
        let mut out = String::new();
        let count = all.times.len();
        #[allow(clippy::cast_precision_loss, reason = "for readers")]
        let (rate, megabytes) = {
            let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
            (count as f64 / seconds, all.bytes as f64 / seconds / 1e6)
        };
        let _ = writeln!(
            out,
            "{}: {count} answers in {:.2} s, {rate:.0} per second, {megabytes:.2} MB/s",
            self.target,
            elapsed.as_secs_f64(),
        );
        if count > 0 {
            let at =
                |quantile| millis(Duration::from_micros(all.times.value_at_quantile(quantile)));
            let _ = writeln!(
                out,
                "time: min {}, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
                millis(Duration::from_micros(all.times.min())),
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                millis(Duration::from_micros(all.times.max())),
            );
        }
        for (status, count) in &all.statuses {
            let _ = writeln!(out, "status {status}: {count}");
        }
        for (error, count) in &all.errors {
            let _ = writeln!(out, "failed: {count}: {error}");
        }
        let stats = client.pool().stats();
        let _ = writeln!(
            out,
            "connections: {} opened, {} reuses",
            stats.created, stats.reused
        );
        out
    }
}

impl Plan {
    async fn ask(&self, client: &Client, tally: &mut Tally) {
        let start = Instant::now();
        match self.exchange(client).await {
            Ok((status, bytes)) => {
                let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(MOST);
                tally.times.saturating_record(micros.clamp(1, MOST));
                let count = tally.statuses.entry(status).or_default();
                *count = count.saturating_add(1);
                tally.bytes = tally.bytes.saturating_add(bytes);
            }
            Err(error) => {
                let count = tally.errors.entry(chain(&error)).or_default();
                *count = count.saturating_add(1);
                // Whoever refuses connections is not asked without a pause.
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn exchange(&self, client: &Client) -> Result<(u16, u64), ClientError> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.extensions_mut().insert(self.facts.clone());
        let response = client.send(request).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = 0_u64;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                bytes = bytes.saturating_add(data.len() as u64);
            }
        }
        Ok((status, bytes))
    }
}
