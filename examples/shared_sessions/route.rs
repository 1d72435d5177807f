//! Session ids that carry the route of their container behind a dot, as those of servlet
//! containers do: by it the web server sends a visitor back to where the session is.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::sync::Arc;

const COOKIE: &str = "JSESSIONID=";

/// The application sees and sets ids without a route; visitors and web servers see them with it.
pub(crate) fn in_session_ids(app: Router, route: &str) -> Router {
    app.layer(from_fn_with_state(Arc::<str>::from(route), translate))
}

async fn translate(State(route): State<Arc<str>>, mut request: Request, next: Next) -> Response {
    change(request.headers_mut(), &header::COOKIE, |pair| {
        let id = pair.strip_prefix(COOKIE)?;
        let (id, _) = id.split_once('.')?;
        Some(format!("{COOKIE}{id}"))
    });
    let mut response = next.run(request).await;
    change(response.headers_mut(), &header::SET_COOKIE, |pair| {
        let id = pair.strip_prefix(COOKIE)?;
        // An empty one takes the cookie away.
        (!id.is_empty()).then(|| format!("{COOKIE}{id}.{route}"))
    });
    response
}

/// Changes the pairs of every line of a header; what is given back takes a pair's place.
fn change(
    headers: &mut HeaderMap,
    name: &header::HeaderName,
    pair: impl Fn(&str) -> Option<String>,
) {
    if let header::Entry::Occupied(mut lines) = headers.entry(name) {
        for line in lines.iter_mut() {
            let Ok(text) = line.to_str() else { continue };
            let pairs = text.split(';').map(str::trim);
            let changed: Vec<_> = pairs
                .map(|old| pair(old).unwrap_or_else(|| old.to_owned()))
                .collect();
            if let Ok(changed) = HeaderValue::try_from(changed.join("; ")) {
                *line = changed;
            }
        }
    }
}
