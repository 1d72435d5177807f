//! Why a change was not made, for people and for programs.

use ajp::balancer::{Balancer, Member};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::fmt;

/// Why a change was not made.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }

    /// What was asked for cannot be.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// It cannot be as things are.
    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    /// It was done, and will be lost with the process.
    pub(super) fn not_kept(error: &str) -> Self {
        let text = format!("the change is made, but cannot be kept: {error}");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, text)
    }

    pub(super) fn no_balancer<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.collect();
        let text = format!(
            "there is no balancer {name:?}; there are: {}",
            known.join(", ")
        );
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub(super) fn no_member(balancer: &Balancer, name: &str) -> Self {
        let members = balancer.members();
        let known: Vec<_> = members.iter().map(shown).collect();
        let text = format!(
            "there is no member {name:?}; there are: {}",
            known.join(", ")
        );
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// For programs.
    pub(super) fn json(&self) -> Response {
        let status = self.status.as_u16();
        let body = Json(json!({ "error": { "status": status, "text": self.text } }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"ajp gateway\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// A member's name, with the route by which it can be named too.
fn shown(member: &Member) -> String {
    match member.route_name() {
        Some(route) => format!("{} ({route})", member.name()),
        None => member.name().to_owned(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a client has sent may stand in it.
        let text = crate::gateway::front::shown(&self.text);
        write!(f, "{} {text}", self.status.as_u16())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_begins_a_line_of_its_own() {
        let refusal = Refusal::bad("a\nmanager: \u{1b}[2J\u{2028}\u{9b}: is no \"field\"");
        assert_eq!(
            refusal.to_string(),
            "400 a\\x0amanager: \\x1b[2J\\u2028\\x9b: is no \"field\""
        );
    }
}
