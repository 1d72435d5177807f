//! `ajp replay`: recorded requests once more, and whether the answers are the same.
//!
//! - `script`: what is to be said, taken from recordings.
//! - `stage`: says it to a container.

mod script;
mod stage;

use crate::decode::Recordings;
use crate::exit::{CODES, Exit, Failure};
use crate::peer::SecretArgs;
use crate::target::Target;
use crate::ui;
use crate::values;
use ajp::wire::PacketSize;
use clap::Args;
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

The packets of the web server go out byte for byte as they were recorded, one connection after
the other; body packets when the container asks for them. Answers are compared by status and
body.

{CODES}"
    )
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    recordings: Recordings,
    /// The container: ajp://host:port or unix:/path/of/socket; last of all
    #[arg(value_name = "URL", last = false)]
    target: Target,
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
                let difference = exchange.answer.difference(&answer, self.ignore_body);
                let line = format!("#{number}.{count} {}: {answer}", exchange.title);
                match difference {
                    None if self.quiet => {}
                    None => ui::print_line(&format!("{line}: {}", ui::good("as recorded")))?,
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
