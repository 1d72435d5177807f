//! What is done when a container may have refused the secret of a request, and the pool has
//! others.

use super::attempt::{Sent, attempt};
use crate::client::repeat::Idempotent;
use crate::client::{ClientError, Pool, RequestTimeouts, SecretChoice};
use crate::mapping::request_facts::OWN_REQUEST;
use crate::mapping::response_body::{Refusal, ResponseBody};
use crate::mapping::upload::Upload;
use crate::proto::Progress;
use crate::wire::BodyFraming;
use http::{Method, Request, StatusCode, Uri, request};
use std::future::poll_fn;

/// Sends a request that was answered with 403 again with the other secrets, as long as the
/// container refuses them. `timeouts` have the deadline of the whole request.
///
/// A 403 with which the connection is closed may be an application's own all the same: of a
/// container that is being stopped, or at the last request of a connection. So a request that
/// must not run twice is sent again only if the container did not ask for its body, and refuses
/// a question of the pool's own too.
///
/// Until a request has left with another secret the answer that there is is kept: no failure to
/// do so takes its place, since such an error would say that no container has seen the request.
pub(super) async fn after_refusal(
    pool: &Pool,
    timeouts: RequestTimeouts,
    request: Sent<'_>,
    upload: &mut Upload,
    mut secret: SecretChoice,
    mut answer: ResponseBody,
) -> Result<ResponseBody, ClientError> {
    let idempotent = Idempotent::of(&request.parts.method, &request.parts.extensions);
    // An application that answers so itself is the first one that did.
    let mut first: Option<ResponseBody> = None;
    loop {
        match refusal(&mut answer).await {
            Refusal::Refused => {}
            Refusal::Taken => {
                pool.secret_taken(&secret);
                return Ok(answer);
            }
            Refusal::Unknown => return Ok(answer),
        }
        if !secret.has_more() {
            return Ok(first.unwrap_or(answer));
        }
        if !idempotent && !is_refused_for_sure(pool, &timeouts, &secret, &answer).await {
            return Ok(answer);
        }
        let Some(rest) = answer.rewind() else {
            return Ok(first.unwrap_or(answer));
        };
        *upload = rest;
        secret.advance();
        let kept = first.take().unwrap_or(answer);
        let Ok(lease) = pool.acquire_with(&timeouts).await else {
            return Ok(kept);
        };
        answer = match attempt(&mut Some(lease), &request, upload, &secret).await {
            Ok(answer) => answer,
            Err(error) if error.progress() == Progress::NotSent => return Ok(kept),
            Err(error) => return Err(error),
        };
        first = Some(kept);
    }
}

/// Whether it was the container that answered.
async fn refusal(answer: &mut ResponseBody) -> Refusal {
    if answer.status() != Some(StatusCode::FORBIDDEN.as_u16()) {
        return Refusal::Taken;
    }
    poll_fn(|cx| answer.poll_refusal(cx)).await
}

/// `OPTIONS *`, which no application is asked: the container answers it by itself.
pub(super) fn of_container() -> request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::OPTIONS;
    parts.uri = Uri::from_static("*");
    parts
}

/// Whether the container refuses the secret whatever the request is. A container that asks for
/// the body of a request has looked at the secret before; otherwise it is asked with a request
/// that has nothing of the refused one and that no application sees.
async fn is_refused_for_sure(
    pool: &Pool,
    timeouts: &RequestTimeouts,
    secret: &SecretChoice,
    answer: &ResponseBody,
) -> bool {
    if answer.is_body_asked() {
        return false;
    }
    let Ok(lease) = pool.acquire_with(timeouts).await else {
        return false;
    };
    let question = Sent {
        parts: &of_container(),
        facts: (&OWN_REQUEST).into(),
        framing: BodyFraming::Length(0),
    };
    let Ok(mut told) = attempt(&mut Some(lease), &question, &mut Upload::default(), secret).await
    else {
        return false;
    };
    match refusal(&mut told).await {
        Refusal::Refused => true,
        Refusal::Taken => {
            pool.secret_taken(secret);
            false
        }
        Refusal::Unknown => false,
    }
}
