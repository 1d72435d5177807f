//! A pool that several runtimes share: each uses its own connections, and the limits hold
//! for all of them together.

use crate::memory::get;
use crate::raw::backend::{Backend, config, token};
use crate::raw::packets::{head, response};
use ajp::client::{Blame, CloseCause, ErrorKind, Pool, PoolConfig};
use http_body_util::BodyExt;
use std::sync::{Arc, Barrier};
use tokio::runtime::{Builder, Runtime};

pub(crate) fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The runtime of a container, with a thread of its own.
fn home() -> Runtime {
    let mut home = Builder::new_multi_thread();
    home.worker_threads(1).enable_all().build().unwrap()
}

/// The runtime of a container that answers well, and the container.
fn container(config: PoolConfig) -> (Runtime, Backend) {
    let home = home();
    let start = Backend::start(config, |_, conn| conn.serve_well());
    let backend = home.block_on(start);
    (home, backend)
}

/// As [`container`], but of its answer to the token `long` nothing comes behind the head.
pub(crate) fn stopping_container(config: PoolConfig) -> (Runtime, Backend) {
    let home = home();
    let backend = home.block_on(Backend::start(config, |_, mut conn| async move {
        while let Some(request) = conn.request().await {
            if token(&request) == "long" {
                conn.write(&head(200, &[])).await;
                return conn.silent().await;
            }
            conn.write(&response(&token(&request), 1)).await;
        }
    }));
    (home, backend)
}

/// Connections opened, reused, idle.
fn counts(pool: &Pool) -> (u64, u64, usize) {
    let stats = pool.stats();
    assert_eq!(stats.failed, 0, "{stats:?}");
    (stats.created, stats.reused, stats.idle)
}

#[test]
fn a_connection_is_used_in_its_runtime_alone() {
    let (_home, backend) = container(config().with_max_connections(2));
    let pool = backend.client.pool();
    let (first, second) = (single(), single());
    first.block_on(backend.well("1"));
    // Nothing drives the first runtime now: its connection could not be waited for.
    second.block_on(backend.well("2"));
    assert_eq!(counts(pool), (2, 0, 2));
    first.block_on(backend.well("3"));
    first.block_on(backend.well("4"));
    second.block_on(backend.well("5"));
    assert_eq!(counts(pool), (2, 3, 2));
    drop(first);
    second.block_on(backend.well("6"));
    assert_eq!(counts(pool), (2, 4, 2));

    // The oldest makes room: that of the runtime which has ended.
    let third = single();
    third.block_on(backend.well("7"));
    assert_eq!(counts(pool), (3, 4, 2));
    assert_eq!(pool.stats().closed_by(CloseCause::Surplus), 1);
    second.block_on(backend.well("8"));
    third.block_on(backend.well("9"));
    assert_eq!(counts(pool), (3, 6, 2));
}

/// The connection cannot be waited for any more, and the container has no part in that.
#[test]
fn a_response_whose_runtime_has_ended_is_not_the_containers_failure() {
    let (_home, backend) = stopping_container(config().with_max_connections(1));
    let (first, second) = (single(), single());
    let response = first.block_on(backend.client.send(get("long"))).unwrap();
    drop(first);
    let error = second.block_on(response.into_body().collect()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RuntimeShutDown, "{error:?}");
    assert_eq!(error.blame(), Blame::WebServer);
    assert_eq!(error.suggested_status(), 503);
    // Its place is free, and others get on.
    second.block_on(backend.well("2"));
    let stats = backend.client.pool().stats();
    assert_eq!(stats.failed_with(ErrorKind::RuntimeShutDown), 1);
    assert_eq!(stats.closed_by(CloseCause::Broken), 1);
}

#[test]
fn runtimes_on_threads_share_the_limit() {
    const THREADS: usize = 3;
    let (_home, backend) = container(config().with_max_connections(THREADS));
    let (backend, together) = (Arc::new(backend), Arc::new(Barrier::new(THREADS)));
    let threads = (0..THREADS).map(|thread| {
        let (backend, together) = (Arc::clone(&backend), Arc::clone(&together));
        std::thread::spawn(move || {
            let runtime = single();
            let lease = runtime.block_on(backend.client.pool().acquire()).unwrap();
            // Each holds one of its own.
            together.wait();
            drop(lease);
            for n in 0..100 {
                runtime.block_on(backend.well(&format!("{thread}-{n}")));
            }
            // No runtime ends while another may still wait for its connection.
            together.wait();
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    let stats = backend.client.pool().stats();
    assert_eq!((stats.completed, stats.failed), (300, 0), "{stats:?}");
    assert!(
        stats.idle <= THREADS && backend.accepted() >= 2 * THREADS,
        "{stats:?}"
    );
    assert_eq!(stats.created, stats.idle as u64 + stats.closed, "{stats:?}");
}
