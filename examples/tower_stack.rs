//! AJP in tower: tracing, a time limit for all of it, retries with a budget, a balancer, and a
//! second request where the first answer is late.
//!
//! ```text
//! cargo run --example tower_stack -- ajp://127.0.0.1:8009 ajp://127.0.0.1:8010
//! ```
//!
//! Without arguments there are two containers, one of its own and one that is not there.

use ajp::balancer::{
    Balancer, BalancerConfig, ClusterConfig, Failover, Idempotent, Member, RetryBudget,
};
use ajp::client::{Address, Client, Pool, PoolConfig, ReplayBody, RetryPolicy, Timeouts};
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tower::hedge::{self, Hedge};
use tower::{Service, ServiceBuilder, ServiceExt};

/// What is late is known from the requests of the time before. A minute suits a real program.
const HEDGE_WINDOW: Duration = Duration::from_secs(2);

/// How long the container of this program takes when it is slow.
const SLOW: Duration = Duration::from_secs(5);

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut containers = Vec::new();
    for address in std::env::args().skip(1) {
        containers.push(address.parse::<Address>()?);
    }
    if containers.is_empty() {
        containers.push(Address::from(container().await?));
        // Bound, and closed again: nobody is there.
        let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        containers.push(Address::from(nobody));
    }
    let config = PoolConfig::default()
        .with_secret(ajp::Secret::from_env_if_set("AJP_SECRET")?)
        .with_timeouts(Timeouts::default().with_connect(Duration::from_secs(2)));

    // One container: the policy sends again what cannot do harm twice. The body is kept for
    // that, up to 64 KiB.
    let pool = Pool::new(containers.swap_remove(0), config.clone());
    let first = pool.clone();
    let one = ServiceBuilder::new()
        .timeout(Duration::from_secs(30))
        .map_request(traced)
        .map_request(|request: Request<Full<Bytes>>| {
            request.map(|body| ReplayBody::new(body, 65536))
        })
        .retry(
            RetryPolicy::new()
                .with_retries(2)
                .with_pause(Duration::from_millis(50)),
        )
        .service(Client::for_own_requests(pool));
    let (status, text) = ask(one, "/").await?;
    println!("one container: {status}: {text}");

    // Several: the balancer retries by itself, on other members, within its own budget.
    let balancer = Balancer::new(
        BalancerConfig::new("stack")
            .with_own_requests(true)
            .with_cluster(ClusterConfig::default().with_retry(Duration::from_secs(5)))
            .with_failover(Failover::default().with_budget(RetryBudget::default())),
    );
    balancer.add(Member::new("first"), first)?;
    for (number, address) in containers.into_iter().enumerate() {
        let pool = Pool::new(address, config.clone());
        balancer.add(Member::new(format!("other-{number}")), pool)?;
    }
    let several = ServiceBuilder::new()
        .timeout(Duration::from_secs(30))
        .map_request(traced)
        .service(balancer.clone());
    for _ in 0..4 {
        let (status, text) = ask(several.clone(), "/").await?;
        println!("several: {status}: {text}");
    }

    // Whoever waits longer than nearly all others did is asked for a second time, and the first
    // answer counts. That is for requests that may be acted on twice, and for nothing else.
    let hedged = Hedge::new(balancer.clone(), IdempotentOnly, 10, 0.9, HEDGE_WINDOW);
    let mut hedged = ServiceBuilder::new()
        .timeout(Duration::from_secs(30))
        .service(hedged);
    for _ in 0..20 {
        ask(&mut hedged, "/").await?;
    }
    tokio::time::sleep(HEDGE_WINDOW + HEDGE_WINDOW / 4).await;
    let start = Instant::now();
    let (status, text) = ask(&mut hedged, "/slow-at-first").await?;
    let quickly = start.elapsed() < SLOW;
    println!("hedged: {status}: {text} (before the first answer: {quickly})");
    // An order is placed once, however late its answer is.
    let order = Request::post("/orders").body(Full::default())?;
    let (status, text) = send(&mut hedged, order).await?;
    println!("ordered: {status}: {text}");
    for member in balancer.snapshot().members {
        println!(
            "{}: {} requests, {:?}",
            member.name, member.elected, member.state
        );
    }
    Ok(())
}

/// Which requests are asked for a second time.
#[derive(Clone)]
struct IdempotentOnly;

impl hedge::Policy<Request<Full<Bytes>>> for IdempotentOnly {
    fn clone_request(&self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        let may_repeat = Idempotent::of(request.method(), request.extensions());
        may_repeat.then(|| request.clone())
    }

    fn can_retry(&self, _: &Request<Full<Bytes>>) -> bool {
        true
    }
}

/// An event for each request.
fn traced<B>(request: Request<B>) -> Request<B> {
    tracing::info!(method = %request.method(), path = request.uri().path(), "request");
    request
}

/// Status and body of a GET.
async fn ask<S, B>(stack: S, path: &str) -> Result<(StatusCode, String), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    send(stack, Request::get(path).body(Full::default())?).await
}

/// Status and body of the answer.
async fn send<S, B>(
    stack: S,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let host = http::HeaderValue::from_static("stack.example");
    request.headers_mut().insert(http::header::HOST, host);
    let response = stack.oneshot(request).await.map_err(Into::into)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(Into::into)?;
    let text = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
    Ok((status, text))
}

/// A container of our own.
async fn container() -> Result<std::net::SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let calls = Arc::new(AtomicUsize::new(0));
    let slow_at_first = get(move || {
        let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                tokio::time::sleep(SLOW).await;
            }
            "Hello at last!\n"
        }
    });
    let orders = Arc::new(AtomicUsize::new(0));
    let place = post(move || {
        let orders = Arc::clone(&orders);
        orders.fetch_add(1, Ordering::SeqCst);
        async move {
            // Later than nearly all answers before.
            tokio::time::sleep(Duration::from_millis(500)).await;
            format!("{} placed\n", orders.load(Ordering::SeqCst))
        }
    });
    let app = Router::new()
        .route("/", get(|| async { "Hello, tower!\n" }))
        .route("/slow-at-first", slow_at_first)
        .route("/orders", place);
    let server = ajp::server::serve(listener, app).trusted_network();
    tokio::spawn(server.into_future());
    Ok(address)
}
