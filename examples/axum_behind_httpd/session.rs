//! Sessions in memory, named so that web servers send a visitor back to where they are.

use axum::http::{HeaderMap, header};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// When there are so many, the expired ones are dropped first.
const MOST: usize = 10_000;

/// All sessions of this instance.
#[derive(Clone)]
pub(crate) struct Sessions {
    route: Arc<str>,
    all: Arc<Mutex<HashMap<String, Session>>>,
}

struct Session {
    visits: u64,
    used: Instant,
}

/// A visit: the session's id, how many visits it had, and whether this is the first.
pub(crate) struct Visit {
    pub(crate) id: String,
    pub(crate) visits: u64,
    pub(crate) is_new: bool,
}

impl Sessions {
    /// `route` is what the web server calls this instance.
    pub(crate) fn new(route: &str) -> Self {
        Self {
            route: route.into(),
            all: Arc::default(),
        }
    }

    /// Counts a visit. Who has no session, or none of this instance, gets a new one; `None`
    /// when there are too many.
    pub(crate) fn visit(&self, headers: &HeaderMap) -> Option<Visit> {
        let now = Instant::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, session| now.duration_since(session.used) < LIFETIME);
        }
        let known = cookies(headers).find(|id| all.contains_key(*id));
        if let Some((id, session)) = known.and_then(|id| Some((id, all.get_mut(id)?))) {
            session.visits = session.visits.saturating_add(1);
            session.used = now;
            return Some(Visit {
                id: id.to_owned(),
                visits: session.visits,
                is_new: false,
            });
        }
        if all.len() >= MOST {
            return None;
        }
        let id = self.fresh_id()?;
        let session = Session {
            visits: 1,
            used: now,
        };
        all.insert(id.clone(), session);
        Some(Visit {
            id,
            visits: 1,
            is_new: true,
        })
    }

    /// 128 random bits, and the route behind a dot, as servlet containers do it.
    fn fresh_id(&self) -> Option<String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        let mut id = String::new();
        for byte in random {
            write!(id, "{byte:02X}").ok()?;
        }
        write!(id, ".{}", self.route).ok()?;
        Some(id)
    }
}

/// The values of every `JSESSIONID`.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("JSESSIONID="))
}
