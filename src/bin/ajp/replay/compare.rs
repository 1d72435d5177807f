//! The same request over HTTP, and in what its answer differs from that over AJP.

use super::script::{Answer, Exchange};
use crate::exit::{Exit, Failure};
use ajp::wire::{DecodeOptions, HEADER_LEN, ToContainer};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes before the data of a body packet.
const BODY_HEAD: usize = HEADER_LEN + 2;

/// Headers that belong to the connection, or differ from answer to answer.
const LEFT_OUT: [&str; 8] = [
    "connection",
    "date",
    "keep-alive",
    "proxy-connection",
    "trailer",
    "transfer-encoding",
    // Containers leave it out over one and write it over the other.
    "content-length",
    "upgrade",
];

/// Where the container speaks HTTP.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    authority: String,
    limit: Duration,
}

impl Origin {
    pub(super) fn new(url: &str, limit: Duration) -> Result<Self, Failure> {
        let rest = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        let authority = rest.filter(|rest| !rest.is_empty() && !rest.contains('/'));
        let authority = authority.ok_or_else(|| {
            Failure::usage(format!(
                "--compare {url}: must be http://host:port without a path"
            ))
        })?;
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
        let authority = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        Ok(Self { authority, limit })
    }

    /// Asks what was recorded.
    pub(super) async fn ask(&self, exchange: &Exchange) -> Result<Answer, Failure> {
        let request = request(exchange)?;
        let broken = |error: hyper::Error| {
            Failure::new(Exit::Broken, format!("{}: {error}", self.authority))
        };
        let late = |_| {
            Failure::new(
                Exit::Timeout,
                format!("{}: no answer within {:?}", self.authority, self.limit),
            )
        };
        let stream = timeout(self.limit, TcpStream::connect(&self.authority))
            .await
            .map_err(late)?;
        let stream = stream
            .map_err(|error| Failure::new(Exit::Connect, format!("{}: {error}", self.authority)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = tokio::spawn(connection);
        let response = timeout(self.limit, sender.send_request(request))
            .await
            .map_err(late)?
            .map_err(broken)?;
        let (parts, body) = response.into_parts();
        let body = timeout(self.limit, body.collect())
            .await
            .map_err(late)?
            .map_err(broken)?;
        connection.abort();
        let mut answer = Answer::of_status(parts.status.as_u16());
        for (name, value) in &parts.headers {
            answer.header(name.as_str().as_bytes(), value.as_bytes());
        }
        answer.body(&body.to_bytes());
        Ok(answer)
    }
}

/// A recorded request as one of HTTP.
fn request(exchange: &Exchange) -> Result<http::Request<Full<Bytes>>, Failure> {
    let wrong = |what: &str| Failure::new(Exit::Request, format!("{}: {what}", exchange.title));
    let payload = exchange.request.get(HEADER_LEN..).unwrap_or_default();
    let options = DecodeOptions::default().with_lenient_uri(true);
    let packet = ToContainer::parse(exchange.request.slice_ref(payload), &options);
    let Ok(ToContainer::ForwardRequest(packet)) = packet else {
        return Err(wrong("cannot be read"));
    };
    let mut target = packet.req_uri().to_vec();
    if let Some(query) = packet.query_string() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let target = http::Uri::try_from(target).map_err(|error| wrong(&error.to_string()))?;
    let method =
        http::Method::from_bytes(packet.method()).map_err(|error| wrong(&error.to_string()))?;
    let mut body = Vec::new();
    for packet in &exchange.bodies {
        body.extend_from_slice(packet.get(BODY_HEAD..).unwrap_or_default());
    }
    let mut request = http::Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = target;
    for header in packet.headers() {
        let name =
            http::HeaderName::from_bytes(header.name).map_err(|error| wrong(&error.to_string()))?;
        // Written anew for the body that is sent.
        if matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "connection" | "expect"
        ) {
            continue;
        }
        let value = http::HeaderValue::from_bytes(header.value)
            .map_err(|error| wrong(&error.to_string()))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// In what the two answers differ; empty when they are the same.
pub(super) fn differences(
    ajp: &Answer,
    http: &Answer,
    ignored: &[String],
    ignore_body: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    if ajp.status != http.status {
        found.push(format!(
            "status {} over AJP, {} over HTTP",
            ajp.status, http.status
        ));
    }
    let is_left_out = |name: &str| {
        LEFT_OUT.contains(&name) || ignored.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let mut names: Vec<&String> = ajp
        .headers
        .iter()
        .chain(&http.headers)
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        if is_left_out(name) {
            continue;
        }
        let values = |answer: &Answer| -> Vec<String> {
            let of = answer.headers.iter().filter(|(known, _)| known == name);
            of.map(|(_, value)| shown(name, value)).collect()
        };
        let (over_ajp, over_http) = (values(ajp), values(http));
        if over_ajp == over_http {
            continue;
        }
        found.push(match (over_ajp.is_empty(), over_http.is_empty()) {
            (false, true) => format!("{name}: {} over AJP only", over_ajp.join(", ")),
            (true, false) => format!("{name}: {} over HTTP only", over_http.join(", ")),
            _ => format!(
                "{name}: {} over AJP, {} over HTTP",
                over_ajp.join(", "),
                over_http.join(", ")
            ),
        });
    }
    if !ignore_body && (ajp.len() != http.len() || ajp.digest() != http.digest()) {
        found.push(format!(
            "body of {} bytes ({:016x}) over AJP, {} bytes ({:016x}) over HTTP",
            ajp.len(),
            ajp.digest(),
            http.len(),
            http.digest()
        ));
    }
    found
}

/// Cookies are credentials: their names and paths alone, since a new session differs anyway.
fn shown(name: &str, value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    if name != "set-cookie" {
        return value.into_owned();
    }
    let (pair, attributes) = value.split_once(';').unwrap_or((&value, ""));
    let cookie = pair.split('=').next().unwrap_or_default();
    format!("{cookie}=...;{attributes}")
}
