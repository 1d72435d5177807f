//! A health check by an HTTP request over AJP.

use crate::balancer::{Check, CheckError, Checking};
use crate::client::{Client, Pool};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};

/// More of a response is not read.
const MOST_BYTES: usize = 64 * 1024;

/// Asks a member with a request: a container whose application is dead still answers
/// CPing.
///
/// ```
/// use ajp::balancer::{Health, HttpCheck};
/// let check = HttpCheck::get("/app/health".parse()?).with_body_contains("UP");
/// let health = Health::new(check);
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
#[derive(Debug, Clone)]
pub struct HttpCheck {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    statuses: RangeInclusive<u16>,
    body_contains: Option<Bytes>,
}

impl HttpCheck {
    /// Gets this path, or URI with the virtual host. A status from 200 to 399 is good.
    #[must_use]
    pub fn get(uri: Uri) -> Self {
        let mut headers = HeaderMap::new();
        let host = uri
            .authority()
            .and_then(|authority| authority.as_str().parse().ok());
        headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
        Self {
            method: Method::GET,
            uri,
            headers,
            statuses: 200..=399,
            body_contains: None,
        }
    }

    /// Asks with this method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Headers of the request, in place of those it has under the same names.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Good statuses.
    #[must_use]
    pub fn with_statuses(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.statuses = statuses;
        self
    }

    /// What must be in the first 64 KiB of the response.
    #[must_use]
    pub fn with_body_contains(mut self, text: impl Into<Bytes>) -> Self {
        self.body_contains = Some(text.into());
        self
    }

    async fn ask(&self, pool: &Pool) -> Result<(), CheckError> {
        let mut request = Request::new(NoBody);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = Client::for_own_requests(pool.clone()).send(request).await?;
        let status = response.status().as_u16();
        if !self.statuses.contains(&status) {
            return Err(CheckError::Failed(format!("status {status}")));
        }
        let mut body = response.into_body();
        let mut start = Vec::new();
        // Read to its end, so that the connection can be used again.
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            if let Ok(data) = frame?.into_data() {
                start.extend_from_slice(&data);
            }
            if start.len() > MOST_BYTES {
                start.truncate(MOST_BYTES);
                break;
            }
        }
        match &self.body_contains {
            Some(text) if !contains(&start, text) => {
                Err(CheckError::Failed("the response has another body".into()))
            }
            _ => Ok(()),
        }
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text)
}

impl Check for HttpCheck {
    fn check<'a>(&'a self, pool: &'a Pool) -> Checking<'a> {
        Box::pin(self.ask(pool))
    }

    fn describe(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }
}

/// No body.
struct NoBody;

impl Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
