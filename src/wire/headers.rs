//! Headers of Forward Request and Send Headers: reading them once with all checks, and
//! again lazily.

#![allow(
    clippy::inline_always,
    reason = "a header stays in registers only where it is taken apart at once"
)]

use super::byte_class::Class;
use super::code_lookup::{REQUEST_HEADERS, by_code};
use super::error::{DecodeError, Field, Rule};
use super::header_sink::HeaderSink;
use super::limits::BodyFraming;
use super::reader::{Reader, checked_string};
use bytes::Bytes;

/// One header name: its code and nothing, or 0 and its bytes.
#[inline]
pub(crate) fn header_name<'a>(
    r: &mut Reader<'a>,
    index: u32,
    codes: usize,
) -> Result<(u8, &'a [u8]), DecodeError> {
    let field = Field::HeaderName(nth(index));
    let start = r.position();
    if let Some(code) = r.code_if(0xa0) {
        if code == 0 || usize::from(code) > codes {
            let code = u16::from_be_bytes([0xa0, code]);
            return Err(r.error_at(start, field, Rule::UnknownCode(code)));
        }
        return Ok((code, &[]));
    }
    let name = r.required(field, Class::Token)?;
    if name.is_empty() {
        return Err(r.error_at(start, field, Rule::Empty));
    }
    Ok((0, name))
}

/// One header value; null counts as empty.
#[inline]
pub(crate) fn header_value<'a>(
    r: &mut Reader<'a>,
    index: u32,
) -> Result<Option<&'a [u8]>, DecodeError> {
    r.classed(Field::HeaderValue(nth(index)), Class::Value)
}

/// What follows a header that is written as nearly all are: with a code, or with a name of
/// letters and `-`, and with a value that `accept` accepts, which looks at its bytes. It says
/// nothing about a body.
///
/// `None` says nothing about the header: it has to be read with [`header_name`] and
/// [`header_value`], which know everything that is allowed and where an error is. What this
/// passes over they accept.
#[inline(always)]
pub(crate) fn after_usual_header<'a>(
    rest: &'a [u8],
    codes: usize,
    content_length: u8,
    accept: impl FnOnce(SentName<'a>, &'a [u8]) -> bool,
) -> Option<&'a [u8]> {
    let (name, rest) = match *rest {
        [0xa0, code, ref rest @ ..] => {
            let is_usual = code != 0 && usize::from(code) <= codes && code != content_length;
            (SentName::Coded(code), is_usual.then_some(rest)?)
        }
        [0, len, ref rest @ ..] => {
            let (name, rest) = rest.split_at_checked(usize::from(len))?;
            let is_usual = len != 0 && Class::Token.is_usual(name) && !may_be_length_header(name);
            let rest = is_usual.then_some(rest)?.strip_prefix(&[0])?;
            (SentName::Spelled(name), rest)
        }
        _ => return None,
    };
    let (&len, rest) = rest.split_first_chunk::<2>()?;
    // The null string is longer than any payload.
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes(len).into())?;
    let rest = rest.strip_prefix(&[0])?;
    accept(name, value).then_some(rest)
}

/// Whether a value is printable ASCII, as nearly all are.
#[inline(always)]
pub(crate) fn is_usual_value(value: &[u8]) -> bool {
    Class::Value.is_usual(value)
}

/// Which header, for an error. Loops count in 32 bits: a register that is kept on the stack
/// is written and read faster so.
fn nth(index: u32) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// The number of headers, limited by what the rest of the payload can hold: a header is
/// at least a 2-byte code and a 2-byte null value.
#[inline]
pub(crate) fn header_count(r: &mut Reader<'_>, limit: u16) -> Result<u16, DecodeError> {
    let start = r.position();
    let count = r.u16(Field::NumHeaders)?;
    let possible = r.remaining() / 4;
    if usize::from(count) > possible {
        let needed = u32::from(count) * 4;
        let left = u32::try_from(r.remaining()).unwrap_or(u32::MAX);
        return Err(r.error_at(start, Field::NumHeaders, Rule::Truncated { needed, left }));
    }
    if count > limit {
        let rule = Rule::TooMany {
            count: count.into(),
            limit: limit.into(),
        };
        return Err(r.error_at(start, Field::NumHeaders, rule));
    }
    Ok(count)
}

/// A Content-Length by protocol chapter [framing](crate::docs::protocol::framing#requests): digits
/// only, at most 19, at most 2^63-1.
pub(crate) fn parse_content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut number = 0u64;
    for b in value {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits are less than 2^64.
        number = number.wrapping_mul(10).wrapping_add(digit.into());
    }
    i64::try_from(number).is_ok().then_some(number)
}

/// `content-length` in a request.
pub(super) const CONTENT_LENGTH_CODE: u8 = 0x08;

/// Checks `count` headers of this payload, gives them to `sink`, and tells how they announce a
/// body.
#[inline(never)]
pub(super) fn check_headers<S: HeaderSink>(
    outer: &mut Reader<'_>,
    payload: &Bytes,
    count: u16,
    sink: &mut S,
) -> Result<BodyFraming, DecodeError> {
    // A cursor of its own stays in registers during the loop.
    let mut own = *outer;
    let r = &mut own;
    sink.begin(count);
    let mut framing = BodyFraming::Absent;
    for index in 0..u32::from(count) {
        let accept = |name: SentName<'_>, value: &[u8]| {
            (S::CHECKS_VALUES || is_usual_value(value)) && sink.add(payload, name, value)
        };
        if r.skip(|rest| {
            after_usual_header(rest, REQUEST_HEADERS.len(), CONTENT_LENGTH_CODE, accept)
        }) {
            continue;
        }
        (*r, framing) = framing.after_header(*r, payload, index, sink)?;
    }
    *outer = own;
    Ok(framing)
}

/// Whether a spelled name can be `content-length` or `transfer-encoding`.
#[inline]
fn may_be_length_header(name: &[u8]) -> bool {
    match (name.len(), name.first()) {
        (14, Some(&first)) => first | 0x20 == b'c',
        (17, Some(&first)) => first | 0x20 == b't',
        _ => false,
    }
}

/// Which of the two length headers is wrong, and how.
struct WrongLength {
    field: Field,
    /// The value is wrong, or else that the header is there at all.
    in_value: bool,
    rule: Rule,
}

impl BodyFraming {
    /// Reads a header, and adds what it says. The cursor is handed over and back so that it can
    /// stay in registers elsewhere.
    #[cold]
    #[inline(never)]
    fn after_header<'a, S: HeaderSink>(
        self,
        mut r: Reader<'a>,
        payload: &Bytes,
        index: u32,
        sink: &mut S,
    ) -> Result<(Reader<'a>, Self), DecodeError> {
        let name_at = r.position();
        let (code, name) = header_name(&mut r, index, REQUEST_HEADERS.len())?;
        let value_at = r.position();
        let value = header_value(&mut r, index)?.unwrap_or_default();
        let framing = self.after(code, name, value).map_err(|wrong| {
            let at = if wrong.in_value { value_at } else { name_at };
            r.error_at(at, wrong.field, wrong.rule)
        })?;
        let name = match code {
            0 => SentName::Spelled(name),
            code => SentName::Coded(code),
        };
        if sink.add(payload, name, value) {
            return Ok((r, framing));
        }
        // A sink refuses no other values than the class does.
        let first = value.first().copied().unwrap_or_default();
        let field = Field::HeaderValue(nth(index));
        Err(r.error_at(value_at, field, Rule::InvalidByte(first)))
    }

    /// What the headers so far say, and one header more.
    fn after(self, code: u8, name: &[u8], value: &[u8]) -> Result<Self, WrongLength> {
        let field = if code == CONTENT_LENGTH_CODE || name.eq_ignore_ascii_case(b"content-length") {
            Field::ContentLength
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            Field::TransferEncoding
        } else {
            return Ok(self);
        };
        let wrong = |in_value, rule| WrongLength {
            field,
            in_value,
            rule,
        };
        match (self, field) {
            (Self::Absent, Field::ContentLength) => parse_content_length(value)
                .map(Self::Length)
                .ok_or_else(|| wrong(true, Rule::NotANumber)),
            (Self::Absent, _) if value.eq_ignore_ascii_case(b"chunked") => Ok(Self::Chunked),
            (Self::Absent, _) => Err(wrong(true, Rule::NotChunked)),
            (Self::Length(_), Field::ContentLength) | (Self::Chunked, Field::TransferEncoding) => {
                Err(wrong(false, Rule::Duplicate))
            }
            _ => Err(wrong(false, Rule::LengthAndEncoding)),
        }
    }
}

/// One header of a Forward Request or Send Headers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'a> {
    /// The name: lower case when it was coded, as received when it was spelled out.
    pub name: &'a [u8],
    /// The value as received: tab, 0x20..=0x7E and 0x80..=0xFF.
    pub value: &'a [u8],
    /// The low byte of the code, `None` when the name was spelled out.
    pub code: Option<u8>,
}

/// Iterator over the headers of a checked packet. See [`ForwardRequest::headers`](super::ForwardRequest::headers).
#[derive(Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u16,
    names: &'static [&'static str],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(rest: &'a [u8], left: u16, names: &'static [&'static str]) -> Self {
        Self { rest, left, names }
    }
}

impl<'a> Headers<'a> {
    /// The next header with its name as it was sent: the low byte of its code, or its bytes.
    // The loops over it are few, and what it returns is large.
    #[inline(always)]
    pub(crate) fn next_sent(&mut self) -> Option<(SentName<'a>, &'a [u8])> {
        self.left = self.left.checked_sub(1)?;
        let (&[high, code], after) = self.rest.split_first_chunk::<2>()?;
        let name = if high == 0xa0 {
            self.rest = after;
            SentName::Coded(code)
        } else {
            SentName::Spelled(checked_string(&mut self.rest)?)
        };
        Some((name, checked_string(&mut self.rest)?))
    }
}

/// The name of a header as it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SentName<'a> {
    /// The low byte of the code.
    Coded(u8),
    /// Spelled out, in any letter case.
    Spelled(&'a [u8]),
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Header<'a>> {
        let (name, value) = self.next_sent()?;
        let (name, code) = match name {
            SentName::Coded(code) => (by_code(self.names, code)?.as_bytes(), Some(code)),
            SentName::Spelled(name) => (name, None),
        };
        Some(Header { name, value, code })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Headers<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is passed over in one look, reading field by field accepts with the same end, and
    /// finds that it says nothing about a body.
    #[test]
    fn a_usual_header_is_one_that_reading_accepts() {
        let names: [&[u8]; 12] = [
            b"\xa0\x01",
            b"\xa0\x08",
            b"\xa0\x0e",
            b"\xa0\x0f",
            b"\xa0\x00",
            b"\x00\x09sec-ch-ua\0",
            b"\x00\x0econtent-length\0",
            b"\x00\x0eContent-Secret\0",
            b"\x00\x11Transfer-Encoding\0",
            b"\x00\x02TE\0",
            b"\x00\x00\0",
            b"\xff\xff",
        ];
        let values: [&[u8]; 8] = [
            b"\x00\x00\0",
            b"\x00\x011\0",
            b"\x00\x05hello\0",
            b"\x00\x09a\tb \xe9 cd\0",
            b"\x00\x22a value that is longer than 32 byte\0",
            b"\x00\x05hel\x01o\0",
            b"\xff\xff",
            b"\xa0\x01",
        ];
        let (mut usual, mut looked_at) = (0, 0);
        for (name, value) in names
            .iter()
            .flat_map(|name| values.map(|value| (name, value)))
        {
            let whole = [name, value, b"rest".as_slice()].concat();
            let header = name.len() + value.len();
            // Every byte of the structure and of the strings takes a few other values.
            let changes = (0..header).flat_map(|at| {
                [
                    0u8, 1, 9, 0x0d, 0x20, 0x2d, 0x41, 0x5f, 0x7f, 0x80, 0xa0, 0xff,
                ]
                .map(|b| (at, b))
            });
            for (at, byte) in changes.chain([(0, whole[0])]) {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                // Also cut short.
                for end in 0..=bytes.len() {
                    let payload = &bytes[..end];
                    let after = after_usual_header(
                        payload,
                        REQUEST_HEADERS.len(),
                        CONTENT_LENGTH_CODE,
                        |_, value| is_usual_value(value),
                    );
                    looked_at += 1;
                    let Some(after) = after else { continue };
                    usual += 1;
                    let mut r = Reader::new(payload);
                    let (code, name) = header_name(&mut r, 0, REQUEST_HEADERS.len()).unwrap();
                    let value = header_value(&mut r, 0).unwrap().unwrap();
                    assert_eq!(r.rest(), after, "{payload:x?}");
                    let framing = BodyFraming::Absent.after(code, name, value);
                    assert_eq!(framing.ok(), Some(BodyFraming::Absent), "{payload:x?}");
                }
            }
        }
        assert!(
            usual > 1_000 && looked_at > 100 * usual,
            "{usual} of {looked_at}"
        );
    }
}
