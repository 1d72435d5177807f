//! A request on its way to one member after the other.

use super::error::{Attempt, BalancerError, Failure};
use super::options::SendOptions;
use super::response_body::BalancedBody;
use super::upload::Original;
use crate::balancer::shared::Rules;
use crate::balancer::{
    Affinity, Balancer, Choice, Failover, MemberId, OnStatus, Pick, RequestInfo, RequestOutcome,
    Session, Sticky, Unavailable,
};
use crate::client::repeat;
use crate::client::{self, ErrorKind, Idempotent, RequestFacts};
use crate::mapping::client::{FactsSource, send_with};
use crate::mapping::request_encode::ContainerFacts;
use bytes::Buf;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use http::{Response, request};
use http_body::Body;
use std::convert;
use std::error::Error as StdError;
use std::net::IpAddr;

type BoxError = Box<dyn StdError + Send + Sync>;

fn session<'a>(sticky: &Sticky, parts: &'a request::Parts) -> Session<'a> {
    let cookies = parts.headers.get_all(COOKIE).iter();
    let path = parts.uri.path().as_bytes();
    sticky.session(path, cookies.map(HeaderValue::as_bytes))
}

/// A request on its way to one member after the other.
pub(super) struct Delivery<'a> {
    balancer: &'a Balancer,
    failover: &'a Failover,
    options: Option<&'a SendOptions>,
    sticky: Option<&'a Sticky>,
    session: Session<'a>,
    idempotent: bool,
    parts: &'a request::Parts,
    /// What the caller tells beside the request.
    facts: &'a RequestFacts,
    client: Option<IpAddr>,
    attempts_left: u32,
    waiting: QueuePolicy,
    /// The members that are not chosen again: those it was tried on, and those of `full`.
    tried: Vec<MemberId>,
    /// The members that had no free slot when they were chosen, and were not waited for.
    full: Vec<MemberId>,
    attempts: Vec<Attempt>,
    /// What failed on the last member that it was tried on.
    last_error: Option<client::ClientError>,
    /// A response with a status that another member might better: delivered if none does.
    held: Option<Response<BalancedBody>>,
    /// Who gave such a response, and has failed if another member betters it.
    suspects: Vec<(Choice, u16)>,
}

/// Whether a request waits for a slot in the pool of the member that is chosen. It does so
/// once, however many members there are: the limit of
/// [`Timeouts::with_acquire`](crate::client::Timeouts::with_acquire) is the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueuePolicy {
    /// Not yet: members that have a free slot are looked for first.
    IfAllAreFull,
    /// There is none, so it waits at the one that is chosen next.
    Here,
    /// It has waited, in vain: only members that have a free slot are tried any more.
    NoMore,
}

/// What is next for a request.
enum NextStep {
    Try(Pick),
    /// There is no member for it, or its attempts are used up.
    GiveUp(Option<Unavailable>),
}

/// What became of one attempt.
enum AttemptResult {
    Delivered(Response<BalancedBody>),
    TryAnother,
    GiveUp,
}

impl<'a> Delivery<'a> {
    /// A request that was tried on no member yet.
    pub(super) fn new(
        balancer: &'a Balancer,
        rules: &'a Rules,
        parts: &'a request::Parts,
        facts: &'a RequestFacts,
    ) -> Self {
        let options: Option<&SendOptions> = parts.extensions.get();
        let ignored = options.is_some_and(|options| options.sticky_ignore);
        let sticky = rules.sticky.as_deref().filter(|_| !ignored);
        let own = options.and_then(|options| options.max_attempts);
        let most = own.or(rules.failover.max_attempts);
        Self {
            balancer,
            failover: &rules.failover,
            options,
            sticky,
            session: sticky.map_or_else(Session::default, |sticky| session(sticky, parts)),
            idempotent: Idempotent::of(&parts.method, &parts.extensions),
            client: facts.remote_ip(),
            facts,
            parts,
            attempts_left: most.unwrap_or(u32::MAX).max(1),
            waiting: QueuePolicy::IfAllAreFull,
            tried: Vec::new(),
            full: Vec::new(),
            attempts: Vec::new(),
            last_error: None,
            held: None,
            suspects: Vec::new(),
        }
    }

    pub(super) async fn run<B>(
        &mut self,
        original: &Original<B>,
    ) -> Result<Response<BalancedBody>, BalancerError>
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        loop {
            let pick = match self.next_member() {
                NextStep::Try(pick) => pick,
                NextStep::GiveUp(none) => return self.give_up(none),
            };
            match self.attempt(pick, original).await {
                AttemptResult::Delivered(response) => return Ok(response),
                AttemptResult::TryAnother => {}
                AttemptResult::GiveUp => return self.give_up(None),
            }
        }
    }

    /// The next member to try.
    fn next_member(&mut self) -> NextStep {
        if self.attempts_left == 0 {
            return NextStep::GiveUp(None);
        }
        loop {
            match self.balancer.pick(&self.info()) {
                Ok(mut pick) if pick.pool().is_full() && !self.waits_at(&pick) => {
                    pick.answered(RequestOutcome::Full);
                    self.full.push(pick.id());
                    self.tried.push(pick.id());
                }
                Ok(pick) => return NextStep::Try(pick),
                Err(_) if self.waiting == QueuePolicy::IfAllAreFull && !self.full.is_empty() => {
                    self.waiting = QueuePolicy::Here;
                    let full = &self.full;
                    self.tried.retain(|id| !full.contains(id));
                }
                Err(none) => return NextStep::GiveUp(Some(none)),
            }
        }
    }

    /// What the balancer chooses by.
    fn info(&self) -> RequestInfo<'_> {
        let mut info = RequestInfo::new()
            .with_session(&self.session)
            .with_tried(&self.tried)
            .with_path(self.parts.uri.path().as_bytes())
            .with_headers(&self.parts.headers)
            .with_client(self.client);
        if let Some(options) = self.options {
            info = info.with_stateless(options.stateless);
            if let Some(key) = &options.key {
                info = info.with_key(key);
            }
            if let Some(member) = &options.member {
                info = info.with_member(member);
            }
            if let Some(domain) = &options.domain {
                info = info.with_domain(domain);
            }
        }
        info
    }

    /// Whether it waits for a slot at this member rather than look for another.
    fn waits_at(&self, pick: &Pick) -> bool {
        self.waiting == QueuePolicy::Here || self.stays_at(pick)
    }

    /// Whether its session is not to leave this member because that has no free slot.
    fn stays_at(&self, pick: &Pick) -> bool {
        pick.affinity() == Affinity::Kept && !self.session.moves_when_full()
    }

    /// Tries one member.
    async fn attempt<B>(&mut self, mut pick: Pick, original: &Original<B>) -> AttemptResult
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        if !pick.is_up().await {
            self.record_failure(&pick, Failure::Unreachable);
            return AttemptResult::TryAnother;
        }
        let body = original.copy(pick.choice());
        let source = FactsSource::Given(self.facts_for(&pick));
        let sent = send_with(pick.pool(), self.parts, source, body, convert::identity).await;
        if let Some(uploaded) = original.last_read() {
            pick.wait_from(uploaded);
        }
        match sent {
            Ok(answer) => self.answered(answer, pick, original.is_at_hand()),
            Err(error) => self.failed(error, pick, original.is_at_hand()).await,
        }
    }

    /// A member did not answer.
    async fn failed(
        &mut self,
        error: client::ClientError,
        mut pick: Pick,
        at_hand: bool,
    ) -> AttemptResult {
        let no_place = matches!(
            error.kind(),
            ErrorKind::AcquireTimeout | ErrorKind::QueueFull
        );
        if no_place && self.full.contains(&pick.id()) {
            // That this request found no free slot there is counted already.
            pick.answered(RequestOutcome::Unknown);
        } else {
            pick.failed(&error).await;
        }
        self.record_failure(&pick, Failure::Exchange(error.kind()));
        let stays = no_place && self.stays_at(&pick);
        if error.kind() == ErrorKind::AcquireTimeout {
            self.waiting = QueuePolicy::NoMore;
        }
        drop(pick);
        let again = !stays && self.balancer.may_repeat(&error, self.idempotent, at_hand);
        self.last_error = Some(error);
        if again {
            AttemptResult::TryAnother
        } else {
            AttemptResult::GiveUp
        }
    }

    /// A member answered.
    fn answered(
        &mut self,
        answer: client::ResponseBody,
        mut pick: Pick,
        at_hand: bool,
    ) -> AttemptResult {
        let status = answer.status().unwrap_or_default();
        let own = self.options.and_then(|options| options.action(status));
        let action = own.or_else(|| self.failover.action(status));
        let other = matches!(action, Some(OnStatus::TryOther | OnStatus::FailAndTryOther));
        let again = other && repeat::after_answer(self.idempotent, at_hand) && self.balancer.pay();
        let fails = matches!(action, Some(OnStatus::Fail | OnStatus::FailAndTryOther));
        // What every member says of a request is the request's. A trial is one of a member that
        // has failed already, and is not over with such an answer.
        let waits = again || !self.suspects.is_empty();
        let is_suspect = fails && waits && !pick.is_trial();
        if is_suspect {
            self.suspects.push((pick.choice().clone(), status));
        } else if !fails {
            for (choice, status) in self.suspects.drain(..) {
                self.balancer.was_unfit(&choice, status);
            }
        }
        pick.answered(if fails && !is_suspect {
            RequestOutcome::Unfit { status }
        } else {
            RequestOutcome::Answered { status }
        });
        let failed = self.attempts.clone();
        if again {
            self.record_failure(&pick, Failure::Status(status));
        }
        let response = self.to_caller(answer, pick, failed);
        if again {
            // The first such response is as good as any other.
            self.held.get_or_insert(response);
            return AttemptResult::TryAnother;
        }
        AttemptResult::Delivered(response)
    }

    /// What this member is told beside the request.
    fn facts_for(&self, pick: &Pick) -> ContainerFacts<'_> {
        let route = pick.route().and_then(|at| self.session.routes().get(at));
        let route = route.filter(|route| route.iter().all(u8::is_ascii_graphic));
        let activation = self.failover.send_activation;
        ContainerFacts {
            request: self.facts,
            route: route.and_then(|route| std::str::from_utf8(route).ok()),
            activation: activation.then(|| pick.member().activation()),
        }
    }

    /// The response as it goes to the caller.
    fn to_caller(
        &self,
        answer: client::ResponseBody,
        pick: Pick,
        failed: Vec<Attempt>,
    ) -> Response<BalancedBody> {
        let mut response = answer.into_response();
        if let (Some(sticky), Affinity::Kept, Some(route)) =
            (self.sticky, pick.affinity(), pick.route())
        {
            let mut cookies = response.headers().get_all(SET_COOKIE).iter();
            let session = &self.session;
            if cookies.any(|value| session.is_replaced_by(sticky, value.as_bytes(), route)) {
                pick.session_replaced();
            }
        }
        let stateless = self.options.is_some_and(|options| options.stateless);
        let cookie = self.sticky.filter(|_| !stateless);
        let cookie = cookie.and_then(Sticky::own_cookie);
        if let (Some(cookie), Some(route)) = (cookie, pick.member().route_name()) {
            if self.session.own_cookie() != Some(route.as_bytes()) {
                if let Ok(value) = HeaderValue::try_from(cookie.set_cookie(route)) {
                    response.headers_mut().append(SET_COOKIE, value);
                }
            }
        }
        response.map(|body| BalancedBody::new(body, pick, failed))
    }

    /// This member did not serve it.
    #[cold]
    fn record_failure(&mut self, pick: &Pick, failure: Failure) {
        self.tried.push(pick.id());
        let (member, _) = pick.names();
        self.attempts.push(Attempt { member, failure });
    }

    #[cold]
    fn give_up(
        &mut self,
        none: Option<Unavailable>,
    ) -> Result<Response<BalancedBody>, BalancerError> {
        // Nobody else was asked who could have said the same.
        if let [(choice, status)] = &*self.suspects {
            self.balancer.was_unfit(choice, *status);
        }
        match self.held.take() {
            Some(response) => Ok(response),
            None => Err(BalancerError::new(
                none,
                self.last_error.take(),
                std::mem::take(&mut self.attempts),
            )),
        }
    }
}
