//! What a server of the tool says about connections that ended badly.

use crate::exit::chain;
use crate::ui;
use ajp::server::ServerError;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From one line about peers that do not speak AJP to the next.
const PAUSE: Duration = Duration::from_secs(10);

/// A line for each error, but for browsers, TLS clients and health checks that come to the AJP
/// port: those come again and again, and are told of now and then.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// For `on_error` of a server.
    pub(crate) fn tell(&self, peer: &dyn Debug, error: &ServerError) {
        if let Some(line) = self.line(Instant::now(), peer, error) {
            ui::error(&line);
        }
    }

    fn line(&self, now: Instant, peer: &dyn Debug, error: &ServerError) -> Option<String> {
        let mut line = format!("{peer:?}: {}", chain(error));
        if matches!(error, ServerError::OtherProtocol(_)) {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state
                .last
                .is_some_and(|last| now.saturating_duration_since(last) < PAUSE)
            {
                state.unsaid = state.unsaid.saturating_add(1);
                return None;
            }
            state.last = Some(now);
            let unsaid = std::mem::take(&mut state.unsaid);
            if unsaid > 0 {
                line = format!("{line} ({unsaid} more before it)");
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ajp::wire::OtherProtocol;

    #[test]
    fn what_is_no_ajp_is_told_now_and_then() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let http = ServerError::OtherProtocol(OtherProtocol::Http);
        let told = |seconds, error| {
            let now = start + Duration::from_secs(seconds);
            complaints.line(now, &"peer", error)
        };
        let first = told(0, &http).unwrap();
        assert!(
            first.starts_with("\"peer\": this is HTTP, not AJP"),
            "{first}"
        );
        assert_eq!((told(1, &http), told(9, &http)), (None, None));
        // Everything else is told each time.
        let other = ServerError::Closed("a packet");
        assert!(told(9, &other).is_some() && told(9, &other).is_some());
        let later = told(11, &http).unwrap();
        assert!(later.ends_with("(2 more before it)"), "{later}");
        assert!(told(30, &http).unwrap().ends_with("on this port"));
    }
}
