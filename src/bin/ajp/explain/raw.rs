//! What a port says to a few bytes.

use ajp::client::{Address, Connect, Transport};
use ajp::wire::{CPING, CPONG};
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    /// CPong, and how long it took.
    Pong(Duration),
    /// CPong, but only with more patience than a web server has.
    Late(Duration),
    /// Other bytes.
    Bytes(Vec<u8>),
    /// The end of the connection.
    Closed,
    /// Nothing in time.
    Nothing,
}

/// Opens a connection; the error of a timeout is `TimedOut`.
pub(super) async fn connect(address: &Address, limit: Duration) -> io::Result<Transport> {
    match timeout(limit, address.connect()).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Sends CPing.
pub(super) async fn cping(stream: Transport, limit: Duration) -> Reply {
    let start = Instant::now();
    match ask(stream, &CPING, CPONG.len(), limit).await {
        Reply::Bytes(bytes) if bytes == CPONG => Reply::Pong(start.elapsed()),
        other => other,
    }
}

/// Sends CPing behind a header of the PROXY protocol, as load balancers put it there.
pub(super) async fn proxied_cping(stream: Transport, limit: Duration) -> Reply {
    let question = [&b"PROXY UNKNOWN\r\n"[..], &CPING].concat();
    let start = Instant::now();
    match ask(stream, &question, CPONG.len(), limit).await {
        Reply::Bytes(bytes) if bytes == CPONG => Reply::Pong(start.elapsed()),
        other => other,
    }
}

/// After what time an idle connection that has answered CPing is closed; `None`: not within the
/// limit. `Err` when there is no such connection.
pub(super) async fn closed_after(
    mut stream: Transport,
    limit: Duration,
) -> io::Result<Option<Duration>> {
    let mut answer = [0; CPONG.len()];
    stream.write_all(&CPING).await?;
    stream.flush().await?;
    stream.read_exact(&mut answer).await?;
    let start = Instant::now();
    match timeout(limit, stream.read(&mut answer)).await {
        Err(_) => Ok(None),
        // Also bytes that nobody asked for end its use.
        Ok(_) => Ok(Some(start.elapsed())),
    }
}

/// Sends a request of HTTP, to see whether HTTP comes back.
pub(super) async fn http(stream: Transport, limit: Duration) -> Reply {
    ask(stream, b"OPTIONS * HTTP/1.0\r\n\r\n", 8, limit).await
}

/// Sends the beginning of TLS: a Client Hello without extensions. A server of TLS answers
/// with Server Hello or an alert.
pub(super) async fn tls(stream: Transport, limit: Duration) -> Reply {
    let mut hello = vec![0x16, 3, 1, 0, 49, 1, 0, 0, 45, 3, 3];
    hello.extend([0x5a; 32]);
    // No session id, three cipher suites, no compression.
    hello.extend([0, 0, 6, 0xc0, 0x2f, 0xc0, 0x30, 0, 0x9c, 1, 0]);
    ask(stream, &hello, 3, limit).await
}

/// Sends `question` and reads until there are `enough` bytes.
async fn ask(mut stream: Transport, question: &[u8], enough: usize, limit: Duration) -> Reply {
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(question).await?;
        stream.flush().await?;
        let mut piece = [0; 256];
        while answer.len() < enough {
            let n = stream.read(&mut piece).await?;
            if n == 0 {
                break;
            }
            answer.extend_from_slice(piece.get(..n).unwrap_or_default());
        }
        io::Result::Ok(())
    };
    // A reset is an end too.
    let ended = timeout(limit, exchange).await.is_ok();
    match (answer.is_empty(), ended) {
        (false, _) => Reply::Bytes(answer),
        (true, true) => Reply::Closed,
        (true, false) => Reply::Nothing,
    }
}
