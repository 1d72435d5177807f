//! When a process is asked to end.

/// Completes when the process is asked to end: by Ctrl-C, and on Unix by SIGTERM, which is what
/// systemd, Docker and Kubernetes send.
///
/// The signals are caught from the first poll on. A second one does nothing more: how long the
/// end may take is limited by [`Serve::with_drain_limit`](super::Serve::with_drain_limit).
///
/// ```no_run
/// # async fn example(listener: tokio::net::TcpListener, app: axum::Router) {
/// use ajp::server::{serve, shutdown_signal};
/// serve(listener, app)
///     .trusted_network()
///     .with_graceful_shutdown(shutdown_signal())
///     .await;
/// # }
/// ```
///
/// # Panics
/// Outside of a tokio runtime whose IO is enabled.
pub async fn shutdown_signal() {
    // Without a handler the signal ends the process by itself, at once.
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = ctrl_c => {}
        () = terminate => {}
    }
}
