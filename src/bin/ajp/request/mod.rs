//! `ajp get`, `ajp head`, `ajp post`: one request, as with curl.
//!
//! - `body`: where the request body comes from.
//! - `output`: where the response goes.
//! - `timing`: how long each phase took.

mod body;
mod output;
mod timing;

use crate::exit::{EXCHANGE, Exit, Failure, codes, exit_of};
use crate::guess;
use crate::peer::{FactsArgs, PeerArgs};
use crate::target::Target;
use crate::ui;
use crate::values::{self, Header};
use crate::watch::Watch;
use ajp::client::{Client, ClientError, ErrorKind, Pool, ResponseBody};
use ajp::dump::{Content, Record};
use ajp::wire::ToWebServer;
use body::{RequestBody, Source};
use clap::Args;
use http::{HeaderValue, Method, Request, Response, header};
use output::Output;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use timing::Phases;

/// What the help of `get`, `head` and `post` ends with.
pub(crate) fn after_help(name: &str) -> String {
    let bodies = if name == "post" {
        "
  ajp post -d name=value ajp://127.0.0.1/app/form
  ajp post -d @file.json -H 'Content-Type: application/json' ajp://127.0.0.1/app/api
  tar c . | ajp post -d @- -H 'Content-Type: application/x-tar' ajp://127.0.0.1/app/upload"
    } else {
        ""
    };
    format!(
        "\
Examples:
  ajp {name} ajp://127.0.0.1:8009/app/
  ajp {name} --secret-file /etc/ajp.secret -i ajp://127.0.0.1/app/
  ajp {name} -v ajp://127.0.0.1/app/                    packets and times on stderr
  ajp {name} --remote-addr 192.0.2.10 --tls --attr SHIB_mail=bob@app.example ajp://127.0.0.1/
  ajp {name} 'unix:/run/tomcat.sock|ajp://app.example/app/'{bodies}

{}",
        codes(None, &[EXCHANGE, &[Exit::Status]].concat())
    )
}

#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of a command line"
)]
pub(crate) struct RequestArgs {
    /// ajp://host:port/path?query, or unix:/path/of/socket|ajp://host/path; the port is 8009
    /// unless given
    #[arg(value_name = "URL")]
    target: Target,
    /// Another method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    /// Request header, may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Request body: text, @FILE, or @- for the standard input. Text may be repeated and is
    /// joined by &. Its type is application/x-www-form-urlencoded unless a header says other
    #[arg(short, long, value_name = "DATA", conflicts_with = "data_binary")]
    data: Vec<String>,
    /// As --data, but without a content type
    #[arg(long, value_name = "DATA")]
    data_binary: Option<String>,
    /// Send the body without its length, so that the container asks for every packet
    #[arg(long)]
    chunked: bool,
    /// Write the response body to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show status and headers of the response before its body
    #[arg(short, long)]
    include: bool,
    /// Show packets and times on the standard error; twice: with all facts of each packet
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Show how long each phase took on the standard error
    #[arg(long)]
    timing: bool,
    /// Status 400 and above is a failure, with exit code 22 and without output
    #[arg(short, long)]
    fail: bool,
    /// Longest time for all of it
    #[arg(short, long, value_name = "TIME", value_parser = values::nonzero)]
    max_time: Option<Duration>,
    #[command(flatten)]
    peer: PeerArgs,
    #[command(flatten)]
    facts: FactsArgs,
}

impl RequestArgs {
    /// Sends the request and shows the response.
    pub(crate) async fn run(self, default: Method) -> Result<Exit, Failure> {
        let limit = self.max_time;
        let exchange = self.exchange(default);
        match limit {
            None => exchange.await,
            Some(limit) => tokio::time::timeout(limit, exchange)
                .await
                .unwrap_or_else(|_| {
                    let text = format!(
                        "not done within {limit:?} (--max-time); ajp explain looks for the cause"
                    );
                    Err(Failure::new(Exit::Timeout, text))
                }),
        }
    }

    async fn exchange(self, default: Method) -> Result<Exit, Failure> {
        let refused = Arc::new(AtomicBool::new(false));
        let (verbose, closes) = (self.verbose, Arc::clone(&refused));
        let watch = Watch::new(move |record| {
            if is_last(record) {
                closes.store(true, Ordering::Relaxed);
            }
            if verbose > 0 {
                ui::record(record, verbose > 1);
            }
        });
        let pool = Pool::new(
            watch.connector(self.target.address.clone()),
            self.peer.pool_config()?,
        );
        let client = Client::for_own_requests(pool);
        let request = self.request(default).await?;
        let failed = |error: ClientError| explained(&watch, &error);
        let response = client.send(request).await;
        let head = Phases::at_head(&watch);
        let response = response.map_err(failed)?;
        let status = response.status();
        let exit = if self.fail && status.as_u16() >= 400 {
            self.failed(response, &refused).await.map_err(failed)?
        } else {
            let mut output = Output::open(self.output.as_deref())?;
            if self.include {
                output.head(&response)?;
            }
            match output.body(response.into_body()).await? {
                Ok(()) => {}
                Err(error) => {
                    watch.finish();
                    return Err(failed(error));
                }
            }
            Exit::Done
        };
        if status == http::StatusCode::FORBIDDEN && refused.load(Ordering::Relaxed) {
            ui::say(
                "ajp: 403, and the container closed the connection: it refused the secret or a \
                 request attribute; ajp explain tells which",
            );
        }
        if self.verbose > 0 || self.timing {
            ui::say(&head.until_now().to_string());
        }
        Ok(exit)
    }

    /// Reads an answer that is not shown, and tells of it.
    async fn failed(
        &self,
        response: Response<ResponseBody>,
        refused: &AtomicBool,
    ) -> Result<Exit, ClientError> {
        let status = response.status();
        output::discard(response.into_body()).await?;
        ui::error(&format!("{}: {status}", self.target));
        let refusal = status == http::StatusCode::FORBIDDEN && refused.load(Ordering::Relaxed);
        Ok(if refusal { Exit::Secret } else { Exit::Status })
    }

    async fn request(&self, default: Method) -> Result<Request<RequestBody>, Failure> {
        let mut request = Request::builder()
            .method(self.method.clone().unwrap_or(default))
            .uri(&self.target.path)
            .body(RequestBody::empty())
            .map_err(|error| Failure::new(Exit::Request, format!("{}: {error}", self.target)))?;
        let headers = request.headers_mut();
        for given in &self.headers {
            headers.append(given.name.clone(), given.value.clone());
        }
        if !headers.contains_key(header::HOST) {
            let host = self.facts.host();
            let host = HeaderValue::try_from(host.as_ref().unwrap_or(&self.target.host)).map_err(
                |error| {
                    Failure::usage(format!(
                        "the host of the URL: {error}; -H 'Host: NAME' gives another"
                    ))
                },
            )?;
            headers.insert(header::HOST, host);
        }
        let with_type = !headers.contains_key(header::CONTENT_TYPE) && !self.data.is_empty();
        if with_type {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
        }
        let source = match (&self.data[..], &self.data_binary) {
            ([], None) => None,
            (_, Some(data)) | ([data], None) => Some(Source::of(data)),
            (several, None) => Some(Source::joined(several)?),
        };
        if let Some(source) = source {
            *request.body_mut() = source.open(self.chunked).await?;
        }
        request.extensions_mut().insert(self.facts.facts()?);
        Ok(request)
    }
}

/// Whether the container closes the connection after this packet.
fn is_last(record: &Record) -> bool {
    matches!(
        record.content(),
        Content::ToWebServer(ToWebServer::EndResponse { reuse: false })
    )
}

/// An error, with what the peer seems to be if it is no container.
fn explained(watch: &Watch, error: &ClientError) -> Failure {
    let hint = match error.kind() {
        ErrorKind::Protocol | ErrorKind::Closed | ErrorKind::Read => {
            guess::hint(&watch.first_bytes())
        }
        ErrorKind::UriTooLong | ErrorKind::HeadTooLarge => {
            Some("--packet-size may be larger if the container's is".to_owned())
        }
        _ => None,
    };
    let exit = match hint {
        Some(_) if exit_of(error) == Exit::Broken => Exit::Protocol,
        _ => exit_of(error),
    };
    Failure::exchange(exit, error, hint.as_deref())
}
