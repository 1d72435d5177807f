//! A reused connection that dies under the next request (protocol chapter "exchange").

use crate::raw::backend::{Backend, Conn, Failure, config};
use crate::raw::packets::{head, response};
use ajp::client::{ErrorKind, Retry};
use ajp::proto::Progress;
use ajp::wire::{FLUSH, get_body_chunk};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::StreamBody;
use std::convert::Infallible;

/// Connections below `bad` answer one request and then do `act`; the others behave.
async fn dying<F>(bad: usize, act: impl Fn(Conn) -> F + Clone + Send + 'static) -> Backend
where
    F: Future<Output = ()> + Send + 'static,
{
    let backend = Backend::start(config(), move |number, mut conn| {
        let act = act.clone();
        async move {
            if number >= bad {
                return conn.serve_well().await;
            }
            if number == 0 {
                conn.request().await.unwrap();
                conn.write(&response("first", 1)).await;
            }
            act(conn).await;
        }
    })
    .await;
    backend.well("first").await;
    assert_eq!(backend.idle(), 1);
    backend
}

/// Reads the request and closes.
async fn take_and_close(mut conn: Conn) {
    conn.payload().await;
}

fn gone(failure: &Failure) {
    assert!(
        matches!(
            failure.kind,
            ErrorKind::Closed | ErrorKind::Read | ErrorKind::Write
        ),
        "{failure:?}"
    );
}

/// A request whose body has this much to give and does not announce how much.
async fn unknown_length(
    backend: &Backend,
    method: Method,
    data: Option<&'static str>,
) -> Result<(u16, String), Failure> {
    use futures_util::StreamExt;
    let frames = futures_util::stream::iter(
        data.map(|data| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(data)))),
    );
    let body = StreamBody::new(frames.chain(futures_util::stream::empty()));
    let request = Request::builder().method(method).uri("/second").body(body);
    backend.send(request.unwrap()).await
}

#[tokio::test]
async fn an_idempotent_request_is_sent_again_once() {
    let backend = dying(1, Conn::reset).await;
    backend.well("second").await;
    assert_eq!(backend.accepted(), 2);
    assert_eq!(backend.idle(), 1);

    let backend = dying(1, take_and_close).await;
    backend.well("second").await;
    assert_eq!(backend.accepted(), 2);

    // The fresh connection dies too: no third attempt.
    let backend = dying(2, take_and_close).await;
    let failure = backend.get("second").await.unwrap_err();
    gone(&failure);
    assert_eq!(failure.progress, Progress::RequestSent);
    assert_eq!(failure.retry, Retry::IfIdempotent);
    assert_eq!(backend.accepted(), 2);
    assert_eq!(backend.idle(), 0);
    backend.well("third").await;
}

#[tokio::test]
async fn a_body_that_was_consumed_is_never_sent_again() {
    for method in [Method::POST, Method::PUT] {
        let backend = dying(1, |mut conn: Conn| async move {
            conn.payload().await;
            conn.payload().await;
        })
        .await;
        let body = http_body_util::Full::new(Bytes::from_static(b"body"));
        let request = Request::builder().method(method).uri("/second").body(body);
        let failure = backend.send(request.unwrap()).await.unwrap_err();
        gone(&failure);
        assert_eq!(failure.progress, Progress::BodySent);
        assert_eq!(failure.retry, Retry::Never);
        assert_eq!(backend.accepted(), 1);
        assert_eq!(backend.idle(), 0);
        backend.well("third").await;
    }
}

#[tokio::test]
async fn a_body_that_was_not_touched_leaves_it_to_the_method() {
    let backend = dying(1, take_and_close).await;
    let failure = unknown_length(&backend, Method::POST, Some("body"))
        .await
        .unwrap_err();
    gone(&failure);
    assert_eq!(failure.progress, Progress::RequestSent);
    assert_eq!(failure.retry, Retry::IfIdempotent);
    assert_eq!(backend.accepted(), 1);
    backend.well("third").await;

    let backend = dying(1, take_and_close).await;
    let answer = unknown_length(&backend, Method::PUT, Some("body")).await;
    assert_eq!(answer, Ok((200, "second".into())));
    assert_eq!(backend.accepted(), 2);
}

/// "No response byte was received" is the condition: the container was alive and at work.
#[tokio::test]
async fn a_container_that_had_begun_to_answer_is_not_asked_again() {
    for bytes in [
        vec![0x41],
        FLUSH.to_vec(),
        get_body_chunk(8186).to_vec(),
        head(200, &[])[..9].to_vec(),
        head(200, &[]),
    ] {
        let begun = bytes.clone();
        let backend = dying(1, move |mut conn| {
            let bytes = begun.clone();
            async move {
                conn.request().await;
                conn.write(&bytes).await;
            }
        })
        .await;
        let failure = backend.get("second").await.unwrap_err();
        gone(&failure);
        assert_eq!(backend.accepted(), 1, "{bytes:?}");
        assert_eq!(backend.idle(), 0);
        backend.well("third").await;
    }
}

/// Wrong answers and silence are no sign of a stale connection.
#[tokio::test]
async fn a_wrong_answer_is_not_a_stale_connection() {
    let backend = dying(1, |mut conn| async move {
        conn.request().await;
        conn.write(b"garbage").await;
        conn.poison().await;
    })
    .await;
    let failure = backend.get("second").await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert_eq!(failure.retry, Retry::IfIdempotent);
    assert_eq!(backend.accepted(), 1);
    assert_eq!(backend.idle(), 0);
    backend.well("third").await;
}
