//! What happens to a connection while it waits in the pool, and to probes.

use crate::raw::backend::{Backend, Conn, config, limits};
use crate::raw::packets::{response, string};
use crate::raw::soon;
use ajp::client::{Address, CPingMode, Client, Pool, PoolConfig};
use ajp::wire::{CPING, CPONG, FLUSH};
use bytes::Bytes;
use std::future::Future;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The first connection answers one request; when the test says so, `act` happens to it.
/// Afterwards the client must not use it again, and must not show any of this.
async fn while_idle<F>(act: impl Fn(Conn) -> F + Copy + Send + 'static)
where
    F: Future<Output = Option<Conn>> + Send + 'static,
{
    for post in [false, true] {
        let (go, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let signals = (Arc::clone(&go), Arc::clone(&done));
        let backend = Backend::start(config(), move |number, mut conn| {
            let (go, done) = signals.clone();
            async move {
                if number > 0 {
                    return conn.serve_well().await;
                }
                conn.request().await.unwrap();
                conn.write(&response("first", 1)).await;
                go.acquire().await.unwrap().forget();
                let kept = act(conn).await;
                done.add_permits(1);
                if let Some(conn) = kept {
                    conn.poison().await;
                }
            }
        })
        .await;
        backend.well("first").await;
        assert_eq!(backend.idle(), 1);
        go.add_permits(1);
        soon("the act", done.acquire()).await.unwrap().forget();
        if post {
            // Nothing of this may be sent twice, so nothing may be lost.
            let body = Bytes::from_static(b"body");
            assert_eq!(
                backend.post("second", body).await,
                Ok((200, "second".into()))
            );
        } else {
            backend.well("second").await;
        }
        assert_eq!(backend.accepted(), 2);
        let stats = backend.client.pool().stats();
        assert_eq!((stats.created, stats.reused, stats.closed), (2, 0, 1));
        backend.well("third").await;
        assert_eq!(backend.accepted(), 2);
    }
}

#[tokio::test]
async fn closed() {
    while_idle(|_| async { None }).await;
}

#[tokio::test]
async fn one_stray_byte() {
    while_idle(|mut conn| async {
        conn.write(&[0x41]).await;
        Some(conn)
    })
    .await;
}

#[tokio::test]
async fn a_stray_flush() {
    while_idle(|mut conn| async {
        conn.write(&FLUSH).await;
        Some(conn)
    })
    .await;
}

/// The answer to nobody must not become the answer to the next.
#[tokio::test]
async fn a_second_answer() {
    while_idle(|mut conn| async {
        conn.write(&response("foreign", 1)).await;
        Some(conn)
    })
    .await;
}

/// The same when the runtime was too busy to look at its sockets in between: what tokio
/// knows of a socket is not what the kernel knows.
#[tokio::test]
async fn what_the_runtime_has_not_noticed_yet() {
    for foreign in [response("foreign", 1), vec![0x41], vec![]] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go, going) = mpsc::channel();
        let (done, finished) = mpsc::channel();
        let container = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            let (mut first, _) = listener.accept().unwrap();
            assert!(first.read(&mut bytes).unwrap() > 0);
            first.write_all(&response("first", 1)).unwrap();
            going.recv().unwrap();
            first.write_all(&foreign).unwrap();
            if foreign.is_empty() {
                first.shutdown(Shutdown::Both).unwrap();
            }
            done.send(()).unwrap();
            let (mut second, _) = listener.accept().unwrap();
            assert!(second.read(&mut bytes).unwrap() > 0);
            second.write_all(&response("second", 1)).unwrap();
            // The client has given up the first connection without a word, and keeps this one.
            assert_eq!(first.read(&mut bytes).unwrap_or(0), 0);
            assert_eq!(second.read(&mut bytes).unwrap(), 0);
        });
        let client = Client::for_own_requests(Pool::new(Address::from(address), config()));
        let backend = Backend::around(client);
        backend.well("first").await;
        assert_eq!(backend.idle(), 1);
        go.send(()).unwrap();
        // Blocks the one thread of the runtime on purpose.
        finished.recv().unwrap();
        let body = Bytes::from_static(b"body");
        let answer = backend.post("second", body).await;
        assert_eq!(answer, Ok((200, "second".into())));
        assert_eq!(backend.idle(), 1);
        drop(backend);
        container.join().unwrap();
    }
}

/// Connections that fail the probe are replaced, and the request does not notice.
#[tokio::test]
async fn probes_that_fail() {
    let whole_head = [&[4, 0, 200, 0xff, 0xff, 0, 0][..], &string("")].concat();
    let answers: [Vec<u8>; 7] = [
        vec![],
        vec![0x41, 0x42, 0],
        CPONG.repeat(2),
        [&CPONG[..], &[0x41]].concat(),
        response("poison", 1),
        FLUSH.to_vec(),
        [vec![0x41, 0x42, 0, 8], whole_head].concat(),
    ];
    for answer in answers {
        let backend = probing(Duration::from_millis(100), move |mut conn| {
            let answer = answer.clone();
            async move {
                conn.write(&answer).await;
                conn.poison().await;
            }
        })
        .await;
        backend.well("first").await;
        backend.well("second").await;
        assert_eq!(backend.accepted(), 2);
        assert_eq!(backend.idle(), 1);
    }
    // Closed instead of an answer.
    let backend = probing(Duration::from_secs(5), |_| async {}).await;
    backend.well("first").await;
    backend.well("second").await;
    assert_eq!(backend.accepted(), 2);
}

/// Every connection is probed before reuse; the first does what `act` says.
async fn probing<F>(limit: Duration, act: impl Fn(Conn) -> F + Send + Clone + 'static) -> Backend
where
    F: Future<Output = ()> + Send + 'static,
{
    let config: PoolConfig = config()
        .with_cping(CPingMode::idle_longer_than(Duration::ZERO))
        .with_timeouts(limits().with_cping(limit));
    Backend::start(config, move |number, mut conn| {
        let act = act.clone();
        async move {
            if number > 0 {
                return conn.serve_well().await;
            }
            conn.request().await.unwrap();
            conn.write(&response("first", 1)).await;
            assert_eq!(conn.payload().await.unwrap(), CPING[4..]);
            act(conn).await;
        }
    })
    .await
}

/// A failed probe of a new connection is an error of the probe, not of a request.
#[tokio::test]
async fn a_ping_that_fails() {
    use ajp::client::{ErrorKind, Retry};
    use ajp::proto::Progress;
    let limits = limits().with_cping(Duration::from_millis(100));
    let cases: [(Vec<u8>, ErrorKind); 3] = [
        (vec![], ErrorKind::CPingTimeout),
        (CPONG.repeat(2), ErrorKind::CPing),
        (response("poison", 1), ErrorKind::CPing),
    ];
    for (answer, kind) in cases {
        let backend = Backend::start(config().with_timeouts(limits), move |number, mut conn| {
            let answer = answer.clone();
            async move {
                if number > 0 {
                    return conn.serve_well().await;
                }
                conn.payload().await;
                conn.write(&answer).await;
                conn.poison().await;
            }
        })
        .await;
        let error = backend.client.pool().ping().await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(
            (error.progress(), error.retry()),
            (Progress::NotSent, Retry::Safe)
        );
        assert_eq!(backend.idle(), 0);
        backend.well("second").await;
    }
}
