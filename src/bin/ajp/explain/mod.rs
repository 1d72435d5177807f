//! `ajp explain`: why a container does not answer as it should.
//!
//! - `addresses`: a host with several.
//! - `raw`: what the port says to a few bytes of AJP, HTTP and TLS.
//! - `refusal`: the three causes of 403.
//! - `size`: the packet size of the container.
//! - `verdict`: what all of it comes to, in words.
//! - `report`: the text.

mod addresses;
mod raw;
mod refusal;
mod report;
mod size;
mod verdict;

use crate::exit::{EXCHANGE, Exit, Failure, chain, codes};
use crate::guess;
use crate::peer::{FactsArgs, SecretArgs};
use crate::probe::{Answer, Question};
use crate::target::Target;
use crate::ui;
use crate::values::{self, Header, millis};
use ajp::Secret;
use ajp::client::{ErrorKind, PoolConfig, Timeouts};
use ajp::wire::PacketSize;
use clap::Args;
use http::{HeaderMap, Method, StatusCode, Uri};
use raw::Reply;
use report::{Report, Verdict};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many times as long a container may take that answers late.
const PATIENCE: u32 = 2;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp explain ajp://127.0.0.1:8009
  ajp explain --secret-file /etc/ajp.secret ajp://127.0.0.1/app/login
  ajp explain --attr SHIB_mail=bob@app.example ajp://127.0.0.1/app/
  ajp explain --packet-size 65536 ajp://127.0.0.1/app/
  ajp explain --keep-alive 60s ajp://127.0.0.1/app/      who closes first?

It sends CPing and a handful of requests like the one described by the arguments: with and
without its attributes, with a wrong secret, and with a head of exactly the packet size. The
container's log shows them. Tells apart: a port where nobody listens, where nobody answers or
where something else speaks; a secret that is missing or wrong, a request attribute that is not
allowed, an application that says 403; packet sizes that differ; a container short of threads; one
of several addresses that is dead; TLS or the PROXY protocol in front; ColdFusion's dialect; and with
--keep-alive who closes idle connections first.

{}",
        codes(Some("the container closes idle connections first (--keep-alive)"), &[EXCHANGE, &[Exit::Status]].concat())
    )
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// ajp://host:port/path?query, or unix:/path/of/socket|ajp://host/path
    #[arg(value_name = "URL")]
    target: Target,
    /// Method of the requests
    #[arg(
        short = 'X',
        long = "request",
        value_name = "METHOD",
        default_value = "GET"
    )]
    method: Method,
    /// Request header, may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Packet size that the web server uses
    #[arg(long, value_name = "BYTES", default_value = "8192", value_parser = values::packet_size)]
    packet_size: PacketSize,
    /// How long the web server keeps idle connections (ttl, connection_pool_timeout): waits as
    /// long, to see who closes first
    #[arg(long, value_name = "TIME", value_parser = values::nonzero)]
    keep_alive: Option<Duration>,
    /// An address that the host has, in place of what DNS says; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    resolve: Vec<SocketAddr>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Longest time for each step
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::nonzero)]
    timeout: Duration,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    facts: FactsArgs,
}

impl ExplainArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let path = self.target.path.parse::<Uri>();
        path.map_err(|error| Failure::new(Exit::Request, format!("{}: {error}", self.target)))?;
        let secret = self.secret.read()?;
        let mut report = Report::default();
        let verdict = self.diagnose(&mut report, secret.as_ref()).await?;
        let target = self.target.to_string();
        ui::print(&if self.json {
            report.json(&target, &verdict)
        } else {
            report.text(&target, &verdict)
        })?;
        Ok(verdict.exit)
    }

    async fn diagnose(
        &self,
        report: &mut Report,
        secret: Option<&Secret>,
    ) -> Result<Verdict, Failure> {
        addresses::look(self, report).await;
        let reply = match self.cping(report).await {
            Ok(reply) => reply,
            Err(verdict) => return Ok(verdict),
        };
        let headers = self.target.headers(&self.headers)?;
        let question = self.question(&headers);
        let facts = self.facts.facts()?;
        let answer = match question.ask(facts, secret, 0).await {
            Ok(answer) => answer,
            Err(error) => {
                report.step("request", chain(&error));
                if question.is_coldfusion.load(Ordering::Relaxed) {
                    return Ok(verdict::coldfusion());
                }
                if let Reply::Late(time) = reply {
                    return Ok(verdict::starved(time));
                }
                return Ok(match error.kind() {
                    ErrorKind::UriTooLong | ErrorKind::HeadTooLarge => {
                        verdict::head_too_large(&error)
                    }
                    _ if matches!(reply, Reply::Pong(_)) => verdict::no_answer(&error),
                    _ => match self.something_else(report).await {
                        Some(verdict) => verdict,
                        None => verdict::nothing(&reply, &error),
                    },
                });
            }
        };
        report.step("request", shown(answer));
        if let Reply::Late(time) = reply {
            return Ok(verdict::starved(time));
        }
        if !matches!(reply, Reply::Pong(_)) {
            report.remark(verdict::NO_CPING);
        }
        if let Some(verdict) = size::of_answer(answer, self.packet_size) {
            return Ok(verdict);
        }
        if answer.is_refusal() {
            return self.refusal(report, &question, secret).await;
        }
        if answer.status == 403 {
            return Ok(verdict::application(answer.closes));
        }
        self.secret_is_checked(report, &question, secret).await?;
        if let Some(verdict) = self.size(report, &question, secret).await? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.closes_first(report).await {
            return Ok(verdict);
        }
        Ok(verdict::fine(answer.status))
    }

    /// Connects and sends CPing; a verdict when that ends it.
    async fn cping(&self, report: &mut Report) -> Result<Reply, Verdict> {
        let address = &self.target.address;
        let start = Instant::now();
        let stream = match raw::connect(address, self.timeout).await {
            Ok(stream) => stream,
            Err(error) => {
                report.step("connect", error.to_string());
                return Err(verdict::no_connection(address, &error));
            }
        };
        report.step("connect", format!("in {}", millis(start.elapsed())));
        let mut reply = raw::cping(stream, self.timeout).await;
        if matches!(reply, Reply::Nothing) {
            // A container whose threads are all busy answers when one is free.
            if let Ok(stream) = raw::connect(address, self.timeout).await {
                let patience = self.timeout.saturating_mul(PATIENCE);
                if let Reply::Pong(time) = raw::cping(stream, patience).await {
                    reply = Reply::Late(time);
                }
            }
        }
        let text = match &reply {
            Reply::Pong(time) => format!("CPong after {}", millis(*time)),
            Reply::Late(time) => format!(
                "none within {:?}; on a second connection CPong after {}",
                self.timeout,
                millis(*time)
            ),
            Reply::Bytes(bytes) => format!("answered with \"{}\"", bytes.escape_ascii()),
            Reply::Closed => "the connection was closed".to_owned(),
            Reply::Nothing => format!("no answer within {:?}", self.timeout),
        };
        report.step("cping", text);
        if let Reply::Bytes(bytes) = &reply {
            if let [0x41, 0x42, _, _, 0x0f, ..] = bytes[..] {
                return Err(verdict::coldfusion());
            }
            return Err(verdict::other_protocol(guess::protocol(bytes).as_deref()));
        }
        Ok(reply)
    }

    /// Who closes idle connections first, if that is to be found out.
    async fn closes_first(&self, report: &mut Report) -> Option<Verdict> {
        let ours = self.keep_alive?;
        let stream = raw::connect(&self.target.address, self.timeout)
            .await
            .ok()?;
        match raw::closed_after(stream, ours).await {
            Ok(Some(theirs)) => {
                report.step("idle", format!("closed after {}", millis(theirs)));
                Some(verdict::closes_first(theirs, ours))
            }
            Ok(None) => {
                report.step("idle", format!("still open after {ours:?}"));
                None
            }
            Err(error) => {
                report.step("idle", error.to_string());
                None
            }
        }
    }

    /// Whether HTTP or TLS is spoken where AJP is not.
    async fn something_else(&self, report: &mut Report) -> Option<Verdict> {
        let address = &self.target.address;
        let stream = raw::connect(address, self.timeout).await.ok()?;
        let reply = raw::http(stream, self.timeout).await;
        if let Reply::Bytes(bytes) = &reply {
            report.step(
                "http",
                format!("answered with \"{}\"", bytes.escape_ascii()),
            );
            return Some(verdict::other_protocol(guess::protocol(bytes).as_deref()));
        }
        report.step("http", "no answer");
        let stream = raw::connect(address, self.timeout).await.ok()?;
        let reply = raw::tls(stream, self.timeout).await;
        if let Reply::Bytes(bytes) = &reply {
            report.step("tls", "answered");
            return Some(verdict::other_protocol(guess::protocol(bytes).as_deref()));
        }
        report.step("tls", "no answer");
        let stream = raw::connect(address, self.timeout).await.ok()?;
        if let Reply::Pong(_) = raw::proxied_cping(stream, self.timeout).await {
            report.step("proxy", "CPong, behind a header of the PROXY protocol");
            return Some(verdict::proxy_protocol());
        }
        report.step("proxy", "no answer");
        None
    }

    fn question<'a>(&'a self, headers: &'a HeaderMap) -> Question<'a> {
        let timeouts = Timeouts::default()
            .with_connect(self.timeout)
            .with_write(self.timeout)
            .with_response_head(self.timeout)
            .with_between_packets(self.timeout);
        Question {
            address: &self.target.address,
            path: &self.target.path,
            method: &self.method,
            headers,
            config: PoolConfig::default()
                .with_packet_size(PacketSize::MAX)
                .with_timeouts(timeouts),
            is_coldfusion: AtomicBool::new(false),
        }
    }
}

/// Status and end of an answer.
fn shown(answer: Answer) -> String {
    let reason = StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let end = if answer.closes {
        ", and the container closes the connection"
    } else {
        ""
    };
    format!("{} {reason}{end}", answer.status)
}
