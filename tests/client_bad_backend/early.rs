//! Answers that come before the request body was taken (protocol chapter "reuse").

use crate::raw::backend::{Backend, config, token};
use crate::raw::packets::{chunk, head, response};
use ajp::client::ErrorKind;
use ajp::proto::ProtocolError;
use ajp::wire::{END_RESPONSE_REUSE, get_body_chunk};
use bytes::Bytes;
use http::Request;
use http_body_util::StreamBody;
use std::convert::Infallible;

fn too_large() -> Vec<u8> {
    [
        head(413, &[("content-length", "3")]),
        chunk(b"413"),
        END_RESPONSE_REUSE.to_vec(),
    ]
    .concat()
}

fn megabyte() -> Bytes {
    Bytes::from(vec![b'm'; 1_000_000])
}

fn expected() -> (u16, String) {
    (413, "413".into())
}

/// The packet that was owed is on its way: nothing is outstanding, the connection is clean.
#[tokio::test]
async fn the_eager_packet_was_sent() {
    for swallow_first in [true, false] {
        let backend = Backend::start(config(), move |_, mut conn| async move {
            let request = conn.request().await.unwrap();
            assert_eq!(request.framing().length(), Some(1_000_000));
            if swallow_first {
                assert_eq!(conn.payload().await.unwrap().len(), 8188);
            }
            conn.write(&too_large()).await;
            if !swallow_first {
                assert_eq!(conn.payload().await.unwrap().len(), 8188);
            }
            conn.serve_well().await;
        })
        .await;
        assert_eq!(backend.post("first", megabyte()).await, Ok(expected()));
        assert_eq!(backend.idle(), 1);
        backend.well("second").await;
        assert_eq!(backend.accepted(), 1);
    }
}

/// The owed packet was not sent, and nobody can know whether the container waits for it.
#[tokio::test]
async fn the_eager_packet_was_not_sent() {
    let backend = Backend::answering_head(too_large()).await;
    let frames = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
    let request = Request::post("/first")
        .header("content-length", "1000000")
        .body(StreamBody::new(frames))
        .unwrap();
    assert_eq!(backend.send(request).await, Ok(expected()));
    assert_eq!(backend.idle(), 0);
    backend.well("second").await;
    assert_eq!(backend.accepted(), 2);
}

/// The same with Get Body Chunk: asked, not answered, ended.
#[tokio::test]
async fn an_ask_was_not_answered() {
    let bytes = [get_body_chunk(8186).to_vec(), too_large()].concat();
    let backend = Backend::answering_head(bytes).await;
    let frames = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
    let request = Request::post("/first")
        .body(StreamBody::new(frames))
        .unwrap();
    assert_eq!(backend.send(request).await, Ok(expected()));
    assert_eq!(backend.idle(), 0);
    backend.well("second").await;
    assert_eq!(backend.accepted(), 2);
}

/// A close behind the answer, with the body unread, is a reset: the answer still arrives.
#[tokio::test]
async fn a_close_right_after_the_answer() {
    for _ in 0..50 {
        let backend = Backend::start(config(), |number, mut conn| async move {
            if number > 0 {
                return conn.serve_well().await;
            }
            let _ = conn.stream.peek(&mut [0]).await;
            conn.write(&too_large()).await;
        })
        .await;
        assert_eq!(backend.post("first", megabyte()).await, Ok(expected()));
        backend.well("second").await;
    }
}

const ASK: [u8; 7] = get_body_chunk(8186);

/// A container that asks ahead as far as it may, and then once too often.
#[tokio::test]
async fn packets_that_are_asked_for_ahead() {
    let config = config().with_body_requests(4);
    let backend = Backend::start(config, |number, mut conn| async move {
        let request = conn.request().await.unwrap();
        assert_eq!(conn.payload().await.unwrap().len(), 8188, "the eager one");
        if number == 1 {
            conn.write(&ASK.repeat(5)).await;
            return conn.silent().await;
        }
        for _ in 0..2 {
            conn.write(&ASK.repeat(4)).await;
            for _ in 0..4 {
                assert_eq!(conn.payload().await.unwrap().len(), 8188);
            }
        }
        conn.write(&ASK).await;
        assert_eq!(conn.payload().await.unwrap().len(), 2 + 100);
        conn.write(&response(&token(&request), 1)).await;
        let request = conn.request().await.unwrap();
        conn.payload().await.unwrap();
        conn.write(&response(&token(&request), 0)).await;
    })
    .await;
    let body = Bytes::from(vec![b'm'; 9 * 8186 + 100]);
    assert_eq!(
        backend.post("first", body.clone()).await,
        Ok((200, "first".into()))
    );
    assert_eq!(backend.idle(), 1);
    assert_eq!(
        backend.post("second", body.clone()).await,
        Ok((200, "second".into()))
    );
    let failure = backend.post("third", body).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert_eq!(failure.cause, ProtocolError::BodyRequestedTwice.to_string());
    assert_eq!(backend.accepted(), 2);
}
