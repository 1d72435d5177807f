//! Requests that are sent again: the replayable body and the policy (protocol chapter "exchange").

use crate::raw::backend::{Backend, Conn, config, limits};
use crate::raw::packets::{chunk, head};
use crate::raw::soon;
use ajp::client::{
    Client, ClientError, Connect, Connecting, ErrorKind, Pool, ReplayBody, ResponseBody,
    RetryPolicy,
};
use ajp::proto::Progress;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tower::retry::budget::TpsBudget;
use tower::{Service, ServiceBuilder, ServiceExt};

type Body = Full<Bytes>;

/// What a user writes, with a limit of 10 000 bytes for what is kept.
fn retrying(
    client: &Client,
    policy: RetryPolicy,
) -> impl Service<Request<Body>, Response = Response<ResponseBody>, Error = ClientError> + Clone + use<>
{
    ServiceBuilder::new()
        .map_request(|request: Request<Body>| request.map(|body| ReplayBody::new(body, 10_000)))
        .retry(policy)
        .service(client.clone())
}

fn policy() -> RetryPolicy {
    RetryPolicy::new().with_pause(Duration::ZERO)
}

fn request(method: Method, body: impl Into<Bytes>) -> Request<Body> {
    let body = Full::new(body.into());
    Request::builder()
        .method(method)
        .uri("/x")
        .body(body)
        .unwrap()
}

async fn send(
    service: impl Service<Request<Body>, Response = Response<ResponseBody>, Error = ClientError>,
    request: Request<Body>,
) -> Result<Bytes, ClientError> {
    let response = soon("a response", service.oneshot(request)).await?;
    Ok(soon("a body", response.into_body().collect())
        .await?
        .to_bytes())
}

/// Every connection below `bad` does `act` with its first request; the others send the body
/// back that they were sent.
async fn failing<F>(bad: usize, act: impl Fn(Conn) -> F + Clone + Send + 'static) -> Backend
where
    F: Future<Output = ()> + Send + 'static,
{
    Backend::start(config(), move |number, mut conn| {
        let act = act.clone();
        async move {
            if number < bad {
                return act(conn).await;
            }
            while let Some(request) = conn.request().await {
                let Some(body) = conn.body(&request).await else {
                    return;
                };
                conn.write(&head(200, &[])).await;
                for part in body.chunks(8000) {
                    conn.write(&chunk(part)).await;
                }
                conn.write(&ajp::wire::END_RESPONSE_REUSE).await;
            }
        }
    })
    .await
}

/// Reads the request with its body, and closes.
async fn take_all(mut conn: Conn) {
    let request = conn.request().await.unwrap();
    conn.body(&request).await.unwrap();
}

#[tokio::test]
async fn idempotent_requests_are_sent_again_with_their_body() {
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let backend = failing(2, take_all).await;
        let sent = Bytes::from(vec![b'p'; 10_000]);
        let service = retrying(&backend.client, policy());
        let got = send(service, request(method.clone(), sent.clone())).await;
        let expected = if method == Method::HEAD {
            Bytes::new()
        } else {
            sent
        };
        assert_eq!(got.unwrap(), expected, "{method}");
        assert_eq!(backend.accepted(), 3);
    }
    // Two retries and no more.
    let backend = failing(3, take_all).await;
    let service = retrying(&backend.client, policy());
    assert!(send(service, request(Method::GET, "")).await.is_err());
    assert_eq!(backend.accepted(), 3);
    let service = retrying(&backend.client, policy().with_retries(0));
    assert!(send(service, request(Method::GET, "")).await.is_ok());
}

/// `tower::timeout` boxes errors: the policy outside of it finds the client's inside, and lets
/// the elapsed time of an attempt be.
#[tokio::test]
async fn the_policy_works_outside_of_layers_that_box_errors() {
    let stack = |client: &Client, limit| {
        ServiceBuilder::new()
            .map_request(|request: Request<Body>| request.map(|body| ReplayBody::new(body, 10_000)))
            .retry(policy())
            .timeout(limit)
            .service(client.clone())
    };
    let backend = failing(2, take_all).await;
    let service = stack(&backend.client, Duration::from_secs(10));
    let response = soon("an answer", service.oneshot(request(Method::PUT, "abc"))).await;
    let body = response.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "abc");
    assert_eq!(backend.accepted(), 3);

    // Nobody knows what became of a request that took too long.
    let silent = |conn: Conn| conn.silent();
    let backend = failing(usize::MAX, silent).await;
    let service = stack(&backend.client, Duration::from_millis(50));
    let error = soon("an error", service.oneshot(request(Method::GET, ""))).await;
    let error = error.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>(), "{error:?}");
    assert_eq!(backend.accepted(), 1);

    // Nor is anything retried that may not be.
    let backend = failing(1, take_all).await;
    let service = stack(&backend.client, Duration::from_secs(10));
    let error = soon("an error", service.oneshot(request(Method::POST, "abc"))).await;
    assert!(error.unwrap_err().is::<ClientError>());
    assert_eq!(backend.accepted(), 1);
}

#[tokio::test]
async fn the_caller_may_say_what_is_idempotent() {
    use ajp::client::Idempotent;
    for (method, idempotent, attempts) in [(Method::GET, false, 1), (Method::POST, true, 3)] {
        let backend = failing(2, take_all).await;
        let mut request = request(method.clone(), "body");
        request.extensions_mut().insert(Idempotent(idempotent));
        let got = send(retrying(&backend.client, policy()), request).await;
        assert_eq!(got.is_ok(), idempotent, "{method}");
        assert_eq!(backend.accepted(), attempts, "{method}");
    }
}

#[tokio::test]
async fn a_post_is_never_sent_again() {
    for unsent in [false, true] {
        for body in ["", "body"] {
            let backend = failing(1, take_all).await;
            let policy = policy().with_unsent_of_any_method(unsent);
            let service = retrying(&backend.client, policy);
            assert!(send(service, request(Method::POST, body)).await.is_err());
            assert_eq!(backend.accepted(), 1);
        }
    }
    for (unsent, attempts) in [(false, 1), (true, 3)] {
        let nobody = Refusing::default();
        let tried = Arc::clone(&nobody.0);
        let client = Client::for_own_requests(Pool::new(nobody, config()));
        let service = retrying(&client, policy().with_unsent_of_any_method(unsent));
        let error = send(service, request(Method::POST, "body"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert_eq!(tried.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test]
async fn a_body_that_was_not_kept_is_not_sent_again() {
    let backend = failing(1, take_all).await;
    let service = retrying(&backend.client, policy());
    let error = send(service, request(Method::PUT, vec![b'p'; 10_001])).await;
    assert_eq!(error.unwrap_err().progress(), Progress::BodySent);
    assert_eq!(backend.accepted(), 1);

    // Nothing of it was read: it need not have been kept.
    let backend = failing(0, take_all).await;
    let client = Client::for_own_requests(Pool::new(OnceRefused::to(&backend), config()));
    let sent = Bytes::from(vec![b'p'; 100_000]);
    let got = send(
        retrying(&client, policy()),
        request(Method::PUT, sent.clone()),
    )
    .await;
    assert_eq!(got.unwrap(), sent);
}

#[tokio::test]
async fn an_answer_that_began_is_final() {
    let backend = failing(1, |mut conn: Conn| async move {
        conn.request().await;
        // A status that cannot be a response's: the answer began, and failed.
        conn.write(&head(101, &[])).await;
    })
    .await;
    let service = retrying(&backend.client, policy());
    let error = send(service, request(Method::GET, "")).await.unwrap_err();
    assert_eq!(error.progress(), Progress::Responding);
    assert_eq!(backend.accepted(), 1);
}

#[tokio::test]
async fn overload_is_not_answered_with_more() {
    let short = limits().with_response_head(Duration::from_millis(50));
    let config = config().with_timeouts(short.with_acquire(Duration::from_millis(50)));
    let backend = Backend::start(config.with_max_connections(1), |_, conn| conn.silent()).await;
    let service = retrying(&backend.client, policy());
    let error = send(service.clone(), request(Method::GET, ""))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseHeadTimeout);
    assert_eq!(backend.accepted(), 1);

    let _held = backend.client.pool().acquire().await.unwrap();
    let start = std::time::Instant::now();
    let error = send(service, request(Method::GET, "")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AcquireTimeout);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(backend.accepted(), 2);
}

/// A whole outage costs the budget and no more.
#[tokio::test]
async fn retries_are_bounded_for_all_requests_together() {
    let nobody = Refusing::default();
    let tried = Arc::clone(&nobody.0);
    let client = Client::for_own_requests(Pool::new(nobody, config()));
    // One a second, for 60 seconds.
    let budget = TpsBudget::new(Duration::from_secs(60), 1, 0.0);
    let service = retrying(&client, policy().with_budget(budget));
    for _ in 0..100 {
        assert!(
            send(service.clone(), request(Method::GET, ""))
                .await
                .is_err()
        );
    }
    assert_eq!(tried.load(Ordering::SeqCst), 160);
}

#[tokio::test(start_paused = true)]
async fn pauses_double() {
    let client = Client::for_own_requests(Pool::new(Refusing::default(), config()));
    let service = retrying(&client, RetryPolicy::new().with_retries(3));
    for _ in 0..2 {
        let start = tokio::time::Instant::now();
        assert!(
            send(service.clone(), request(Method::GET, ""))
                .await
                .is_err()
        );
        assert_eq!(start.elapsed().as_millis(), 100 + 200 + 400);
    }
}

/// No connection is ever to be had.
#[derive(Default)]
struct Refusing(Arc<AtomicUsize>);

impl Connect for Refusing {
    fn connect(&self) -> Connecting<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn describe(&self) -> String {
        "nobody".into()
    }
}

/// The first connection is not to be had.
struct OnceRefused(ajp::client::Address, AtomicUsize);

impl OnceRefused {
    fn to(backend: &Backend) -> Self {
        let address = backend.client.pool().peer().parse().unwrap();
        Self(address, AtomicUsize::new(0))
    }
}

impl Connect for OnceRefused {
    fn connect(&self) -> Connecting<'_> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) }),
            _ => self.0.connect(),
        }
    }

    fn describe(&self) -> String {
        "late".into()
    }
}
