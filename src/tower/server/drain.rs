//! Sending visitors without a session away while a container is drained, as Tomcat's
//! `LoadBalancerDrainingValve` does.

use crate::mapping::request_claims::RequestClaims;
use crate::mapping::site_path::on_site;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tower_service::Service;

type Check = Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// A `tower::Layer` for a container behind a balancer: while it is drained, who has no session
/// in it is redirected to the same address, so that the balancer picks another container, and
/// whoever has one is served to its end. It is drained
///
/// - when the web server says so of a request: `mod_jk` and the gateway send the attribute
///   `JK_LB_ACTIVATION` with `DIS` or `STP` for a member that they drain, but go on sending it the
///   requests of those whose session cookie names it, although the session may be long gone;
/// - when [`DrainSwitch`] is on, before a deployment for example. A balancer that has not been
///   told may then send a visitor here more than once.
///
/// The redirect is a 307, so method and body are kept, and takes the session cookie away, by
/// whose route the visitor would come back.
///
/// ```
/// use ajp::server::DrainLayer;
/// # fn example(app: axum::Router) -> axum::Router {
/// let layer = DrainLayer::new("JSESSIONID", "jvm1");
/// let switch = layer.switch();
/// let app = app.layer(layer);
/// // Later, and until the last session is gone:
/// switch.set(true);
/// # app
/// # }
/// ```
///
/// Its answer has an empty body, so the body type of the responses must have a default, as
/// axum's has.
#[derive(Clone)]
pub struct DrainLayer {
    cookie: Arc<str>,
    path: Arc<str>,
    has_session: Check,
    switch: DrainSwitch,
}

/// Turns draining on and off, whatever the web server says. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct DrainSwitch(Arc<AtomicBool>);

impl DrainSwitch {
    /// Whether visitors without a session are sent away.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl DrainLayer {
    /// For sessions in this cookie, whose ids end in a dot and this route, as those of servlet
    /// containers do. Who has such a cookie has a session, until
    /// [`with_session_check`](Self::with_session_check) knows better.
    #[must_use]
    pub fn new(cookie: &str, route: &str) -> Self {
        let name: Arc<str> = cookie.into();
        let (known, ending) = (Arc::clone(&name), format!(".{route}"));
        Self {
            cookie: name,
            path: "/".into(),
            has_session: Arc::new(move |headers| {
                values(headers, &known).any(|id| id.ends_with(&ending))
            }),
            switch: DrainSwitch::default(),
        }
    }

    /// Whether a request with these headers has a session that is still alive; for example by
    /// a look into the session store's memory. Called for every request while draining.
    #[must_use]
    pub fn with_session_check(
        mut self,
        check: impl Fn(&HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.has_session = Arc::new(check);
        self
    }

    /// Path of the session cookie, which must be known to take it away. Default `/`.
    #[must_use]
    pub fn with_cookie_path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// The switch of this layer and of all services made by it.
    #[must_use]
    pub fn switch(&self) -> DrainSwitch {
        self.switch.clone()
    }

    /// The redirect for a request that is not to be served here.
    fn away<Q, B: Default>(&self, request: &Request<Q>) -> Option<Response<B>> {
        let claims = request.extensions().get::<RequestClaims>();
        let activation = claims.and_then(RequestClaims::activation);
        let told = matches!(activation.as_deref(), Some("DIS" | "STP"));
        if !(told || self.switch.is_on()) || (self.has_session)(request.headers()) {
            return None;
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        let headers = response.headers_mut();
        headers.insert(LOCATION, without_parameters(request.uri(), &self.cookie)?);
        if values(request.headers(), &self.cookie).next().is_some() {
            let gone = format!("{}=; Path={}; Max-Age=0", self.cookie, self.path);
            headers.append(SET_COOKIE, HeaderValue::try_from(gone).ok()?);
        }
        Some(response)
    }
}

impl fmt::Debug for DrainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer")
            .field("cookie", &self.cookie)
            .field("switch", &self.switch)
            .finish_non_exhaustive()
    }
}

/// The values of every cookie of this name.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(known, _)| known.trim() == name)
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// Path and query, without a session id in the path, which leads here as the cookie does.
fn without_parameters(uri: &Uri, cookie: &str) -> Option<HeaderValue> {
    let mut target = String::new();
    let path = uri.path().trim_start_matches('/');
    for part in path.split(';') {
        let is_session = part
            .split_once('=')
            .is_some_and(|(name, _)| name.eq_ignore_ascii_case(cookie));
        if target.is_empty() {
            target = format!("/{part}");
        } else if is_session {
            // What follows the parameter's value is the rest of the path.
            let (_, rest) = part.split_once('/').unwrap_or((part, ""));
            if !rest.is_empty() {
                target = format!("{target}/{rest}");
            }
        } else {
            target = format!("{target};{part}");
        }
    }
    // Only now: a path that begins with two slashes, or gets them because a parameter between
    // them is taken out, names another host.
    let mut target = on_site(&target).into_owned();
    if let Some(query) = uri.query() {
        target = format!("{target}?{query}");
    }
    HeaderValue::try_from(target).ok()
}

impl<S> tower_layer::Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of [`DrainLayer`].
#[derive(Debug, Clone)]
pub struct Drain<S> {
    inner: S,
    layer: DrainLayer,
}

impl<S, Q, B> Service<Request<Q>> for Drain<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        match self.layer.away(&request) {
            Some(response) => DrainFuture::Away {
                response: Some(response),
            },
            None => DrainFuture::Served {
                future: self.inner.call(request),
            },
        }
    }
}

pin_project! {
    /// The future of [`Drain`].
    #[project = Projected]
    #[derive(Debug)]
    #[allow(missing_docs, clippy::exhaustive_enums, reason = "private in all but form")]
    #[doc(hidden)]
    pub enum DrainFuture<F, B> {
        Served {
            #[pin]
            future: F,
        },
        Away {
            response: Option<Response<B>>,
        },
    }
}

impl<F, B, E> Future for DrainFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Served { future } => Poll::Ready(ready!(future.poll(cx))),
            Projected::Away { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_without_its_session_id() {
        for (uri, expected) in [
            ("/", "/"),
            ("/a?b=c", "/a?b=c"),
            ("/a;jsessionid=1.jvm1", "/a"),
            ("/a;v=1;JSESSIONID=1.jvm1/b;w=2?q", "/a;v=1/b;w=2?q"),
            ("//evil.example/a", "/evil.example/a"),
            ("/;JSESSIONID=x/evil.example/p", "/evil.example/p"),
            ("/;JSESSIONID=x//evil.example?q", "/evil.example?q"),
            ("/;JSESSIONID=x/;JSESSIONID=y/evil.example", "/evil.example"),
            ("/\\evil.example/", "/evil.example/"),
            ("/;jsessionid=x/\\evil.example", "/evil.example"),
            ("/a/;JSESSIONID=x/b", "/a//b"),
        ] {
            let uri: Uri = uri
                .parse()
                .unwrap_or_else(|_| Uri::builder().path_and_query(uri).build().unwrap());
            let target = without_parameters(&uri, "JSESSIONID").unwrap();
            assert_eq!(target, expected, "{uri}");
        }
    }

    #[test]
    fn cookies_by_name() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; JSESSIONID=x.jvm1", "XJSESSIONID=y; JSESSIONID=\"z\""] {
            headers.append(COOKIE, line.parse().unwrap());
        }
        let found: Vec<_> = values(&headers, "JSESSIONID").collect();
        assert_eq!(found, ["x.jvm1", "z"]);
    }
}
