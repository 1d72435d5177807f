//! What a web server answers over HTTP.

use crate::conform::check::{Evidence, differs, holds, wrong};
use crate::conform::connection::deadline;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

/// What the web server answered over HTTP.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    /// Whether it closed, or reset, the connection.
    closed: bool,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(super) fn status(&self) -> u16 {
        let text = self.text();
        let word = text.split(' ').nth(1).unwrap_or_default();
        word.parse().unwrap_or(0)
    }

    pub(super) fn head(&self) -> String {
        let text = self.text();
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    /// The body without its framing, and whether it is whole.
    pub(super) fn body(&self) -> (Vec<u8>, bool) {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(mut rest) = end.and_then(|end| self.bytes.get(end.saturating_add(4)..)) else {
            return (Vec::new(), false);
        };
        let head = self.head().to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            let mut body = Vec::new();
            loop {
                let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
                    return (body, false);
                };
                let size = rest
                    .get(..end)
                    .map(|size| String::from_utf8_lossy(size).into_owned());
                let size = size.and_then(|size| {
                    usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()
                });
                let Some(size) = size else {
                    return (body, false);
                };
                let start = end.saturating_add(2);
                if size == 0 {
                    return (body, true);
                }
                let Some(data) = rest.get(start..start.saturating_add(size)) else {
                    body.extend_from_slice(rest.get(start..).unwrap_or_default());
                    return (body, false);
                };
                body.extend_from_slice(data);
                rest = rest
                    .get(start.saturating_add(size).saturating_add(2)..)
                    .unwrap_or_default();
            }
        }
        let length: Option<usize> = head.lines().find_map(|connection| {
            connection
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        });
        match length {
            Some(length) => (rest.to_vec(), rest.len() == length),
            // Until the end of the connection: no telling.
            None => (rest.to_vec(), self.closed),
        }
    }
}

/// Sends bytes of HTTP and reads what comes, until the end or until nothing more comes.
pub(super) async fn http(to: SocketAddr, request: Vec<u8>, limit: Duration) -> Reply {
    let mut reply = Reply::default();
    let Ok(Ok(mut stream)) = timeout(limit, TcpStream::connect(to)).await else {
        return reply;
    };
    let _ = stream.write_all(&request).await;
    let deadline = deadline(limit);
    let mut piece = [0; 8192];
    loop {
        match timeout_at(deadline, stream.read(&mut piece)).await {
            Err(_) => return reply,
            Ok(Ok(0) | Err(_)) => {
                reply.closed = true;
                return reply;
            }
            Ok(Ok(n)) => reply
                .bytes
                .extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
}

/// Whether a client is told that an answer was broken.
pub(super) fn error_or(reply: &Reply, what: &str) -> Evidence {
    match reply.status() {
        500..=599 => holds(format!("status {}", reply.status())),
        0 => differs("the connection is closed without an answer"),
        status if status >= 400 => differs(format!("status {status}")),
        status => match reply.body() {
            (_, false) => differs(format!("status {status}, cut off")),
            (_, true) => wrong(format!(
                "status {status}: {what} is passed on as if it were well"
            )),
        },
    }
}
