//! A container whose sessions lie in Redis (or Valkey), so that any other one like it can go on
//! with them: two of these behind httpd or `ajp gateway` lose no session when one of them dies.
//!
//! ```text
//! cargo run --example shared_sessions -- 127.0.0.1:8009 one redis://127.0.0.1:6379
//! cargo run --example shared_sessions -- 127.0.0.1:8010 two redis://127.0.0.1:6379
//! ```
//!
//! and in httpd, with `secret=...` where others could connect:
//!
//! ```text
//! <Proxy "balancer://app">
//!     BalancerMember "ajp://127.0.0.1:8009" route=one ping=1 retry=1
//!     BalancerMember "ajp://127.0.0.1:8010" route=two ping=1 retry=1
//!     ProxySet stickysession=JSESSIONID
//! </Proxy>
//! ProxyPass "/" "balancer://app/"
//! ```
//!
//! Session ids carry the route of the container that made them. That keeps a visitor's requests
//! together while that container is there; when it is not, the session is read from the store by
//! another one, and carries that one's route from then on.

mod route;

use ajp::server::{serve, shutdown_signal};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [address, own_route, redis] = &args[..] else {
        return Err("arguments: address of the AJP port, route, URL of the Redis".into());
    };
    let connections = Pool::new(Config::from_url(redis)?, None, None, None, 4)?;
    connections.init().await?;
    let sessions = SessionManagerLayer::new(RedisStore::new(connections))
        .with_name("JSESSIONID")
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(30)));
    let app = Router::new()
        .route("/visits", get(visits))
        .with_state(Arc::from(own_route.as_str()))
        .layer(sessions);
    let app = route::in_session_ids(app, own_route);

    let listener = TcpListener::bind(address).await?;
    println!("shared_sessions: ajp://{}", listener.local_addr()?);
    serve(listener, app)
        // On loopback; elsewhere it takes `with_secret(...)`.
        .trusted_network()
        .on_error(|peer, error| eprintln!("shared_sessions: {peer}: {error}"))
        .with_graceful_shutdown(shutdown_signal())
        .await;
    Ok(())
}

/// Counts the visits of this session, wherever they were.
async fn visits(
    State(own_route): State<Arc<str>>,
    session: Session,
) -> Result<Json<Value>, StatusCode> {
    // The store is gone, not the container: the web server need not try another one.
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let before = session.get::<u64>("visits").await.map_err(failed)?;
    let visits = before.unwrap_or(0).saturating_add(1);
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(Json(json!({ "visits": visits, "by": *own_route })))
}
