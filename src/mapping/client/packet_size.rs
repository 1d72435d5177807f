//! How long a head a container takes, which AJP has no question for: asked with requests of that
//! length, for pools that learn it.

use super::attempt::{Sent, attempt};
use super::refused::of_container;
use crate::client::{ClientError, CloseCause, ErrorKind, Pool, RequestTimeouts, SecretChoice};
use crate::mapping::request_encode::write_request;
use crate::mapping::request_facts::OWN_REQUEST;
use crate::mapping::response_body::{Refusal, ResponseBody};
use crate::mapping::upload::Upload;
use crate::wire::{BodyFraming, PacketSize};
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, request};
use std::future::poll_fn;

/// Makes the head of a question longer.
const PADDING: HeaderName = HeaderName::from_static("x-ajp-packet-size");

/// Whether a head was too long for what is known of a container of which more can be learned.
pub(super) fn may_be_larger(pool: &Pool, error: &ClientError) -> bool {
    let is_too_long = matches!(
        error.kind(),
        ErrorKind::UriTooLong | ErrorKind::HeadTooLarge
    );
    is_too_long && pool.config().learn_packet_size()
}

/// Sends a request whose head was too long for what was known of the container, if it is found
/// out that this takes longer ones. `timeouts` have the deadline of the whole request.
pub(super) async fn after_refused_head(
    pool: &Pool,
    timeouts: RequestTimeouts,
    request: &Sent<'_>,
    upload: &mut Upload,
    secret: &SecretChoice,
    error: ClientError,
) -> Result<ResponseBody, ClientError> {
    if !takes_more(pool, &timeouts, secret).await {
        return Err(error);
    }
    let lease = pool.acquire_with(&timeouts).await?;
    attempt(&mut Some(lease), request, upload, secret).await
}

/// Whether it was found out that the container takes longer heads than it was known to take. No
/// application sees a question: the container answers `OPTIONS *` itself.
async fn takes_more(pool: &Pool, timeouts: &RequestTimeouts, secret: &SecretChoice) -> bool {
    let known = pool.size_of_heads();
    let Some(turn) = pool.turn_to_ask_for_size().await else {
        // Somebody else may have found it out meanwhile.
        return pool.size_of_heads() > known;
    };
    let mut found = None;
    for part in [1, 2, 4] {
        let size = pool.config().packet_size().bytes() / part;
        let size = u32::try_from(size).ok().and_then(PacketSize::new);
        let Some(size) = size.filter(|&size| size > known) else {
            break;
        };
        match is_taken(pool, timeouts, secret, size).await {
            Ok(true) => {
                found = Some(size);
                break;
            }
            Ok(false) => {}
            // Nothing is known: the next request may ask.
            Err(_) => return false,
        }
    }
    if let Some(size) = found {
        pool.takes_heads_of(size);
    }
    turn.end();
    found.is_some()
}

/// Whether a head of this size is answered, and the connection stays. A container refuses a
/// packet that is too long with a status of its own and closes, or just closes.
///
/// # Errors
/// The container could not be asked.
async fn is_taken(
    pool: &Pool,
    timeouts: &RequestTimeouts,
    secret: &SecretChoice,
    size: PacketSize,
) -> Result<bool, ClientError> {
    let questions = pool.for_questions(1);
    let lease = questions.acquire_with(timeouts).await?;
    let parts = question(size, secret)?;
    let sent = Sent {
        parts: &parts,
        facts: (&OWN_REQUEST).into(),
        framing: BodyFraming::Length(0),
    };
    let answer = attempt(&mut Some(lease), &sent, &mut Upload::default(), secret).await;
    let Ok(mut answer) = answer else {
        return Ok(false);
    };
    let end = poll_fn(|cx| answer.poll_refusal(cx)).await;
    let stays = questions.stats().closed_by(CloseCause::NoReuse) == 0;
    Ok(end == Refusal::Taken && stays)
}

/// A request whose Forward Request has exactly this size.
fn question(size: PacketSize, secret: &SecretChoice) -> Result<request::Parts, ClientError> {
    let mut parts = of_container();
    parts.headers.insert(PADDING, HeaderValue::from_static("-"));
    let mut buffer = BytesMut::new();
    let facts = (&OWN_REQUEST).into();
    let none = BodyFraming::Length(0);
    write_request(
        &mut buffer,
        PacketSize::MAX,
        &parts,
        facts,
        none,
        secret.secret(),
    )
    .map_err(ClientError::encode)?;
    let rest = size.bytes().saturating_sub(buffer.len());
    let padding = HeaderValue::try_from("-".repeat(rest + 1));
    let padding = padding.map_err(|error| ClientError::new(ErrorKind::InvalidRequest, error))?;
    parts.headers.insert(PADDING, padding);
    Ok(parts)
}
