//! A container of this crate, with an application that is quick or slow, reads the body or
//! does not, and breaks off now and then.

use super::ledger::{Ledger, expected_body};
use super::network::Incoming;
use super::random::Random;
use ajp::Secret;
use ajp::server::{RequestBody, ServerConfig, Trust, serve};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What its application is like.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) name: String,
    /// One in so many requests is not served well.
    pub(crate) badness: Option<usize>,
    /// Body packets that the server asks for at a time.
    pub(crate) asks_ahead: u16,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) random: Arc<Mutex<Random>>,
}

impl Application {
    fn one_in(&self, n: usize) -> bool {
        self.random.lock().unwrap().one_in(n)
    }

    fn below(&self, n: usize) -> usize {
        self.random.lock().unwrap().below(n)
    }

    /// Up to so many milliseconds.
    async fn pause(&self, most: usize) {
        let time = Duration::from_millis(self.below(most) as u64);
        sleep(time).await;
    }

    fn is_bad_now(&self) -> bool {
        self.badness.is_some_and(|one_in| self.one_in(one_in))
    }

    async fn answer(self, request: Request<RequestBody>) -> Result<Response<Body>, Infallible> {
        let (parts, mut body) = request.into_parts();
        let token = parts.uri.path().rsplit('/').next().unwrap().to_owned();
        // A client of several secrets asks for nothing, to learn which one is taken.
        if token == "health" || parts.method == Method::OPTIONS {
            return Ok(Response::new(nothing()));
        }
        if !self.ledger.note(&token) {
            self.ledger.broke(format!("nobody has sent {parts:?}"));
            return Ok(Response::new(nothing()));
        }
        let bad = self.is_bad_now();
        if bad && self.one_in(3) {
            self.pause(20_000).await;
        }
        let reads = !bad || self.one_in(2);
        let mut upload = Vec::new();
        while let Some(frame) = if reads { body.frame().await } else { None } {
            let Ok(Ok(data)) = frame.map(Frame::into_data) else {
                // The web server has gone; nobody hears the answer.
                return Ok(Response::builder().status(400).body(nothing()).unwrap());
            };
            upload.extend_from_slice(&data);
        }
        if reads {
            let method = parts.method.as_str().as_bytes();
            self.ledger.check_upload(&token, method, &upload);
        }
        self.pause(30).await;
        let content = expected_body(&token);
        let mut response = Response::builder()
            .header("x-token", &token)
            .header("x-host", &self.name);
        if content.len() % 2 == 0 {
            response = response.header("content-length", content.len());
        }
        let body = if parts.method == Method::HEAD {
            nothing()
        } else {
            self.pieces(content.into(), bad)
        };
        Ok(response.body(body).unwrap())
    }

    /// A body in pieces of any size, with pauses. One that is bad may end in an error.
    fn pieces(&self, whole: Bytes, bad: bool) -> Body {
        let breaks_at = bad.then(|| self.below(whole.len() + 1));
        let parts = stream::unfold((self.clone(), whole), move |(app, mut rest)| async move {
            if breaks_at.is_some_and(|at| rest.len() <= at) {
                let error = io::Error::other("the application has failed");
                return Some((Err(error), (app, Bytes::new())));
            }
            if rest.is_empty() {
                return None;
            }
            let most = rest.len().min(1 + app.below(40_000));
            let part = rest.split_to(most);
            if app.one_in(2) {
                app.pause(20).await;
            }
            Some((Ok(Frame::data(part)), (app, rest)))
        });
        // An error is the end.
        let mut failed = false;
        let parts = futures_util::StreamExt::take_while(parts, move |part| {
            let go_on = !failed;
            failed = part.is_err();
            std::future::ready(go_on)
        });
        StreamBody::new(parts).boxed_unsync()
    }
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A server that runs until it is told to stop; then it drains.
pub(crate) fn start(
    incoming: Incoming,
    application: Application,
    secrets: Vec<Secret>,
) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    let config = ServerConfig::new(Trust::Secrets(secrets))
        .with_body_requests(application.asks_ahead)
        .with_max_requests(50);
    let service = tower::service_fn(move |request| application.clone().answer(request));
    let server = serve(incoming, service)
        .with_config(config)
        .with_drain_limit(Duration::from_secs(5))
        .with_graceful_shutdown(async move {
            // A sender that is dropped says the same.
            let _ = stopped.await;
        });
    tokio::spawn(server);
    stop
}
