//! The part of facts that a packet has as it is, written once for many requests.

use super::facts::RequestFacts;
use super::request_encode::{write_named_attributes, write_own_headers};
use crate::wire::{EncodeError, ForwardRequestWriter, PacketSize, PreparedAttributes, RequestLine};
use bytes::BytesMut;
use std::sync::Arc;

/// Headers and named attributes as bytes. They say nothing that the facts do not say, so
/// facts are the same with and without.
#[derive(Clone, Default)]
pub(super) struct Prepared(Option<Arc<Written>>);

struct Written {
    headers: Box<[u8]>,
    num_headers: u16,
    attributes: PreparedAttributes,
}

impl PartialEq for Prepared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Prepared {}

impl Prepared {
    pub(super) const NONE: Self = Self(None);

    /// Nothing if there is something that cannot be written: whoever sends the facts is told.
    pub(super) fn new(facts: &RequestFacts) -> Self {
        Self(written(facts).ok().map(Arc::new))
    }

    /// `false` if there are none, or no room for all of them.
    pub(super) fn write_headers(&self, writer: &mut ForwardRequestWriter<'_, '_>) -> bool {
        let written = self.0.as_ref();
        written.is_some_and(|all| writer.prepared_headers(&all.headers, all.num_headers))
    }

    /// `false` if there are none, no room for all of them, or one of them is there.
    pub(super) fn write_attributes(&self, writer: &mut ForwardRequestWriter<'_, '_>) -> bool {
        let written = self.0.as_ref();
        written.is_some_and(|all| writer.prepared_attributes(&all.attributes))
    }
}

fn written(facts: &RequestFacts) -> Result<Written, EncodeError> {
    let (mut buffer, line) = (BytesMut::new(), RequestLine::default());
    let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::MAX, &line)?;
    let start = writer.mark();
    write_own_headers(&mut writer, facts)?;
    let (headers, num_headers) = writer.since(start);
    let start = writer.mark();
    write_named_attributes(&mut writer, facts)?;
    Ok(Written {
        headers,
        num_headers,
        attributes: writer.attributes_since(start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{TlsFacts, write_forward_request};
    use crate::wire::BodyFraming;
    use http::header::{HeaderName, HeaderValue};

    /// The packet with these facts, or why there is none.
    fn packet(facts: &RequestFacts, query: &str) -> Result<BytesMut, String> {
        let request = http::Request::get(format!("/a?{query}"));
        let request = request.header("host", "app.example").header("x-own", "1");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut buffer = BytesMut::new();
        let size = PacketSize::DEFAULT;
        write_forward_request(&mut buffer, size, &parts, facts, BodyFraming::Absent, None)
            .map_err(|error| error.to_string())?;
        Ok(buffer)
    }

    fn connection() -> RequestFacts {
        RequestFacts::from_connection(
            ([192, 0, 2, 10], 51234).into(),
            ([192, 0, 2, 1], 8443).into(),
        )
    }

    fn header(facts: RequestFacts, name: &'static str, value: &'static str) -> RequestFacts {
        let name = HeaderName::from_static(name);
        facts.with_header(name, HeaderValue::from_static(value))
    }

    #[test]
    fn the_packet_is_the_same() {
        let forwarded = header(connection(), "x-forwarded-proto", "https");
        let many = (0..40).fold(connection(), |facts, n| {
            facts.with_attribute(format!("SHIB_{n}"), "v".repeat(100))
        });
        for (facts, is_prepared) in [
            (RequestFacts::new(), true),
            (connection(), true),
            (header(forwarded.clone(), "connection", "close"), true),
            (header(forwarded, "accept", "*/*"), true),
            (
                connection()
                    .with_activation("ACT")
                    .with_attribute("A", "1")
                    .user("bob", "Basic"),
                true,
            ),
            (
                connection().tls_facts(TlsFacts::new().with_protocol("TLSv1.3")),
                true,
            ),
            // Twice, once of it where nothing is prepared.
            (
                connection()
                    .tls_facts(TlsFacts::new().with_protocol("TLSv1.3"))
                    .with_attribute("AJP_SSL_PROTOCOL", "TLSv1.2"),
                true,
            ),
            (connection().with_attribute("AJP_REMOTE_PORT", "1"), false),
            (connection().with_attribute("", "no name"), false),
            (connection().with_attribute("A", "two\nlines"), false),
            (many, true),
        ] {
            let prepared = facts.clone().prepared();
            assert_eq!(prepared.prepared.0.is_some(), is_prepared, "{facts:?}");
            for query in ["b=c", &"long".repeat(1900)] {
                assert_eq!(packet(&prepared, query), packet(&facts, query), "{facts:?}");
            }
            assert_eq!(prepared, facts);
        }
    }

    #[test]
    fn what_is_set_later_is_sent() {
        let facts = header(connection(), "x-forwarded-proto", "https").prepared();
        let later: [fn(RequestFacts) -> RequestFacts; 6] = [
            |facts| facts.remote(([192, 0, 2, 11], 51235).into()),
            |facts| facts.local([192, 0, 2, 2].into()),
            |facts| facts.with_activation("DIS"),
            |facts| facts.with_attribute("A", "1"),
            |facts| header(facts, "x-forwarded-host", "a"),
            |facts| facts.with_route("jvm1"),
        ];
        for set in later {
            let expected = set(header(connection(), "x-forwarded-proto", "https"));
            let found = set(facts.clone());
            assert_eq!(packet(&found, "b=c"), packet(&expected, "b=c"));
            assert_ne!(packet(&found, "b=c"), packet(&facts, "b=c"));
        }
    }
}
