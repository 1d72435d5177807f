//! Whether the gateway is alive and ready, for orchestrators and load balancers: on a listener
//! of its own, so that it is told also when all connections of visitors are taken.

use super::farm::Farm;
use crate::gateway::front::Bound;
use ajp::balancer::{BalancerSnapshot, Flags, MemberSnapshot, MemberState};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, Clone)]
struct Health {
    farm: Arc<Farm>,
    /// Whether the program ends what is running.
    draining: watch::Receiver<bool>,
}

/// Tells it until `stopping` turns true.
pub(crate) async fn run(
    bound: Bound,
    farm: Arc<Farm>,
    draining: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .with_state(Health { farm, draining });
    super::serve(bound, stopping, Box::new(move |_| router.clone())).await;
}

async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "live": true }))
}

/// Ready: somebody serves new visitors of a balancer at least, and the program does not end.
/// What cannot be served is named in any case.
async fn ready(State(health): State<Health>) -> Response {
    let view = health.farm.view();
    let snapshots: Vec<_> = view
        .balancers
        .iter()
        .map(|managed| managed.balancer.snapshot())
        .collect();
    let mut reasons: Vec<String> = snapshots.iter().filter_map(reason).collect();
    let is_served = reasons.len() < snapshots.len() || snapshots.is_empty();
    let is_draining = *health.draining.borrow();
    if is_draining {
        reasons.insert(0, "the gateway ends what is running".into());
    }
    let is_ready = is_served && !is_draining;
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer(status, &json!({ "ready": is_ready, "reasons": reasons }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let fresh = [(header::CACHE_CONTROL, "no-store")];
    (status, fresh, Json(body)).into_response()
}

/// Why a balancer serves no new visitors, if it does not.
fn reason(balancer: &BalancerSnapshot) -> Option<String> {
    let members = &balancer.members;
    if members.iter().any(serves) {
        return None;
    }
    let all: Vec<_> = members.iter().map(in_words).collect();
    let name = &balancer.name;
    Some(match &all[..] {
        [] => format!("{name}: has no members"),
        all => format!("{name}: no member serves: {}", all.join("; ")),
    })
}

/// Whether new sessions may go to it, now or when the others cannot.
pub(super) fn serves(member: &MemberSnapshot) -> bool {
    let off = Flags::DRAINING | Flags::DISABLED | Flags::STOPPED;
    let can = matches!(member.state, MemberState::Ok | MemberState::Full) || member.spared;
    can && !member.flags.intersects(off)
}

fn in_words(member: &MemberSnapshot) -> String {
    let state = super::metrics::state(member.state);
    let mut text = format!("{} is {state}", member.name);
    if member.flags != Flags::ACTIVE {
        text = format!("{text}, flags {}", member.flags);
    }
    if let Some(error) = &member.last_error {
        text = format!("{text}, {error}");
    }
    text
}
