//! Callbacks of the user's that panic: the connection they are about ends, the server goes on.

use crate::hall::{App, Queue, open, settle};
use crate::raw::packets::{refusal, request};
use ajp::server::{ListenerExt, ServerError, serve, serve_with};
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::ServiceExt as _;

fn odd_one(peer: &str) -> bool {
    assert_ne!(peer, "odd", "on purpose");
    true
}

/// What reached `on_error`.
type Errors = Arc<Mutex<Vec<String>>>;

fn sink(errors: &Errors) -> impl Fn(&&'static str, &ServerError) + Send + Sync + 'static {
    let errors = Arc::clone(errors);
    move |peer, error| errors.lock().unwrap().push(format!("{peer}: {error:?}"))
}

/// Peers are served before, while and after one of them makes the callback panic.
async fn outlives(
    run: impl FnOnce(Queue, Errors) -> Pin<Box<dyn Future<Output = ()> + Send>>,
    expected: &str,
) {
    let errors = Errors::default();
    let (door, queue) = Queue::new();
    let server = tokio::spawn(run(queue, Arc::clone(&errors)));
    let mut before = door.connect_as("before");
    before.probe().await;
    let mut odd = door.connect_as("odd");
    assert_eq!(odd.rest().await.0, b"", "{expected}");
    before.probe().await;
    let mut after = door.connect_as("after");
    after.send(&request("GET", "/after", &[])).await;
    assert_eq!(after.answer().await.body, "/after");
    assert!(!server.is_finished());
    assert_eq!(*errors.lock().unwrap().join("\n"), *expected);
}

#[tokio::test(start_paused = true)]
async fn a_filter_of_peers() {
    let run = |queue: Queue, errors: Errors| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let server = serve(queue, App::echo_path()).with_config(open());
        let server = server.with_peers(|peer| odd_one(peer));
        Box::pin(server.on_error(sink(&errors)))
    };
    outlives(run, "odd: CallbackPanicked(\"with_peers\")").await;
}

#[tokio::test(start_paused = true)]
async fn a_maker_of_services() {
    let run = |queue: Queue, errors: Errors| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let make = |peer: &&'static str| {
            odd_one(peer);
            App::echo_path()
        };
        let server = serve_with(queue, make).with_config(open());
        Box::pin(server.on_error(sink(&errors)))
    };
    outlives(run, "odd: CallbackPanicked(\"serve_with\")").await;
}

#[tokio::test(start_paused = true)]
async fn a_tap() {
    let run = |queue: Queue, errors: Errors| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut count = 0;
        let queue = queue.tap_io(move |_| {
            count += 1;
            assert_ne!(count, 2, "on purpose");
        });
        let server = serve(queue, App::echo_path()).with_config(open());
        Box::pin(server.on_error(sink(&errors)))
    };
    // There was no connection yet that could have ended.
    outlives(run, "").await;
}

/// Once in the accept loop, once in a connection's task.
#[tokio::test(start_paused = true)]
async fn an_error_hook() {
    let run = |queue: Queue, errors: Errors| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let server = serve(queue, App::echo_path()).with_config(open());
        let server = server.with_peers(|peer| *peer != "odd");
        Box::pin(server.on_error(move |peer, _| {
            errors.lock().unwrap().push((*peer).to_owned());
            panic!("on purpose");
        }))
    };
    outlives(run, "odd").await;

    let (door, queue) = Queue::new();
    let server = serve(queue, App::echo_path()).with_config(open().with_max_connections(1));
    let server = tokio::spawn(server.on_error(|_, _| panic!("on purpose")));
    for _ in 0..3 {
        // Its slot is free again.
        let mut guest = door.connect_as("guest");
        guest.send(&[0x12, 0x34, 0, 1, 7]).await;
        assert_eq!(guest.rest().await.0, b"");
        settle().await;
    }
    assert!(!server.is_finished());
}

/// A body that panics wherever it is asked to.
struct Odd(&'static str);

impl Odd {
    fn at(&self, place: &str) {
        assert_ne!(self.0, place, "on purpose");
    }
}

impl Body for Odd {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.at("frame");
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.at("end");
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.at("hint");
        SizeHint::default()
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.at("drop");
        }
    }
}

/// Whatever of a body panics: before the head it is a 500, after it a truncated response; never
/// a bare close of a connection that waits for an answer.
#[tokio::test(start_paused = true)]
async fn every_method_of_a_response_body() {
    let errors = Errors::default();
    let (door, queue) = Queue::new();
    let app = tower::service_fn(
        |request: http::Request<ajp::server::RequestBody>| async move {
            let place = match request.uri().path() {
                "/hint" => "hint",
                "/end" => "end",
                "/frame" => "frame",
                "/drop" => "drop",
                _ => "nowhere",
            };
            Ok::<_, String>(Response::new(Odd(place)))
        },
    );
    let app = app.map_response(|response| response);
    let server = serve(queue, app)
        .with_config(open())
        .on_error(sink(&errors));
    let server = tokio::spawn(server);
    for place in ["/hint", "/end", "/frame", "/drop"] {
        let mut guest = door.connect_as("guest");
        guest.send(&request("GET", place, &[])).await;
        let (answer, _) = guest.rest().await;
        if place == "/hint" {
            assert_eq!(answer, refusal(500, "the application failed"));
        } else {
            let head = crate::raw::packets::answers(&answer);
            assert_eq!((head[0].status, head[0].reuse), (200, None), "{place}");
        }
        drop(guest);
        settle().await;
        let seen = std::mem::take(&mut *errors.lock().unwrap());
        assert_eq!(seen, ["guest: Panicked"], "{place}");
    }
    assert!(!server.is_finished());
}
