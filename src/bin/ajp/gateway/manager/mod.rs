//! The manager: what the balancers do, as a page, as JSON and as metrics, and if it is
//! allowed the changes of an operator. It has a listener of its own.

mod api;
mod change;
mod drains;
mod edit;
mod farm;
mod following;
mod format;
mod guard;
mod health;
mod markup;
mod metrics;
mod page;
mod pool_numbers;
mod refusal;
mod state;
mod state_file;
mod verdicts;

pub(crate) use farm::{Farm, Route};
pub(crate) use following::{Following, Place};
pub(crate) use health::run as health;
pub(crate) use state_file::can_be_kept;

use crate::gateway::front::{self, Bound, Ends, Options, Requests, Traffic};
use ajp::balancer::BalancerSnapshot;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Form, Json, Router, middleware};
use drains::Drains;
use edit::{Author, Way};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use verdicts::Verdicts;

/// The page.
pub(crate) const PATH: &str = "/balancer-manager";

const STYLE: &str = include_str!("templates/style.css");

/// More than any form has.
const MOST_FORM_BYTES: usize = 16 * 1024;

/// What the manager shows and changes.
#[derive(Debug)]
pub(crate) struct Manager {
    farm: Arc<Farm>,
    /// In every form, so that no page of another site can send one.
    nonce: String,
    drains: Drains,
    verdicts: Arc<Verdicts>,
    /// What the listeners and the sites count.
    traffic: Arc<Traffic>,
    requests: Arc<Requests>,
    started: Instant,
}

impl Manager {
    /// A manager of these balancers.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn new(
        farm: Arc<Farm>,
        traffic: Arc<Traffic>,
        requests: Arc<Requests>,
    ) -> Result<Self, String> {
        Ok(Self {
            farm,
            nonce: guard::nonce()?,
            drains: Drains::default(),
            verdicts: Arc::default(),
            traffic,
            requests,
            started: Instant::now(),
        })
    }

    /// The nonce, if forms may change something.
    fn nonce(&self) -> Option<&str> {
        self.farm.view().access.forms.then_some(&*self.nonce)
    }

    /// Everything that is counted, at this moment.
    fn numbers(&self) -> metrics::Numbers {
        let view = self.farm.view();
        let balancers = view.balancers.iter().map(|managed| {
            let snapshot = managed.balancer.snapshot();
            let of = |name: &str| metrics::OfMember {
                pool: managed.balancer.pool(name).map(|pool| pool.stats()),
                verdict: self.verdicts.of(&snapshot.name, name),
            };
            metrics::Measured {
                members: snapshot
                    .members
                    .iter()
                    .map(|member| of(&member.name))
                    .collect(),
                balancer: snapshot,
            }
        });
        metrics::Numbers {
            uptime: self.started.elapsed().as_secs_f64(),
            balancers: balancers.collect(),
            traffic: Arc::clone(&self.traffic),
            sites: self.requests.all(),
        }
    }

    fn snapshots(&self) -> Vec<BalancerSnapshot> {
        let view = self.farm.view();
        let balancers = view.balancers.iter();
        balancers
            .map(|managed| managed.balancer.snapshot())
            .collect()
    }
}

/// Serves the manager until `stopping` turns true.
pub(crate) async fn run(bound: Bound, manager: Manager, stopping: watch::Receiver<bool>) {
    let manager = Arc::new(manager);
    let verdicts = Arc::clone(&manager.verdicts);
    let looking = verdicts.run(Arc::clone(&manager.farm), stopping.clone());
    let looking = tokio::spawn(looking);
    let router = Router::new()
        .route("/", get(|| async { Redirect::to(PATH) }))
        .route(PATH, get(show).post(alter))
        .route("/balancer-manager.json", get(json))
        .route("/balancer-manager.css", get(style))
        .route("/metrics", get(metrics))
        .nest(api::PATH, api::router(&manager))
        .layer(DefaultBodyLimit::max(MOST_FORM_BYTES))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&manager),
            guard::guard,
        ))
        .with_state(manager);
    let router = move |ends| router.clone().layer(Extension(ends));
    serve(bound, stopping, Box::new(router)).await;
    // A panic has been reported.
    let _ = looking.await;
}

/// The pages for who has connected from one end to the other.
type RouterOf = Box<dyn Fn(Ends) -> Router + Send + Sync>;

/// Serves pages until `stopping` turns true. One function for all that is not the site's: all of HTTP is
/// compiled anew for each kind of service.
async fn serve(bound: Bound, stopping: watch::Receiver<bool>, router: RouterOf) {
    let service = move |ends| TowerToHyperService::new(router(ends));
    let (_fixed, options) = watch::channel(Arc::new(Options::default()));
    let traffic = Arc::new(Traffic::default());
    front::serve(bound, options, traffic, stopping, service, |_, _| {}).await;
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
        changes: manager.nonce().is_some(),
        nonce: manager.nonce(),
        uptime_seconds: manager.started.elapsed().as_secs_f64(),
        balancers: manager.snapshots(),
    })
    .into_response()
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn metrics(State(manager): Shared, headers: HeaderMap) -> impl IntoResponse {
    let numbers = manager.numbers();
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let (kind, text) = match accepted {
        Some(kinds) if kinds.contains("application/openmetrics-text") => {
            (metrics::OPEN_METRICS, numbers.open_metrics())
        }
        _ => (metrics::TEXT, numbers.text()),
    };
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn alter(
    State(manager): Shared,
    Extension(ends): Extension<Ends>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let author = Author {
        ip: ends.peer.ip(),
        way: Way::Page,
    };
    let changed = match change::change(&manager, author, &fields) {
        Ok(next) => {
            let kept = manager.farm.kept().await;
            kept.map(|()| next)
                .map_err(|error| refusal::Refusal::not_kept(&error))
        }
        Err(refusal) => Err(refusal),
    };
    match changed {
        Ok(next) => Redirect::to(&next).into_response(),
        Err(refusal) => {
            tracing::warn!("manager: {author}: refused: {refusal}");
            if front::wants_html(&headers) {
                let page = page::refusal(&refusal);
                return (refusal.status, Html(page.into_string())).into_response();
            }
            (refusal.status, format!("{refusal}\n")).into_response()
        }
    }
}
