//! The response body of a member, which counts as busy until it has ended.

use super::error::Attempt;
use crate::balancer::{Affinity, Pick};
use crate::client::{self, ClientError, Phases};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Who answered ([`BalancedBody::served`]). For access logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// The member's name.
    pub member: Arc<str>,
    /// Its route.
    pub route: Option<Arc<str>>,
    /// How it was chosen with regard to the session.
    pub affinity: Affinity,
    /// The members that the request was tried on before.
    pub failed: Vec<Attempt>,
    /// Where the time went so far: [`ResponseBody::phases`](crate::client::ResponseBody::phases).
    pub phases: Phases,
}

/// The body of a response that a balancer's member gave. As
/// [`client::ResponseBody`](crate::client::ResponseBody); until it has ended or is dropped
/// the member counts as busy with it.
pub struct BalancedBody {
    // In this order: the connection is free before the member is.
    body: client::ResponseBody,
    rest: Box<DeliveryRecord>,
}

/// On the heap: responses are moved a lot on their way.
#[derive(Debug)]
struct DeliveryRecord {
    pick: Pick,
    failed: Vec<Attempt>,
}

impl BalancedBody {
    pub(super) fn new(body: client::ResponseBody, mut pick: Pick, failed: Vec<Attempt>) -> Self {
        if body.is_end_stream() {
            pick.end();
        }
        let rest = Box::new(DeliveryRecord { pick, failed });
        Self { body, rest }
    }

    /// Who answered.
    #[must_use]
    pub fn served(&self) -> Served {
        let DeliveryRecord { pick, failed } = &*self.rest;
        let (member, route) = pick.names();
        Served {
            member,
            route,
            affinity: pick.affinity(),
            failed: failed.clone(),
            phases: self.body.phases(),
        }
    }
}

impl Body for BalancedBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let pick = &mut this.rest.pick;
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                pick.choice().add_received(len);
                if this.body.is_end_stream() {
                    pick.end();
                }
            }
            // The body's last frame: it ends with an error.
            Some(Err(error)) => {
                pick.broke_off(error);
                pick.end();
            }
            None => pick.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for BalancedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalancedBody")
            .field("body", &self.body)
            .field("rest", &self.rest)
            .finish()
    }
}
