//! Containers that fall silent. The limits are real ones, shortened.

use crate::raw::backend::{Backend, config, limits};
use crate::raw::packets::{chunk, head, response};
use ajp::client::{ErrorKind, Retry};
use ajp::proto::Progress;
use bytes::Bytes;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

async fn silent_after(bytes: Vec<u8>, config: ajp::client::PoolConfig) -> Backend {
    Backend::start(config, move |number, mut conn| {
        let bytes = bytes.clone();
        async move {
            if number > 0 {
                return conn.serve_well().await;
            }
            conn.request().await.unwrap();
            conn.write(&bytes).await;
            conn.silent().await;
        }
    })
    .await
}

#[tokio::test]
async fn no_answer_at_all() {
    for bytes in [vec![], vec![0x41, 0x42, 0]] {
        let config = config().with_timeouts(limits().with_response_head(SHORT));
        let backend = silent_after(bytes, config).await;
        let failure = backend.get("first").await.unwrap_err();
        assert_eq!(failure.kind, ErrorKind::ResponseHeadTimeout);
        assert_eq!(failure.progress, Progress::RequestSent);
        assert_eq!(failure.retry, Retry::IfIdempotent);
        assert_eq!(backend.idle(), 0);
        backend.well("second").await;
    }
}

#[tokio::test]
async fn no_answer_to_a_body() {
    let config = config().with_timeouts(limits().with_response_head(SHORT));
    let backend = silent_after(vec![], config).await;
    let failure = backend
        .post("first", Bytes::from_static(b"body"))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, ErrorKind::ResponseHeadTimeout);
    assert_eq!(failure.progress, Progress::BodySent);
    assert_eq!(failure.retry, Retry::Never);
    assert_eq!(backend.idle(), 0);
    backend.well("second").await;
}

#[tokio::test]
async fn silence_in_the_middle_of_a_response() {
    let begun = [head(200, &[("content-length", "10")]), chunk(b"one")].concat();
    let unknown_length = [head(200, &[]), chunk(b"one")].concat();
    let packet = [begun.clone(), vec![0x41]].concat();
    for bytes in [begun, unknown_length, packet] {
        let config = config().with_timeouts(limits().with_between_packets(SHORT));
        let backend = silent_after(bytes, config).await;
        let failure = backend.get("first").await.unwrap_err();
        assert_eq!(failure.kind, ErrorKind::BetweenPacketsTimeout);
        assert_eq!(failure.progress, Progress::Responding);
        assert_eq!(failure.retry, Retry::Never);
        assert_eq!(backend.idle(), 0);
        backend.well("second").await;
    }
}

/// A response of which all has come is one, however long the container then says nothing.
#[tokio::test]
async fn silence_after_all_that_was_promised() {
    let body = [head(200, &[("content-length", "3")]), chunk(b"one")].concat();
    for (bytes, status, text) in [
        (body, 200, "one"),
        (head(204, &[]), 204, ""),
        (head(202, &[("content-length", "0")]), 202, ""),
    ] {
        let config = config().with_timeouts(limits().with_between_packets(SHORT));
        let backend = silent_after(bytes, config).await;
        assert_eq!(backend.get("first").await, Ok((status, text.into())));
        assert_eq!(backend.idle(), 0);
        backend.well("second").await;
    }
}

#[tokio::test]
async fn a_container_that_takes_nothing() {
    let config = config().with_timeouts(limits().with_write(SHORT));
    let backend = Backend::start(config, |number, mut conn| async move {
        if number > 0 {
            return conn.serve_well().await;
        }
        conn.request().await.unwrap();
        // Asks for more and more, and reads nothing: this must be an error of either
        // kind, never a queue that grows.
        for _ in 0..100_000 {
            conn.write(&ajp::wire::get_body_chunk(8186)).await;
        }
        std::future::pending::<()>().await;
    })
    .await;
    let failure = backend
        .post("first", Bytes::from(vec![0; 100_000_000]))
        .await
        .unwrap_err();
    assert!(
        matches!(failure.kind, ErrorKind::WriteTimeout | ErrorKind::Protocol),
        "{failure:?}"
    );
    assert_eq!(failure.progress, Progress::BodySent);
    assert_eq!(failure.retry, Retry::Never);
    assert_eq!(backend.idle(), 0);
    backend.well("second").await;
}

/// The limit is for silence, not for the whole response.
#[tokio::test]
async fn a_slow_container_is_waited_for() {
    let config = config().with_timeouts(
        limits()
            .with_between_packets(SHORT * 5)
            .with_response_head(SHORT * 5),
    );
    let backend = Backend::start(config, |_, mut conn| async move {
        while conn.request().await.is_some() {
            let whole = response("first", 1);
            for packet in [&whole[..25], &whole[25..26], &whole[26..]] {
                tokio::time::sleep(SHORT).await;
                conn.write(packet).await;
            }
        }
    })
    .await;
    backend.well("first").await;
    assert_eq!(backend.idle(), 1);
}
