//! A browser with a session, which knows when its session was lost.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::support::http1::{Body, Client};

/// Nobody waits for an answer for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// How a visitor tells its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Cookie,
    /// `;jsessionid=` at the end of the path.
    Path,
}

/// One browser with one connection.
pub struct Visitor {
    client: Client,
    by: By,
    session: Option<String>,
    count: u64,
    /// The node that answered last.
    pub node: String,
}

/// What was wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It was none of the application.
    Status(u16),
    /// It came in part, or not at all.
    Broken,
    /// It was of another session, or of an older state of this one.
    SessionLost(String),
}

/// How far the session's count went; more than one when a request was counted that was never
/// answered.
pub type Steps = u64;

impl Visitor {
    /// One that has no session yet.
    pub fn new(front: SocketAddr, by: By) -> Self {
        Self {
            client: Client::new(front),
            by,
            session: None,
            count: 0,
            node: String::new(),
        }
    }

    /// One whose session was begun by somebody else, and has counted so far.
    pub fn that_has(front: SocketAddr, session: &str, count: u64) -> Self {
        Self {
            session: Some(session.to_owned()),
            count,
            ..Self::new(front, By::Cookie)
        }
    }

    /// One that has a session.
    pub async fn with_session(front: SocketAddr, by: By) -> Self {
        let mut visitor = Self::new(front, by);
        visitor.get("/cart/").await.unwrap();
        visitor
    }

    pub async fn get(&mut self, target: &str) -> Result<Steps, Wrong> {
        self.send("GET", target, Body::None).await
    }

    pub async fn send(&mut self, method: &str, target: &str, body: Body) -> Result<Steps, Wrong> {
        let session = self.session.as_deref();
        let cookie = session.map(|id| format!("theme=dark; JSESSIONID={id}"));
        let cookie = cookie.filter(|_| self.by == By::Cookie);
        let headers: Vec<_> = cookie.iter().map(|value| ("Cookie", &**value)).collect();
        let target = match (self.by, session, target.split_once('?')) {
            (By::Path, Some(id), None) => format!("{target};jsessionid={id}"),
            (By::Path, Some(id), Some((path, query))) => format!("{path};jsessionid={id}?{query}"),
            _ => target.to_owned(),
        };
        let answer = self.client.try_request(method, &target, &headers, body);
        let answer = timeout(LIMIT, answer).await.map_err(|_| Wrong::Broken)?;
        let answer = answer.map_err(|_| Wrong::Broken)?;
        if answer.status != 200 {
            return Err(Wrong::Status(answer.status.as_u16()));
        }
        if answer.body.is_err() {
            return Err(Wrong::Broken);
        }
        let seen = answer.json();
        if let Some(cookie) = answer.header("set-cookie") {
            let (id, path) = cookie.split_once("; ").unwrap();
            assert!(path.starts_with("Path=/cart;"), "{cookie}");
            let id = id.strip_prefix("JSESSIONID=").unwrap();
            self.adopt(id)?;
        }
        assert_eq!(seen["id"].as_str(), self.session.as_deref());
        let count = seen["count"].as_u64().unwrap();
        let before = std::mem::replace(&mut self.count, count);
        seen["node"].as_str().unwrap().clone_into(&mut self.node);
        let steps = count.checked_sub(before).filter(|steps| *steps > 0);
        steps.ok_or_else(|| Wrong::SessionLost(format!("count {count} after {before}")))
    }

    /// The same session may get another route; another session is a lost one.
    fn adopt(&mut self, id: &str) -> Result<(), Wrong> {
        let plain = |id: &str| id.split('.').next().map(str::to_owned);
        let before = self.session.replace(id.to_owned());
        match before {
            Some(before) if plain(&before) != plain(id) => {
                self.count = 0;
                Err(Wrong::SessionLost(format!("{id} after {before}")))
            }
            _ => Ok(()),
        }
    }
}

/// Begins sessions over some connections at once. How many each node got.
pub async fn new_sessions(front: SocketAddr, count: usize) -> Shares {
    const CONNECTIONS: usize = 5;
    assert_eq!(count % CONNECTIONS, 0);
    let visitors = (0..CONNECTIONS).map(|_| {
        tokio::spawn(async move {
            let mut shares = Shares::default();
            let mut visitor = Visitor::new(front, By::Cookie);
            for _ in 0..count / CONNECTIONS {
                visitor.session = None;
                visitor.count = 0;
                match visitor.get("/cart/").await {
                    Ok(_) => *shares.nodes.entry(visitor.node.clone()).or_default() += 1,
                    Err(wrong) => shares.wrong.push(wrong),
                }
            }
            shares
        })
    });
    let mut all = Shares::default();
    for visitor in visitors.collect::<Vec<_>>() {
        let shares = visitor.await.unwrap();
        for (node, count) in shares.nodes {
            *all.nodes.entry(node).or_default() += count;
        }
        all.wrong.extend(shares.wrong);
    }
    all
}

/// Who got how many sessions.
#[derive(Debug, Default)]
pub struct Shares {
    nodes: BTreeMap<String, usize>,
    pub wrong: Vec<Wrong>,
}

impl Shares {
    pub fn of(&self, node: &str) -> usize {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    /// Whether these nodes got all of them, and all were begun.
    pub fn all_on(&self, nodes: &[&str]) -> bool {
        let others = self.nodes.keys().any(|node| !nodes.contains(&&**node));
        self.wrong.is_empty() && !others
    }
}

impl std::fmt::Display for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = super::ROUTES.map(|node| self.of(node).to_string());
        f.write_str(&each.join(" : "))?;
        if !self.wrong.is_empty() {
            write!(f, ", {} failed", self.wrong.len())?;
        }
        Ok(())
    }
}
