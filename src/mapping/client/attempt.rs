//! One request with one secret: over a connection of the pool, and over a second one when the first
//! was stale.

use crate::client::repeat::{self, Idempotent, Repeat};
use crate::client::{ClientError, ErrorKind, Exchange, Lease, SecretChoice};
use crate::mapping::request_encode::{ContainerFacts, write_request};
use crate::mapping::response_body::ResponseBody;
use crate::mapping::upload::Upload;
use crate::proto::Progress;
use crate::wire::BodyFraming;
use http::{Method, request};
use std::future::poll_fn;

/// A request as it is sent, but for its body and the secret.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) parts: &'a request::Parts,
    pub(super) facts: ContainerFacts<'a>,
    pub(super) framing: BodyFraming,
}

/// Sends a request over a connection, which it takes, and over a second one when the first was
/// stale. The head of the response has come then.
pub(super) async fn attempt(
    lease: &mut Option<Lease>,
    request: &Sent<'_>,
    upload: &mut Upload,
    secret: &SecretChoice,
) -> Result<ResponseBody, ClientError> {
    let parts = request.parts;
    let mut first = Progress::NotSent;
    loop {
        let Some(fresh) = lease.take() else {
            return Err(ClientError::bare(ErrorKind::Closed));
        };
        let reused = fresh.is_reused();
        let started = start(fresh, request, upload, secret);
        let mut body = started.map_err(|error| error.after(first))?;
        let Err(error) = poll_fn(|cx| body.poll_head(cx)).await else {
            return Ok(body);
        };
        let stale = reused && is_stale(&error) && body.is_unanswered();
        let rest;
        (*upload, rest) = body.into_parts();
        let again = stale && {
            let whole_body = match error.progress() {
                Progress::NotSent => upload.rewind(),
                Progress::RequestSent => !upload.is_touched(),
                _ => false,
            };
            let idempotent = Idempotent::of(&parts.method, &parts.extensions);
            repeat::after_error(&error, idempotent, whole_body) != Repeat::No
        };
        let error = error.after(first);
        if !again {
            return Err(error);
        }
        first = error.progress();
        // Once: a fresh connection is never "reused". Rare, and a large future.
        let reopened = Box::pin(rest.reopen()).await;
        *lease = Some(reopened.map_err(|error| error.after(first))?);
    }
}

/// Starts an exchange, which is not polled yet. It takes the upload unless there is an error.
fn start(
    mut lease: Lease,
    request: &Sent<'_>,
    upload: &mut Upload,
    secret: &SecretChoice,
) -> Result<ResponseBody, ClientError> {
    let Sent {
        parts,
        facts,
        framing,
    } = *request;
    let machine = lease.queue_request(parts.method == Method::HEAD, |buffer, size| {
        write_request(buffer, size, parts, facts, framing, secret.secret())
    })?;
    let exchange = Exchange::new(lease, machine);
    let mut body = ResponseBody::new(exchange, std::mem::take(upload));
    body.set_request_id(parts.extensions.get());
    Ok(body)
}

/// Whether a reused connection had gone away.
fn is_stale(error: &ClientError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Closed | ErrorKind::Read | ErrorKind::Write
    )
}
