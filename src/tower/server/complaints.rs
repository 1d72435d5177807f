//! Events about peers that do not speak AJP. A browser or a health check that was pointed at
//! the AJP port comes again and again, so the log hears of it now and then only.

#[cfg(not(feature = "tracing"))]
pub(super) use off::Complaints;
#[cfg(feature = "tracing")]
pub(super) use on::Complaints;

#[cfg(feature = "tracing")]
mod on {
    use crate::server::ServerError;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;
    use tokio::time::Instant;
    use tracing::{Level, event};

    /// From one event to the next.
    const PAUSE: Duration = Duration::from_secs(60);

    /// What one server has said about such peers.
    #[derive(Default)]
    pub(in super::super) struct Complaints(Mutex<State>);

    #[derive(Default)]
    struct State {
        last: Option<Instant>,
        /// How many there were since then.
        unsaid: u64,
    }

    impl Complaints {
        /// An event if that is what the error is about, at most one a minute.
        pub(in super::super) fn other_protocol(&self, error: &ServerError) {
            if !matches!(error, ServerError::OtherProtocol(_)) {
                return;
            }
            if let Some(unsaid) = self.due() {
                event!(Level::WARN, unsaid, "on the AJP port: {error}");
            }
        }

        /// How many were left out since the last time, if it is time for the next.
        fn due(&self) -> Option<u64> {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.last.is_some_and(|last| last.elapsed() < PAUSE) {
                state.unsaid += 1;
                return None;
            }
            state.last = Some(Instant::now());
            Some(std::mem::take(&mut state.unsaid))
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::server::ServerError;

    #[derive(Default)]
    pub(in super::super) struct Complaints;

    #[allow(clippy::unused_self, reason = "the same call as with events")]
    impl Complaints {
        pub(in super::super) fn other_protocol(&self, _: &ServerError) {}
    }
}
