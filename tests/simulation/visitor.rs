//! Visitors of the farm: they send anything, slowly or at once, give up, read slowly or not at
//! all. What they see is checked.

use super::container::{Ledger, expected_body};
use super::raw::Random;
use ajp::balancer::{Balancer, Idempotent};
use ajp::client::RequestFacts;
use ajp::client::RequestTimeouts;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longer than any limit of the farm: whoever waits that long waits without end.
const EVER: Duration = Duration::from_secs(3600);

/// How requests ended, over all visitors.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    pub(crate) fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(crate) fn take(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A visitor, and what it needs.
pub(crate) struct Visitor {
    pub(crate) balancer: Balancer,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) random: Random,
    /// The token of the first request; the others count on.
    pub(crate) first: usize,
    pub(crate) requests: usize,
    /// The route of the session that it has.
    pub(crate) route: Option<String>,
}

/// What a visitor does about one request.
struct Plan {
    token: String,
    method: Method,
    /// What the visitor says about sending it twice.
    idempotent: Option<bool>,
    /// Gives up after this time, wherever the request is then.
    gives_up: Option<Duration>,
    /// In a hurry, by the limits that the library has for it.
    hurries: bool,
    /// Between the parts of the response.
    reads_slowly: bool,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Visitor {
    pub(crate) async fn visit(mut self) {
        for number in self.first..self.first + self.requests {
            let plan = self.plan(number);
            let (limit, token) = (plan.gives_up, plan.token.clone());
            let may_repeat = plan
                .idempotent
                .unwrap_or_else(|| plan.method.is_idempotent());
            match limit {
                Some(limit) => match timeout(limit, self.exchange(plan)).await {
                    Ok(()) => {}
                    Err(_) => self.tally.count("given up"),
                },
                None => timeout(EVER, self.exchange(plan))
                    .await
                    .unwrap_or_else(|_| panic!("request {token} never ended")),
            }
            let acted = self.ledger.count(&token);
            assert!(
                acted <= 1 || may_repeat,
                "request {token} was served {acted} times"
            );
            let pause = Duration::from_millis(self.random.below(200) as u64);
            sleep(pause).await;
        }
    }

    fn plan(&mut self, number: usize) -> Plan {
        let random = &mut self.random;
        let methods = [
            Method::GET,
            Method::GET,
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::HEAD,
        ];
        Plan {
            token: number.to_string(),
            method: methods[random.below(methods.len())].clone(),
            idempotent: random.one_in(5).then(|| random.one_in(2)),
            gives_up: random
                .one_in(6)
                .then(|| Duration::from_millis(random.below(400) as u64)),
            hurries: random.one_in(8),
            reads_slowly: random.one_in(8),
        }
    }

    fn request(&mut self, plan: &Plan) -> Request<Body> {
        let (body, length) = if plan.method == Method::POST || plan.method == Method::PUT {
            self.body()
        } else {
            (Empty::new().boxed_unsync(), None)
        };
        let mut request = Request::builder()
            .method(plan.method.clone())
            .uri(format!("/t/{}", plan.token))
            .header("host", "farm.example");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        if let Some(route) = &self.route {
            request = request.header("cookie", format!("JSESSIONID=0a1b.{route}"));
        }
        let mut request = request.body(body).unwrap();
        let extensions = request.extensions_mut();
        extensions.insert(RequestFacts::new("192.0.2.7".parse().unwrap()).with_remote_port(4711));
        if let Some(idempotent) = plan.idempotent {
            extensions.insert(Idempotent(idempotent));
        }
        if plan.hurries {
            let limit = Duration::from_millis(1 + self.random.below(80) as u64);
            let limits = RequestTimeouts::new();
            extensions.insert(if self.random.one_in(2) {
                limits.with_request(limit)
            } else {
                limits.with_acquire(limit)
            });
        }
        request
    }

    /// A body of `u`s: all at once, or in parts with pauses; with and without its length.
    fn body(&mut self) -> (Body, Option<u64>) {
        let len = [0, 1, 100, 8186, 8187, 30_000][self.random.below(6)];
        let whole = Bytes::from(vec![b'u'; len]);
        if self.random.one_in(2) {
            return (Full::new(whole).boxed_unsync(), None);
        }
        let length = self.random.one_in(2).then_some(len as u64);
        let mut parts = Vec::new();
        let mut rest = whole;
        while !rest.is_empty() {
            let part = rest.split_to(1 + self.random.below(rest.len()));
            // Now and then longer than the farm waits for a body.
            let pause = if self.random.one_in(60) {
                90_000
            } else {
                self.random.below(60)
            };
            parts.push((part, Duration::from_millis(pause as u64)));
        }
        let parts = stream::unfold(parts.into_iter(), |mut parts| async move {
            let (part, pause) = parts.next()?;
            sleep(pause).await;
            Some((Ok(Frame::data(part)), parts))
        });
        (StreamBody::new(parts).boxed_unsync(), length)
    }

    async fn exchange(&mut self, plan: Plan) {
        let request = self.request(&plan);
        let token = &plan.token;
        let Ok(response) = self.balancer.send(request).await else {
            return self.tally.count("error before the head");
        };
        let (parts, mut body) = response.into_parts();
        let own = parts
            .headers
            .get("x-token")
            .map(|value| value.to_str().unwrap().to_owned());
        if parts.status == 200 && own.is_none() {
            // Only the container that sends two heads leaves it out.
            return self.tally.count("a head without token");
        }
        assert_eq!(
            own.as_deref(),
            Some(token.as_str()),
            "the answer of another request"
        );
        if parts.status != 200 {
            return self.tally.count("an error of the container");
        }
        if self.random.one_in(20) {
            return self.tally.count("left after the head");
        }
        if self.random.one_in(40) {
            // Reads nothing for longer than the farm holds a connection for that.
            sleep(Duration::from_secs(300)).await;
        }
        let expected = if plan.method == Method::HEAD {
            Vec::new()
        } else {
            expected_body(token)
        };
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                assert!(
                    expected.starts_with(&got),
                    "the body of {token} is not its own"
                );
                return self.tally.count("error in the body");
            };
            got.extend_from_slice(frame.data_ref().unwrap());
            if plan.reads_slowly {
                sleep(Duration::from_millis(self.random.below(2_000) as u64)).await;
            }
        }
        assert!(
            got == expected,
            "the body of {token} is not its own, or not whole"
        );
        self.tally.count("answered");
    }
}
