//! The client as a service.

use crate::client::{Client, ClientError, ResponseBody};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// Always ready: a request waits for a connection inside its future, where its slot in
/// the queue is given up when it is dropped.
impl<B> Service<Request<B>> for Client
where
    B: Body<Data: Buf, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = ClientError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ClientError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.send(request).await })
    }
}
