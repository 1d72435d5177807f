//! The manager: what the balancers do, as a page, as JSON and as metrics, and if it is
//! allowed the changes of an operator. It has a listener of its own.

mod change;
mod format;
mod guard;
mod markup;
mod metrics;
mod page;

use crate::gateway::config;
use crate::gateway::front::{self, Bound, Ends, Options, Traffic};
use ajp::balancer::{Balancer, BalancerSnapshot};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Form, Json, Router, middleware};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::watch;

/// The page.
pub(crate) const PATH: &str = "/balancer-manager";

const STYLE: &str = include_str!("templates/style.css");

/// More than any form has.
const MOST_FORM_BYTES: usize = 16 * 1024;

/// What the manager shows and changes.
#[derive(Debug)]
pub(crate) struct Manager {
    balancers: Arc<RwLock<Vec<Balancer>>>,
    /// In every form, so that no page of another site can send one.
    nonce: Option<String>,
    hosts: Vec<String>,
    started: Instant,
}

impl Manager {
    /// A manager of these balancers.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn new(
        balancers: Arc<RwLock<Vec<Balancer>>>,
        config: &config::Manager,
    ) -> Result<Self, String> {
        let nonce = config.changes.then(guard::nonce).transpose()?;
        Ok(Self {
            balancers,
            nonce,
            hosts: config.hosts.clone(),
            started: Instant::now(),
        })
    }

    /// Those that serve at this moment.
    fn balancers(&self) -> Vec<Balancer> {
        let balancers = self.balancers.read();
        balancers.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn snapshots(&self) -> Vec<BalancerSnapshot> {
        self.balancers().iter().map(Balancer::snapshot).collect()
    }

    fn balancer(&self, name: &str) -> Option<Balancer> {
        let balancers = self.balancers();
        balancers
            .into_iter()
            .find(|balancer| balancer.name() == name)
    }
}

/// Serves the manager until `stopping` turns true.
pub(crate) async fn run(bound: Bound, manager: Manager, stopping: watch::Receiver<bool>) {
    let manager = Arc::new(manager);
    let router = Router::new()
        .route("/", get(|| async { Redirect::to(PATH) }))
        .route(PATH, get(show).post(alter))
        .route("/balancer-manager.json", get(json))
        .route("/balancer-manager.css", get(style))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MOST_FORM_BYTES))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&manager),
            guard::guard,
        ))
        .with_state(manager);
    let service = move |ends: Ends| TowerToHyperService::new(router.clone().layer(Extension(ends)));
    let (_fixed, options) = watch::channel(Arc::new(Options::default()));
    front::serve(
        bound,
        options,
        Arc::new(Traffic::default()),
        stopping,
        service,
    )
    .await;
}

type Shared = State<Arc<Manager>>;

async fn show(State(manager): Shared, Query(view): Query<page::View>) -> Response {
    let (status, page) = page::page(&manager, &view);
    (status, Html(page.into_string())).into_response()
}

/// The page's numbers for programs. The nonce is what a program sends with a change.
#[derive(Serialize)]
struct Document<'a> {
    changes: bool,
    nonce: Option<&'a str>,
    uptime_seconds: f64,
    balancers: Vec<BalancerSnapshot>,
}

async fn json(State(manager): Shared) -> Response {
    Json(Document {
        changes: manager.nonce.is_some(),
        nonce: manager.nonce.as_deref(),
        uptime_seconds: manager.started.elapsed().as_secs_f64(),
        balancers: manager.snapshots(),
    })
    .into_response()
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn metrics(State(manager): Shared) -> impl IntoResponse {
    let text = metrics::text(&manager.snapshots());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

async fn alter(
    State(manager): Shared,
    Extension(ends): Extension<Ends>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    match change::change(&manager, &fields) {
        Ok(done) => {
            eprintln!("gateway: manager: {}: {}", ends.peer.ip(), done.text);
            Redirect::to(&done.next).into_response()
        }
        Err(refusal) => {
            eprintln!("gateway: manager: {}: refused: {refusal}", ends.peer.ip());
            if front::wants_html(&headers) {
                let page = page::refusal(&refusal);
                return (refusal.status, Html(page.into_string())).into_response();
            }
            (refusal.status, format!("{refusal}\n")).into_response()
        }
    }
}

/// Why a change was not made.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.text)
    }
}
