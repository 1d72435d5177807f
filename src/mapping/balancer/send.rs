//! One request: a member for it, and another one when that fails.

use super::delivery::Delivery;
use super::error::BalancerError;
use super::response_body::BalancedBody;
use super::upload::Original;
use crate::balancer::Balancer;
use crate::client::RequestFacts;
use crate::mapping::client::find_facts;
use bytes::Buf;
use http::{Request, Response, request};
use http_body::Body;
use std::borrow::Borrow;
use std::error::Error as StdError;
use std::future::Future;

type BoxError = Box<dyn StdError + Send + Sync>;

impl Balancer {
    /// Sends a request to the member it belongs to, or the best one, and waits for the head
    /// of the response. When a member fails it goes to another one, by the rules of
    /// [`Failover`](crate::balancer::Failover).
    ///
    /// [`RequestFacts`], [`SendOptions`](super::SendOptions), [`RequestTimeouts`](crate::client::RequestTimeouts)
    /// and [`Idempotent`](crate::client::Idempotent) are taken from the request's extensions; the
    /// response's body has a [`Served`](super::Served). Bodies are streamed as by
    /// [`Client::send`](crate::client::Client::send).
    ///
    /// # Errors
    /// [`BalancerError`]: no member can serve, or the last one tried failed.
    ///
    /// # Cancel safety
    /// Safe for the balancer: the member is free again. The container may have acted on the
    /// request.
    pub fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<BalancedBody>, BalancerError>> + Send
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
    ) -> impl Future<Output = Result<Response<BalancedBody>, BalancerError>> + Send
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
    ) -> impl Future<Output = Result<Response<BalancedBody>, BalancerError>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let rules = self.rules();
        let original = Original::new(body, rules.failover.replay_bytes);
        // Not an `async fn`: that would keep room for the request twice.
        async move {
            let parts = parts.borrow();
            let id = parts.extensions.get();
            let facts = match given {
                Some(facts) => facts,
                None => find_facts(parts, self.is_for_own_requests()).map_err(|error| {
                    let error = error.of_request(id);
                    BalancerError::new(None, Some(error), Vec::new()).of_request(id)
                })?,
            };
            let sent = Delivery::new(self, &rules, parts, facts)
                .run(&original)
                .await;
            sent.map_err(|error| error.of_request(id))
        }
    }
}
