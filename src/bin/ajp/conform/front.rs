//! `ajp conform front`: a web server, by what a container could answer. The tool is the container,
//! and asks the web server by HTTP for what it forwards to it.

use super::check::{Check, Outcome, Seen, Verdict, dangerous, differs, holds, skipped, wrong};
use ajp::wire::{
    BodyPacket, CPONG, DecodeOptions, Direction, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, FLUSH,
    ForwardRequest, PacketSize, SendHeadersWriter, ToContainer, get_body_chunk, split_packet,
    write_body_chunk,
};
use bytes::{Bytes, BytesMut};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

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

type Result = std::result::Result<Seen, Seen>;

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

/// One connection of the web server.
struct Line {
    stream: TcpStream,
    buffer: BytesMut,
    limit: Duration,
    /// Empty packets that nobody asked for: lighttpd sends one behind each request without a body.
    strays: u32,
    /// Whether a body packet is awaited, of which an empty one is the end.
    owed: bool,
}

/// What the web server sent.
#[derive(Debug)]
enum Got {
    Request(Box<ForwardRequest>),
    Broken(String),
    Closed,
    Silence,
}

impl Line {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            limit,
            strays: 0,
            owed: false,
        }
    }

    async fn payload(&mut self, limit: Duration) -> std::result::Result<Bytes, Got> {
        let deadline = Instant::now()
            .checked_add(limit)
            .unwrap_or_else(Instant::now);
        loop {
            match split_packet(
                &mut self.buffer,
                Direction::ToContainer,
                PacketSize::DEFAULT,
            ) {
                Ok(Some(payload)) if payload.is_empty() && !self.owed => {
                    self.strays = self.strays.saturating_add(1);
                    continue;
                }
                Ok(Some(payload)) => return Ok(payload),
                Ok(None) => {}
                Err(error) => return Err(Got::Broken(error.to_string())),
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(Got::Silence),
                Ok(Ok(0) | Err(_)) => return Err(Got::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// The next request; CPings before it are answered.
    async fn request(&mut self) -> Got {
        loop {
            let payload = match self.payload(self.limit).await {
                Ok(payload) => payload,
                Err(got) => return got,
            };
            let options = DecodeOptions::default().with_lenient_uri(true);
            match ToContainer::parse(payload, &options) {
                Ok(ToContainer::ForwardRequest(request)) => return Got::Request(Box::new(request)),
                Ok(ToContainer::CPing) => {
                    self.send(&CPONG).await;
                }
                Ok(other) => return Got::Broken(format!("{other:?}")),
                Err(error) => return Got::Broken(error.to_string()),
            }
        }
    }

    /// A body packet, if one comes.
    async fn body(&mut self, limit: Duration) -> std::result::Result<BodyPacket, Got> {
        self.owed = true;
        let payload = self.payload(limit).await;
        self.owed = false;
        let payload = payload?;
        BodyPacket::parse(&payload).map_err(|error| Got::Broken(error.to_string()))
    }

    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    async fn answer(&mut self, status: u16, headers: &[(&[u8], &[u8])], data: &[u8], reuse: bool) {
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

fn head(status: u16, headers: &[(&[u8], &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    if let Ok(mut writer) = SendHeadersWriter::new(&mut out, PacketSize::DEFAULT, status) {
        for (name, value) in headers {
            let _ = writer.header(name, value);
        }
        writer.finish();
    }
    out
}

/// What the web server answered over HTTP.
#[derive(Debug, Default)]
struct Reply {
    bytes: Vec<u8>,
    /// Whether it closed, or reset, the connection.
    closed: bool,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn status(&self) -> u16 {
        let text = self.text();
        let word = text.split(' ').nth(1).unwrap_or_default();
        word.parse().unwrap_or(0)
    }

    fn head(&self) -> String {
        let text = self.text();
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    /// The body without its framing, and whether it is whole.
    fn body(&self) -> (Vec<u8>, bool) {
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
        let length: Option<usize> = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        match length {
            Some(length) => (rest.to_vec(), rest.len() == length),
            // Until the end of the connection: no telling.
            None => (rest.to_vec(), self.closed),
        }
    }
}

/// Sends bytes of HTTP and reads what comes, until the end or until nothing more comes.
async fn http(to: SocketAddr, request: Vec<u8>, limit: Duration) -> Reply {
    let mut reply = Reply::default();
    let Ok(Ok(mut stream)) = timeout(limit, TcpStream::connect(to)).await else {
        return reply;
    };
    let _ = stream.write_all(&request).await;
    let deadline = Instant::now()
        .checked_add(limit)
        .unwrap_or_else(Instant::now);
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

const fn check(
    id: &'static str,
    name: &'static str,
    section: &'static str,
    rule: &'static str,
) -> Check {
    Check {
        id,
        name,
        rule,
        section,
    }
}

fn error_or(reply: &Reply, what: &str) -> Seen {
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

impl FrontServer<'_> {
    pub(super) async fn run(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        macro_rules! run {
            ($($id:literal $name:literal $section:literal $rule:literal => $call:expr;)*) => {
                $({
                    let (verdict, seen) = match $call.await { Ok(seen) | Err(seen) => seen };
                    outcomes.push(Outcome { check: check($id, $name, $section, $rule), verdict, seen });
                    // Connections of this check are not those of the next.
                    while self.listener.0.try_recv().is_ok() {}
                    // A web server may leave a container alone that has failed.
                    self.recover().await;
                })*
            };
        }
        run! {
            "F01" "get" "exchange: A request without a body" "a request without a body comes as one well-formed packet" => self.get();
            "F02" "length-0" "exchange: A request without a body" "a request without a body announces the length 0" => self.length_0();
            "F03" "post" "exchange: The first body packet" "a body with a length: one packet unasked, with its inner length" => self.post();
            "F04" "long-post" "exchange: A body of known length" "the rest of a body comes packet by packet, each as the answer to a question" => self.long_post();
            "F05" "question-after-the-end" "exchange: The end of a body" "a question after the end of the body is answered with the end" => self.after_the_end();
            "F06" "chunked-post" "exchange: A body of unknown length" "a body of unknown length is announced as chunked, and comes when it is asked for" => self.chunked_post();
            "F07" "length-and-encoding" "framing: Requests" "Content-Length and Transfer-Encoding are never forwarded together" => self.length_and_encoding();
            "F08" "unknown-encoding" "framing: Requests" "Transfer-Encoding other than chunked is refused before anything is sent" => self.unknown_encoding();
            "F09" "two-lengths" "framing: Requests" "Content-Length twice is refused" => self.two_lengths();
            "F10" "reuse" "reuse: Conditions" "a connection that is kept is used again" => self.reuse();
            "F11" "no-reuse-after-0" "reuse: Conditions" "a connection whose End Response says 0 is not used again" => self.no_reuse();
            "F12" "flush" "exchange: Flush" "data before a flush packet reaches the client before the end" => self.flush();
            "F13" "data-for-head" "exchange: HEAD, and statuses without a body" "data in the answer to HEAD is dropped" => self.data_for_head();
            "F14" "data-for-204" "exchange: HEAD, and statuses without a body" "data in an answer of 204 is dropped" => self.data_for_204();
            "F15" "early-answer" "reuse: Early end" "an answer before the body was read reaches the client, and the connection is not mixed up" => self.early_answer();
            "F16" "cut-answer" "exchange: Aborts" "an answer without End Response does not look whole" => self.cut();
            "F17" "chunk-too-long" "packets: Send Body Chunk" "a chunk longer than its packet is an error" => self.bad(&[0x41, 0x42, 0, 6, 3, 0, 9, b'o', b'k', 0], true, "a broken chunk");
            "F18" "unknown-header-code" "codes: Response headers" "a header code that is not known is an error" => self.bad(&[0x41, 0x42, 0, 16, 4, 0, 200, 0, 2, b'O', b'K', 0, 0, 1, 0xa0, 0x0c, 0, 1, b'x', 0], false, "an unknown header");
            "F19" "fewer-headers" "packets: Send Headers" "a number of headers that are not there is an error" => self.bad(&[0x41, 0x42, 0, 10, 4, 0, 200, 0, 2, b'O', b'K', 0, 0, 1], false, "a broken head");
            "F20" "unknown-type" "overview: The packets" "an unknown packet type is an error" => self.bad(&[0x41, 0x42, 0, 1, 0x1e], false, "an unknown packet");
            "F21" "wrong-magic" "packets: Packet header" "a wrong magic number is an error" => self.bad(&[0x42, 0x41, 0, 2, 5, 1], false, "a wrong magic number");
            "F22" "packet-too-long" "packets: Packet size" "a packet above the packet size is an error" => self.too_long();
            "F23" "two-heads" "exchange: Order of the response" "a second head is an error" => self.two_heads();
            "F24" "end-without-head" "exchange: Order of the response" "End Response without a head is an error" => self.bad(&END_RESPONSE_REUSE, false, "an end without a head");
            "F25" "line-break-in-header" "packets: What a string may hold" "a line break in a header value does not make a second header" => self.line_break();
            "F26" "bytes-while-idle" "exchange: States of a connection" "bytes on an idle connection end its use" => self.idle_bytes();
            "F27" "stale-connection" "exchange: Sending a request again" "a GET on a connection that the container has closed is sent again" => self.stale();
            "F28" "head-too-large" "packets: Packet size" "a head that does not fit the packet size is refused, not sent" => self.head_too_large();
            "F29" "attributes" "codes: Request attributes" "only attributes with known names are sent" => self.attributes();
            "F30" "alive" "exchange: States of a connection" "after all of this it forwards as before" => self.get();
        }
        outcomes
    }

    fn asked(&self, method: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.path, self.host
        );
        [head.as_bytes(), body].concat()
    }

    /// Asks, and gives the connection on which the request comes.
    async fn ask(&mut self, request: Vec<u8>) -> (tokio::task::JoinHandle<Reply>, Option<Line>) {
        let (to, limit) = (self.http, self.limit);
        let reply = tokio::spawn(http(to, request, limit.saturating_mul(3)));
        let stream = timeout(self.limit, self.listener.0.recv()).await;
        let line = stream.ok().flatten().map(|stream| Line::new(stream, limit));
        (reply, line)
    }

    /// Asks, and gives the request as it came.
    async fn forwarded(
        &mut self,
        request: Vec<u8>,
    ) -> std::result::Result<(tokio::task::JoinHandle<Reply>, Line, Box<ForwardRequest>), Seen>
    {
        let (reply, line) = self.ask(request).await;
        let Some(mut line) = line else {
            let status = finish(reply).await.status();
            return Err(skipped(format!("nothing was forwarded, status {status}")));
        };
        match line.request().await {
            Got::Request(request) => Ok((reply, line, request)),
            Got::Broken(error) => Err(wrong(format!("the request cannot be read: {error}"))),
            other => Err(skipped(format!("no request came: {other:?}"))),
        }
    }

    /// Until it forwards again, for as long as web servers leave a container alone.
    async fn recover(&mut self) {
        let deadline = Instant::now()
            .checked_add(Duration::from_secs(65))
            .unwrap_or_else(Instant::now);
        while Instant::now() < deadline {
            let (reply, line) = self.ask(self.asked("GET", "", b"")).await;
            if let Some(mut line) = line {
                if matches!(line.request().await, Got::Request(_)) {
                    line.answer(200, &[], b"well", false).await;
                    finish(reply).await;
                    return;
                }
            }
            reply.abort();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn get(&mut self) -> Result {
        let (reply, mut line, request) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[(b"Content-Type", b"text/plain")], b"Hello", false)
            .await;
        let reply = finish(reply).await;
        let (body, whole) = reply.body();
        Ok(if reply.status() == 200 && body == b"Hello" && whole {
            holds(format!("{} headers", request.headers().count()))
        } else {
            wrong(format!("status {}, {} bytes", reply.status(), body.len()))
        })
    }

    async fn length_0(&mut self) -> Result {
        let (reply, mut line, request) = self.forwarded(self.asked("GET", "", b"")).await?;
        let stray = line.payload(Duration::from_millis(200)).await;
        line.answer(200, &[], b"", false).await;
        finish(reply).await;
        if let Ok(payload) = stray {
            return Ok(wrong(format!(
                "a packet of {} bytes follows unasked",
                payload.len()
            )));
        }
        if line.strays > 0 {
            return Ok(differs("an empty packet follows unasked"));
        }
        Ok(match header(&request, "content-length") {
            Some(length) if length == b"0" => holds("Content-Length: 0"),
            None => differs("no length: Tomcat takes it for unknown, Undertow for none"),
            Some(length) => wrong(format!(
                "Content-Length: {}",
                String::from_utf8_lossy(&length)
            )),
        })
    }

    async fn post(&mut self) -> Result {
        let asked = self.asked("POST", "Content-Length: 11\r\n", b"hello world");
        let (reply, mut line, request) = self.forwarded(asked).await?;
        let length = header(&request, "content-length");
        let data = match line.body(self.limit).await {
            Ok(BodyPacket::Data(data)) => data,
            Ok(_) => return Ok(wrong("the first packet is an end of body")),
            Err(Got::Silence) => return Ok(wrong("no packet comes unasked: Tomcat waits for it")),
            Err(Got::Broken(error)) => {
                return Ok(wrong(format!("the body packet cannot be read: {error}")));
            }
            Err(other) => return Ok(wrong(format!("{other:?}"))),
        };
        line.answer(200, &[], b"ok", false).await;
        let reply = finish(reply).await;
        Ok(if length.as_deref() != Some(&b"11"[..]) {
            wrong(format!("Content-Length is {length:?}"))
        } else if data.as_ref() != b"hello world" {
            wrong(format!(
                "{} bytes, and not those that were sent",
                data.len()
            ))
        } else {
            holds(format!("11 bytes, status {}", reply.status()))
        })
    }

    async fn long_post(&mut self) -> Result {
        let data: Vec<u8> = (0..20_000_u32)
            .map(|n| b'a'.saturating_add(u8::try_from(n % 26).unwrap_or(0)))
            .collect();
        let asked = self.asked("POST", "Content-Length: 20000\r\n", &data);
        let (reply, mut line, _) = self.forwarded(asked).await?;
        let mut got = Vec::new();
        let mut longest = 0;
        let mut more_than_asked = false;
        match line.body(self.limit).await {
            Ok(BodyPacket::Data(data)) => got.extend_from_slice(&data),
            other => return Ok(wrong(format!("first packet: {other:?}"))),
        }
        while got.len() < data.len() {
            // Less than would fit, to see whether it is kept to.
            line.send(&get_body_chunk(4000)).await;
            match line.body(self.limit).await {
                Ok(BodyPacket::Data(data)) => {
                    longest = longest.max(data.len());
                    more_than_asked |= data.len() > 4000;
                    got.extend_from_slice(&data);
                }
                other => return Ok(wrong(format!("after {} bytes: {other:?}", got.len()))),
            }
        }
        line.answer(200, &[], b"ok", false).await;
        finish(reply).await;
        Ok(if got != data {
            wrong("other bytes than were sent")
        } else if more_than_asked {
            differs(format!("up to {longest} bytes when 4000 are asked for"))
        } else {
            holds(format!("up to {longest} bytes when 4000 are asked for"))
        })
    }

    async fn after_the_end(&mut self) -> Result {
        let asked = self.asked("POST", "Content-Length: 3\r\n", b"abc");
        let (reply, mut line, _) = self.forwarded(asked).await?;
        let _ = line.body(self.limit).await;
        line.send(&get_body_chunk(8186)).await;
        let end = line.body(self.limit).await;
        line.answer(200, &[], b"ok", false).await;
        finish(reply).await;
        Ok(match end {
            Ok(BodyPacket::End) => holds("an end of body"),
            other => wrong(format!("{other:?}")),
        })
    }

    async fn chunked_post(&mut self) -> Result {
        let asked = self.asked(
            "POST",
            "Transfer-Encoding: chunked\r\n",
            b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        );
        let (reply, mut line, request) = self.forwarded(asked).await?;
        let length = header(&request, "content-length");
        let encoding = header(&request, "transfer-encoding");
        let unasked = line.body(Duration::from_millis(300)).await.ok();
        let mut got = Vec::new();
        if let Some(BodyPacket::Data(data)) = &unasked {
            got.extend_from_slice(data);
        }
        for _ in 0..20 {
            line.send(&get_body_chunk(8186)).await;
            match line.body(self.limit).await {
                Ok(BodyPacket::Data(data)) => got.extend_from_slice(&data),
                Ok(_) => break,
                Err(other) => return Ok(wrong(format!("after {} bytes: {other:?}", got.len()))),
            }
        }
        line.answer(200, &[], b"ok", false).await;
        finish(reply).await;
        if got != b"hello world" {
            return Ok(wrong(format!(
                "{} bytes, and not those that were sent",
                got.len()
            )));
        }
        Ok(match (length, encoding, unasked.is_some()) {
            (None, Some(_), false) => holds("announced as chunked"),
            (Some(_), None, true) => differs("collected first, and sent with a length"),
            (None, None, false) => differs("announced by nothing: Undertow takes it for no body"),
            (Some(_), Some(_), _) => dangerous("Content-Length and Transfer-Encoding"),
            (length, encoding, unasked) => wrong(format!(
                "length {length:?}, encoding {encoding:?}, a packet unasked: {unasked}"
            )),
        })
    }

    /// A request that is to be refused, or to lose what is wrong with it.
    async fn doubtful(
        &mut self,
        headers: &str,
        body: &[u8],
    ) -> std::result::Result<Box<ForwardRequest>, Seen> {
        let asked = self.asked("POST", headers, body);
        let (reply, line) = self.ask(asked).await;
        let Some(mut line) = line else {
            let reply = finish(reply).await;
            return Err(match reply.status() {
                400..=599 => holds(format!("refused with {}", reply.status())),
                0 => holds("refused by closing"),
                status => wrong(format!("status {status}, and nothing was forwarded")),
            });
        };
        let got = line.request().await;
        line.answer(200, &[], b"", false).await;
        finish(reply).await;
        match got {
            Got::Request(request) => Ok(request),
            Got::Closed => Err(holds("connected, and refused before anything was sent")),
            Got::Broken(error) => Err(dangerous(format!(
                "forwarded so that it cannot be read: {error}"
            ))),
            Got::Silence => Err(wrong("connected, and sent nothing")),
        }
    }

    async fn length_and_encoding(&mut self) -> Result {
        let request = self
            .doubtful(
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                b"3\r\nabc\r\n0\r\n\r\n",
            )
            .await?;
        let (length, encoding) = (
            header(&request, "content-length"),
            header(&request, "transfer-encoding"),
        );
        Ok(match (length.is_some(), encoding.is_some()) {
            (true, true) => dangerous("both are forwarded"),
            (false, true) => holds("forwarded as chunked alone"),
            (true, false) => differs("collected, and forwarded with a length"),
            (false, false) => wrong("forwarded with neither"),
        })
    }

    async fn unknown_encoding(&mut self) -> Result {
        let request = self
            .doubtful(
                "Transfer-Encoding: chunked, identity\r\n",
                b"3\r\nabc\r\n0\r\n\r\n",
            )
            .await?;
        Ok(match header(&request, "transfer-encoding") {
            Some(value) if !value.eq_ignore_ascii_case(b"chunked") => dangerous(format!(
                "forwarded as it is: {}",
                String::from_utf8_lossy(&value)
            )),
            _ => differs("forwarded, without what is wrong with it"),
        })
    }

    async fn two_lengths(&mut self) -> Result {
        let request = self
            .doubtful("Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd")
            .await?;
        let count = request
            .headers()
            .filter(|header| header.name.eq_ignore_ascii_case(b"content-length"))
            .count();
        Ok(if count > 1 {
            dangerous("both are forwarded")
        } else {
            wrong("one of them is forwarded")
        })
    }

    async fn reuse(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[], b"one", true).await;
        finish(reply).await;
        let (to, limit) = (self.http, self.limit);
        let again = tokio::spawn(http(to, self.asked("GET", "", b""), limit));
        let got = line.request().await;
        line.answer(200, &[], b"two", false).await;
        let reply = again.await.unwrap_or_default();
        Ok(match got {
            Got::Request(_) if reply.body().0 == b"two" => holds("used again"),
            Got::Request(_) => wrong(format!("used again, status {}", reply.status())),
            Got::Closed => differs("closed: each request has a connection of its own"),
            Got::Silence => differs("kept and not used"),
            Got::Broken(error) => wrong(error),
        })
    }

    async fn no_reuse(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[], b"one", false).await;
        finish(reply).await;
        let again = tokio::spawn(http(
            self.http,
            self.asked("GET", "", b""),
            Duration::from_millis(600),
        ));
        let got = line.payload(Duration::from_millis(500)).await;
        again.abort();
        Ok(match got {
            Ok(_) => wrong("used again"),
            Err(Got::Closed) => holds("closed"),
            Err(_) => differs("not closed, and not used"),
        })
    }

    async fn flush(&mut self) -> Result {
        let (to, limit) = (self.http, self.limit);
        let asked = self.asked("GET", "", b"");
        let (early, mut first) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            let Ok(mut stream) = TcpStream::connect(to).await else {
                return;
            };
            let _ = stream.write_all(&asked).await;
            let mut piece = [0; 4096];
            while let Ok(Ok(n @ 1..)) = timeout(limit, stream.read(&mut piece)).await {
                let _ = early
                    .send(String::from_utf8_lossy(piece.get(..n).unwrap_or_default()).into_owned());
            }
        });
        let stream = timeout(self.limit, self.listener.0.recv())
            .await
            .ok()
            .flatten();
        let Some(stream) = stream else {
            return Ok(skipped("nothing was forwarded"));
        };
        let mut line = Line::new(stream, self.limit);
        if !matches!(line.request().await, Got::Request(_)) {
            return Ok(skipped("no request came"));
        }
        let mut out = head(200, &[(b"Content-Type", b"text/event-stream")]);
        let _ = write_body_chunk(&mut out, b"data: one\n\n", PacketSize::DEFAULT);
        out.extend_from_slice(&FLUSH);
        line.send(&out).await;
        let mut seen = String::new();
        let deadline = Instant::now()
            .checked_add(Duration::from_millis(800))
            .unwrap_or_else(Instant::now);
        while let Ok(Some(text)) = timeout_at(deadline, first.recv()).await {
            seen.push_str(&text);
            if seen.contains("data: one") {
                break;
            }
        }
        line.send(&END_RESPONSE_CLOSE).await;
        let _ = timeout(Duration::from_secs(1), reader).await;
        Ok(if seen.contains("data: one") {
            holds("it comes at once")
        } else {
            differs("it comes with the end")
        })
    }

    async fn data_for_head(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("HEAD", "", b"")).await?;
        line.answer(200, &[], b"nobody wants this", false).await;
        let reply = finish(reply).await;
        Ok(if reply.text().contains("nobody wants this") {
            dangerous("it is passed on, and read as the next answer")
        } else {
            holds(format!("status {}", reply.status()))
        })
    }

    async fn data_for_204(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(204, &[], b"nobody wants this", false).await;
        let reply = finish(reply).await;
        Ok(if reply.text().contains("nobody wants this") {
            wrong("it is passed on")
        } else {
            holds(format!("status {}", reply.status()))
        })
    }

    async fn early_answer(&mut self) -> Result {
        let data = vec![b'e'; 100_000];
        let asked = self.asked("POST", "Content-Length: 100000\r\n", &data);
        let (reply, mut line, _) = self.forwarded(asked).await?;
        // As a container that keeps the rules: the owed packet is taken first.
        if line.body(self.limit).await.is_err() {
            return Ok(wrong("no first packet"));
        }
        line.answer(413, &[], b"too much", true).await;
        let next = line.payload(Duration::from_millis(500)).await;
        let reply = finish(reply).await;
        Ok(match (reply.status(), next) {
            (_, Ok(payload)) if payload.first() != Some(&2) && payload.first() != Some(&10) => {
                dangerous("a body packet follows the end of the answer")
            }
            (413, _) => holds("the client gets it"),
            (0, _) => differs("the client's connection is closed before it can read the answer"),
            (status, _) => wrong(format!("the client gets {status}")),
        })
    }

    async fn cut(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        let mut out = head(200, &[(b"Content-Type", b"text/plain")]);
        let _ = write_body_chunk(&mut out, &[b'c'; 8000], PacketSize::DEFAULT);
        line.send(&out).await;
        let _ = line.stream.shutdown().await;
        drop(line);
        let reply = finish(reply).await;
        let has_framing = reply
            .head()
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked")
            || reply
                .head()
                .to_ascii_lowercase()
                .contains("content-length:");
        Ok(match (reply.status(), reply.body()) {
            (500..=599, _) => holds(format!("status {}", reply.status())),
            (_, (_, false)) => holds("the client sees that it is cut off"),
            (_, (_, true)) if !has_framing => differs("no framing: the client cannot tell"),
            (status, (body, true)) => wrong(format!(
                "status {status}, {} bytes that look whole",
                body.len()
            )),
        })
    }

    /// A packet that is wrong, behind a head or in place of one.
    async fn bad(&mut self, bytes: &[u8], after_head: bool, what: &str) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        if after_head {
            line.send(&head(200, &[])).await;
        }
        line.send(bytes).await;
        line.send(&END_RESPONSE_REUSE).await;
        let reply = finish(reply).await;
        let seen = error_or(&reply, what);
        // Whatever it told the client, the line must not be used again.
        let next = line.payload(Duration::from_millis(200)).await;
        Ok(match (seen, next) {
            ((verdict, seen), Ok(_)) => (
                verdict.max(Verdict::Wrong),
                format!("{seen}; the connection is used again"),
            ),
            (seen, Err(_)) => seen,
        })
    }

    async fn too_long(&mut self) -> Result {
        let mut bytes = vec![0x41, 0x42, 0x40, 0, 3, 0x3f, 0xfc];
        bytes.resize(16_388, b'l');
        self.bad(&bytes, true, "a packet of 16388 bytes").await
    }

    async fn two_heads(&mut self) -> Result {
        let second = head(500, &[(b"X-Second", b"yes")]);
        self.bad(&second, true, "a second head").await
    }

    async fn line_break(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        let value = b"a\r\nSet-Cookie: b=c";
        let mut packet = vec![
            4,
            0,
            200,
            0,
            2,
            b'O',
            b'K',
            0,
            0,
            1,
            0,
            3,
            b'x',
            b'-',
            b'a',
            0,
            0,
            u8::try_from(value.len()).unwrap_or(0),
        ];
        packet.extend_from_slice(value);
        packet.push(0);
        let len = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
        line.send(&[&[0x41, 0x42], &len[..], &packet].concat())
            .await;
        line.send(&END_RESPONSE_CLOSE).await;
        let reply = finish(reply).await;
        let splits = reply
            .head()
            .lines()
            .any(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        Ok(match (splits, reply.status()) {
            (true, _) => dangerous("it becomes a second header"),
            (false, 500..=599) => holds(format!("status {}", reply.status())),
            (false, status) => differs(format!("status {status}, and no second header")),
        })
    }

    async fn idle_bytes(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[], b"one", true).await;
        finish(reply).await;
        let mut poison = head(200, &[]);
        let _ = write_body_chunk(&mut poison, b"poison", PacketSize::DEFAULT);
        poison.extend_from_slice(&END_RESPONSE_REUSE);
        line.send(&poison).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (to, limit) = (self.http, self.limit);
        let again = tokio::spawn(http(to, self.asked("GET", "", b""), limit));
        // It may come on a new connection.
        let fresh = timeout(Duration::from_millis(800), self.listener.0.recv())
            .await
            .ok()
            .flatten();
        if let Some(stream) = fresh {
            let mut fresh = Line::new(stream, self.limit);
            if matches!(fresh.request().await, Got::Request(_)) {
                fresh.answer(200, &[], b"two", false).await;
            }
        }
        let reply = again.await.unwrap_or_default();
        Ok(match reply.body().0 {
            body if body == b"poison" => dangerous("they become the answer to the next request"),
            body if body == b"two" => holds("the next request has another connection"),
            _ => differs(format!("the next request gets {}", reply.status())),
        })
    }

    async fn stale(&mut self) -> Result {
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[], b"one", true).await;
        finish(reply).await;
        drop(line);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (reply, mut line, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[], b"two", false).await;
        let reply = finish(reply).await;
        Ok(if reply.body().0 == b"two" {
            holds("on another connection")
        } else {
            wrong(format!("status {}", reply.status()))
        })
    }

    async fn head_too_large(&mut self) -> Result {
        let long = "x".repeat(4_000);
        let header = |number| format!("X-Long-{number}: {long}\r\n");
        let headers = [header(0), header(1), header(2)].concat();
        let (reply, line) = self.ask(self.asked("GET", &headers, b"")).await;
        let Some(mut line) = line else {
            let status = finish(reply).await.status();
            return Ok(if (400..500).contains(&status) {
                holds(format!("status {status}"))
            } else {
                differs(format!("status {status}"))
            });
        };
        let got = line.request().await;
        if matches!(got, Got::Request(_)) {
            line.answer(200, &[], b"", false).await;
        } else {
            drop(line);
        }
        let status = finish(reply).await.status();
        Ok(match got {
            Got::Request(_) => {
                wrong("headers of 12000 bytes came in a packet of 8192: some are missing")
            }
            Got::Broken(error) => wrong(format!("a packet that is too long is sent: {error}")),
            Got::Closed | Got::Silence if (400..500).contains(&status) => {
                holds(format!("status {status}"))
            }
            Got::Closed | Got::Silence => differs(format!("status {status}")),
        })
    }

    async fn attributes(&mut self) -> Result {
        let (reply, mut line, request) = self.forwarded(self.asked("GET", "", b"")).await?;
        line.answer(200, &[], b"", false).await;
        finish(reply).await;
        let known = [
            "AJP_REMOTE_PORT",
            "AJP_LOCAL_ADDR",
            "AJP_SSL_PROTOCOL",
            "JK_LB_ACTIVATION",
        ];
        let names = request
            .attributes()
            .filter_map(|attribute| match attribute {
                ajp::wire::Attribute::Named { name, .. } => {
                    Some(String::from_utf8_lossy(name).into_owned())
                }
                _ => None,
            });
        let unknown: Vec<_> = names.filter(|name| !known.contains(&&**name)).collect();
        Ok(if unknown.is_empty() {
            holds("none that Tomcat would refuse")
        } else {
            differs(format!("Tomcat refuses {}", unknown.join(", ")))
        })
    }
}

async fn finish(reply: tokio::task::JoinHandle<Reply>) -> Reply {
    reply.await.unwrap_or_default()
}

fn header(request: &ForwardRequest, name: &str) -> Option<Vec<u8>> {
    let mut found = request
        .headers()
        .filter(|header| header.name.eq_ignore_ascii_case(name.as_bytes()));
    found.next().map(|header| header.value.to_vec())
}
