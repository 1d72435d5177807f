//! What the container sends is there for the reader at the moment it was sent: the clock is
//! paused, so any wait shows.

use crate::raw::backend::config;
use crate::raw::packets::{chunk, head};
use ajp::client::{Client, Connect, Connecting, Pool, RequestTimeouts, ResponseBody, Transport};
use ajp::server::{Listener, RequestBody, ServerConfig, Trust, serve};
use ajp::wire::{END_RESPONSE_REUSE, FLUSH};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response};
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
/// connection can be reused; a flush ends that wait. The response is over when the moment is.
#[tokio::test(start_paused = true)]
async fn the_last_announced_byte_is_not_held_for_long() {
    for (flushed, end_after, shown, over, idle) in [
        (true, 30, 0, 30, 1),
        (false, 30, 30, 30, 1),
        (true, 10_000, 0, 50, 0),
        (false, 10_000, 50, 50, 0),
    ] {
        let mut packets = vec![
            (0, head(200, &[("content-length", "3")])),
            (0, chunk(b"one")),
        ];
        if flushed {
            packets.push((0, FLUSH.to_vec()));
        }
        packets.push((end_after, END_RESPONSE_REUSE.to_vec()));
        let client = sending(packets);
        let (head, pieces, end) = times(&client, get()).await;
        let expected = (0, vec![(shown, "one".into())], over);
        assert_eq!((head, pieces, end), expected);
        assert_eq!(client.pool().stats().idle, idle);
    }
}

/// The application has answered, and goes on with other work: its answer is delivered.
#[tokio::test(start_paused = true)]
async fn a_head_without_a_body_is_not_held_for_long() {
    let event_stream = head(200, &[("content-type", "text/event-stream")]);
    let empty = |status| head(status, &[("content-length", "0")]);
    for (method, packet, is_whole) in [
        (Method::GET, event_stream.clone(), false),
        (Method::HEAD, event_stream, true),
        (Method::GET, empty(202), true),
        (Method::GET, empty(302), true),
        (Method::DELETE, head(204, &[]), true),
        (Method::GET, head(304, &[]), true),
    ] {
        for (end_after, within) in [(30, 30), (3000, 50)] {
            let packets = vec![
                (0, packet.clone()),
                (0, FLUSH.to_vec()),
                (end_after, END_RESPONSE_REUSE.to_vec()),
            ];
            let client = sending(packets);
            // Shorter than the application goes on: no error either.
            let short = RequestTimeouts::new().with_between_packets(Duration::from_secs(1));
            let request = Request::builder().method(&method).uri("/").extension(short);
            let start = Instant::now();
            let response = client.send(request.body(Empty::<Bytes>::new()).unwrap());
            let response = response.await.unwrap();
            let expected = if is_whole { within } else { 0 };
            assert_eq!(start.elapsed().as_millis(), expected, "{method}");
            assert_eq!(response.body().is_end_stream(), is_whole, "{method}");
            if is_whole {
                let body = response.into_body().collect().await.unwrap();
                assert!(body.to_bytes().is_empty());
                assert_eq!(client.pool().stats().idle, usize::from(end_after == 30));
            }
        }
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
