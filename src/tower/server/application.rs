//! What `serve` asks of its arguments, as traits that exist so that a compile error names the
//! real cause.
//!
//! Each of the first two has a second implementation that nothing fulfils. With a single one
//! the compiler would look through it and complain about whichever bound of it fails, in terms
//! of tower.

use super::connection::BoxError;
use crate::mapping::request_body::RequestBody;
use crate::server::ServerConfig;
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::marker::PhantomData;
use tower_service::Service;

/// A service that can answer AJP requests: a `tower::Service` over `http::Request<RequestBody>`
/// that gives an `http::Response`, such as an axum `Router`.
///
/// It is implemented for all of these and cannot be implemented otherwise. `M` only tells its
/// implementations apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer AJP requests",
    label = "not a service over `http::Request<ajp::server::RequestBody>`",
    note = "an axum `Router<S>` lacks its state: call `.with_state(...)` before, so that it is a `Router<()>`",
    note = "a router goes in as it is, not as the result of its `.into_make_service()`",
    note = "any other service must implement `tower::Service<http::Request<ajp::server::RequestBody>>` with `http::Response` as its response, an error that is `Into<Box<dyn Error + Send + Sync>>`, and a future that is `Send`"
)]
pub trait Application<M>:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send,
    > + Send
    + 'static
{
    /// The body of its responses.
    type Body;
}

/// Marks services whose responses have this body.
#[derive(Debug)]
pub struct Answers<B>(PhantomData<B>);

/// Marks what there is none of.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "there is none of it")]
pub enum Never {}

impl<S, B> Application<Answers<B>> for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Body = B;
}

/// Implemented by nothing.
#[allow(
    missing_docs,
    unreachable_pub,
    unnameable_types,
    reason = "out of reach: nobody can implement it"
)]
pub trait NoApplication:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send,
    > + Send
    + 'static
{
    type Body;
}

impl<S: NoApplication> Application<Never> for S {
    type Body = S::Body;
}

/// A body that a response over AJP can have: an [`http_body::Body`] that can be sent to
/// another thread, with bytes as its data.
///
/// It is implemented for all of these and cannot be implemented otherwise. `M` only tells its
/// implementations apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the body of a response over AJP",
    label = "the service answers with `http::Response<{Self}>`",
    note = "the body must implement `http_body::Body` with `Data: Buf + Send` and an error that is `Into<Box<dyn Error + Send + Sync>>`, and must itself be `Send + 'static`",
    note = "a text or bytes become a body with `http_body_util::Full::new(bytes::Bytes::from(...))`"
)]
pub trait AnswerBody<M>: Body<Data: Buf + Send, Error: Into<BoxError>> + Send + 'static {}

/// Marks what is a body.
#[derive(Debug)]
pub struct IsBody(());

impl<B> AnswerBody<IsBody> for B
where
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
}

/// Implemented by nothing.
#[allow(
    missing_docs,
    unreachable_pub,
    unnameable_types,
    reason = "out of reach: nobody can implement it"
)]
pub trait NoBody: Body<Data: Buf + Send, Error: Into<BoxError>> + Send + 'static {}

impl<B: NoBody> AnswerBody<Never> for B {}

/// What a server must know before it can run: whom to believe.
#[diagnostic::on_unimplemented(
    message = "this server has not been told whom to believe, so it cannot run",
    label = "no decision whom to believe was made before this",
    note = "call `.with_secret(...)` for web servers that prove themselves with a secret",
    note = "call `.trusted_network()` where only web servers can connect, or `.with_config(...)` with a `ServerConfig`"
)]
pub trait Decided: Sized + Unpin {
    #[doc(hidden)]
    fn config(&self) -> ServerConfig;
}

impl Decided for ServerConfig {
    fn config(&self) -> ServerConfig {
        self.clone()
    }
}
