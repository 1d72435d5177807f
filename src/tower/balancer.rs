//! The balancer as a service.

use crate::balancer::{BalancedBody, Balancer, BalancerError};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// Always ready: members are chosen, and waited for, inside a request's future.
impl<B> Service<Request<B>> for Balancer
where
    B: Body<Data: Buf, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    type Response = Response<BalancedBody>;
    type Error = BalancerError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BalancerError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BalancerError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let balancer = self.clone();
        Box::pin(async move { balancer.send(request).await })
    }
}
