//! What the container sends is there for the reader at the moment it was sent: the clock is
//! paused, so any wait shows.

use crate::raw::backend::config;
use crate::raw::packets::{chunk, head};
use ajp::client::{Client, Connect, Connecting, Pool, ResponseBody, Transport};
use ajp::server::{Listener, RequestBody, ServerConfig, Trust, serve};
use ajp::wire::{END_RESPONSE_REUSE, FLUSH};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, StreamBody};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Hands the other end of every connection on.
struct InMemory(mpsc::UnboundedSender<DuplexStream>);

impl Connect for InMemory {
    fn connect(&self) -> Connecting<'_> {
        let (ours, theirs) = tokio::io::duplex(65536);
        self.0.send(theirs).unwrap();
        Box::pin(async { Ok(Transport::new(ours)) })
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

/// A client, and a container that sends these packets, each after a pause in milliseconds.
fn sending(packets: Vec<(u64, Vec<u8>)>) -> Client {
    let (opened, mut accepted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut stream: DuplexStream = accepted.recv().await.unwrap();
        let _ = stream.read(&mut [0; 8192]).await.unwrap();
        for (pause, packet) in packets {
            sleep(Duration::from_millis(pause)).await;
            stream.write_all(&packet).await.unwrap();
        }
        let _ = stream.read(&mut [0; 8192]).await;
    });
    Client::for_own_requests(Pool::new(InMemory(opened), config()))
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("/events").body(Empty::new()).unwrap()
}

/// When the head came, and each piece of the body and its end, in milliseconds.
async fn times<B>(client: &Client, request: Request<B>) -> (u128, Vec<(u128, String)>, u128)
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let start = Instant::now();
    let now = || start.elapsed().as_millis();
    let response: Response<ResponseBody> = client.send(request).await.unwrap();
    let head = now();
    let mut body = response.into_body();
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        pieces.push((now(), String::from_utf8(data.to_vec()).unwrap()));
    }
    (head, pieces, now())
}

fn events() -> Vec<(u64, Vec<u8>)> {
    let mut packets = vec![
        (5000, head(200, &[("content-type", "text/event-stream")])),
        (0, FLUSH.to_vec()),
    ];
    for event in ["one", "two", "three"] {
        packets.push((10_000, chunk(event.as_bytes())));
        packets.push((0, FLUSH.to_vec()));
    }
    packets.push((1000, END_RESPONSE_REUSE.to_vec()));
    packets
}

fn expected() -> (u128, Vec<(u128, String)>, u128) {
    let events = [(15_000, "one"), (25_000, "two"), (35_000, "three")];
    let events = events.map(|(time, event)| (time, event.to_owned()));
    (5000, events.into(), 36_000)
}

#[tokio::test(start_paused = true)]
async fn events_are_read_when_they_are_sent() {
    let client = sending(events());
    assert_eq!(times(&client, get()).await, expected());
    assert_eq!(client.pool().stats().idle, 1);
    // Without asking to flush, too.
    let mut packets = events();
    packets.retain(|(_, packet)| packet[..] != FLUSH);
    assert_eq!(times(&sending(packets), get()).await, expected());
}

/// A request body that is not there yet does not hold up the response.
#[tokio::test(start_paused = true)]
async fn an_upload_that_waits_does_not_hold_up_events() {
    for length in [None, Some("10")] {
        let frames = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let mut request = Request::post("/").body(StreamBody::new(frames)).unwrap();
        if let Some(length) = length {
            let length = length.parse().unwrap();
            request.headers_mut().insert("content-length", length);
        }
        assert_eq!(times(&sending(events()), request).await, expected());
    }
}

/// The last byte of an announced length waits a moment for the end behind it, so that the
/// connection can be reused; a flush ends that wait.
#[tokio::test(start_paused = true)]
async fn the_last_announced_byte_is_not_held_after_a_flush() {
    for (flushed, shown) in [(true, 0), (false, 50)] {
        let mut packets = vec![
            (0, head(200, &[("content-length", "3")])),
            (0, chunk(b"one")),
        ];
        if flushed {
            packets.push((0, FLUSH.to_vec()));
        }
        packets.push((10_000, END_RESPONSE_REUSE.to_vec()));
        let client = sending(packets);
        let (head, pieces, end) = times(&client, get()).await;
        assert_eq!(
            (head, pieces, end),
            (0, vec![(shown, "one".into())], 10_000)
        );
        assert_eq!(client.pool().stats().idle, 1);
    }
}

struct Accepting(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Accepting {
    type Io = DuplexStream;
    type Peer = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }
}

/// The same from our own container: each event leaves when the application yields it.
#[tokio::test(start_paused = true)]
async fn events_of_our_own_container() {
    let (opened, accepted) = mpsc::unbounded_channel();
    let app = tower::service_fn(|_: Request<RequestBody>| async {
        sleep(Duration::from_secs(5)).await;
        let events = futures_util::stream::iter(["one", "two", "three"]).then(|event| async move {
            sleep(Duration::from_secs(10)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from(event)))
        });
        let end = futures_util::stream::once(async { sleep(Duration::from_secs(1)).await });
        let events = events.chain(end.filter_map(|()| std::future::ready(None)));
        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(events))))
    });
    let server =
        serve(Accepting(accepted), app).with_config(ServerConfig::new(Trust::TrustedNetwork));
    tokio::spawn(server.into_future());
    let client = Client::for_own_requests(Pool::new(InMemory(opened), config()));
    for _ in 0..2 {
        assert_eq!(times(&client, get()).await, expected());
    }
    assert_eq!(client.pool().stats().created, 1);
}
