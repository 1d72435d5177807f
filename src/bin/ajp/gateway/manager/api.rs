//! The API for programs: everything that is known, and all changes, as JSON.

use super::edit::{self, Author, Way};
use super::farm::Managed;
use super::pool_numbers::pool_numbers;
use super::refusal::Refusal;
use super::{Manager, Shared};
use crate::gateway::front::Ends;
use crate::gateway::settings::{BalancerSettings, Object, member_keys};
use ajp::Secret;
use ajp::balancer::{MemberSnapshot, MemberState};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Where the API is.
pub(super) const PATH: &str = "/api/v1";

/// Everything below [`PATH`].
pub(super) fn router(manager: &Arc<Manager>) -> Router<Arc<Manager>> {
    let member = "/balancers/{balancer}/members/{member}";
    Router::new()
        .route("/state", get(state))
        .route(
            "/balancers/{balancer}",
            get(show_balancer).put(change_balancer),
        )
        .route("/balancers/{balancer}/reset", post(reset))
        .route("/balancers/{balancer}/members", post(add))
        .route(member, get(show_member).put(change_member).delete(remove))
        .route(&format!("{member}/recover"), post(recover))
        .route(
            &format!("{member}/drain"),
            get(show_drain).post(start_drain).delete(end_drain),
        )
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(middleware::from_fn_with_state(
            Arc::clone(manager),
            authorise,
        ))
}

/// Lets changes through that carry the token; everybody may look.
async fn authorise(
    State(manager): Shared,
    Extension(ends): Extension<Ends>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let view = manager.farm.view();
    match check_token(view.access.token.as_ref(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(ends.peer.ip(), &refusal),
    }
}

fn check_token(token: Option<&Secret>, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = token else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "changes by the API need a token; make one with `openssl rand -hex 32`, and name its \
             file in the configuration: [manager] token_file = \"/etc/ajp/token\"",
        ));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.split_at_checked(b"Bearer ".len()));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
    let unauthorised = |text| Err(Refusal::new(StatusCode::UNAUTHORIZED, text));
    let Some((_, given)) = given else {
        return unauthorised("the token is missing; send Authorization: Bearer TOKEN");
    };
    // Compared in constant time.
    match Secret::new(given) {
        Ok(given) if given == *token => Ok(()),
        _ => unauthorised("the token is not that of token_file"),
    }
}

/// Tells the log and whoever asked.
fn refuse(ip: IpAddr, refusal: &Refusal) -> Response {
    tracing::warn!("manager: {ip}: refused: {refusal}");
    refusal.json()
}

async fn nowhere(request: Request) -> Response {
    let text = format!(
        "there is no {}; there are {PATH}/state, {PATH}/balancers/NAME and \
         {PATH}/balancers/NAME/members/NAME",
        request.uri().path()
    );
    Refusal::new(StatusCode::NOT_FOUND, text).json()
}

async fn not_so(method: Method) -> Response {
    let text = format!(
        "{method} is not for this; GET shows it, PUT changes it, POST adds, DELETE removes"
    );
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text).json()
}

/// Names in the path of a request.
#[derive(Deserialize)]
struct Names {
    balancer: String,
    member: Option<String>,
}

/// Where a request leads: a balancer, and maybe a member of it.
struct Place {
    managed: Managed,
    /// Empty where none is named.
    member: String,
}

impl FromRequestParts<Arc<Manager>> for Place {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        manager: &Arc<Manager>,
    ) -> Result<Self, Refusal> {
        let names = Path::<Names>::from_request_parts(parts, manager).await;
        let Path(Names { balancer, member }) =
            names.map_err(|error| Refusal::bad(error.body_text()))?;
        manager.place(&balancer, member.as_deref())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.json()
    }
}

impl Manager {
    fn place(&self, balancer: &str, member: Option<&str>) -> Result<Place, Refusal> {
        let view = self.farm.view();
        let managed = view.balancer(balancer).ok_or_else(|| {
            Refusal::no_balancer(
                balancer,
                view.balancers.iter().map(|known| known.balancer.name()),
            )
        })?;
        let member = match member {
            None => String::new(),
            Some(name) => managed
                .member_named(name)
                .ok_or_else(|| Refusal::no_member(&managed.balancer, name))?,
        };
        Ok(Place {
            managed: managed.clone(),
            member,
        })
    }

    /// A balancer with all that is known of it.
    fn balancer_json(&self, managed: &Managed) -> Value {
        let snapshot = managed.balancer.snapshot();
        let members: Vec<_> = snapshot
            .members
            .iter()
            .map(|member| self.member_json(managed, member))
            .collect();
        let mut value = serde_json::to_value(&snapshot).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.insert("members".into(), members.into());
            let settings = BalancerSettings::of(&managed.balancer).object();
            object.insert("settings".into(), settings.into());
        }
        value
    }

    fn member_json(&self, managed: &Managed, member: &MemberSnapshot) -> Value {
        let balancer = &managed.balancer;
        let name = &*member.name;
        let mut value = serde_json::to_value(member).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            let settings = managed.member(name).map_or(Value::Null, Value::Object);
            object.insert("settings".into(), settings);
            let pool = balancer.pool(name).map(|pool| pool_numbers(&pool.stats()));
            object.insert("pool".into(), pool.unwrap_or_default());
            let verdict = self.verdicts.of(balancer.name(), name);
            let verdict = verdict.and_then(|verdict| {
                let cause = verdict.cause.as_ref()?;
                let named = member.route.as_deref().unwrap_or(name);
                Some(json!({
                    "kind": cause.label(),
                    "cause": cause.of(named),
                    "advice": cause.advice(),
                    "ago": verdict.age().as_secs_f64(),
                }))
            });
            object.insert("verdict".into(), verdict.unwrap_or_default());
            let drain = self.drains.state(balancer.name(), name, Some(member));
            object.insert("drain".into(), drain);
            let store = self.farm.store();
            object.insert(
                "changed".into(),
                store.changed(balancer.name(), name).into(),
            );
            object.insert("added".into(), store.added(balancer.name(), name).into());
        }
        value
    }

    /// A member as it is now.
    fn shown_member(&self, managed: &Managed, name: &str) -> Option<Value> {
        let snapshot = managed.balancer.snapshot();
        let mut members = snapshot.members.iter();
        let member = members.find(|member| member.name == name)?;
        Some(self.member_json(managed, member))
    }
}

impl Managed {
    /// The name of the member that is meant: its name, or its route if no other one has that.
    fn member_named(&self, name: &str) -> Option<String> {
        let members = self.balancer.members();
        if members.iter().any(|member| member.name() == name) {
            return Some(name.to_owned());
        }
        let mut routed = members
            .iter()
            .filter(|member| member.route_name() == Some(name));
        match (routed.next(), routed.next()) {
            (Some(only), None) => Some(only.name().to_owned()),
            _ => None,
        }
    }
}

async fn state(State(manager): Shared) -> Response {
    let view = manager.farm.view();
    let balancers: Vec<_> = view
        .balancers
        .iter()
        .map(|managed| manager.balancer_json(managed))
        .collect();
    let file = manager.farm.state_file();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": manager.started.elapsed().as_secs_f64(),
        "changes_by_token": view.access.token.is_some(),
        "changes_by_page": view.access.forms,
        "state_file": file.as_ref().map(|file| file.path()),
        "state_file_problem": file.as_ref().and_then(|file| file.problem()),
        "routes": view.routes,
        "balancers": balancers,
    }))
    .into_response()
}

async fn show_balancer(State(manager): Shared, place: Place) -> Json<Value> {
    Json(manager.balancer_json(&place.managed))
}

async fn show_member(State(manager): Shared, place: Place) -> Json<Option<Value>> {
    Json(manager.shown_member(&place.managed, &place.member))
}

async fn show_drain(
    State(manager): Shared,
    Path(names): Path<Names>,
    place: Result<Place, Refusal>,
) -> Result<Json<Value>, Refusal> {
    match place {
        Ok(place) => Ok(Json(manager.drain_json(&place.managed, &place.member))),
        // One that was removed at the end of its drain.
        Err(refusal) => {
            let name = names.member.unwrap_or_default();
            match manager.drains.state(&names.balancer, &name, None) {
                Value::Null => Err(refusal),
                state => Ok(Json(state)),
            }
        }
    }
}

impl Manager {
    fn drain_json(&self, managed: &Managed, name: &str) -> Value {
        let snapshot = managed.balancer.snapshot();
        let member = snapshot.members.iter().find(|member| member.name == name);
        let mut state = self.drains.state(managed.balancer.name(), name, member);
        if let Value::Object(object) = &mut state {
            object.insert("member".into(), name.into());
            let others = snapshot.members.iter().filter(|one| one.name != name);
            let serving = others.filter(|one| takes_new(one)).count();
            object.insert("others_serving".into(), serving.into());
        }
        state
    }
}

/// Whether a member takes requests of new visitors.
fn takes_new(member: &MemberSnapshot) -> bool {
    let is_in = !matches!(
        member.state,
        MemberState::Leaving | MemberState::Error | MemberState::Unhealthy
    );
    is_in && member.flags.activation() == "ACT"
}

/// A request that changes something.
struct Change {
    manager: Arc<Manager>,
    author: Author,
    place: Place,
    /// The body, which may be left out if there is nothing to say.
    body: Object,
}

impl FromRequest<Arc<Manager>> for Change {
    type Rejection = Response;

    async fn from_request(request: Request, manager: &Arc<Manager>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let ends = Extension::<Ends>::from_request_parts(&mut parts, manager).await;
        let Extension(ends) = ends.map_err(IntoResponse::into_response)?;
        let author = Author {
            ip: ends.peer.ip(),
            way: Way::Api,
        };
        let refused = |refusal: Refusal| refuse(author.ip, &refusal);
        let place = Place::from_request_parts(&mut parts, manager).await;
        let place = place.map_err(refused)?;
        let body = Bytes::from_request(Request::from_parts(parts, body), manager).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let body = match &body[..] {
            b"" => Ok(Object::new()),
            body => serde_json::from_slice(body),
        };
        let wrong = |error| Refusal::bad(format!("the body must be an object of JSON: {error}"));
        Ok(Self {
            manager: Arc::clone(manager),
            author,
            place,
            body: body.map_err(|error| refused(wrong(error)))?,
        })
    }
}

/// Makes a change with what the body says, and gives the answer.
type Make = fn(&Manager, Author, &Place, Object) -> Result<Value, Refusal>;

impl Change {
    /// Makes the change, and answers when it is kept.
    async fn make(self, change: Make) -> Response {
        let farm = &self.manager.farm;
        let made = change(&self.manager, self.author, &self.place, self.body);
        let refusal = match (made, farm.kept().await) {
            (Ok(value), Ok(())) => return Json(value).into_response(),
            (Ok(_), Err(error)) => Refusal::not_kept(&error),
            (Err(refusal), _) => refusal,
        };
        refuse(self.author.ip, &refusal)
    }
}

/// What could be given, when nothing is.
fn nothing_given(keys: &str) -> Refusal {
    Refusal::bad(format!("the body says nothing; it may have {keys}"))
}

async fn change_balancer(change: Change) -> Response {
    let make = |manager: &Manager, author, place: &Place, patch: Object| {
        let balancer = &place.managed.balancer;
        if patch.is_empty() {
            let keys = BalancerSettings::of(balancer).object();
            let keys: Vec<_> = keys.keys().cloned().collect();
            return Err(nothing_given(&keys.join(", ")));
        }
        let changed = edit::balancer(&manager.farm, author, &place.managed, &patch)?;
        Ok(json!({ "changed": changed, "settings": BalancerSettings::of(balancer) }))
    };
    change.make(make).await
}

async fn reset(change: Change) -> Response {
    let make = |_: &Manager, author: Author, place: &Place, _| {
        edit::reset(author, &place.managed.balancer);
        Ok(json!({ "reset": true }))
    };
    change.make(make).await
}

async fn add(change: Change) -> Response {
    let make = |manager: &Manager, author, Place { managed, .. }: &Place, given| {
        let name = edit::add(&manager.farm, author, managed, given)?;
        Ok(json!({ "added": name, "member": manager.shown_member(managed, &name) }))
    };
    let response = change.make(make).await;
    if response.status() == StatusCode::OK {
        return (StatusCode::CREATED, response).into_response();
    }
    response
}

async fn change_member(change: Change) -> Response {
    let make = |manager: &Manager, author, Place { managed, member }: &Place, patch: Object| {
        if patch.is_empty() {
            return Err(nothing_given(&member_keys()));
        }
        let changed = edit::member(&manager.farm, author, managed, member, patch)?;
        Ok(json!({ "changed": changed, "member": manager.shown_member(managed, member) }))
    };
    change.make(make).await
}

async fn remove(change: Change) -> Response {
    let make = |manager: &Manager, author, Place { managed, member }: &Place, _| {
        let was = edit::remove(&manager.farm, author, managed, member)?;
        Ok(json!({ "removed": member, "was": was }))
    };
    change.make(make).await
}

async fn recover(change: Change) -> Response {
    let make = |_: &Manager, author, Place { managed, member }: &Place, _| {
        edit::recover(author, &managed.balancer, member)?;
        Ok(json!({ "recovered": member }))
    };
    change.make(make).await
}

async fn start_drain(change: Change) -> Response {
    let make = |manager: &Manager, author, Place { managed, member }: &Place, wish| {
        let drains = &manager.drains;
        drains.start(&manager.farm, author, managed, member, wish)?;
        Ok(manager.drain_json(managed, member))
    };
    change.make(make).await
}

async fn end_drain(change: Change) -> Response {
    let make = |manager: &Manager, author, Place { managed, member }: &Place, _| {
        manager.drains.end(&manager.farm, author, managed, member)?;
        Ok(json!({ "serves": member }))
    };
    change.make(make).await
}
