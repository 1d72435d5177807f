//! A raw web server: bytes to Tomcat, and the answers decoded by the library.

use ajp::wire::{Direction, PacketSize, ToWebServer, split_packet};
use bytes::BytesMut;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// 0 for `CPong`.
    pub(crate) status: u16,
    /// What `Facts.java` said, if it was asked.
    pub(crate) facts: Option<Value>,
    /// How often Tomcat asked for more of the request body.
    pub(crate) asks: usize,
    pub(crate) reuse: bool,
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    size: PacketSize,
}

impl Connection {
    pub(crate) fn open(to: SocketAddr, size: PacketSize) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: BytesMut::new(),
            size,
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // Fails when Tomcat has closed already.
        self.stream.write_all(bytes).ok();
    }

    /// Says that nothing more will come.
    pub(crate) fn finish(&self) {
        // Fails when Tomcat has closed already.
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// The next packet; `None` when the connection ended.
    pub(crate) fn packet(&mut self) -> Option<ToWebServer> {
        loop {
            let payload = split_packet(&mut self.buffer, Direction::ToWebServer, self.size);
            if let Some(payload) = payload.unwrap() {
                return Some(ToWebServer::parse(payload).unwrap());
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(n) if n > 0 => self.buffer.extend_from_slice(&piece[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("Tomcat neither answers nor closes")
                }
                // A reset is an end, too: Tomcat had not read everything.
                _ => return None,
            }
        }
    }

    /// One answer, giving a packet of `body` whenever Tomcat asks; `None` when the connection
    /// ended without one or within it.
    pub(crate) fn answer<'a>(
        &mut self,
        mut body: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Answer> {
        let mut answer = Answer::default();
        let mut text = Vec::new();
        loop {
            match self.packet()? {
                ToWebServer::GetBodyChunk { .. } => {
                    answer.asks += 1;
                    if let Some(packet) = body.next() {
                        self.send(packet);
                    }
                }
                ToWebServer::SendHeaders(head) => {
                    answer.status = head.status();
                    let facts = head.headers().find(|header| header.name == b"X-Facts");
                    text.extend_from_slice(facts.map_or(b"", |header| header.value));
                }
                ToWebServer::SendBodyChunk(data) => text.extend_from_slice(&data),
                ToWebServer::EndResponse { reuse } => {
                    answer.reuse = reuse;
                    answer.facts = serde_json::from_slice(&text).ok();
                    return Some(answer);
                }
                ToWebServer::CPong => return Some(answer),
            }
        }
    }
}
