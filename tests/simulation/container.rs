//! A container that behaves well, or in every bad way that is known.

use super::network::Stream;
use super::raw::Random;
use super::raw::backend::Conn;
use super::raw::packets::{answer_packet, chunk, head};
use ajp::wire::{
    CPONG, DecodeOptions, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, ForwardRequest, ToContainer,
};
use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// How often each request was begun to be served, over all containers.
#[derive(Default)]
pub(crate) struct Ledger {
    served: Mutex<HashMap<String, u32>>,
    /// The first promise that a container saw broken: a panic in its task would be lost.
    broken: Mutex<Option<String>>,
}

impl Ledger {
    fn note(&self, token: &str) {
        *self
            .served
            .lock()
            .unwrap()
            .entry(token.to_owned())
            .or_default() += 1;
    }

    fn broke(&self, what: String) {
        self.broken.lock().unwrap().get_or_insert(what);
    }

    /// What the web server did wrong, as the containers saw it.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, token: &str) -> u32 {
        self.served.lock().unwrap().get(token).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.served
            .lock()
            .unwrap()
            .values()
            .map(|count| u64::from(*count))
            .sum()
    }
}

/// What the body of the answer to a request must be.
pub(crate) fn expected_body(token: &str) -> Vec<u8> {
    let number: usize = token.parse().unwrap();
    // Of all sizes from nothing to several packets.
    let len = match number % 5 {
        0 => 0,
        1 => number % 100,
        2 => 8184 + number % 3,
        3 => number % 30_000,
        _ => token.len(),
    };
    token.bytes().chain(*b";").cycle().take(len).collect()
}

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
pub(crate) async fn run(
    mut accepted: UnboundedReceiver<Stream>,
    name: String,
    badness: Option<usize>,
    ledger: Arc<Ledger>,
    seed: u64,
) {
    let mut random = Random::new(seed);
    while let Some(stream) = accepted.recv().await {
        let connection = Connection {
            conn: Conn::new(stream),
            name: name.clone(),
            badness,
            ledger: Arc::clone(&ledger),
            random: Random::new(random.next()),
        };
        tokio::spawn(connection.serve());
    }
}

struct Connection {
    conn: Conn<Stream>,
    name: String,
    badness: Option<usize>,
    ledger: Arc<Ledger>,
    random: Random,
}

impl Connection {
    async fn serve(mut self) {
        loop {
            let Some(payload) = self.conn.payload().await else {
                return;
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
        self.ledger.note(&token);
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
        let Some(body) = self.conn.body(request).await else {
            return false;
        };
        if !body.iter().all(|byte| *byte == b'u') {
            let text = format!("the body of {token} has bytes of another request");
            self.ledger.broke(text);
        }
        self.pause(30).await;
        match manner {
            Manner::Well | Manner::Early | Manner::Drips => {
                self.in_pieces(&whole).await;
                true
            }
            Manner::CutAnywhere => {
                let at = self.random.below(whole.len());
                self.conn.write(&whole[..at]).await;
                false
            }
            Manner::NoEnd => {
                self.conn
                    .write(&whole[..whole.len() - END_RESPONSE_REUSE.len()])
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
                while self.conn.payload().await.is_some() {
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
            return self.conn.payload().await.is_some();
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
