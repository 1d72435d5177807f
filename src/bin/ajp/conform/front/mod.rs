//! `ajp conform front`: a web server, by what a container could answer. The tool is the container,
//! and asks the web server by HTTP for what it forwards to it.
//!
//! - `connection`: a connection that the web server made.
//! - `reply`: what it answers over HTTP.
//! - `requests`, `answers`, `reuse`: the checks.

mod answers;
mod connection;
mod reply;
mod requests;
mod reuse;

use super::check::{Step, checks, dangerous, skipped, wrong};
use super::connection::{NoPacket, deadline};
use ajp::wire::{END_RESPONSE_REUSE, ForwardRequest};
use connection::FromWebServer;
use reply::{Reply, http};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

pub(super) struct FrontServer<'a> {
    /// Where the web server connects to us.
    pub(super) listener: Accepting,
    /// Where it is asked.
    pub(super) http: SocketAddr,
    pub(super) host: &'a str,
    /// A path that leads here.
    pub(super) path: &'a str,
    pub(super) limit: Duration,
}

/// Connections of the web server as they come.
pub(super) struct Accepting(mpsc::UnboundedReceiver<TcpStream>);

impl Accepting {
    /// Accepts in the background, as long as this is kept.
    pub(super) fn new(listener: TcpListener) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                if sender.send(stream).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }
}

checks! {
    front: FrontServer<'_>, between { front.recover().await; }
    "F01" "get" "exchange: A request without a body"
        "a request without a body comes as one well-formed packet"
        => front.get();
    "F02" "length-0" "exchange: A request without a body"
        "a request without a body announces the length 0"
        => front.length_0();
    "F03" "post" "exchange: The first body packet"
        "a body with a length: one packet unasked, with its inner length"
        => front.post();
    "F04" "long-post" "exchange: A body of known length"
        "the rest of a body comes packet by packet, each as the answer to a question"
        => front.long_post();
    "F05" "question-after-the-end" "exchange: The end of a body"
        "a question after the end of the body is answered with the end"
        => front.after_the_end();
    "F06" "chunked-post" "exchange: A body of unknown length"
        "a body of unknown length is announced as chunked, and comes when it is asked for"
        => front.chunked_post();
    "F07" "length-and-encoding" "framing: Requests"
        "Content-Length and Transfer-Encoding are never forwarded together"
        => front.length_and_encoding();
    "F08" "unknown-encoding" "framing: Requests"
        "Transfer-Encoding other than chunked is refused before anything is sent"
        => front.unknown_encoding();
    "F09" "two-lengths" "framing: Requests"
        "Content-Length twice is refused"
        => front.two_lengths();
    "F10" "reuse" "reuse: Conditions"
        "a connection that is kept is used again"
        => front.reuse();
    "F11" "no-reuse-after-0" "reuse: Conditions"
        "a connection whose End Response says 0 is not used again"
        => front.no_reuse();
    "F12" "flush" "exchange: Flush"
        "data before a flush packet reaches the client before the end"
        => front.flush();
    "F13" "data-for-head" "exchange: HEAD, and statuses without a body"
        "data in the answer to HEAD is dropped"
        => front.data_for_head();
    "F14" "data-for-204" "exchange: HEAD, and statuses without a body"
        "data in an answer of 204 is dropped"
        => front.data_for_204();
    "F15" "early-answer" "reuse: Early end"
        "an answer before the body was read reaches the client, and the connection is not mixed up"
        => front.early_answer();
    "F16" "cut-answer" "exchange: Aborts"
        "an answer without End Response does not look whole"
        => front.cut();
    "F17" "chunk-too-long" "packets: Send Body Chunk"
        "a chunk longer than its packet is an error"
        => front.bad(&[0x41, 0x42, 0, 6, 3, 0, 9, b'o', b'k', 0], true, "a broken chunk");
    "F18" "unknown-header-code" "codes: Response headers"
        "a header code that is not known is an error"
        => front.bad(&[0x41, 0x42, 0, 16, 4, 0, 200, 0, 2, b'O', b'K', 0, 0, 1, 0xa0, 0x0c, 0, 1, b'x', 0], false, "an unknown header");
    "F19" "fewer-headers" "packets: Send Headers"
        "a number of headers that are not there is an error"
        => front.bad(&[0x41, 0x42, 0, 10, 4, 0, 200, 0, 2, b'O', b'K', 0, 0, 1], false, "a broken head");
    "F20" "unknown-type" "overview: The packets"
        "an unknown packet type is an error"
        => front.bad(&[0x41, 0x42, 0, 1, 0x1e], false, "an unknown packet");
    "F21" "wrong-magic" "packets: Packet header"
        "a wrong magic number is an error"
        => front.bad(&[0x42, 0x41, 0, 2, 5, 1], false, "a wrong magic number");
    "F22" "packet-too-long" "packets: Packet size"
        "a packet above the packet size is an error"
        => front.too_long();
    "F23" "two-heads" "exchange: Order of the response"
        "a second head is an error"
        => front.two_heads();
    "F24" "end-without-head" "exchange: Order of the response"
        "End Response without a head is an error"
        => front.bad(&END_RESPONSE_REUSE, false, "an end without a head");
    "F25" "line-break-in-header" "packets: What a string may hold"
        "a line break in a header value does not make a second header"
        => front.line_break();
    "F26" "bytes-while-idle" "exchange: States of a connection"
        "bytes on an idle connection end its use"
        => front.idle_bytes();
    "F27" "stale-connection" "exchange: Sending a request again"
        "a GET on a connection that the container has closed is sent again"
        => front.stale();
    "F28" "head-too-large" "packets: Packet size"
        "a head that does not fit the packet size is refused, not sent"
        => front.head_too_large();
    "F29" "attributes" "codes: Request attributes"
        "only attributes with known names are sent"
        => front.attributes();
    "F30" "alive" "exchange: States of a connection"
        "after all of this it forwards as before"
        => front.get();
}

impl FrontServer<'_> {
    fn asked(&self, method: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.path, self.host
        );
        [head.as_bytes(), body].concat()
    }

    /// Asks, and gives the connection on which the request comes.
    async fn ask(&mut self, request: Vec<u8>) -> (JoinHandle<Reply>, Option<FromWebServer>) {
        let (to, limit) = (self.http, self.limit);
        let reply = tokio::spawn(http(to, request, limit.saturating_mul(3)));
        let stream = timeout(self.limit, self.listener.0.recv()).await;
        let connection = stream
            .ok()
            .flatten()
            .map(|stream| FromWebServer::new(stream, limit));
        (reply, connection)
    }

    /// Asks, and gives the request as it came.
    async fn forwarded(
        &mut self,
        request: Vec<u8>,
    ) -> Step<(JoinHandle<Reply>, FromWebServer, Box<ForwardRequest>)> {
        let (reply, connection) = self.ask(request).await;
        let Some(mut connection) = connection else {
            let status = finish(reply).await.status();
            return Err(skipped(format!("nothing was forwarded, status {status}")));
        };
        match connection.request().await {
            Ok(request) => Ok((reply, connection, request)),
            Err(NoPacket::Broken(error)) if connection.has_bad_length => Err(dangerous(error)),
            Err(NoPacket::Broken(error)) => {
                Err(wrong(format!("the request cannot be read: {error}")))
            }
            Err(none) => Err(skipped(format!("no request came: {none}"))),
        }
    }

    /// Until it forwards again, for as long as web servers leave a container alone.
    async fn recover(&mut self) {
        // Connections of the check before are not those of the next.
        while self.listener.0.try_recv().is_ok() {}
        let deadline = deadline(Duration::from_secs(65));
        while Instant::now() < deadline {
            let (reply, connection) = self.ask(self.asked("GET", "", b"")).await;
            if let Some(mut connection) = connection {
                if connection.request().await.is_ok() {
                    connection.answer(200, &[], b"well", false).await;
                    finish(reply).await;
                    return;
                }
            }
            reply.abort();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// What the client got in the end.
async fn finish(reply: JoinHandle<Reply>) -> Reply {
    reply.await.unwrap_or_default()
}

/// The value of a request's header.
fn header(request: &ForwardRequest, name: &str) -> Option<String> {
    let mut found = request
        .headers()
        .filter(|header| header.name.eq_ignore_ascii_case(name.as_bytes()));
    let value = found.next()?.value;
    Some(String::from_utf8_lossy(value).into_owned())
}
