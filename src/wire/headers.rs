//! Headers of Forward Request and Send Headers: reading them once with all checks, and
//! again lazily.

use super::class::Class;
use super::code::request_header_name;
use super::error::{DecodeError, Field, Rule};
use super::limits::BodyFraming;
use super::reader::{Reader, checked_string};
use std::fmt;

/// One header name: its code, or 0, and its bytes.
pub(crate) fn header_name<'a>(
    r: &mut Reader<'a>,
    index: u16,
    name_of: fn(u8) -> Option<&'static str>,
) -> Result<(u8, &'a [u8]), DecodeError> {
    let field = Field::HeaderName(index);
    let start = r.position();
    if let Some(coded @ 0xa000..=0xa0ff) = r.peek_u16() {
        let [_, code] = coded.to_be_bytes();
        let name = name_of(code).ok_or_else(|| r.error(field, Rule::UnknownCode(coded)))?;
        r.u16(field)?;
        return Ok((code, name.as_bytes()));
    }
    let name = r.required(field, Class::Token)?;
    if name.is_empty() {
        return Err(r.error_at(start, field, Rule::Empty));
    }
    Ok((0, name))
}

/// One header value; null counts as empty.
pub(crate) fn header_value<'a>(r: &mut Reader<'a>, index: u16) -> Result<&'a [u8], DecodeError> {
    Ok(r.classed(Field::HeaderValue(index), Class::Value)?
        .unwrap_or_default())
}

/// The number of headers, limited by what the rest of the payload can hold: a header is
/// at least a 2-byte code and a 2-byte null value.
pub(crate) fn header_count(r: &mut Reader<'_>, limit: u16) -> Result<u16, DecodeError> {
    let start = r.position();
    let count = r.u16(Field::NumHeaders)?;
    let possible = r.remaining() / 4;
    if usize::from(count) > possible {
        let needed = u32::from(count).saturating_mul(4);
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

/// A Content-Length by section 6.5: digits only, at most 19, at most 2^63-1.
pub(crate) fn parse_content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let number = value.iter().try_fold(0u64, |number, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(digit.into())
    })?;
    i64::try_from(number).is_ok().then_some(number)
}

const CONTENT_LENGTH_CODE: u8 = 0x08;

pub(super) fn check_headers(
    r: &mut Reader<'_>,
    max_headers: u16,
) -> Result<(u16, u16, BodyFraming), DecodeError> {
    let count = header_count(r, max_headers)?;
    let start = r.position_u16();
    let mut framing = BodyFraming::Absent;
    for index in 0..count {
        let name_at = r.position();
        let (code, name) = header_name(r, index, request_header_name)?;
        let value_at = r.position();
        let value = header_value(r, index)?;
        let is_length = code == CONTENT_LENGTH_CODE
            || (code == 0 && name.len() == 14 && name.eq_ignore_ascii_case(b"content-length"));
        if is_length {
            match framing {
                BodyFraming::Absent => {}
                BodyFraming::Length(_) => {
                    return Err(r.error_at(name_at, Field::ContentLength, Rule::Duplicate));
                }
                BodyFraming::Chunked => {
                    return Err(r.error_at(name_at, Field::ContentLength, Rule::LengthAndEncoding));
                }
            }
            let length = parse_content_length(value)
                .ok_or_else(|| r.error_at(value_at, Field::ContentLength, Rule::NotANumber))?;
            framing = BodyFraming::Length(length);
        } else if code == 0 && name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            match framing {
                BodyFraming::Absent => {}
                BodyFraming::Chunked => {
                    return Err(r.error_at(name_at, Field::TransferEncoding, Rule::Duplicate));
                }
                BodyFraming::Length(_) => {
                    return Err(r.error_at(
                        name_at,
                        Field::TransferEncoding,
                        Rule::LengthAndEncoding,
                    ));
                }
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(r.error_at(value_at, Field::TransferEncoding, Rule::NotChunked));
            }
            framing = BodyFraming::Chunked;
        }
    }
    Ok((count, start, framing))
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

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.name.escape_ascii(),
            self.value.escape_ascii()
        )
    }
}

/// Iterator over the headers of a checked packet. See [`ForwardRequest::headers`](super::ForwardRequest::headers).
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u16,
    name_of: fn(u8) -> Option<&'static str>,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(rest: &'a [u8], left: u16, name_of: fn(u8) -> Option<&'static str>) -> Self {
        Self {
            rest,
            left,
            name_of,
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (&[high, low], after) = self.rest.split_first_chunk::<2>()?;
        let (name, code) = if high == 0xa0 {
            self.rest = after;
            ((self.name_of)(low)?.as_bytes(), Some(low))
        } else {
            (checked_string(&mut self.rest)?, None)
        };
        let value = checked_string(&mut self.rest)?;
        Some(Header { name, value, code })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Headers<'_> {}
