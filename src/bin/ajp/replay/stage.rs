//! A connection to the container that a recording is said to.

use super::script::{Answer, Exchange};
use crate::exit::{Exit, Failure};
use ajp::client::{Address, Connect, Transport};
use ajp::wire::{Direction, PacketSize, ToWebServer, split_packet};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// No more of the body.
const NO_MORE: [u8; 6] = [0x12, 0x34, 0, 2, 0, 0];

pub(super) struct Stage<'a> {
    address: &'a Address,
    size: PacketSize,
    limit: Duration,
    /// While the container keeps it.
    stream: Option<(Transport, BytesMut)>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(address: &'a Address, size: PacketSize, limit: Duration) -> Self {
        Self {
            address,
            size,
            limit,
            stream: None,
        }
    }

    /// Sends the request and what is asked for of its body; the answer.
    pub(super) async fn play(
        &mut self,
        request: &Bytes,
        exchange: &Exchange,
    ) -> Result<Answer, Failure> {
        let (mut stream, mut buffer) = match self.stream.take() {
            Some(kept) => kept,
            None => (self.connect().await?, BytesMut::new()),
        };
        let mut bodies = exchange.bodies.iter();
        let broken = |error: std::io::Error| Failure::new(Exit::Broken, error.to_string());
        let mut first = request.to_vec();
        if exchange.is_eager {
            first.extend_from_slice(bodies.next().map_or(&[][..], |body| body));
        }
        stream.write_all(&first).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut answer = Answer::default();
        loop {
            let packet = self.packet(&mut stream, &mut buffer).await?;
            match packet {
                ToWebServer::GetBodyChunk { .. } => {
                    let body = bodies.next().map_or(&NO_MORE[..], |body| body);
                    stream.write_all(body).await.map_err(broken)?;
                    stream.flush().await.map_err(broken)?;
                }
                ToWebServer::SendHeaders(head) => {
                    answer.status = head.status();
                    for header in head.headers() {
                        answer.header(header.name, header.value);
                    }
                }
                ToWebServer::SendBodyChunk(data) => answer.body(&data),
                ToWebServer::EndResponse { reuse } => {
                    if reuse {
                        self.stream = Some((stream, buffer));
                    }
                    return Ok(answer);
                }
                ToWebServer::CPong => {
                    let text = "a CPong that nobody asked for";
                    return Err(Failure::new(Exit::Protocol, text));
                }
            }
        }
    }

    async fn connect(&self) -> Result<Transport, Failure> {
        let failed =
            |error: String| Failure::new(Exit::Connect, format!("{}: {error}", self.address));
        match timeout(self.limit, self.address.connect()).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("not connected within {:?}", self.limit))),
        }
    }

    async fn packet(
        &self,
        stream: &mut Transport,
        buffer: &mut BytesMut,
    ) -> Result<ToWebServer, Failure> {
        let protocol = |text: String| Failure::new(Exit::Protocol, text);
        loop {
            let split = split_packet(buffer, Direction::ToWebServer, self.size);
            if let Some(payload) = split.map_err(|error| protocol(error.to_string()))? {
                return ToWebServer::parse(payload).map_err(|error| protocol(error.to_string()));
            }
            let read = timeout(self.limit, stream.read_buf(buffer)).await;
            match read {
                Err(_) => {
                    let text = format!("no packet within {:?}", self.limit);
                    return Err(Failure::new(Exit::Timeout, text));
                }
                Ok(Ok(0)) => {
                    let text = "the container closed before the end of an answer";
                    return Err(Failure::new(Exit::Broken, text));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Failure::new(Exit::Broken, error.to_string())),
            }
        }
    }
}
