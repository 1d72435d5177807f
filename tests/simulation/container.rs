//! A container that is written by hand: it behaves well, or in every bad way that is known.

use super::ledger::{Ledger, expected_body};
use super::network::{Incoming, Stream};
use super::packets::{answer_packet, chunk, head};
use super::random::Random;
use ajp::wire::{
    BodyPacket, CPONG, DecodeOptions, Direction, END_RESPONSE_CLOSE, END_RESPONSE_REUSE,
    ForwardRequest, PacketSize, ToContainer, get_body_chunk, split_packet,
};
use bytes::{Bytes, BytesMut};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Most that one body packet carries.
const BODY_PACKET: u16 = 8186;

/// Ways to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Well,
    /// The answer is complete before the request's body was read.
    Early,
    /// The connection ends somewhere in the answer.
    CutAnywhere,
    /// All of the answer but its end.
    NoEnd,
    Hangs,
    HangsInTheMiddle,
    LastOnConnection,
    /// Another answer follows at once, which nobody has asked for.
    Stray,
    Garbage,
    /// The request was acted on, and then the container died.
    DiesAfterwards,
    /// Flush packets go before the head.
    Drips,
    TwoHeads,
    ServerError,
}

const BAD: [Manner; 12] = [
    Manner::Early,
    Manner::CutAnywhere,
    Manner::NoEnd,
    Manner::Hangs,
    Manner::HangsInTheMiddle,
    Manner::LastOnConnection,
    Manner::Stray,
    Manner::Garbage,
    Manner::DiesAfterwards,
    Manner::Drips,
    Manner::TwoHeads,
    Manner::ServerError,
];

/// Serves what comes in. A sound container does all well; another one does one in
/// `badness` requests in some other manner.
///
/// `asks_ahead` is for how many body packets it may ask before the first of them is there.
pub(crate) async fn run(
    mut incoming: Incoming,
    name: String,
    badness: Option<usize>,
    asks_ahead: u16,
    ledger: Arc<Ledger>,
    seed: u64,
) {
    let mut random = Random::new(seed);
    while let Some(stream) = incoming.next().await {
        let connection = Connection {
            conn: Conn::new(stream),
            name: name.clone(),
            badness,
            asks_ahead,
            ledger: Arc::clone(&ledger),
            random: Random::new(random.next()),
        };
        tokio::spawn(connection.serve());
    }
}

/// The bytes of a connection, cut into packets.
struct Conn {
    stream: Stream,
    buffer: BytesMut,
}

impl Conn {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next payload; `None` when the web server has closed. An error is what it sent that
    /// is no packet.
    async fn payload(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let split = split_packet(
                &mut self.buffer,
                Direction::ToContainer,
                PacketSize::DEFAULT,
            );
            if let Some(payload) = split.map_err(|error| error.to_string())? {
                return Ok(Some(payload));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// Writes; that the web server may be gone is its right.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The body of a request, `None` when the web server closes before its end. As many
    /// packets as `ahead` are asked for at a time, as long as it is known that they come.
    async fn body(
        &mut self,
        request: &ForwardRequest,
        ahead: u16,
    ) -> Result<Option<Vec<u8>>, String> {
        let length = request.framing().length();
        let mut body = Vec::new();
        let mut owed = u64::from(request.framing().is_eager());
        loop {
            let got = body.len() as u64;
            if length == Some(got) {
                return Ok(Some(body));
            }
            let most = match length {
                Some(length) => (length - got).div_ceil(u64::from(BODY_PACKET)),
                None => 1,
            };
            while owed < most.min(u64::from(ahead)) {
                self.write(&get_body_chunk(BODY_PACKET)).await;
                owed += 1;
            }
            owed -= 1;
            let Some(payload) = self.payload().await? else {
                return Ok(None);
            };
            let packet = BodyPacket::parse(&payload).map_err(|error| error.to_string())?;
            match packet {
                BodyPacket::Data(data) => body.extend(data),
                BodyPacket::End if length.is_some_and(|length| length > 0) => {
                    return Err(format!("the body of {length:?} bytes ended after {got}"));
                }
                BodyPacket::End => return Ok(Some(body)),
            }
        }
    }
}

struct Connection {
    conn: Conn,
    name: String,
    badness: Option<usize>,
    asks_ahead: u16,
    ledger: Arc<Ledger>,
    random: Random,
}

impl Connection {
    async fn serve(mut self) {
        loop {
            let payload = match self.conn.payload().await {
                Ok(Some(payload)) => payload,
                Ok(None) => return,
                Err(error) => return self.ledger.broke(error),
            };
            match ToContainer::parse(payload, &DecodeOptions::default()) {
                Ok(ToContainer::CPing) => {
                    match self.badness {
                        Some(one_in) if self.random.one_in(one_in) => {
                            self.pause(20_000).await;
                        }
                        _ => self.pause(3).await,
                    }
                    self.conn.write(&CPONG).await;
                }
                Ok(ToContainer::ForwardRequest(request)) => {
                    if !self.exchange(&request).await {
                        return;
                    }
                }
                other => {
                    return self.ledger.broke(format!("the web server sent {other:?}"));
                }
            }
        }
    }

    /// Answers one request; whether the connection goes on.
    async fn exchange(&mut self, request: &ForwardRequest) -> bool {
        let path = String::from_utf8(request.req_uri().to_vec()).unwrap();
        let token = path.rsplit('/').next().unwrap().to_owned();
        if token == "health" {
            self.conn.write(&self.answer("0", false)).await;
            return true;
        }
        if !self.ledger.note(&token) {
            self.ledger.broke(format!("nobody has sent {request:?}"));
            return false;
        }
        let manner = match self.badness {
            Some(one_in) if self.random.one_in(one_in) => BAD[self.random.below(BAD.len())],
            _ => Manner::Well,
        };
        let is_head = request.method() == b"HEAD";
        let whole = self.answer(&token, is_head);
        if manner == Manner::Early {
            self.conn.write(&whole).await;
            return self.swallow(request).await;
        }
        if manner == Manner::Drips {
            for _ in 0..self.random.below(40) {
                self.conn.write(&answer_packet(&[3, 0, 0, 0])).await;
                self.pause(500).await;
            }
        }
        if manner == Manner::Hangs && self.random.one_in(2) {
            pending::<()>().await;
        }
        let body = match self.conn.body(request, self.asks_ahead).await {
            Ok(Some(body)) => body,
            Ok(None) => return false,
            Err(error) => {
                self.ledger.broke(format!("the body of {token}: {error}"));
                return false;
            }
        };
        self.ledger.check_upload(&token, request.method(), &body);
        self.pause(30).await;
        match manner {
            Manner::Well | Manner::Early | Manner::Drips => {
                self.in_pieces(&whole).await;
                true
            }
            Manner::CutAnywhere => {
                let at = self.random.below(whole.len());
                self.begun(&token, &whole[..at]).await;
                false
            }
            Manner::NoEnd => {
                self.begun(&token, &whole[..whole.len() - END_RESPONSE_REUSE.len()])
                    .await;
                false
            }
            Manner::Hangs => pending().await,
            Manner::HangsInTheMiddle => {
                let at = self.random.below(whole.len());
                self.conn.write(&whole[..at]).await;
                pending().await
            }
            Manner::LastOnConnection => {
                let end = whole.len() - END_RESPONSE_REUSE.len();
                self.conn
                    .write(&[&whole[..end], &END_RESPONSE_CLOSE[..]].concat())
                    .await;
                false
            }
            Manner::Stray => {
                let stray = self.answer("777777", false);
                self.conn.write(&[&whole[..], &stray[..]].concat()).await;
                // Whatever comes now is answered wrongly.
                while let Ok(Some(_)) = self.conn.payload().await {
                    self.conn.write(&stray).await;
                }
                false
            }
            Manner::Garbage => {
                let garbage = self.random.bytes(40);
                self.conn.write(&answer_packet(&garbage)).await;
                false
            }
            Manner::DiesAfterwards => false,
            Manner::TwoHeads => {
                self.conn.write(&[head(200, &[]), whole].concat()).await;
                true
            }
            Manner::ServerError => {
                let headers = [("x-token", token.as_str()), ("content-length", "0")];
                let answer = [head(503, &headers), END_RESPONSE_REUSE.to_vec()];
                self.conn.write(&answer.concat()).await;
                true
            }
        }
    }

    /// Writes the beginning of an answer, after which the connection is closed.
    async fn begun(&mut self, token: &str, bytes: &[u8]) {
        self.conn.write(bytes).await;
        if let Some(len) = bytes.get(2..4) {
            let head = 4 + usize::from(u16::from_be_bytes([len[0], len[1]]));
            if bytes.len() >= head {
                self.ledger.head_left(token, self.conn.stream.link());
            }
        }
    }

    fn answer(&self, token: &str, is_head: bool) -> Vec<u8> {
        let body = expected_body(token);
        let length = body.len().to_string();
        let mut headers = vec![("x-token", token), ("x-host", self.name.as_str())];
        // Both framings.
        if body.len() % 2 == 0 {
            headers.push(("content-length", &length));
        }
        let mut answer = head(200, &headers);
        if !is_head {
            for part in body.chunks(8184) {
                answer.extend(chunk(part));
            }
        }
        answer.extend(END_RESPONSE_REUSE);
        answer
    }

    /// Reads what the web server still sends of a body that nobody wants.
    async fn swallow(&mut self, request: &ForwardRequest) -> bool {
        if request.framing().is_eager() {
            return matches!(self.conn.payload().await, Ok(Some(_)));
        }
        true
    }

    /// Writes in pieces of any size, with pauses.
    async fn in_pieces(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + self.random.below(rest.len()));
            self.conn.write(now).await;
            if !later.is_empty() {
                self.pause(20).await;
            }
            rest = later;
        }
    }

    /// Up to so many milliseconds.
    async fn pause(&mut self, most: usize) {
        let time = Duration::from_millis(self.random.below(most) as u64);
        tokio::time::sleep(time).await;
    }
}
