//! Connections that begin with a handshake: each in a task of its own, within its limit.

use crate::hall::{App, Door, Guest, Queue, open, settle};
use crate::raw::packets::request;
use ajp::server::{Accepted, Listener, Monitor, ServerError, ServerTimeouts, serve};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// A connection that begins with the word "hello".
struct Greeted(DuplexStream);

impl Accepted for Greeted {
    type Stream = DuplexStream;

    async fn handshake(mut self) -> io::Result<DuplexStream> {
        let mut word = [0; 5];
        self.0.read_exact(&mut word).await?;
        if &word == b"hello" {
            Ok(self.0)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

struct Polite(Queue);

impl Listener for Polite {
    type Io = Greeted;
    type Peer = &'static str;

    async fn accept(&mut self) -> (Greeted, &'static str) {
        let (stream, peer) = self.0.accept().await;
        (Greeted(stream), peer)
    }
}

struct Server {
    door: Door,
    monitor: Monitor,
    errors: Arc<Mutex<Vec<String>>>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn server() -> Server {
    let (door, queue) = Queue::new();
    let (stop, stopped) = oneshot::channel();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&errors);
    let limits = ServerTimeouts::default().with_handshake(Duration::from_secs(3));
    let server = serve(Polite(queue), App::echo_path())
        .with_config(open().with_timeouts(limits))
        .on_error(move |peer, error| {
            let text = match error {
                ServerError::Handshake(error) => format!("{peer}: {:?}", error.kind()),
                other => format!("{peer}: {other}"),
            };
            sink.lock().unwrap().push(text);
        })
        .with_graceful_shutdown(async {
            let _ = stopped.await;
        });
    Server {
        door,
        monitor: server.monitor(),
        errors,
        stop,
        task: tokio::spawn(server),
    }
}

async fn served(guest: &mut Guest, path: &str) {
    guest.send(&request("GET", path, &[])).await;
    assert_eq!(guest.answer().await.body, path);
}

#[tokio::test(start_paused = true)]
async fn a_slow_handshake_holds_up_nobody() {
    let server = server();
    let start = Instant::now();
    let mut slow = server.door.connect_as("slow");
    slow.send(b"hel").await;
    for _ in 0..3 {
        let mut quick = server.door.connect_as("quick");
        quick.send(b"hello").await;
        served(&mut quick, "/quick").await;
        drop(quick);
        settle().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(2)).await;
    // It was not lost when other connections ended.
    slow.send(b"lo").await;
    served(&mut slow, "/slow").await;
    assert_eq!(*server.errors.lock().unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_fails_or_takes_too_long_ends_its_connection_only() {
    let server = server();
    let mut honest = server.door.connect_as("honest");
    honest.send(b"hello").await;
    served(&mut honest, "/1").await;
    let mut silent = server.door.connect_as("silent");
    let mut rude = server.door.connect_as("rude");
    rude.send(b"HELLO").await;
    assert_eq!(rude.rest().await, (Vec::new(), Duration::ZERO));
    let (answer, took) = silent.rest().await;
    assert_eq!(answer, b"");
    assert!(
        (3000..3010).contains(&took.as_millis()),
        "the limit of the handshake: {took:?}"
    );
    served(&mut honest, "/2").await;
    assert_eq!(
        *server.errors.lock().unwrap(),
        ["rude: InvalidData", "silent: the handshake took too long"]
    );
    let stats = server.monitor.stats();
    assert_eq!((stats.failed_handshakes, stats.errors), (2, 2));
    assert_eq!((stats.accepted, stats.open), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_meets_the_shutdown_signal_is_served() {
    let server = server();
    let mut late = server.door.connect_as("late");
    late.send(b"hel").await;
    settle().await;
    server.stop.send(()).unwrap();
    sleep(Duration::from_secs(1)).await;
    late.send(b"lo").await;
    late.send(&request("GET", "/late", &[])).await;
    let answer = late.answer().await;
    assert_eq!((&*answer.body, answer.reuse), (&b"/late"[..], Some(false)));
    drop(late);
    server.task.await.unwrap();
    assert_eq!(*server.errors.lock().unwrap(), [""; 0]);
}

/// A listener that does more than one step in `accept` is not called off between them when a
/// connection ends.
struct InTwoSteps(Queue);

impl Listener for InTwoSteps {
    type Io = DuplexStream;
    type Peer = &'static str;

    async fn accept(&mut self) -> (DuplexStream, &'static str) {
        let accepted = self.0.accept().await;
        sleep(Duration::from_millis(200)).await;
        accepted
    }
}

#[tokio::test(start_paused = true)]
async fn accept_goes_on_while_connections_end() {
    let (door, queue) = Queue::new();
    tokio::spawn(serve(InTwoSteps(queue), App::echo_path()).with_config(open()));
    let mut one = door.connect_as("one");
    one.probe().await;
    let mut two = door.connect_as("two");
    sleep(Duration::from_millis(50)).await;
    drop(one);
    two.probe().await;
}
