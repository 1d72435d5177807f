//! Where decoded packets go.

use super::input::Failure;
use ajp::dump::Record;
use std::net::SocketAddr;
use std::time::Duration;

/// Takes what is found in recordings, in its order.
pub(crate) trait Sink {
    /// The next of several files begins.
    fn file(&mut self, name: &str) -> Result<(), Failure>;

    /// A connection begins, of which the first packet was recorded or not. Connections are
    /// numbered from 1 in each file.
    fn begin(
        &mut self,
        number: u32,
        from: SocketAddr,
        to: SocketAddr,
        from_start: bool,
    ) -> Result<(), Failure>;

    /// One packet, of a connection unless the file tells of none.
    fn record(&mut self, number: Option<u32>, record: &Record) -> Result<(), Failure>;

    /// Something else that happened to a connection.
    fn remark(&mut self, number: u32, time: Option<Duration>, text: &str) -> Result<(), Failure>;

    /// Something that is wrong with the recording; the rest of it follows.
    fn error(&mut self, text: &str) -> Result<(), Failure>;
}
