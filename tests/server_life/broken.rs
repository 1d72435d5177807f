//! Streams that fail, and callers that give up.

use crate::hall::{App, Guest};
use crate::raw::packets::{refusal, request};
use ajp::Secret;
use ajp::server::{Connection, Refusal, ServerConfig, ServerError, Trust, serve_connection};
use ajp::wire::SendHeadersWriter;
use bytes::{Bytes, BytesMut};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Can be read, and takes nothing.
struct Deaf(io::Cursor<Vec<u8>>);

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

fn secret() -> Arc<ServerConfig> {
    let secret = Secret::new("s3cr3t").unwrap();
    Arc::new(ServerConfig::new(Trust::Secrets(vec![secret])))
}

fn open() -> Arc<ServerConfig> {
    Arc::new(ServerConfig::new(Trust::TrustedNetwork))
}

async fn served(config: Arc<ServerConfig>, bytes: Vec<u8>, app: App) -> ServerError {
    let io = Deaf(io::Cursor::new(bytes));
    let ended = serve_connection(io, app, config, std::future::pending()).await;
    ended.unwrap_err()
}

/// What the connection ended for, not that the answer about it could not be sent.
#[tokio::test]
async fn the_reason_is_not_lost_with_the_answer() {
    let get = request("GET", "/", &[]);
    let error = served(secret(), get.clone(), App::echo_path()).await;
    assert!(
        matches!(error, ServerError::Refused(Refusal::Secret)),
        "{error:?}"
    );
    let malformed = b"\x12\x34\0\x02\x02\x02".to_vec();
    let error = served(open(), malformed, App::echo_path()).await;
    assert!(matches!(error, ServerError::BadRequest(_)), "{error:?}");
    let failing = App::new(|_| async { Err("no database".into()) });
    let error = served(open(), get.clone(), failing).await;
    assert!(matches!(error, ServerError::Application(_)), "{error:?}");
    // Without another reason it is the stream that failed.
    let error = served(open(), get, App::echo_path()).await;
    assert!(matches!(error, ServerError::Io(_)), "{error:?}");
}

/// `next_request` may be dropped at any time, in the middle of an answer too.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_continued_by_the_next_call() {
    let (ours, theirs) = tokio::io::duplex(5);
    let mut connection = Connection::new(theirs, secret());
    let mut guest = Guest::over(ours);
    let answer = tokio::spawn(async move {
        guest.send(&request("GET", "/", &[])).await;
        guest.rest().await.0
    });
    let mut calls = 0;
    let error = loop {
        calls += 1;
        let mut next = pin!(connection.next_request());
        let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        match polled {
            Poll::Ready(ended) => break ended.unwrap_err(),
            Poll::Pending => tokio::task::yield_now().await,
        }
    };
    assert!(calls > 20, "{calls}");
    assert!(
        matches!(error, ServerError::Refused(Refusal::Secret)),
        "{error:?}"
    );
    drop(connection);
    assert_eq!(
        answer.await.unwrap(),
        refusal(403, "secret missing or wrong")
    );
}

/// A peer that neither reads nor closes does not hold the connection for ever.
#[tokio::test(start_paused = true)]
async fn a_refusal_nobody_reads_is_given_up() {
    let start = tokio::time::Instant::now();
    let get = request("GET", "/", &[]);
    // Holds the request and not the whole answer.
    let (mut ours, theirs) = tokio::io::duplex(get.len());
    tokio::io::AsyncWriteExt::write_all(&mut ours, &get)
        .await
        .unwrap();
    let ended = serve_connection(theirs, App::echo_path(), secret(), std::future::pending()).await;
    assert!(matches!(
        ended.unwrap_err(),
        ServerError::Refused(Refusal::Secret)
    ));
    let took = start.elapsed().as_secs();
    assert!(
        (30..=33).contains(&took),
        "the write limit and the linger: {took}"
    );
}

/// For those who serve a connection themselves.
#[tokio::test(start_paused = true)]
async fn a_connection_tells_what_it_has_moved_and_what_waits() {
    let get = request("GET", "/", &[]);
    let received = u64::try_from(get.len()).unwrap();
    let (ours, theirs) = tokio::io::duplex(1000);
    let config = ServerConfig::new(Trust::TrustedNetwork).with_high_water(100);
    let mut connection = Connection::new(theirs, Arc::new(config));
    let mut guest = Guest::over(ours);
    guest.send(&get).await;
    connection.next_request().await.unwrap().unwrap();
    assert_eq!(connection.traffic(), (received, 0));
    assert!(!connection.is_backed_up());
    let head = |buffer: &mut BytesMut, size| {
        SendHeadersWriter::new(buffer, size, 200)?.finish();
        Ok(None)
    };
    connection.send_headers(200, head).unwrap();
    assert!(!connection.is_backed_up());
    connection.send_data(Bytes::from(vec![b'd'; 200])).unwrap();
    assert!(connection.is_backed_up());
    assert!(connection.finish(true).await.unwrap());
    assert!(!connection.is_backed_up());
    let (again, sent) = connection.traffic();
    // Head, data and end: a packet each.
    assert_eq!(
        (again, sent),
        (received, (4 + 10) + (4 + 4 + 200) + (4 + 2))
    );
}
