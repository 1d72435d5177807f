//! A connection that a web server made.

use crate::conform::connection::{Connection, NoPacket};
use ajp::wire::{
    BodyPacket, CPONG, DecodeOptions, Direction, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, Field,
    ForwardRequest, PacketSize, SendHeadersWriter, ToContainer, write_body_chunk,
};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::net::TcpStream;

/// One connection of the web server.
pub(super) struct FromWebServer {
    pub(super) connection: Connection<TcpStream>,
    /// Empty packets that nobody asked for: lighttpd sends one behind each request without a body.
    pub(super) unasked: u32,
    /// Whether the last request told a length that is none, or several: a container that believes one of them
    /// reads the rest of the body as a request.
    pub(super) has_bad_length: bool,
    /// Whether a body packet is awaited, of which an empty one is the end.
    owed: bool,
}

impl FromWebServer {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        let connection =
            Connection::new(stream, Direction::ToContainer, PacketSize::DEFAULT, limit);
        Self {
            connection,
            unasked: 0,
            has_bad_length: false,
            owed: false,
        }
    }

    pub(super) async fn payload(&mut self, limit: Duration) -> Result<Bytes, NoPacket> {
        loop {
            let payload = self.connection.payload(limit).await?;
            if self.owed || !payload.is_empty() {
                return Ok(payload);
            }
            self.unasked = self.unasked.saturating_add(1);
        }
    }

    /// The next request; CPings before it are answered.
    pub(super) async fn request(&mut self) -> Result<Box<ForwardRequest>, NoPacket> {
        loop {
            let payload = self.payload(self.connection.limit).await?;
            let options = DecodeOptions::default().with_lenient_uri(true);
            match ToContainer::parse(payload, &options) {
                Ok(ToContainer::ForwardRequest(request)) => return Ok(Box::new(request)),
                Ok(ToContainer::CPing) => self.send(&CPONG).await,
                Ok(other) => return Err(NoPacket::Broken(other.to_string())),
                Err(error) => {
                    self.has_bad_length = matches!(
                        error.field(),
                        Field::ContentLength | Field::TransferEncoding
                    );
                    return Err(NoPacket::Broken(error.to_string()));
                }
            }
        }
    }

    /// The body packet that the web server owes.
    pub(super) async fn body(&mut self) -> Result<BodyPacket, NoPacket> {
        self.body_within(self.connection.limit).await
    }

    pub(super) async fn body_within(&mut self, limit: Duration) -> Result<BodyPacket, NoPacket> {
        self.owed = true;
        let payload = self.payload(limit).await;
        self.owed = false;
        BodyPacket::parse(&payload?).map_err(|error| NoPacket::Broken(error.to_string()))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.connection.send(bytes).await;
    }

    /// A whole answer.
    pub(super) async fn answer(
        &mut self,
        status: u16,
        headers: &[(&[u8], &[u8])],
        data: &[u8],
        reuse: bool,
    ) {
        let mut out = head(status, headers);
        for piece in data.chunks(8184) {
            let _ = write_body_chunk(&mut out, piece, PacketSize::DEFAULT);
        }
        out.extend_from_slice(if reuse {
            &END_RESPONSE_REUSE
        } else {
            &END_RESPONSE_CLOSE
        });
        self.send(&out).await;
    }
}

/// A Send Headers packet.
pub(super) fn head(status: u16, headers: &[(&[u8], &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    if let Ok(mut writer) = SendHeadersWriter::new(&mut out, PacketSize::DEFAULT, status) {
        for (name, value) in headers {
            let _ = writer.header(name, value);
        }
        writer.finish();
    }
    out
}
