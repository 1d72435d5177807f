//! Visitors of the farm: they send anything, slowly or at once, give up, read slowly or not at
//! all. What they see is checked.

use super::ledger::{Ledger, expected_body, upload};
use super::random::Random;
use super::world::READ_LIMIT;
use ajp::balancer::{Attempt, Balancer, BalancerError, Failure, Idempotent, MemberState, Served};
use ajp::client::{
    Client, ErrorKind, Pool, ReplayBody, RequestFacts, RequestTimeouts, RetryPolicy,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tower::{ServiceBuilder, ServiceExt};

/// Longer than any limit of the farm: whoever waits that long waits without end.
pub(crate) const EVER: Duration = Duration::from_secs(3600);

/// The watchdog of a pool looks once a second, and counts from the look that sees the wait.
const WATCHDOG_LATE: Duration = Duration::from_secs(3);

/// A body that does not come may be waited for at each of the members.
const BODY_NEGLECTED: Duration = Duration::from_secs(110);

/// What the visitors are doing, and how their requests ended.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    outcomes: BTreeMap<&'static str, u64>,
    trace: u64,
    /// Requests that visitors have in hand.
    active: usize,
    /// Of those whose visitor neither reads nor has a body: how long they may have a connection
    /// then, and when they have lost it.
    neglected: BTreeMap<u64, (Duration, Instant)>,
    next: u64,
    /// Until when the clock's last jump excuses what is late.
    shaken_until: Option<Instant>,
}

impl Tally {
    /// A request has ended.
    pub(crate) fn count(&self, token: &str, what: &'static str) {
        let mut counts = self.0.lock().unwrap();
        *counts.outcomes.entry(what).or_default() += 1;
        let number: u64 = token.parse().unwrap();
        counts.trace = counts
            .trace
            .wrapping_mul(0x0100_0000_01B3)
            .wrapping_add(number ^ (what.len() as u64) << 32);
    }

    pub(crate) fn take(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.0.lock().unwrap().outcomes)
    }

    pub(crate) fn trace(&self) -> u64 {
        self.0.lock().unwrap().trace
    }

    /// Requests that visitors have in hand.
    pub(crate) fn active(&self) -> usize {
        self.0.lock().unwrap().active
    }

    /// Of these, how many may have a connection; `visitors` are the most that there may be.
    pub(crate) fn in_hand(&self, visitors: usize) -> usize {
        let counts = self.0.lock().unwrap();
        assert!(counts.active <= visitors);
        let now = Instant::now();
        let lost = counts.neglected.values().filter(|(_, until)| *until < now);
        counts.active - lost.count()
    }

    /// The clock has jumped from `before` to now: until a moment everything may be late. Who is
    /// neglected and has a connection may be seen to be so only now, and keeps it for the whole
    /// limit from now on: the time in which nothing ran is not blamed on the caller.
    pub(crate) fn shake(&self, before: Instant, until: Instant) {
        let mut counts = self.0.lock().unwrap();
        counts.shaken_until = Some(until);
        for (limit, lost_at) in counts.neglected.values_mut() {
            if *lost_at >= before {
                *lost_at = Instant::now() + *limit;
            }
        }
    }

    /// Whether a jump of the clock excuses what has happened since.
    pub(crate) fn is_shaken(&self, since: Instant) -> bool {
        let until = self.0.lock().unwrap().shaken_until;
        until.is_some_and(|until| until >= since)
    }

    fn begin(self: &Arc<Self>) -> Active {
        self.0.lock().unwrap().active += 1;
        Active(Arc::clone(self))
    }

    fn neglect(self: &Arc<Self>, limit: Duration) -> Neglect {
        let mut counts = self.0.lock().unwrap();
        counts.next += 1;
        let number = counts.next;
        let limit = limit + WATCHDOG_LATE;
        counts
            .neglected
            .insert(number, (limit, Instant::now() + limit));
        Neglect(Arc::clone(self), number)
    }
}

/// A request in the hands of its visitor.
struct Active(Arc<Tally>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().active -= 1;
    }
}

/// A visitor that stays away.
struct Neglect(Arc<Tally>, u64);

impl Drop for Neglect {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().neglected.remove(&self.1);
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
    /// The one member whose container it asks, with retries by the policy for `tower`, instead
    /// of the balancer.
    pub(crate) only: Option<(String, Pool)>,
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
            let active = self.tally.begin();
            let ended = match limit {
                Some(limit) => timeout(limit, self.exchange(plan)).await,
                None => Ok(timeout(EVER, self.exchange(plan))
                    .await
                    .unwrap_or_else(|_| panic!("request {token} never ended"))),
            };
            drop(active);
            let tally = Arc::clone(&self.tally);
            tally.count(&token, ended.unwrap_or("given up"));
            let acted = self.ledger.count(&token);
            assert!(
                acted <= 1 || may_repeat,
                "request {token} was served {acted} times"
            );
            let pause = Duration::from_millis(self.random.below(200) as u64);
            sleep(pause).await;
            for _ in 0..self.random.below(3) {
                // Others that are ready at the same moment go first.
                yield_now().await;
            }
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
            self.body(&plan.token)
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

    /// A body: all at once, or in parts with pauses; with and without its length.
    fn body(&mut self, token: &str) -> (Body, Option<u64>) {
        let whole = Bytes::from(upload(token));
        let len = whole.len();
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
                600_000
            } else {
                self.random.below(60)
            };
            parts.push((part, Duration::from_millis(pause as u64)));
        }
        let tally = Arc::clone(&self.tally);
        let parts = stream::unfold(
            (parts.into_iter(), tally),
            |(mut parts, tally)| async move {
                let (part, pause) = parts.next()?;
                let neglect = (pause > BODY_NEGLECTED).then(|| tally.neglect(BODY_NEGLECTED));
                sleep(pause).await;
                drop(neglect);
                Some((Ok(Frame::data(part)), (parts, tally)))
            },
        );
        (StreamBody::new(parts).boxed_unsync(), length)
    }

    /// Sends it, and tells how it ended.
    async fn exchange(&mut self, plan: Plan) -> &'static str {
        let request = self.request(&plan);
        if let Some((name, pool)) = self.only.clone() {
            return self.exchange_with_one(plan, request, &name, pool).await;
        }
        let token = &plan.token;
        let (home, start) = (self.home_in_service(), Instant::now());
        let response = match self.balancer.send(request).await {
            Ok(response) => response,
            Err(error) => {
                self.check_error(token, &error);
                self.check_sound(token, start, error.attempts());
                return "error before the head";
            }
        };
        let (parts, body) = response.into_parts();
        let served = body.served();
        Self::check_home(token, home.as_deref(), &served);
        self.check_sound(token, start, &served.failed);
        let member = served.member.split('-').next().unwrap().to_owned();
        self.answered(plan, &parts, &member, body).await
    }

    /// As [`exchange`](Self::exchange), at one container, as often as `RetryPolicy` allows.
    async fn exchange_with_one(
        &mut self,
        plan: Plan,
        request: Request<Body>,
        name: &str,
        pool: Pool,
    ) -> &'static str {
        let start = Instant::now();
        let most = [0, 1000, 64 * 1024][self.random.below(3)];
        let policy = RetryPolicy::new()
            .with_retries(self.random.below(4) as u32)
            .with_pause(Duration::from_millis(self.random.below(300) as u64))
            .with_unsent_of_any_method(self.random.one_in(2));
        let service = ServiceBuilder::new()
            .map_request(move |request: Request<Body>| {
                request.map(|body| ReplayBody::new(body, most))
            })
            .retry(policy)
            .service(Client::new(pool));
        match service.oneshot(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                self.answered(plan, &parts, name, body).await
            }
            Err(error) => {
                if name == "jvm0" {
                    let failure = Failure::Exchange(error.kind());
                    self.check_sound_failure(&plan.token, start, failure);
                }
                "error of the client"
            }
        }
    }

    /// The head of the answer is there: it is looked at, and the body read.
    async fn answered<B>(
        &mut self,
        plan: Plan,
        parts: &response::Parts,
        member: &str,
        body: B,
    ) -> &'static str
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let token = &plan.token;
        let text = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let own = text("x-token");
        if own.is_none() {
            return match parts.status.as_u16() {
                // Only the container that sends two heads leaves it out.
                200 => "a head without token",
                403 => "refused, the secret was another",
                _ => "an error of the server",
            };
        }
        assert_eq!(
            own.as_deref(),
            Some(token.as_str()),
            "the answer of another request"
        );
        if parts.status != 200 {
            return "an error of the container";
        }
        assert_eq!(
            text("x-host").as_deref(),
            Some(member),
            "another member answered than was told"
        );
        if self.random.one_in(20) {
            return "left after the head";
        }
        self.read(plan, body).await
    }

    async fn read<B>(&mut self, plan: Plan, mut body: B) -> &'static str
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let token = &plan.token;
        if self.random.one_in(40) {
            // Reads nothing for longer than the farm holds a connection for that.
            let neglect = self.tally.neglect(READ_LIMIT);
            sleep(Duration::from_secs(300)).await;
            drop(neglect);
        }
        let expected = if plan.method == Method::HEAD {
            Vec::new()
        } else {
            expected_body(token)
        };
        let mut got = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return "error in the body";
            };
            let data = frame.into_data().unwrap();
            let own = expected.get(got..got + data.len());
            assert!(
                own.is_some_and(|own| own == data),
                "the body of {token} is not its own"
            );
            got += data.len();
            if plan.reads_slowly {
                sleep(Duration::from_millis(self.random.below(2_000) as u64)).await;
            }
        }
        assert!(
            got == expected.len(),
            "the body of {token} is not whole: {got} of {}",
            expected.len()
        );
        "answered"
    }

    /// The route of the visitor's session, if a member serves it at this moment.
    fn home_in_service(&mut self) -> Option<String> {
        let route = self.route.clone()?;
        if !self.random.one_in(2) {
            return None;
        }
        let members = self.balancer.snapshot().members;
        let mut of_it = members
            .iter()
            .filter(|member| member.route.as_ref() == Some(&route));
        let serves = of_it.all(|member| {
            // A member that ignores errors, or takes nobody, is no home.
            member.state == MemberState::Ok && !member.flags.to_string().contains('D')
        });
        let exists = members
            .iter()
            .any(|member| member.route.as_ref() == Some(&route));
        (serves && exists).then_some(route)
    }

    /// A session stays with its member while that serves.
    fn check_home(token: &str, home: Option<&str>, served: &Served) {
        let Some(home) = home else { return };
        let is_home = |name: &str| name.split('-').next() == Some(home);
        let failed = served.failed.iter().any(|attempt| is_home(&attempt.member));
        assert!(
            is_home(&served.member) || failed,
            "request {token} of a session of {home} was served by {}",
            served.member
        );
    }

    /// The sound member fails at nothing that it must do.
    fn check_sound(&self, token: &str, start: Instant, attempts: &[Attempt]) {
        for attempt in attempts.iter().filter(|one| &*one.member == "jvm0") {
            self.check_sound_failure(token, start, attempt.failure);
        }
    }

    fn check_sound_failure(&self, token: &str, start: Instant, failure: Failure) {
        let failed = match failure {
            Failure::Exchange(kind) => matches!(
                kind,
                ErrorKind::Connect
                    | ErrorKind::ConnectTimeout
                    | ErrorKind::Closed
                    | ErrorKind::Read
                    | ErrorKind::Write
                    | ErrorKind::WriteTimeout
                    | ErrorKind::Protocol
                    | ErrorKind::ResponseHeadTimeout
                    | ErrorKind::BetweenPacketsTimeout
            ),
            _ => true,
        };
        assert!(
            !failed || self.tally.is_shaken(start),
            "a member that does all well failed with request {token}: {failure:?}"
        );
    }

    /// What has come is not lost.
    fn check_error(&self, token: &str, error: &BalancerError) {
        let closed = error.exchange().is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::Closed | ErrorKind::Read | ErrorKind::Write
            )
        });
        assert!(
            !(closed && self.ledger.count(token) == 1 && self.ledger.head_must_have_come(token)),
            "the head of the answer to {token} left, and was lost: {error:?}"
        );
    }
}
