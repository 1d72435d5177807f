//! The head of a request as text: where it ends, what it begins with, and its target as a URI.

use bytes::BytesMut;
use http::Uri;
use memchr::memchr_iter;
use std::fmt::Write as _;

/// Of a request line so much is kept for the log.
const MOST_OF_A_LINE: usize = 2048;

pub(super) fn keep_line(line: &mut Vec<u8>, head: &[u8]) {
    let first = request_line(head);
    line.clear();
    line.extend_from_slice(first.get(..MOST_OF_A_LINE).unwrap_or(first));
}

/// Where the head in front of these bytes ends: behind its first empty line. Empty lines before
/// the request line are a part of it (RFC 9112, section 2.2).
pub(super) fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let from = start.max(searched.saturating_sub(2));
    let rest = bytes.get(from..)?;
    for at in memchr_iter(b'\n', rest) {
        let after = match rest.get(at.checked_add(1)?..)? {
            [b'\n', ..] => 2,
            [b'\r', b'\n', ..] => 3,
            _ => continue,
        };
        return from.checked_add(at)?.checked_add(after);
    }
    None
}

/// The first line with something in it, without its end.
pub(super) fn request_line(head: &[u8]) -> &[u8] {
    let mut start = 0;
    for end in memchr_iter(b'\n', head).chain([head.len()]) {
        let line = head.get(start..end).unwrap_or_default().trim_ascii_end();
        if !line.is_empty() {
            return line;
        }
        start = end.saturating_add(1);
    }
    &[]
}

/// Whether this, which may be the beginning of a head, is none of HTTP/1 whatever follows: a client
/// that speaks something else, such as TLS, is told so at once.
pub(super) fn is_no_request(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'));
    let Some(rest) = start.and_then(|start| bytes.get(start..)) else {
        return false;
    };
    let method = rest.split(|b| *b == b' ').next().unwrap_or_default();
    if method.is_empty() || !method.iter().all(|b| is_token_byte(*b)) {
        return true;
    }
    let end = memchr_iter(b'\n', rest).next();
    end.and_then(|end| rest.get(..end)).is_some_and(|line| {
        let line = line.trim_ascii_end();
        !line.ends_with(b" HTTP/1.1") && !line.ends_with(b" HTTP/1.0")
    })
}

/// Whether a method may have this byte (RFC 9110, section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A target that came over HTTP/2, with what is special in it percent-encoded; `None` if nothing is.
pub(in crate::gateway::front) fn encoded_target(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str();
    if !has_special(target.as_bytes()) {
        return None;
    }
    let mut text = String::with_capacity(target.len().saturating_add(64));
    for byte in target.bytes() {
        if is_special(byte) {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        } else {
            text.push(char::from(byte));
        }
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.try_into().ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether there is something to encode. Looks at all bytes, which takes less time than to stop
/// at the first one: many are looked at together.
pub(super) fn has_special(line: &[u8]) -> bool {
    line.iter().fold(false, |found, b| found | is_special(*b))
}

/// Whether a byte cannot stand in a URI and is one all the same to those who send it.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | 0x80..)
}

/// The head with what is special in its target percent-encoded.
pub(super) fn encoded(head: BytesMut) -> BytesMut {
    let line = request_line(&head);
    if !has_special(line) {
        return head;
    }
    let start = head.iter().position(|b| !matches!(b, b'\r' | b'\n'));
    let start = start.unwrap_or_default();
    let blanks = (
        line.iter().position(|b| *b == b' '),
        line.iter().rposition(|b| *b == b' '),
    );
    let (Some(first), Some(last)) = blanks else {
        return head;
    };
    let (first, last) = (start.saturating_add(first), start.saturating_add(last));
    let mut out = BytesMut::with_capacity(head.len().saturating_add(64));
    for (at, byte) in head.iter().enumerate() {
        if first < at && at < last && is_special(*byte) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.extend_from_slice(&[*byte]);
        }
    }
    out
}
