//! Requests, and how the container took them.

use crate::watch::Watch;
use ajp::Secret;
use ajp::client::{Address, RequestFacts};
use ajp::client::{Client, ClientError, Pool, PoolConfig};
use ajp::dump::{Content, Record};
use ajp::mapping::write_forward_request;
use ajp::wire::{BodyFraming, Direction, EncodeError, PacketSize, ToContainer, ToWebServer};
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most of a response body to read.
const ENOUGH: u64 = 1 << 20;

/// Makes the head of a request larger.
const PADDING: HeaderName = HeaderName::from_static("x-ajp-explain");

/// One kind of request, sent as often as it takes.
pub(crate) struct Question<'a> {
    pub(crate) address: &'a Address,
    /// With query.
    pub(crate) path: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a http::HeaderMap,
    /// Reads packets of any size, so that too large ones are seen and told.
    pub(crate) config: PoolConfig,
    /// Whether a packet of ColdFusion's dialect came.
    pub(crate) is_coldfusion: AtomicBool,
}

/// How the container took a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// It closes the connection after it.
    pub(crate) closes: bool,
    /// The longest packet that came.
    pub(crate) longest: u64,
    /// The length of the Forward Request.
    pub(crate) head: u64,
}

/// Type of a packet that Adobe's containers send and AJP/1.3 does not have.
const COLDFUSION: u8 = 0x0f;

impl Answer {
    /// 403 as containers refuse a secret or an attribute.
    pub(crate) fn is_refusal(self) -> bool {
        self.status == 403 && self.closes
    }
}

impl<'a> Question<'a> {
    /// `OPTIONS *`, which no application is asked: the container answers it by itself.
    pub(crate) fn of_container(
        address: &'a Address,
        headers: &'a http::HeaderMap,
        config: PoolConfig,
    ) -> Self {
        Self {
            address,
            method: &Method::OPTIONS,
            path: "*",
            headers,
            config,
            is_coldfusion: false.into(),
        }
    }
}

impl Question<'_> {
    /// Sends it over a connection of its own.
    pub(crate) async fn ask(
        &self,
        facts: RequestFacts,
        secret: Option<&Secret>,
        padding: usize,
    ) -> Result<Answer, ClientError> {
        let seen = Arc::new(Mutex::new(Answer::default()));
        let notes = Arc::clone(&seen);
        let watch = Watch::new(move |record| {
            note(
                &mut notes.lock().unwrap_or_else(PoisonError::into_inner),
                record,
            );
        });
        let config = self.config.clone().with_secret(secret.cloned());
        let pool = Pool::new(watch.connector(self.address.clone()), config);
        let mut request = self.request(padding);
        request.extensions_mut().insert(facts);
        let response = Client::for_own_requests(pool).send(request).await;
        if is_coldfusion(&watch.first_bytes()) {
            self.is_coldfusion.store(true, Ordering::Relaxed);
        }
        let response = response?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut len = 0u64;
        while let Some(frame) = body.frame().await {
            let data = frame?.into_data().unwrap_or_default();
            len = len.saturating_add(data.len() as u64);
            if len > ENOUGH {
                break;
            }
        }
        let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Answer { status, ..seen })
    }

    /// How much padding makes the Forward Request `size` bytes long; `None` when it is longer
    /// without.
    pub(crate) fn padding(
        &self,
        facts: &RequestFacts,
        secret: Option<&Secret>,
        size: PacketSize,
    ) -> Result<Option<usize>, EncodeError> {
        let (parts, _) = self.request(1).into_parts();
        let mut buffer = BytesMut::new();
        write_forward_request(
            &mut buffer,
            PacketSize::MAX,
            &parts,
            facts,
            BodyFraming::Length(0),
            secret,
        )?;
        let room = size.bytes().checked_sub(buffer.len());
        Ok(room.map(|room| room.saturating_add(1)))
    }

    fn request(&self, padding: usize) -> Request<String> {
        let mut request = Request::new(String::new());
        *request.method_mut() = self.method.clone();
        // Checked when the arguments were.
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        if padding > 0 {
            let value = HeaderValue::try_from("a".repeat(padding));
            if let Ok(value) = value {
                request.headers_mut().insert(PADDING, value);
            }
        }
        request
    }
}

/// Whether a packet of that type is among the first that came.
fn is_coldfusion(mut bytes: &[u8]) -> bool {
    while let [0x41, 0x42, high, low, rest @ ..] = bytes {
        if rest.first() == Some(&COLDFUSION) {
            return true;
        }
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        bytes = rest.get(len..).unwrap_or_default();
    }
    false
}

fn note(answer: &mut Answer, record: &Record) {
    if record.direction() == Direction::ToWebServer {
        answer.longest = answer.longest.max(record.len());
    }
    match record.content() {
        Content::ToWebServer(ToWebServer::EndResponse { reuse }) => answer.closes = !reuse,
        Content::ToContainer(ToContainer::ForwardRequest(_)) => answer.head = record.len(),
        _ => {}
    }
}
