//! Visitors that come through the gateway with HTTP/1.1: they send several requests before they
//! read an answer, send slowly, read slowly or not at all, hang up. What they see is checked.

use super::gateway::PATHS;
use super::ledger::{Ledger, expected_body, upload};
use super::network::{Host, Stream};
use super::random::Random;
use super::visitor::{EVER, Tally};
use ajp::balancer::{Balancer, MemberEvents, MemberId, MemberState};
use futures_util::FutureExt;
use http::Method;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// Most requests that are sent before an answer is read.
const AHEAD: usize = 4;

/// A visitor, and what it needs.
pub(crate) struct Browser {
    pub(crate) gateway: Arc<Host>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) random: Random,
    /// The token of the first request; the others count on.
    pub(crate) first: usize,
    pub(crate) requests: usize,
    /// The route of the session that it has.
    pub(crate) route: Option<String>,
    /// Where the gateway sends its requests to.
    pub(crate) balancer: Balancer,
}

/// The member of a session, as it was when requests of it were sent.
struct Home {
    route: String,
    member: (MemberId, [u64; 3]),
    events: MemberEvents,
    since: Instant,
}

/// A request, as its visitor knows it.
struct Asked {
    token: String,
    method: Method,
}

/// An answer as it came.
struct Answer {
    status: u16,
    token: Option<String>,
    host: Option<String>,
    body: Vec<u8>,
    is_last: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoAnswer {
    /// The connection ended before it began.
    Closed,
    /// The connection ended in the middle of it.
    BrokenOff,
}

impl Browser {
    pub(crate) async fn visit(mut self) {
        let mut left: VecDeque<Asked> = (self.first..self.first + self.requests)
            .map(|number| self.asked(number))
            .collect();
        while !left.is_empty() {
            let Ok(stream) = self.gateway.connect().await else {
                // The gateway starts anew.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let mut connection = Connection {
                stream,
                buffer: Vec::new(),
            };
            let mut goes_on = true;
            while goes_on && !left.is_empty() {
                let count = left.len().min(1 + self.random.below(AHEAD));
                let batch: Vec<Asked> = left.drain(..count).collect();
                let hangs_up = self
                    .random
                    .one_in(6)
                    .then(|| Duration::from_millis(self.random.below(400) as u64));
                let limit = hangs_up.unwrap_or(EVER);
                let asked = timeout(limit, self.ask(&mut connection, &batch)).await;
                let token = &batch[0].token;
                goes_on = asked.unwrap_or_else(|_| {
                    assert!(limit < EVER, "the requests from {token} on never ended");
                    self.tally.count(token, "hung up");
                    false
                });
                self.check_served(&batch);
                let pause = Duration::from_millis(self.random.below(200) as u64);
                sleep(pause).await;
            }
            if self.random.one_in(3) {
                connection.stream.cut();
            }
        }
    }

    fn asked(&mut self, number: usize) -> Asked {
        let methods = [
            Method::GET,
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::HEAD,
        ];
        Asked {
            token: number.to_string(),
            method: methods[self.random.below(methods.len())].clone(),
        }
    }

    /// What may not be done twice is not.
    fn check_served(&self, batch: &[Asked]) {
        for asked in batch {
            let acted = self.ledger.count(&asked.token);
            assert!(
                acted <= 1 || asked.method.is_idempotent(),
                "request {} was served {acted} times",
                asked.token
            );
        }
    }

    /// Sends the requests, reads the answers; whether the connection goes on.
    async fn ask(&mut self, connection: &mut Connection, batch: &[Asked]) -> bool {
        let mut home = self.home();
        for asked in batch {
            let request = self.request(asked);
            if self.send(connection, &request).await.is_err() {
                // There may be answers nevertheless.
                break;
            }
        }
        let mut answers = batch.iter();
        while let Some(asked) = answers.next() {
            let answer = match connection.answer(asked, &mut self.random).await {
                Ok(answer) => answer,
                Err(error) => {
                    let what = match error {
                        NoAnswer::Closed => "no answer",
                        NoAnswer::BrokenOff => "the answer broke off",
                    };
                    self.tally.count(&asked.token, what);
                    return false;
                }
            };
            let is_last = answer.is_last;
            if let (Some(home), Some(host)) = (&mut home, &answer.host) {
                self.check_home(home, asked, host);
            }
            let what = Self::check(asked, answer);
            self.tally.count(&asked.token, what);
            if is_last {
                self.check_not_begun(answers.as_slice());
                return false;
            }
        }
        true
    }

    /// The member of its session, if there is one that serves at this moment.
    fn home(&self) -> Option<Home> {
        let route = self.route.clone()?;
        Some(Home {
            member: self.serving(&route)?,
            route,
            events: self.balancer.events(),
            since: Instant::now(),
        })
    }

    /// The one member of a route, if it serves, and what it has failed at.
    fn serving(&self, route: &str) -> Option<(MemberId, [u64; 3])> {
        let members = self.balancer.snapshot().members;
        let mut of_it = members
            .iter()
            .filter(|member| member.route.as_deref() == Some(route));
        let (member, None) = (of_it.next()?, of_it.next()) else {
            return None;
        };
        let serves = member.state == MemberState::Ok && !member.flags.to_string().contains('D');
        serves.then_some((member.id, [member.failed, member.timed_out, member.full]))
    }

    /// A session stays with its member while that serves and nothing happens to it.
    fn check_home(&self, home: &mut Home, asked: &Asked, host: &str) {
        let events = std::iter::from_fn(|| home.events.next().now_or_never().flatten());
        let route = home.route.as_str();
        let changed = events.filter(|event| event.name.split('-').next() == Some(route));
        if changed.count() > 0 || self.serving(&home.route) != Some(home.member) {
            // Whatever follows may have been sent elsewhere as well.
            home.route.clear();
        }
        let excused = home.route.is_empty() || self.tally.is_shaken(home.since);
        assert!(
            excused || host == home.route,
            "request {} of a session of {} was served by {host}",
            asked.token,
            home.route
        );
    }

    /// Nothing that follows the last answer of a connection was looked at.
    fn check_not_begun(&self, rest: &[Asked]) {
        for asked in rest {
            let acted = self.ledger.count(&asked.token);
            assert_eq!(acted, 0, "request {} came after the last one", asked.token);
        }
    }

    fn request(&mut self, asked: &Asked) -> Vec<u8> {
        let path = PATHS[self.random.below(PATHS.len())];
        let (method, token) = (&asked.method, &asked.token);
        let mut head = format!("{method} {path}/{token} HTTP/1.1\r\nHost: farm.example\r\n");
        if let Some(route) = &self.route {
            head.extend(["Cookie: JSESSIONID=0a1b.", route, "\r\n"]);
        }
        let mut body = Vec::new();
        if *method == Method::POST || *method == Method::PUT {
            let whole = upload(token);
            if self.random.one_in(2) {
                head.extend(["Content-Length: ", &whole.len().to_string(), "\r\n"]);
                body = whole;
            } else {
                head += "Transfer-Encoding: chunked\r\n";
                let mut rest = &whole[..];
                while !rest.is_empty() {
                    let (part, later) = rest.split_at(1 + self.random.below(rest.len()));
                    body.extend(format!("{:x}\r\n", part.len()).bytes());
                    body.extend(part);
                    body.extend(b"\r\n");
                    rest = later;
                }
                body.extend(b"0\r\n\r\n");
            }
        }
        head += "\r\n";
        [head.into_bytes(), body].concat()
    }

    /// All at once, in pieces, and now and then it stops for longer than the gateway waits.
    async fn send(&mut self, connection: &mut Connection, request: &[u8]) -> io::Result<()> {
        if !self.random.one_in(3) {
            return connection.stream.write_all(request).await;
        }
        let mut rest = request;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + self.random.below(rest.len()));
            connection.stream.write_all(now).await?;
            let pause = if self.random.one_in(60) {
                600_000
            } else {
                self.random.below(60)
            };
            sleep(Duration::from_millis(pause as u64)).await;
            rest = later;
        }
        Ok(())
    }

    /// It is the answer to this request, and whole.
    fn check(asked: &Asked, answer: Answer) -> &'static str {
        let Some(token) = answer.token else {
            return match answer.status {
                // Only the container that sends two heads leaves it out.
                200 => "a head without token",
                403 => "refused, the secret was another",
                502..=504 => "an error of the gateway",
                _ => "another error",
            };
        };
        assert_eq!(token, asked.token, "the answer of another request");
        if answer.status != 200 {
            return "an error of the container";
        }
        assert!(
            answer.host.is_some_and(|host| host.starts_with("jvm")),
            "{token} was answered by nobody"
        );
        let expected = if asked.method == Method::HEAD {
            Vec::new()
        } else {
            expected_body(&token)
        };
        assert!(
            answer.body == expected,
            "the body of {token} is not its own or not whole: {} of {} bytes",
            answer.body.len(),
            expected.len()
        );
        "answered through the gateway"
    }
}

/// A connection to the gateway, and what was read ahead.
struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Connection {
    /// The answer to this request, read slowly now and then.
    async fn answer(&mut self, asked: &Asked, random: &mut Random) -> Result<Answer, NoAnswer> {
        let slow = random.one_in(8);
        if random.one_in(40) {
            // Longer than the gateway waits for somebody who takes nothing.
            sleep(Duration::from_secs(300)).await;
        }
        let (mut answer, length) = self.head(asked).await?;
        match length {
            Length::Known(length) => {
                while self.buffer.len() < length {
                    if slow {
                        sleep(Duration::from_millis(random.below(2_000) as u64)).await;
                    }
                    self.read(NoAnswer::BrokenOff).await?;
                }
                answer.body = self.buffer.drain(..length).collect();
            }
            Length::Chunked => loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16).unwrap();
                while self.buffer.len() < size + 2 {
                    if slow {
                        sleep(Duration::from_millis(random.below(2_000) as u64)).await;
                    }
                    self.read(NoAnswer::BrokenOff).await?;
                }
                answer.body.extend(self.buffer.drain(..size));
                assert_eq!(self.buffer.drain(..2).as_slice(), b"\r\n");
                if size == 0 {
                    break;
                }
            },
        }
        Ok(answer)
    }

    async fn head(&mut self, asked: &Asked) -> Result<(Answer, Length), NoAnswer> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(len) = head.parse(&self.buffer).unwrap() {
                let text = |name: &str| {
                    let of_name =
                        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
                    let header = head.headers.iter().find(of_name)?;
                    Some(String::from_utf8(header.value.to_vec()).unwrap())
                };
                let status = head.code.unwrap();
                let length = match (text("content-length"), text("transfer-encoding")) {
                    _ if asked.method == Method::HEAD => Length::Known(0),
                    (Some(length), None) => Length::Known(length.parse().unwrap()),
                    (None, Some(coding)) if coding == "chunked" => Length::Chunked,
                    other => panic!("the answer to {} has the framing {other:?}", asked.token),
                };
                let answer = Answer {
                    status,
                    token: text("x-token"),
                    host: text("x-host"),
                    body: Vec::new(),
                    is_last: text("connection").is_some_and(|value| value == "close"),
                };
                self.buffer.drain(..len);
                return Ok((answer, length));
            }
            let nothing = if self.buffer.is_empty() {
                NoAnswer::Closed
            } else {
                NoAnswer::BrokenOff
            };
            self.read(nothing).await?;
        }
    }

    async fn line(&mut self) -> Result<String, NoAnswer> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.drain(..end + 2);
                return Ok(String::from_utf8(line.as_slice()[..end].to_vec()).unwrap());
            }
            self.read(NoAnswer::BrokenOff).await?;
        }
    }

    /// More bytes, or `end`.
    async fn read(&mut self, end: NoAnswer) -> Result<(), NoAnswer> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(end),
            Ok(_) => Ok(()),
        }
    }
}

/// How the end of a body is known.
enum Length {
    Known(usize),
    Chunked,
}
