//! How the frames of a response body are packed: full packets, and nothing waits for them.

use crate::raw::packets::{next_answer, request};
use ajp::server::{RequestBody, ServerConfig, Trust, serve_connection};
use ajp::wire::ToWebServer;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

/// A frame: after so many milliseconds so many bytes, or an error.
type Given = (u64, Result<usize, &'static str>);

/// When each packet of the body came, in milliseconds, and how much data it has; and whether
/// there was an end. The bytes count on from 0.
async fn packets(frames: &'static [Given]) -> (Vec<(u128, usize)>, bool) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let service = tower::service_fn(move |_: Request<RequestBody>| async move {
        let mut from = 0usize;
        let given = stream::iter(frames).then(move |&(pause, frame)| {
            let data = frame.map(|len| {
                let bytes: Bytes = (from..from + len).map(|n| n.to_le_bytes()[0]).collect();
                from += len;
                Frame::data(bytes)
            });
            async move {
                if pause > 0 {
                    sleep(Duration::from_millis(pause)).await;
                }
                data
            }
        });
        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(given))))
    });
    let config = Arc::new(ServerConfig::new(Trust::TrustedNetwork));
    let never = std::future::pending();
    let served = tokio::spawn(serve_connection(theirs, service, config, never));
    ours.write_all(&request("GET", "/", &[("host", "a")]))
        .await
        .unwrap();
    let start = Instant::now();
    let (mut buffer, mut seen, mut total) = (BytesMut::new(), Vec::new(), 0usize);
    loop {
        match next_answer(&mut buffer) {
            Some(ToWebServer::SendBodyChunk(data)) => {
                let right = data
                    .iter()
                    .zip(total..)
                    .all(|(b, n)| *b == n.to_le_bytes()[0]);
                assert!(right, "from byte {total} on");
                total += data.len();
                seen.push((start.elapsed().as_millis(), data.len()));
            }
            Some(ToWebServer::EndResponse { .. }) => return (seen, true),
            Some(_) => {}
            None => {
                if ours.read_buf(&mut buffer).await.unwrap() == 0 {
                    assert!(served.await.unwrap().is_err());
                    return (seen, false);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_ready_fill_packets() {
    let all = packets(&[(0, Ok(8192)); 5]).await;
    let expected = vec![
        (0, 8184),
        (0, 8184),
        (0, 8184),
        (0, 8184),
        (0, 8184),
        (0, 40),
    ];
    assert_eq!(all, (expected, true));
    let small = packets(&[(0, Ok(1000)); 20]).await;
    assert_eq!(small, (vec![(0, 8184), (0, 8184), (0, 3632)], true));
    let tiny = packets(&[(0, Ok(1)); 100]).await;
    assert_eq!(tiny, (vec![(0, 32), (0, 32), (0, 32), (0, 4)], true));
    let exact = packets(&[(0, Ok(8000)), (0, Ok(184)), (0, Ok(16_368))]).await;
    assert_eq!(exact, (vec![(0, 8184); 3], true));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_does_not_wait_for_what_is_not() {
    let (seen, ended) = packets(&[
        (0, Ok(100)),
        (0, Ok(200)),
        (50, Ok(300)),
        (50, Ok(9000)),
        (0, Ok(0)),
        (50, Ok(7)),
    ])
    .await;
    let data: Vec<_> = seen.into_iter().filter(|&(_, len)| len > 0).collect();
    assert_eq!(
        data,
        [(0, 300), (50, 300), (100, 8184), (100, 816), (150, 7)]
    );
    assert!(ended);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_failure_is_sent_and_no_end() {
    let (seen, ended) = packets(&[(0, Ok(100)), (0, Ok(50)), (0, Err("broken"))]).await;
    assert_eq!((seen, ended), (vec![(0, 150)], false));
}
