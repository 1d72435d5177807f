//! One request: a member for it, and another one when that fails.

use super::error::{Attempt, Error, Failure};
use super::response_body::ResponseBody;
use super::upload::Original;
use crate::balancer::{
    Affinity, Ask, Balancer, Failover, MemberId, OnStatus, Outcome, Pick, Session, Sticky,
};
use crate::client::{self, Idempotent, RequestFacts};
use crate::mapping::client::{FactsSource, find_facts, send_with};
use crate::mapping::repeat;
use crate::mapping::request_encode::ContainerFacts;
use bytes::Buf;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use http::{Request, Response, request};
use http_body::Body;
use std::borrow::Borrow;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Who answered ([`ResponseBody::served`]). For access logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// The member's name.
    pub member: Arc<str>,
    /// Its route.
    pub route: Option<Arc<str>>,
    /// How it was chosen with regard to the session.
    pub affinity: Affinity,
    /// The members that the request was tried on before.
    pub failed: Vec<Attempt>,
}

impl Balancer {
    /// Sends a request to the member it belongs to, or the best one, and waits for the head
    /// of the response. When a member fails it goes to another one, by the rules of
    /// [`Failover`].
    ///
    /// [`RequestFacts`] and [`Idempotent`] are taken from the request's extensions; the
    /// response's body has a [`Served`]. Bodies are streamed as by
    /// [`Client::send`](crate::client::Client::send).
    ///
    /// # Errors
    /// [`Error`]: no member can serve, or the last one tried failed.
    ///
    /// # Cancel safety
    /// Safe for the balancer: the member is free again. The container may have acted on the
    /// request.
    pub fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Error>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        self.send_with(parts, None, body)
    }

    /// As [`send`](Self::send), of a head that stays with the caller, and with facts that
    /// are not in its extensions: for web servers that know them by connection, or want the
    /// head again.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn send_parts<B>(
        &self,
        parts: &request::Parts,
        facts: &RequestFacts,
        body: B,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Error>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        self.send_with(parts, Some(facts), body)
    }

    fn send_with<B>(
        &self,
        parts: impl Borrow<request::Parts> + Send,
        given: Option<&RequestFacts>,
        body: B,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Error>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let rules = self.rules();
        let original = Original::new(body, rules.failover.replay_bytes);
        // Not an `async fn`: that would keep room for the request twice.
        async move {
            let parts = parts.borrow();
            let facts = match given {
                Some(facts) => facts,
                None => find_facts(parts, self.is_for_own_requests())
                    .map_err(|error| Error::new(None, Some(error), Vec::new()))?,
            };
            let sticky = rules.sticky.as_deref();
            let mut exchange = Exchange {
                balancer: self,
                failover: &rules.failover,
                sticky,
                session: sticky.map_or_else(Session::default, |sticky| session(sticky, parts)),
                idempotent: Idempotent::of(&parts.method, &parts.extensions),
                facts,
                parts,
                tried: Vec::new(),
                attempts: Vec::new(),
                held: None,
            };
            exchange.run(&original).await
        }
    }
}

fn session<'a>(sticky: &Sticky, parts: &'a request::Parts) -> Session<'a> {
    let cookies = parts.headers.get_all(COOKIE).iter();
    let path = parts.uri.path().as_bytes();
    sticky.session(path, cookies.map(HeaderValue::as_bytes))
}

struct Exchange<'a> {
    balancer: &'a Balancer,
    failover: &'a Failover,
    sticky: Option<&'a Sticky>,
    session: Session<'a>,
    idempotent: bool,
    parts: &'a request::Parts,
    /// What the caller tells beside the request.
    facts: &'a RequestFacts,
    tried: Vec<MemberId>,
    attempts: Vec<Attempt>,
    /// A response with a status that another member might better: delivered if none does.
    held: Option<Response<ResponseBody>>,
}

impl Exchange<'_> {
    async fn run<B>(&mut self, original: &Original<B>) -> Result<Response<ResponseBody>, Error>
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let most = self.failover.max_attempts.unwrap_or(u32::MAX).max(1);
        let mut last = None;
        loop {
            let ask = Ask::new()
                .with_session(&self.session)
                .with_tried(&self.tried);
            let mut pick = match self.balancer.pick(&ask) {
                Ok(pick) if u32::try_from(self.tried.len()).is_ok_and(|tried| tried < most) => pick,
                Ok(_) => return self.give_up(None, last),
                Err(none) => return self.give_up(Some(none), last),
            };
            if !pick.is_up().await {
                self.note(&pick, Failure::Unreachable);
                continue;
            }
            let body = original.copy(pick.traffic());
            let source = FactsSource::Given(self.facts_for(&pick));
            let sent = send_with(pick.pool(), self.parts, source, body);
            match sent.await {
                Ok(response) => {
                    let at_hand = original.is_at_hand();
                    if let Some(response) = self.judge(response, pick, at_hand) {
                        return Ok(response);
                    }
                }
                Err(error) => {
                    pick.failed(&error).await;
                    self.note(&pick, Failure::Exchange(error.kind()));
                    let stays = self.stays(&pick, &error);
                    drop(pick);
                    let again = !stays
                        && self
                            .balancer
                            .may_repeat(&error, self.idempotent, original.is_at_hand());
                    if !again {
                        return self.give_up(None, Some(error));
                    }
                    last = Some(error);
                }
            }
        }
    }

    /// What this member is told beside the request.
    fn facts_for(&self, pick: &Pick) -> ContainerFacts<'_> {
        let route = match pick.affinity() {
            Affinity::Free | Affinity::Unknown => None,
            _ => self.session.routes().first(),
        };
        let route = route.filter(|route| route.iter().all(u8::is_ascii_graphic));
        let activation = self.failover.send_activation;
        ContainerFacts {
            request: self.facts,
            route: route.and_then(|route| std::str::from_utf8(route).ok()),
            activation: activation.then(|| pick.member().activation()),
        }
    }

    /// A response came. `None` if another member is to be tried.
    fn judge(
        &mut self,
        response: Response<client::ResponseBody>,
        mut pick: Pick,
        at_hand: bool,
    ) -> Option<Response<ResponseBody>> {
        let status = response.status().as_u16();
        let action = self.failover.action(status);
        pick.answered(match action {
            Some(OnStatus::Fail | OnStatus::FailAndTryOther) => Outcome::Unfit { status },
            _ => Outcome::Answered { status },
        });
        let other = matches!(action, Some(OnStatus::TryOther | OnStatus::FailAndTryOther));
        let again = other && repeat::after_answer(self.idempotent, at_hand) && self.balancer.pay();
        let failed = self.attempts.clone();
        if again {
            self.note(&pick, Failure::Status(status));
        }
        let response = self.signed(response, pick, failed);
        if again {
            // The first such response is as good as any other.
            self.held.get_or_insert(response);
            return None;
        }
        Some(response)
    }

    /// The response as it goes to the caller.
    fn signed(
        &self,
        mut response: Response<client::ResponseBody>,
        pick: Pick,
        failed: Vec<Attempt>,
    ) -> Response<ResponseBody> {
        let cookie = self.sticky.and_then(Sticky::own_cookie);
        if let (Some(cookie), Some(route)) = (cookie, pick.member().route_name()) {
            if self.session.own_cookie() != Some(route.as_bytes()) {
                if let Ok(value) = HeaderValue::try_from(cookie.set_cookie(route)) {
                    response.headers_mut().append(SET_COOKIE, value);
                }
            }
        }
        response.map(|body| ResponseBody::new(body, pick, failed))
    }

    /// Whether a request waits for its session's member rather than leave it.
    fn stays(&self, pick: &Pick, error: &client::Error) -> bool {
        pick.affinity() == Affinity::Kept && self.session.waits_for(error)
    }

    /// It was tried in vain.
    fn note(&mut self, pick: &Pick, failure: Failure) {
        self.tried.push(pick.id());
        let (member, _) = pick.names();
        self.attempts.push(Attempt { member, failure });
    }

    fn give_up(
        &mut self,
        none: Option<crate::balancer::Unavailable>,
        last: Option<client::Error>,
    ) -> Result<Response<ResponseBody>, Error> {
        match self.held.take() {
            Some(response) => Ok(response),
            None => Err(Error::new(none, last, std::mem::take(&mut self.attempts))),
        }
    }
}
