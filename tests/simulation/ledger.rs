//! What containers have seen, kept for those who sent it.

use super::network::Link;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What the containers of a world have seen.
#[derive(Default)]
pub(crate) struct Ledger {
    /// How often each request was begun to be served.
    served: Mutex<HashMap<String, u32>>,
    /// Of which requests a whole head left before the container closed, and over what.
    heads: Mutex<HashMap<String, Arc<Link>>>,
    /// The first promise that a container saw broken: a panic in its task would be lost.
    broken: Mutex<Option<String>>,
}

impl Ledger {
    /// A request has come to an application. Whether it may be one that somebody has sent.
    pub(crate) fn note(&self, token: &str) -> bool {
        if token.parse::<usize>().is_err() {
            return false;
        }
        *self
            .served
            .lock()
            .unwrap()
            .entry(token.to_owned())
            .or_default() += 1;
        true
    }

    /// The web server did something wrong.
    pub(crate) fn broke(&self, what: String) {
        self.broken.lock().unwrap().get_or_insert(what);
    }

    /// The whole body of a request has come, as the web server says: it is this one.
    pub(crate) fn check_upload(&self, token: &str, method: &[u8], body: &[u8]) {
        let expected = match method {
            b"POST" | b"PUT" => upload(token),
            _ => Vec::new(),
        };
        if body != expected {
            let (got, of) = (body.len(), expected.len());
            self.broke(format!(
                "the body of {token} is not its own or not whole: {got} of {of} bytes"
            ));
        }
    }

    /// What the web server did wrong, as the containers saw it.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap().clone()
    }

    /// How often a request was begun to be served.
    pub(crate) fn count(&self, token: &str) -> u32 {
        self.served.lock().unwrap().get(token).copied().unwrap_or(0)
    }

    /// Over all requests.
    pub(crate) fn total(&self) -> u64 {
        let served = self.served.lock().unwrap();
        served.values().map(|count| u64::from(*count)).sum()
    }

    /// The whole head of an answer left; the connection closes now.
    pub(crate) fn head_left(&self, token: &str, link: Arc<Link>) {
        self.heads.lock().unwrap().insert(token.to_owned(), link);
    }

    /// Whether the head of an answer must have come: it left, and the network did not touch
    /// the connection.
    pub(crate) fn head_must_have_come(&self, token: &str) -> bool {
        let heads = self.heads.lock().unwrap();
        heads.get(token).is_some_and(|link| link.is_whole())
    }
}

/// What the body of a request is, if it has one: of all sizes from nothing to several packets.
pub(crate) fn upload(token: &str) -> Vec<u8> {
    let number: usize = token.parse().unwrap();
    let len = [0, 1, 100, 8186, 8187, 30_000][number / 8 % 6];
    repeated(&format!("{token},"), len)
}

/// What the body of the answer to a request must be.
pub(crate) fn expected_body(token: &str) -> Vec<u8> {
    let number: usize = token.parse().unwrap();
    // Of all sizes from nothing to several packets; the large ones fill all buffers on the way.
    let len = match number % 8 {
        0 => 0,
        1 | 2 => number % 100,
        3 => 8184 + number % 3,
        4 => number % 20_000,
        5 if number % 5 == 0 => 150_000,
        _ => token.len(),
    };
    repeated(&format!("{token};"), len)
}

fn repeated(unit: &str, len: usize) -> Vec<u8> {
    let mut body = unit.repeat(len / unit.len() + 1).into_bytes();
    body.truncate(len);
    body
}
