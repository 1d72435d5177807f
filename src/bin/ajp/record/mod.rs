//! `ajp record`: a relay that stores conversations.
//!
//! - `capture`: the file, in a format that every network tool reads.

mod capture;

use crate::exit::{Exit, Failure, codes};
use crate::listen::listen;
use crate::target::Target;
use crate::ui;
use ajp::client::Connect;
use ajp::dump::Dump;
use ajp::wire::Direction;
use capture::{Capture, Conversation};
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How much is relayed at a time, in bytes; a frame of the capture holds it.
const PIECE: usize = 32 * 1024;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp record --to ajp://127.0.0.1:8009 -o day.pcapng      listens on 127.0.0.1:8019
  ajp record --listen 127.0.0.1:8010 --to ajp://10.0.0.5 -o app.pcapng -v
  ajp decode day.pcapng                                   what was said
  ajp replay day.pcapng ajp://127.0.0.1:8009              say it again

Let the web server connect here instead of to the container. Nothing is changed on the way.
The file is a pcapng that Wireshark reads as well, with a comment on each segment that says which
packets end in it; under a name that ends in .pcap it is a pcap without comments. It holds secrets,
cookies and bodies, and only its owner can read it; comments hold none. Ctrl-C ends it.

{}",
        codes(None, &[])
    )
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Where web servers connect; port 0: any free one
    #[arg(short, long, value_name = "IP:PORT", default_value = "127.0.0.1:8019")]
    listen: SocketAddr,
    /// The container: ajp://host:port or unix:/path/of/socket
    #[arg(long, value_name = "URL")]
    to: Target,
    /// The file, which must not exist: pcapng, or pcap if it is called so
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// End after so many connections
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,
    /// Show packets on the standard error
    #[arg(short, long)]
    verbose: bool,
}

impl RecordArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (listener, address) = listen(self.listen).await?;
        let path = self.output.display();
        let capture = Capture::create(
            &self.output,
            &format!("ajp record: {address} to {}", self.to.address),
        )
        .map_err(|error| Failure::file(&self.output, &error))?;
        let capture = Arc::new(Mutex::new(capture));
        ui::print_line(&format!(
            "ajp: recording ajp://{address} to {}",
            self.to.address
        ))?;
        let mut connections = JoinSet::new();
        let mut count = 0_u64;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        while self.count.is_none_or(|most| count < most) {
            tokio::select! {
                _ = &mut interrupted => break,
                accepted = listener.accept() => match accepted {
                    Ok((web, peer)) => {
                        count = count.saturating_add(1);
                        let relay = Relay {
                            number: count,
                            capture: Arc::clone(&capture),
                            verbose: self.verbose,
                        };
                        connections.spawn(relay.run(web, peer, self.to.clone()));
                    }
                    Err(error) => ui::error(&format!("cannot accept: {error}")),
                },
                Some(_) = connections.join_next() => {}
            }
        }
        // With --count the last ones may take their time.
        if self.count.is_some_and(|most| count >= most) {
            loop {
                tokio::select! {
                    _ = &mut interrupted => break,
                    ended = connections.join_next() => if ended.is_none() { break },
                }
            }
        }
        connections.shutdown().await;
        let capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = capture.bytes();
        ui::say(&format!(
            "ajp: {count} connections, {bytes} bytes in {path}"
        ));
        match capture.error() {
            None => Ok(Exit::Done),
            Some(error) => Err(Failure::usage(format!("{path}: {error}"))),
        }
    }
}

/// One connection on its way through.
struct Relay {
    number: u64,
    capture: Arc<Mutex<Capture>>,
    verbose: bool,
}

/// What both ways write to.
struct Shared {
    number: u64,
    capture: Arc<Mutex<Capture>>,
    state: Mutex<(Conversation, Dump)>,
    start: Instant,
    verbose: bool,
}

impl Relay {
    async fn run(self, web: TcpStream, peer: SocketAddr, to: Target) {
        let number = self.number;
        let container = match to.address.connect().await {
            Ok(container) => container,
            Err(error) => {
                ui::error(&format!("#{number} {}: {error}", to.address));
                return;
            }
        };
        let _ = web.set_nodelay(true);
        let local = web.local_addr().unwrap_or(peer);
        let conversation = {
            let mut capture = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
            Conversation::begin(peer, local, &mut capture)
        };
        let shared = Shared {
            number,
            capture: self.capture,
            state: Mutex::new((conversation, Dump::new())),
            start: Instant::now(),
            verbose: self.verbose,
        };
        let (web_read, web_write) = web.into_split();
        let (container_read, container_write) = tokio::io::split(container);
        let up = shared.copy(Direction::ToContainer, web_read, container_write);
        let down = shared.copy(Direction::ToWebServer, container_read, web_write);
        let (up, down) = tokio::join!(up, down);
        for error in [up, down].into_iter().filter_map(Result::err) {
            ui::say(&format!("ajp: #{number}: {error}"));
        }
    }
}

impl Shared {
    /// Relays one way up to its end.
    async fn copy(
        &self,
        direction: Direction,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let result = from.read(&mut piece).await;
            let bytes = match &result {
                Ok(len) => piece.get(..*len).unwrap_or_default(),
                // The other side learns it as an end; the order of the bytes is kept.
                Err(_) => &[],
            };
            self.store(direction, bytes);
            if bytes.is_empty() {
                let _ = to.shutdown().await;
                return result.map(drop);
            }
            to.write_all(bytes).await?;
            to.flush().await?;
        }
    }

    /// Bytes, or the end.
    fn store(&self, direction: Direction, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (conversation, dump) = &mut *state;
        {
            let mut capture = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
            conversation.write(direction, bytes, &mut capture);
        }
        if self.verbose {
            dump.at(self.start.elapsed());
            for record in dump.feed(direction, bytes) {
                ui::record_of(self.number, &record);
            }
        }
    }
}
