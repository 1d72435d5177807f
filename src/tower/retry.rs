//! A policy for `tower::retry`: it sends a failed request again where `client::repeat` allows it, as
//! long as its budget lasts.

use crate::client::repeat::{self, Repeat};
use crate::client::{ClientError, ErrorKind, Idempotent, ReplayBody};
use crate::trace::event;
use http::{Request, Response};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tower::retry::Policy;
use tower::retry::budget::{Budget, TpsBudget};

type BoxError = Box<dyn StdError + Send + Sync>;

/// When a failed request is sent again: a policy for `tower::retry`.
///
/// By default only idempotent requests ([`Idempotent`], or else the method), so never a
/// POST: when the
/// container cannot have acted on it, and otherwise when no answer began
/// ([`ClientError::retry_with_body`]) and the whole body can be given again
/// ([`ReplayBody::is_replayable`]). Not after a wait that took too long for a slot in the
/// pool, or for an answer: what is overloaded is not helped by more.
///
/// All clones share one budget: retries stop when there are too many of them beside the
/// requests that succeed, so an outage is not made worse. The default is that of
/// [`TpsBudget`]: 10 a second, and one for every five successes.
///
/// A response body that breaks off is not retried: its head was delivered.
///
/// It stands outside of layers that box errors as well, such as `tower::timeout`, which limits
/// each attempt then: the client's error is found inside. An error that is none of the client's,
/// such as the elapsed time of such a layer, is not retried, as nobody knows what became of the
/// request.
///
/// ```
/// use ajp::client::{Client, Pool, PoolConfig, ReplayBody, RetryPolicy};
/// use tower::ServiceBuilder;
/// # fn example(address: ajp::client::Address) {
/// let client = ServiceBuilder::new()
///     .map_request(|request: http::Request<_>| request.map(|body| ReplayBody::new(body, 65536)))
///     .retry(RetryPolicy::new())
///     .service(Client::new(Pool::new(address, PoolConfig::default())));
/// # fn is_service<S: tower::Service<http::Request<http_body_util::Full<bytes::Bytes>>>>(_: S) {}
/// # is_service(client);
/// # }
/// ```
#[derive(Clone)]
pub struct RetryPolicy {
    budget: Arc<dyn Budget + Send + Sync>,
    /// Of the request this clone belongs to.
    left: u32,
    pause: Duration,
    any_unsent: bool,
}

impl RetryPolicy {
    /// Two retries, the first after 100 ms: the numbers of `mod_jk`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            budget: Arc::new(TpsBudget::default()),
            left: 2,
            pause: Duration::from_millis(100),
            any_unsent: false,
        }
    }

    /// Most retries of one request.
    #[must_use]
    pub fn with_retries(mut self, most: u32) -> Self {
        self.left = most;
        self
    }

    /// How long the first retry waits; each further one waits twice as long as the one
    /// before.
    #[must_use]
    pub fn with_pause(mut self, first: Duration) -> Self {
        self.pause = first;
        self
    }

    /// A budget of one's own. Every success deposits, every retry withdraws.
    #[must_use]
    pub fn with_budget(mut self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.budget = Arc::new(budget);
        self
    }

    /// Whether requests with any method, POST among them, are sent again when the container
    /// has not seen them ([`Retry::Safe`](crate::client::Retry::Safe)).
    #[must_use]
    pub fn with_unsent_of_any_method(mut self, yes: bool) -> Self {
        self.any_unsent = yes;
        self
    }
}

/// Of what was cloned: by the error and by what is left of the body.
fn may_retry<B>(request: &Request<ReplayBody<B>>, error: &ClientError) -> bool {
    let overload = matches!(
        error.kind(),
        ErrorKind::AcquireTimeout
            | ErrorKind::QueueFull
            | ErrorKind::ConnectCutShort
            | ErrorKind::CPingCutShort
            | ErrorKind::LocalResources
            | ErrorKind::WriteTimeout
            | ErrorKind::ResponseHeadTimeout
            | ErrorKind::RequestTimeout
    );
    let idempotent = Idempotent::of(request.method(), request.extensions());
    let whole_body = request.body().is_replayable();
    !overload && repeat::after_error(error, idempotent, whole_body) != Repeat::No
}

/// Errors that [`RetryPolicy`] can judge: those of a [`Client`](crate::client::Client), as they
/// are or wrapped by layers of tower between client and policy, which box them.
pub trait MaybeClientError: sealed::Sealed {
    /// The client's error, if it is one.
    fn client_error(&self) -> Option<&ClientError>;
}

mod sealed {
    #[allow(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl Sealed for crate::client::ClientError {}
    impl Sealed for super::BoxError {}
}

impl MaybeClientError for ClientError {
    fn client_error(&self) -> Option<&ClientError> {
        Some(self)
    }
}

impl MaybeClientError for BoxError {
    fn client_error(&self) -> Option<&ClientError> {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&**self);
        while let Some(error) = next {
            // A balancer has sent the request again itself, as far as that is right.
            #[cfg(feature = "balancer")]
            if error.is::<crate::balancer::BalancerError>() {
                return None;
            }
            if let Some(error) = error.downcast_ref() {
                return Some(error);
            }
            next = error.source();
        }
        None
    }
}

impl<B, R, E: MaybeClientError> Policy<Request<ReplayBody<B>>, Response<R>, E> for RetryPolicy {
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        request: &mut Request<ReplayBody<B>>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Self::Future> {
        let Err(error) = result else {
            self.budget.deposit();
            return None;
        };
        let error = error.client_error()?;
        if !may_retry(request, error) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        if !self.budget.withdraw() {
            event!(DEBUG, error = %error.kind(), "no AJP retry: the budget is used up");
            return None;
        }
        event!(DEBUG, error = %error.kind(), "AJP request is sent again");
        let pause = self.pause;
        self.pause = pause.saturating_mul(2);
        Some(Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }))
    }

    fn clone_request(
        &mut self,
        request: &Request<ReplayBody<B>>,
    ) -> Option<Request<ReplayBody<B>>> {
        let idempotent = Idempotent::of(request.method(), request.extensions());
        let may = idempotent || self.any_unsent;
        may.then(|| request.clone())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("retries", &self.left)
            .field("pause", &self.pause)
            .field("unsent_of_any_method", &self.any_unsent)
            .finish_non_exhaustive()
    }
}
