//! How an exchange begins: its Forward Request is queued on a connection in hand.

use super::super::cause::CloseCause;
use super::super::error::{ClientError, ErrorKind};
use super::super::lease::Lease;
use super::Exchange;
use crate::proto::{ClientExchange, Progress};
use crate::wire::{BodyFraming, EncodeError, PacketSize};
use bytes::BytesMut;

impl Lease {
    /// Begins an exchange. `encode` appends one Forward Request to the buffer and
    /// returns what [`ForwardRequestWriter::finish`](crate::wire::ForwardRequestWriter::finish)
    /// told; `head_request` says whether the method is HEAD. Nothing is sent before the
    /// exchange is polled.
    ///
    /// # Errors
    /// [`ErrorKind::UriTooLong`], [`ErrorKind::HeadTooLarge`] and
    /// [`ErrorKind::InvalidRequest`] when `encode` fails;
    /// the connection goes back to the pool unharmed.
    pub fn begin<F>(mut self, head_request: bool, encode: F) -> Result<Exchange, ClientError>
    where
        F: FnOnce(&mut BytesMut, PacketSize) -> Result<BodyFraming, EncodeError>,
    {
        let machine = self.queue_request(head_request, encode)?;
        let mut exchange = Exchange::new(self, machine);
        exchange.park_before_first_poll();
        Ok(exchange)
    }

    /// The first half of [`begin`](Self::begin): queues the request, which an [`Exchange`] of this lease
    /// then sends. On its own, because an exchange is large, and a `Result` with it is one more copy.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); the lease has given up its connection then.
    pub(crate) fn queue_request<F>(
        &mut self,
        head_request: bool,
        encode: F,
    ) -> Result<ClientExchange, ClientError>
    where
        F: FnOnce(&mut BytesMut, PacketSize) -> Result<BodyFraming, EncodeError>,
    {
        let Some(connection) = &mut self.connection else {
            return Err(self.shared.error(ErrorKind::Closed));
        };
        let body_size = connection.body_size;
        let size = body_size.max(self.shared.container_size.of_heads());
        match encode(connection.io.write_buffer(), size) {
            Ok(framing) => {
                connection.exchanges += 1;
                connection.sends(connection.io.queued());
                let mut machine = ClientExchange::new(framing, head_request, body_size)
                    .with_body_requests(self.shared.config.body_requests);
                if let Some(most) = self.shared.container_size.learned_up_to() {
                    machine = machine.with_packet_size_up_to(most);
                }
                Ok(machine)
            }
            Err(error) => {
                let error = ClientError::encode(error).at(Progress::NotSent, &self.shared.peer);
                self.shared.counters.failed(error.kind());
                if connection.io.queued() == 0 {
                    self.put_back();
                } else {
                    self.release(CloseCause::Request);
                }
                Err(error)
            }
        }
    }
}
