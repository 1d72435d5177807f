//! A hundred thousand requests, each with a token of its own, over a pool that is shared by
//! many callers, against a container that breaks the protocol in every way there is, answers
//! late, twice, in pieces or not at all, and speaks while nobody asked: every response that
//! is delivered is the request's own.
//!
//! Not among the faults: a second answer that is sent when the next request is on its way
//! already. It cannot be told from the right one by anybody. Everything runs on one thread,
//! so whether one is can be seen.

use crate::memory::{Container, End, SECOND, fetch};
use crate::raw::Random;
use crate::raw::backend::token;
use crate::raw::faults::{FAULTS, misbehave};
use crate::raw::packets::{chunk, head, response};
use ajp::client::{CPingMode, Client, ClientError, CloseCause, ErrorKind, PoolConfig, Timeouts};
use ajp::wire::{
    CPONG, DecodeOptions, END_RESPONSE_REUSE, FLUSH, ForwardRequest, ToContainer, get_body_chunk,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Of each of eight parts, which may run side by side.
const REQUESTS: usize = 12_500;
/// With a lull behind each.
const BURSTS: usize = 100;

/// Up to this long, usually much less.
fn some_time(random: &mut Random, most: Duration) -> Duration {
    most * random.below(1000) as u32 / (1000 << random.below(8))
}

struct Faulty {
    end: End,
    random: Random,
    wrong_bodies: Arc<AtomicUsize>,
}

/// What a connection goes on with.
enum Next {
    Go,
    Close,
    /// Whoever uses it again is found out.
    Poison,
}

impl Faulty {
    async fn serve(mut self) {
        loop {
            let next = match self.message().await {
                None => return,
                Some(ToContainer::CPing) => self.pong().await,
                Some(ToContainer::ForwardRequest(request)) => self.request(&request).await,
                Some(other) => panic!("{other:?}"),
            };
            match next {
                Next::Go => {}
                Next::Close => return,
                Next::Poison => return self.end.poison().await,
            }
        }
    }

    /// The next message, unless it takes so long that something else comes to mind.
    async fn message(&mut self) -> Option<ToContainer> {
        if self.random.one_in(20) {
            let patience = some_time(&mut self.random, SECOND * 8);
            // Looks for a message first, also when the time is over.
            if let Ok(payload) = timeout(patience, self.end.payload()).await {
                return Some(ToContainer::parse(payload?, &DecodeOptions::default()).unwrap());
            }
            let stray = match self.random.below(6) {
                0 => return None,
                1 => FLUSH.to_vec(),
                2 => CPONG.to_vec(),
                3 => vec![0x41],
                4 => response("stray", 0),
                _ => response("stray", 1),
            };
            self.end.write(&stray).await;
            while self.end.payload().await.is_some() {
                self.end.write(&response("poison", 1)).await;
            }
            return None;
        }
        let payload = self.end.payload().await?;
        Some(ToContainer::parse(payload, &DecodeOptions::default()).unwrap())
    }

    async fn pong(&mut self) -> Next {
        match self.random.below(30) {
            0 => Next::Close,
            1 => {
                self.end.write(&response("poison", 1)).await;
                Next::Poison
            }
            2 => {
                self.end.write(&CPONG.repeat(2)).await;
                Next::Poison
            }
            3 => {
                // Perhaps too late.
                sleep(some_time(&mut self.random, SECOND * 4)).await;
                self.end.write(&CPONG).await;
                Next::Go
            }
            _ => {
                self.end.write(&CPONG).await;
                Next::Go
            }
        }
    }

    async fn request(&mut self, request: &ForwardRequest) -> Next {
        let token = token(request);
        if self.random.one_in(50) {
            // Asks for a body that may not exist, or answers without reading it.
            let ask = get_body_chunk(8186);
            let answer = response(&token, 1);
            self.end.write(&[&ask[..], &answer].concat()).await;
            return Next::Poison;
        }
        let Some(body) = self.end.body(request).await else {
            return Next::Close;
        };
        if request.method() == b"POST" && body != token.as_bytes() {
            self.wrong_bodies.fetch_add(1, SeqCst);
        }
        match self.random.below(48) {
            0..6 => {
                let (bytes, close) = misbehave(self.random.below(FAULTS), &token);
                self.end.write(&bytes).await;
                if close { Next::Close } else { Next::Poison }
            }
            8 => {
                // Late, often too late.
                sleep(some_time(&mut self.random, SECOND * 8)).await;
                self.end.write(&response(&token, 1)).await;
                Next::Go
            }
            9 => {
                self.dribble(&token).await;
                Next::Go
            }
            10 => {
                // Twice, the second time while the connection is idle or already gone.
                self.end.write(&response(&token, 1)).await;
                let pause = some_time(&mut self.random, SECOND * 4);
                match timeout(pause, self.end.payload()).await {
                    Ok(None) => Next::Close,
                    // The next message was there first: it gets its answer.
                    Ok(Some(payload)) => {
                        match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
                            ToContainer::CPing => self.end.write(&CPONG).await,
                            // Its body would have to be read too.
                            _ => return Next::Close,
                        }
                        Next::Go
                    }
                    Err(_) => {
                        self.end.write(&response(&token, 1)).await;
                        Next::Poison
                    }
                }
            }
            11 => Next::Close,
            _ => {
                self.end.write(&response(&token, 1)).await;
                Next::Go
            }
        }
    }

    /// A good answer, packet by packet and piece by piece, with flushes everywhere.
    async fn dribble(&mut self, token: &str) {
        let (first, second) = token.split_at(token.len() / 2);
        let length = token.len().to_string();
        let packets = [
            FLUSH.to_vec(),
            head(200, &[("content-length", &length)]),
            FLUSH.to_vec(),
            chunk(first.as_bytes()),
            FLUSH.to_vec(),
            FLUSH.to_vec(),
            chunk(second.as_bytes()),
            FLUSH.to_vec(),
            END_RESPONSE_REUSE.to_vec(),
        ];
        for packet in packets {
            let (start, rest) = packet.split_at(self.random.below(packet.len()));
            self.end.write(start).await;
            sleep(some_time(&mut self.random, SECOND)).await;
            self.end.write(rest).await;
        }
    }
}

/// One request in one of many ways; `None` when the caller has lost patience.
async fn send(
    client: &Client,
    token: &str,
    random: &mut Random,
) -> Option<Result<String, ClientError>> {
    if random.one_in(4) {
        sleep(some_time(random, SECOND * 6)).await;
    }
    let patience = if random.one_in(10) {
        some_time(random, SECOND * 2)
    } else {
        SECOND * 1000
    };
    let whole = async |response: http::Response<ajp::client::ResponseBody>| {
        assert!(response.status().is_success());
        let body = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    };
    let uri = format!("/{token}");
    let data = Bytes::from(token.to_owned());
    let exchange = async {
        match random.below(5) {
            0 => {
                let request = Request::post(uri).body(Full::new(data)).unwrap();
                whole(client.send(request).await?).await
            }
            1 => {
                let frames = stream::iter([0..3, 3..data.len()]).map(move |range| {
                    Ok::<_, Infallible>(http_body::Frame::data(data.slice(range)))
                });
                let request = Request::post(uri).body(StreamBody::new(frames)).unwrap();
                whole(client.send(request).await?).await
            }
            _ => fetch(client, token).await,
        }
    };
    timeout(patience, exchange).await.ok()
}

macro_rules! parts {
    ($($name:ident $seed:literal)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                storm($seed).await;
            }
        )*
    };
}

parts! {
    no_response_is_another_requests_1 1
    no_response_is_another_requests_2 2
    no_response_is_another_requests_3 3
    no_response_is_another_requests_4 4
    no_response_is_another_requests_5 5
    no_response_is_another_requests_6 6
    no_response_is_another_requests_7 7
    no_response_is_another_requests_8 8
}

async fn storm(seed: u64) {
    let wrong_bodies = Arc::new(AtomicUsize::new(0));
    let sink = Arc::clone(&wrong_bodies);
    let container = Container::new(move |number, end| {
        let faulty = Faulty {
            end,
            random: Random::new((seed << 32) + number as u64 * 2 + 1),
            wrong_bodies: Arc::clone(&sink),
        };
        faulty.serve()
    });
    let limits = Timeouts::default()
        .with_cping(SECOND)
        .with_response_head(SECOND * 2)
        .with_between_packets(SECOND / 2)
        .with_request(SECOND * 4);
    let config = PoolConfig::default()
        .with_max_connections(12)
        .with_max_idle(10)
        .with_idle_timeout(SECOND * 5)
        .with_max_lifetime(SECOND * 60)
        .with_jitter_seed(seed)
        .with_max_requests(100)
        .with_cping(CPingMode::default())
        .with_timeouts(limits);
    let client = container.client(config);
    let (mut delivered, mut impatient) = (0, 0);
    let mut failures: HashMap<ErrorKind, usize> = HashMap::new();
    let mut random = Random::new(seed);
    for burst in 0..BURSTS {
        let mut outcomes = stream::iter(0..REQUESTS / BURSTS)
            .map(|n| {
                let client = &client;
                let mut random = Random::new(random.next());
                async move {
                    let token = format!("token-{burst}-{n}");
                    let outcome = send(client, &token, &mut random).await;
                    (token, outcome)
                }
            })
            .buffer_unordered(16);
        while let Some((token, outcome)) = outcomes.next().await {
            match outcome {
                Some(Ok(answer)) => {
                    assert_eq!(answer, token);
                    delivered += 1;
                }
                Some(Err(error)) => *failures.entry(error.kind()).or_default() += 1,
                None => impatient += 1,
            }
        }
        drop(outcomes);
        sleep(some_time(&mut random, SECOND * 8)).await;
    }
    let stats = client.pool().stats();
    let report = format!("{delivered} delivered, {impatient} impatient, {failures:?}, {stats:?}");
    assert_eq!(wrong_bodies.load(SeqCst), 0);
    assert!(delivered > REQUESTS / 2, "{report}");
    for kind in [
        ErrorKind::Protocol,
        ErrorKind::Closed,
        ErrorKind::ResponseHeadTimeout,
        ErrorKind::BetweenPacketsTimeout,
    ] {
        assert!(
            failures.get(&kind).is_some_and(|n| *n > 10),
            "{kind:?}: {report}"
        );
    }
    assert!(impatient > 10, "{report}");
    for cause in [
        CloseCause::StrayData,
        CloseCause::ClosedByPeer,
        CloseCause::CPing,
        CloseCause::Stale,
        CloseCause::NoReuse,
        CloseCause::Protocol,
        CloseCause::Broken,
        CloseCause::Timeout,
        CloseCause::Dropped,
        CloseCause::IdleTimeout,
    ] {
        assert!(stats.closed_by(cause) > 0, "{cause:?}: {report}");
    }
    assert!(stats.reused > stats.created, "{report}");
    assert_eq!((stats.in_use, stats.waiting), (0, 0));
    assert_eq!(stats.created - stats.closed, stats.idle as u64);
    assert_eq!(container.open(), stats.idle);
    assert!(container.most() <= 12, "{}", container.most());
}
