//! A server of ours, and a raw web server that talks to it.

use super::app::{self, App};
use super::packets::{Answer, answers, next_answer, request_with};
use super::soon;
use ajp::proto::ProtocolError;
use ajp::server::{Refusal, ServerConfig, ServerError, ServerTimeouts, Step, Trust, serve};
use ajp::wire::{Attribute, AttributeCode, CPING, CPONG, DecodeError, Field, Rule, ToWebServer};
use bytes::BytesMut;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) const SECRET: &str = "s3cr3t";

/// What reached `on_error`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Bad(ProtocolError),
    Protocol(ProtocolError),
    Refused(u16, &'static str),
    Attribute(String),
    Timeout(Step),
    Closed(&'static str),
    Io(ErrorKind),
    Other(String),
}

impl From<&ServerError> for Seen {
    fn from(error: &ServerError) -> Self {
        match error {
            ServerError::BadRequest(error) => Self::Bad(*error),
            ServerError::Protocol(error) => Self::Protocol(*error),
            ServerError::Refused(Refusal::Attribute(name)) => {
                Self::Attribute(name.escape_ascii().to_string())
            }
            ServerError::Refused(refusal) => match refusal.status() {
                Some(status) => Self::Refused(status, refusal.reason()),
                None => Self::Other(format!("{refusal:?}")),
            },
            ServerError::Timeout(step) => Self::Timeout(*step),
            ServerError::Closed(place) => Self::Closed(place),
            ServerError::Io(error) => Self::Io(error.kind()),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl Seen {
    /// The decode error of a request or packet that was malformed.
    pub(crate) fn decode(&self) -> (usize, Field, Rule) {
        let (Self::Bad(ProtocolError::Decode(error))
        | Self::Protocol(ProtocolError::Decode(error))) = self
        else {
            panic!("no decode error: {self:?}");
        };
        place(error)
    }
}

pub(crate) fn place(error: &DecodeError) -> (usize, Field, Rule) {
    (error.offset(), error.field(), error.rule())
}

/// A running server, what its application saw and what it complained of.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<App>,
    pub(crate) notes: mpsc::UnboundedReceiver<&'static str>,
    errors: mpsc::UnboundedReceiver<Seen>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::start(ServerConfig::new(Trust::TrustedNetwork)).await
    }

    pub(crate) async fn secret() -> Self {
        let secret = ajp::Secret::new(SECRET).unwrap();
        Self::start(ServerConfig::new(Trust::Secrets(vec![secret]))).await
    }

    pub(crate) async fn timed(timeouts: ServerTimeouts) -> Self {
        Self::start(ServerConfig::new(Trust::TrustedNetwork).with_timeouts(timeouts)).await
    }

    pub(crate) async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (note, notes) = mpsc::unbounded_channel();
        let (sink, errors) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let state = App::new(note);
        let server = serve(listener, app::router(&state))
            .with_config(config)
            .on_error(move |_, error| {
                let _ = sink.send(Seen::from(error));
            })
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        Self {
            address,
            state,
            notes,
            errors,
            stop,
            task: tokio::spawn(server.into_future()),
        }
    }

    pub(crate) async fn connect(&self) -> Peer {
        Peer::connect(self.address).await
    }

    /// The next error of any connection.
    pub(crate) async fn error(&mut self) -> Seen {
        soon("an error", self.errors.recv()).await.unwrap()
    }

    pub(crate) async fn note(&mut self) -> &'static str {
        soon("a note of the application", self.notes.recv())
            .await
            .unwrap()
    }

    /// Shuts the server down; no error may have been missed.
    pub(crate) async fn close(mut self) {
        assert_eq!(self.state.smuggled(), 0);
        self.stop.send(()).unwrap();
        soon("the end of the server", self.task).await.unwrap();
        assert_eq!(self.errors.recv().await, None, "an error too many");
    }

    /// Sends `attack` on one connection while another one is open; gives the answer up
    /// to the end, and what reached `on_error`. The other and a new connection must work.
    pub(crate) async fn attack(mut self, attack: &[u8]) -> (Vec<u8>, Seen) {
        let mut honest = self.connect().await;
        let mut peer = self.connect().await;
        peer.send(attack).await;
        let (answer, reset) = peer.read_to_end().await;
        assert!(answer.is_empty() || !reset, "the answer may be lost");
        drop(peer);
        let seen = self.error().await;
        honest.hello().await;
        self.connect().await.hello().await;
        drop(honest);
        self.close().await;
        (answer, seen)
    }
}

/// A web server made of one socket.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon("a write", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Everything up to the end of the stream, and whether that was a reset.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut out = std::mem::take(&mut self.buffer).to_vec();
        let mut piece = [0; 4096];
        loop {
            match soon("the end of the stream", self.stream.read(&mut piece)).await {
                Ok(0) => return (out, false),
                Ok(n) => out.extend(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (out, true),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next packet of the container.
    pub(crate) async fn packet(&mut self) -> ToWebServer {
        loop {
            if let Some(packet) = next_answer(&mut self.buffer) {
                return packet;
            }
            let n = soon("a packet", self.stream.read_buf(&mut self.buffer)).await;
            assert_ne!(n.unwrap(), 0, "the container closed");
        }
    }

    /// One whole response; the connection stays open.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        loop {
            let before = self.buffer.len();
            let mut rest = self.buffer.clone();
            while let Some(packet) = next_answer(&mut rest) {
                if let ToWebServer::EndResponse { .. } = packet {
                    let len = before - rest.len();
                    bytes.extend(self.buffer.split_to(len));
                    let mut all = answers(&bytes);
                    assert_eq!(all.len(), 1);
                    return all.remove(0);
                }
            }
            let n = soon("a response", self.stream.read_buf(&mut self.buffer)).await;
            assert_ne!(n.unwrap(), 0, "the container closed");
        }
    }

    pub(crate) async fn exact(&mut self, expected: &[u8]) {
        while self.buffer.len() < expected.len() {
            let n = soon("bytes", self.stream.read_buf(&mut self.buffer)).await;
            assert_ne!(n.unwrap(), 0, "the container closed");
        }
        assert_eq!(self.buffer.split_to(expected.len()), expected);
    }

    /// A probe and a request as they should be.
    pub(crate) async fn hello(&mut self) {
        self.send(&CPING).await;
        self.exact(&CPONG).await;
        let secret = Attribute::Coded {
            code: AttributeCode::Secret,
            value: Some(SECRET.as_bytes()),
        };
        self.send(&request_with("GET", "/honest", &[("host", "a")], &[secret]))
            .await;
        assert_eq!(self.answer().await, Answer::new(200, "honest", true, 0));
    }
}

/// Limits too long to matter, for tests of the one limit that they shorten.
pub(crate) fn patient() -> ServerTimeouts {
    let long = Duration::from_secs(60);
    ServerTimeouts::default()
        .with_first(long)
        .with_idle(long)
        .with_packet(long)
        .with_body(long)
        .with_write(long)
        .with_swallow(long)
}

/// Short, and still far longer than a step without a wait takes.
pub(crate) const SHORT: Duration = Duration::from_millis(100);
