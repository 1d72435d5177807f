//! `ajp replay`: recorded requests once more, and whether the answers are the same.
//!
//! - `script`: what is to be said, taken from recordings.
//! - `stage`: says it to a container.
//! - `compare`: asks the same over HTTP.

mod compare;
mod script;
mod stage;

use crate::decode::Recordings;
use crate::exit::{EXCHANGE, Exit, Failure, codes};
use crate::peer::SecretArgs;
use crate::target::Target;
use crate::ui;
use crate::values;
use ajp::wire::PacketSize;
use clap::Args;
use compare::Origin;
use script::Script;
use stage::Stage;
use std::time::Duration;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp replay day.pcap ajp://127.0.0.1:8009
  ajp replay --secret-file /etc/ajp.secret day.pcap ajp://127.0.0.1   with another secret
  ajp replay --ignore-body day.pcap ajp://127.0.0.1                   statuses only
  ajp replay --compare http://127.0.0.1:8080 day.pcap ajp://127.0.0.1 leave AJP by proof

The packets of the web server go out byte for byte as they were recorded, one connection after
the other; body packets when the container asks for them. Answers are compared by status and
body.

With --compare each request also goes over HTTP to the same container, and what differs between the two
answers is listed: status, headers, the body's length and digest. The recorded answer does not count
then. Requests are sent twice: do not replay orders to a container that matters.

{}",
        codes(Some("answers differ"), EXCHANGE)
    )
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    recordings: Recordings,
    /// The container: ajp://host:port or unix:/path/of/socket; last of all
    #[arg(value_name = "URL", last = false)]
    target: Target,
    /// Ask the same over HTTP too, and compare the two answers: http://host:port of the container
    #[arg(long, value_name = "URL")]
    compare: Option<String>,
    /// With --compare: a header that may differ, may be repeated
    #[arg(long, value_name = "NAME", requires = "compare")]
    ignore_header: Vec<String>,
    /// Compare statuses only
    #[arg(long)]
    ignore_body: bool,
    /// Only the summary and what differs
    #[arg(short, long)]
    quiet: bool,
    /// AJP packet size in bytes, 8192 to 65536, of the recordings and of the container
    #[arg(long, value_name = "BYTES", default_value = "65536", value_parser = values::packet_size)]
    packet_size: PacketSize,
    /// Longest silence of the container
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::nonzero)]
    timeout: Duration,
    #[command(flatten)]
    secret: SecretArgs,
}

impl ReplayArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let script = Script::read(&self.recordings)?;
        let secret = self.secret.bytes()?;
        let origin = self.compare.as_deref();
        let origin = origin
            .map(|url| Origin::new(url, self.timeout))
            .transpose()?;
        let (mut asked, mut differ) = (0_u64, 0_u64);
        for (number, connection) in &script.connections {
            let mut stage = Stage::new(&self.target.address, self.packet_size, self.timeout);
            for (count, exchange) in (1_u64..).zip(connection) {
                asked = asked.saturating_add(1);
                let request = match &secret {
                    Some(secret) => script::with_secret(&exchange.request, secret)
                        .ok_or_else(|| Failure::new(Exit::Request, "the secret does not fit"))?,
                    None => exchange.request.clone(),
                };
                let answer = stage.play(&request, exchange).await?;
                let line = format!("#{number}.{count} {}: {answer}", exchange.title);
                let (difference, same) = match &origin {
                    None => (
                        exchange.answer.difference(&answer, self.ignore_body),
                        "as recorded",
                    ),
                    Some(origin) => {
                        let over_http = origin.ask(exchange).await?;
                        let found = compare::differences(
                            &answer,
                            &over_http,
                            &self.ignore_header,
                            self.ignore_body,
                        );
                        let found = (!found.is_empty()).then(|| found.join("; "));
                        (found, "the same over HTTP")
                    }
                };
                match difference {
                    None if self.quiet => {}
                    None => ui::print_line(&format!("{line}: {}", ui::good(same)))?,
                    Some(text) => {
                        differ = differ.saturating_add(1);
                        ui::print_line(&format!("{line}: {}", ui::bad(&text)))?;
                    }
                }
            }
        }
        ui::print_line(&format!(
            "{}: {asked} requests of {} connections, {differ} answers differ",
            self.target.address,
            script.connections.len()
        ))?;
        if script.left_out > 0 {
            ui::say(&format!(
                "ajp: {} requests were left out, since their recording is not complete",
                script.left_out
            ));
        }
        Ok(if asked == 0 || differ > 0 {
            Exit::No
        } else {
            Exit::Done
        })
    }
}
