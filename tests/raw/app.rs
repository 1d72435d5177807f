//! The application behind a [`Site`](super::site::Site).

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::any;
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, mpsc};

/// What the handlers share with the test.
pub(crate) struct App {
    calls: AtomicUsize,
    smuggled: AtomicUsize,
    /// `/gate` and `/hold` answer when they get a permit.
    pub(crate) gate: Semaphore,
    notes: mpsc::UnboundedSender<&'static str>,
}

impl App {
    pub(crate) fn new(notes: mpsc::UnboundedSender<&'static str>) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicUsize::new(0),
            smuggled: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            notes,
        })
    }

    /// Requests that reached a handler, except those for `/honest`.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Requests that nobody has sent.
    pub(crate) fn smuggled(&self) -> usize {
        self.smuggled.load(Ordering::SeqCst)
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    fn note(&self, text: &'static str) {
        // A test that is over listens no more.
        let _ = self.notes.send(text);
    }

    async fn pass_gate(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

/// Tells when the future that holds it is dropped or done.
struct AtEnd(Arc<App>, &'static str);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/honest", any(|| async { "honest" }))
        .route("/hello", any(hello))
        .route("/count", any(count))
        .route("/first", any(first))
        .route("/unread", any(unread))
        .route("/gate", any(gate))
        .route("/hold", any(hold))
        .route("/spawn", any(spawn))
        .route("/bytes/{n}", any(large))
        .fallback(smuggled)
        .with_state(Arc::clone(app))
}

async fn hello(State(app): State<Arc<App>>) -> &'static str {
    app.called();
    "Hello, AJP!"
}

async fn unread(State(app): State<Arc<App>>) -> &'static str {
    app.called();
    "unread"
}

async fn smuggled(State(app): State<Arc<App>>) {
    app.called();
    app.smuggled.fetch_add(1, Ordering::SeqCst);
}

async fn large(State(app): State<Arc<App>>, Path(n): Path<usize>) -> Bytes {
    app.called();
    vec![b'x'; n].into()
}

async fn count(State(app): State<Arc<App>>, body: Body) -> String {
    app.called();
    let _end = AtEnd(app, "count ended");
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    body.len().to_string()
}

/// Reads no further than the first piece.
async fn first(State(app): State<Arc<App>>, body: Body) -> &'static str {
    app.called();
    let first = body.into_data_stream().next().await;
    assert!(first.unwrap().is_ok());
    "first"
}

async fn gate(State(app): State<Arc<App>>) -> &'static str {
    app.called();
    app.note("gate reached");
    let end = AtEnd(app, "gate ended");
    end.0.pass_gate().await;
    "open"
}

/// Reads up to the first error and then keeps the body while it waits.
async fn hold(State(app): State<Arc<App>>, body: Body) -> &'static str {
    app.called();
    let mut body = body.into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
    app.note("body failed");
    app.pass_gate().await;
    drop(body);
    "held"
}

/// Reads in a task of its own, which outlives the handler.
async fn spawn(State(app): State<Arc<App>>, body: Body) -> &'static str {
    app.called();
    let end = AtEnd(Arc::clone(&app), "handler dropped");
    tokio::spawn(async move {
        let mut body = body.into_data_stream();
        while let Some(piece) = body.next().await {
            match piece {
                Ok(_) => app.note("data"),
                Err(error) => {
                    let gone = "the web server went away before the end of the request body";
                    assert_eq!(error.to_string(), gone);
                    app.note("body gone");
                    return;
                }
            }
        }
    });
    std::future::pending::<()>().await;
    drop(end);
    "never"
}
