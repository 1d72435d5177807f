//! One request over a connection of the pool, with as many secrets as it needs.

use super::announced::{check, check_uri_length, framing};
use super::attempt::{Sent, attempt};
use super::packet_size::{self, after_refused_head};
use super::refused::after_refusal;
use crate::client::{ClientError, ErrorKind, Lease, Pool, RequestTimeouts};
use crate::mapping::request_encode::ContainerFacts;
use crate::mapping::request_facts::{OWN_REQUEST, RequestFacts};
use crate::mapping::response_body::ResponseBody;
use crate::mapping::upload::Upload;
use crate::wire::BodyFraming;
use bytes::Buf;
use http::{StatusCode, request};
use http_body::Body;
use std::borrow::Borrow;
use std::error::Error as StdError;
use std::future::Future;

type BoxError = Box<dyn StdError + Send + Sync>;

/// For requests without limits of their own.
static POOL_TIMEOUTS: RequestTimeouts = RequestTimeouts::new();

/// Where the facts of a request are.
#[derive(Clone, Copy)]
pub(in crate::mapping) enum FactsSource<'a> {
    /// In its extensions. If there are none, the request is one of this program's own, or it is
    /// refused.
    Extensions { own_requests: bool },
    /// The caller has them.
    Given(ContainerFacts<'a>),
}

impl<'a> FactsSource<'a> {
    fn find(self, parts: &'a request::Parts) -> Result<ContainerFacts<'a>, ClientError> {
        match self {
            Self::Given(facts) => Ok(facts),
            Self::Extensions { own_requests } => {
                find_facts(parts, own_requests).map(ContainerFacts::from)
            }
        }
    }
}

/// The facts in the extensions of a request, or those of a request of this program's own.
pub(in crate::mapping) fn find_facts(
    parts: &request::Parts,
    own_requests: bool,
) -> Result<&RequestFacts, ClientError> {
    match parts.extensions.get() {
        Some(facts) => Ok(facts),
        None if own_requests => Ok(&OWN_REQUEST),
        None => Err(ClientError::new(
            ErrorKind::MissingFacts,
            "put `RequestFacts` into its extensions, or send a request of your own with \
             `Client::for_own_requests` or `BalancerConfig::with_own_requests`",
        )),
    }
}

/// Sends to the container of a pool, and makes of the answer what `finish` makes of it: its head has
/// come.
pub(in crate::mapping) fn send_with<B, T>(
    pool: &Pool,
    parts: impl Borrow<request::Parts> + Send,
    source: FactsSource<'_>,
    body: B,
    finish: impl FnOnce(ResponseBody) -> T + Send,
) -> impl Future<Output = Result<T, ClientError>> + Send
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let prepared = prepare(parts.borrow(), &mut Some(body));
    async move {
        let parts = parts.borrow();
        let sent = match prepared {
            Ok((framing, mut upload)) => exchange(pool, parts, source, framing, &mut upload).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(answer) => Ok(finish(answer)),
            Err(error) => Err(error.of_request(parts.extensions.get())),
        }
    }
}

/// As [`attempt`], with as many secrets as it needs. The request body is back after an error.
pub(super) async fn exchange(
    pool: &Pool,
    parts: &request::Parts,
    source: FactsSource<'_>,
    framing: BodyFraming,
    upload: &mut Upload,
) -> Result<ResponseBody, ClientError> {
    check_uri_length(pool, parts)?;
    let facts = source.find(parts)?;
    let timeouts = parts.extensions.get().unwrap_or(&POOL_TIMEOUTS);
    let mut lease = Some(pool.acquire_with(timeouts).await?);
    let by = lease.as_ref().and_then(Lease::request_by);
    let secret = pool.choose_secret();
    let may_change = secret.is_one_of_several() && !facts.has_secret();
    if may_change {
        upload.keep_first();
    }
    let request = Sent {
        parts,
        facts,
        framing,
    };
    let answer = match attempt(&mut lease, &request, upload, &secret).await {
        Err(error) if packet_size::may_be_larger(pool, &error) => {
            let timeouts = timeouts.with_deadline(by);
            // Rare, and large.
            Box::pin(after_refused_head(
                pool, timeouts, &request, upload, &secret, error,
            ))
            .await?
        }
        answer => answer?,
    };
    if !may_change {
        return Ok(answer);
    }
    if answer.status() != Some(StatusCode::FORBIDDEN.as_u16()) {
        pool.secret_taken(&secret);
        return Ok(answer);
    }
    let timeouts = timeouts.with_deadline(by);
    // Rare, and large.
    Box::pin(after_refusal(
        pool, timeouts, request, upload, secret, answer,
    ))
    .await
}

/// Checks a request and takes its body, if that has anything to give.
pub(super) fn prepare<B>(
    parts: &request::Parts,
    body: &mut Option<B>,
) -> Result<(BodyFraming, Upload), ClientError>
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let heads = check(parts)?;
    let framing = framing(&heads, body.as_ref())?;
    Ok((framing, Upload::new(body, framing)))
}
