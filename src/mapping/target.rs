//! The request target: bytes in AJP, a `Uri` in HTTP. Whatever of it a URI may not hold is
//! percent-encoded on the way, in both directions.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

#[cfg(feature = "server")]
pub(super) use from_ajp::set_uri;
#[cfg(feature = "server")]
pub use from_ajp::{InvalidTarget, RawTarget};

/// What is percent-encoded in a path: whatever `http::Uri` does not take in one or would take
/// for the beginning of something else. A `%` stays, for it usually begins an encoded byte.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// What is percent-encoded in a query, which ends with the target.
const QUERY: &AsciiSet = &PATH.remove(b'?');

/// A path or query with whatever is not ASCII percent-encoded, which containers decode to the
/// same bytes. All else stays as the caller wrote it, as in a target that is ASCII throughout.
#[cold]
pub(super) fn encode_non_ascii(text: &str) -> Vec<u8> {
    // A URI holds no control bytes.
    percent_encode(text.as_bytes(), CONTROLS)
        .collect::<String>()
        .into()
}

#[cfg(feature = "server")]
mod from_ajp {
    use super::{PATH, QUERY, percent_encode};
    use crate::wire::ForwardRequest;
    use bytes::Bytes;
    use http::Request;
    use http::uri::{PathAndQuery, Uri};
    use std::fmt;

    /// The request target of a Forward Request cannot be expressed as `http::Uri`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    #[error("the request target is no valid URI")]
    pub struct InvalidTarget;

    /// The request target as the web server sent it. It is in the extensions of a request whose
    /// target holds bytes that `http::Uri` does not take, such as `<`, or bytes from 0x80; in the
    /// URI they are percent-encoded then, which an application decodes to the same bytes.
    #[derive(Clone, PartialEq, Eq)]
    pub struct RawTarget {
        path: Bytes,
        query: Option<Bytes>,
    }

    impl RawTarget {
        /// The path as received.
        #[must_use]
        pub fn path(&self) -> &[u8] {
            &self.path
        }

        /// The query as received, without `?`; `None` when there was no `?`.
        #[must_use]
        pub fn query(&self) -> Option<&[u8]> {
            self.query.as_deref()
        }
    }

    /// Leaves out the bytes, which may hold a session id.
    impl fmt::Debug for RawTarget {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("RawTarget").finish_non_exhaustive()
        }
    }

    /// Sets the URI of a request, and puts the raw target into the extensions if they differ.
    pub(in crate::mapping) fn set_uri(
        out: &mut Request<()>,
        request: &ForwardRequest,
        query: Option<&[u8]>,
    ) -> Result<(), InvalidTarget> {
        let path = request.req_uri();
        if matches!(path, [b'/', ..] | [b'*']) {
            let whole = match query {
                None => request.slice_ref(path),
                Some(query) => join(path, query),
            };
            if whole.is_ascii() {
                if let Ok(target) = PathAndQuery::from_maybe_shared(whole) {
                    // `?` and `#` may stand in a path that was decoded, and do not end it.
                    if target.path().len() == path.len()
                        && target.query().map(str::len) == query.map(<[u8]>::len)
                    {
                        *out.uri_mut() = Uri::from(target);
                        return Ok(());
                    }
                }
            }
        }
        set_other_uri(out, request, path, query)
    }

    /// As [`set_uri`], of a target that is absolute or cannot be taken as it is.
    #[cold]
    fn set_other_uri(
        out: &mut Request<()>,
        request: &ForwardRequest,
        path: &[u8],
        query: Option<&[u8]>,
    ) -> Result<(), InvalidTarget> {
        let is_absolute = !matches!(path, [b'/', ..] | [b'*']);
        let whole = |path: &[u8], query: Option<&[u8]>| match query {
            None => Bytes::copy_from_slice(path),
            Some(query) => join(path, query),
        };
        if is_absolute && !path.contains(&b'?') && !path.contains(&b'#') {
            let whole = whole(path, query);
            if let Some(uri) = Some(whole)
                .filter(|whole| whole.is_ascii())
                .and_then(|whole| Uri::from_maybe_shared(whole).ok())
            {
                *out.uri_mut() = uri;
                return Ok(());
            }
        }
        let raw = RawTarget {
            path: request.slice_ref(path),
            query: query.map(|query| request.slice_ref(query)),
        };
        let path = percent_encode(path, PATH).collect::<String>();
        let query = query.map(|query| percent_encode(query, QUERY).collect::<String>());
        let whole = whole(path.as_bytes(), query.as_deref().map(str::as_bytes));
        *out.uri_mut() = if is_absolute {
            Uri::from_maybe_shared(whole)
        } else {
            PathAndQuery::from_maybe_shared(whole).map(Uri::from)
        }
        .map_err(|_| InvalidTarget)?;
        out.extensions_mut().insert(raw);
        Ok(())
    }

    fn join(path: &[u8], query: &[u8]) -> Bytes {
        let mut whole = Vec::with_capacity(path.len() + query.len() + 1);
        whole.extend_from_slice(path);
        whole.push(b'?');
        whole.extend_from_slice(query);
        whole.into()
    }
}

#[cfg(all(test, feature = "server"))]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;
    use crate::wire::{DecodeOptions, ForwardRequest};
    use bytes::{BufMut, BytesMut};

    /// A request with any path and query, also those that the writer refuses.
    fn request(path: &[u8], query: Option<&[u8]>) -> ForwardRequest {
        let mut payload = BytesMut::from(&[2, 2][..]);
        let string = |payload: &mut BytesMut, text: &[u8]| {
            payload.put_u16(u16::try_from(text.len()).unwrap());
            payload.put_slice(text);
            payload.put_u8(0);
        };
        string(&mut payload, b"HTTP/1.1");
        string(&mut payload, path);
        // No addresses and names, port 80, no TLS, no headers.
        payload.put_slice(&[0xff; 6]);
        payload.put_slice(&[0, 80, 0, 0, 0]);
        if let Some(query) = query {
            payload.put_u8(5);
            string(&mut payload, query);
        }
        payload.put_u8(0xff);
        let options = DecodeOptions::default()
            .with_lenient_uri(true)
            .with_absolute_uri(true);
        ForwardRequest::parse_with(payload.freeze(), &options).unwrap()
    }

    /// The URI of that request, and the raw target if they differ.
    fn uri(request: &ForwardRequest) -> Result<(http::Uri, Option<RawTarget>), InvalidTarget> {
        let mut out = http::Request::new(());
        set_uri(&mut out, request, request.query_string())?;
        let raw = out.extensions_mut().remove::<RawTarget>();
        Ok((out.uri().clone(), raw))
    }

    #[test]
    fn what_a_uri_takes_is_passed_as_it_is() {
        for (path, query, expected) in [
            ("/a;b=c/d", None, "/a;b=c/d"),
            ("/a", Some(""), "/a?"),
            ("/%41%zz|[\\]", Some("a=?/|"), "/%41%zz|[\\]?a=?/|"),
            ("*", None, "*"),
            ("http://b/c", Some("d"), "http://b/c?d"),
        ] {
            let (uri, raw) = uri(&request(path.as_bytes(), query.map(str::as_bytes))).unwrap();
            assert_eq!((uri.to_string().as_str(), raw), (expected, None));
        }
    }

    #[test]
    fn what_a_uri_does_not_take_is_percent_encoded() {
        for (path, query, expected) in [
            (
                &b"/a"[..],
                Some(&b"q=\xc3\xa9&r=\xe9"[..]),
                "/a?q=%C3%A9&r=%E9",
            ),
            (b"/caf\xc3\xa9", None, "/caf%C3%A9"),
            (b"/a b", Some(b"c d"), "/a%20b?c%20d"),
            (
                b"/a",
                Some(b"<b>&\"c\"&{d}&|e|&^`"),
                "/a?%3Cb%3E&%22c%22&%7Bd%7D&|e|&%5E%60",
            ),
            (b"/what?", None, "/what%3F"),
            (b"/what?", Some(b"a?b"), "/what%3F?a?b"),
            (b"/no#1", Some(b"a"), "/no%231?a"),
            (b"http://b/c?d#e", Some(b"f"), "http://b/c%3Fd%23e?f"),
        ] {
            let (uri, raw) = uri(&request(path, query)).unwrap();
            assert_eq!(uri.to_string(), expected);
            let raw = raw.unwrap();
            assert_eq!((raw.path(), raw.query()), (path, query));
        }
    }

    #[test]
    fn what_is_no_target_is_an_error() {
        for (path, query) in [(&b"*"[..], Some(&b"a"[..])), (b"http://[/", None)] {
            assert_eq!(uri(&request(path, query)), Err(InvalidTarget));
        }
    }
}
