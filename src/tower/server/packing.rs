//! Response data of several frames in one Send Body Chunk: frames rarely have the length of
//! packets, and a rest of a few bytes would make a packet of its own for each.

use crate::server::{Connection, ServerError};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// Parts of a packet beside its first: each is kept with the memory it lies in.
const MOST_PARTS: usize = 31;

/// The beginning of a packet that waits for the next frame. Send it before waiting for one.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// Most responses have no more than this.
    first: Option<Bytes>,
    more: Vec<Bytes>,
    len: usize,
}

impl Packing {
    /// Queues what makes full packets, with what is kept from before, and keeps the rest.
    pub(super) fn add<I>(
        &mut self,
        mut data: Bytes,
        connection: &mut Connection<I>,
    ) -> Result<(), ServerError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let max = connection.max_body_chunk();
        if self.len > 0 {
            let room = max.saturating_sub(self.len);
            self.keep(data.split_to(room.min(data.len())));
            if self.len < max && self.more.len() < MOST_PARTS {
                return Ok(());
            }
            self.send(connection)?;
        }
        let rest = data.len().checked_rem(max).unwrap_or_default();
        let rest = data.split_off(data.len() - rest);
        connection.send_data(data)?;
        self.keep(rest);
        Ok(())
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes are kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn keep(&mut self, part: Bytes) {
        if part.is_empty() {
            return;
        }
        self.len += part.len();
        match &self.first {
            None => self.first = Some(part),
            Some(_) => self.more.push(part),
        }
    }

    /// Queues what is kept, as one packet.
    pub(super) fn send<I>(&mut self, connection: &mut Connection<I>) -> Result<(), ServerError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        match std::mem::take(&mut self.len) {
            0 => Ok(()),
            len => {
                let parts = self.first.take().into_iter().chain(self.more.drain(..));
                connection.send_chunk(len, parts)
            }
        }
    }
}
