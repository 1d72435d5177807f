//! Headers of Forward Request and Send Headers: reading them once with all checks, and
//! again lazily.

use super::class::Class;
use super::code::{REQUEST_HEADERS, by_code};
use super::error::{Field, Rule};
use super::limits::BodyFraming;
use super::reader::{Check, Reader, checked_string};
use std::fmt;

/// One header name: its code and nothing, or 0 and its bytes.
#[inline(always)]
pub(crate) fn header_name<'a, C: Check>(
    r: &mut Reader<'a, C>,
    index: u16,
    codes: usize,
) -> Result<(u8, &'a [u8]), C::Error> {
    let field = Field::HeaderName(index);
    let start = r.position();
    if let Some(coded @ 0xa000..=0xa0ff) = r.peek_u16() {
        let [_, code] = coded.to_be_bytes();
        if code == 0 || usize::from(code) > codes {
            return Err(r.error(field, Rule::UnknownCode(coded)));
        }
        r.u16(field)?;
        return Ok((code, &[]));
    }
    let name = r.required(field, Class::Token)?;
    if name.is_empty() {
        return Err(r.error_at(start, field, Rule::Empty));
    }
    Ok((0, name))
}

/// One header value; null counts as empty.
#[inline(always)]
pub(crate) fn header_value<'a, C: Check>(
    r: &mut Reader<'a, C>,
    index: u16,
) -> Result<&'a [u8], C::Error> {
    Ok(r.classed(Field::HeaderValue(index), Class::Value)?
        .unwrap_or_default())
}

/// The number of headers, limited by what the rest of the payload can hold: a header is
/// at least a 2-byte code and a 2-byte null value.
#[inline(always)]
pub(crate) fn header_count<C: Check>(r: &mut Reader<'_, C>, limit: u16) -> Result<u16, C::Error> {
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

#[inline(never)]
pub(super) fn check_headers<C: Check>(
    outer: &mut Reader<'_, C>,
    max_headers: u16,
) -> Result<(u16, u16, BodyFraming), C::Error> {
    // A cursor of its own stays in registers during the loop.
    let mut own = *outer;
    let r = &mut own;
    let count = header_count(r, max_headers)?;
    let start = r.position_u16();
    let mut framing = BodyFraming::Absent;
    for index in 0..count {
        let name_at = r.position();
        let (code, name) = header_name(r, index, REQUEST_HEADERS.len())?;
        let value_at = r.position();
        let value = header_value(r, index)?;
        let field = match (code, name) {
            (CONTENT_LENGTH_CODE, _) => Field::ContentLength,
            (0, [b'c' | b'C', _, _, _, _, _, _, _, _, _, _, _, _, _])
                if name.eq_ignore_ascii_case(b"content-length") =>
            {
                Field::ContentLength
            }
            (0, [b't' | b'T', _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _])
                if name.eq_ignore_ascii_case(b"transfer-encoding") =>
            {
                Field::TransferEncoding
            }
            _ => continue,
        };
        framing = framing.and(field, value).map_err(|(in_value, rule)| {
            r.error_at(if in_value { value_at } else { name_at }, field, rule)
        })?;
    }
    *outer = own;
    Ok((count, start, framing))
}

impl BodyFraming {
    /// What the headers so far say, and one of the two length headers more. The error tells
    /// whether the value is wrong, or that the header is there at all.
    fn and(self, field: Field, value: &[u8]) -> Result<Self, (bool, Rule)> {
        match (self, field) {
            (Self::Absent, Field::ContentLength) => parse_content_length(value)
                .map(Self::Length)
                .ok_or((true, Rule::NotANumber)),
            (Self::Absent, _) if value.eq_ignore_ascii_case(b"chunked") => Ok(Self::Chunked),
            (Self::Absent, _) => Err((true, Rule::NotChunked)),
            (Self::Length(_), Field::ContentLength) | (Self::Chunked, Field::TransferEncoding) => {
                Err((false, Rule::Duplicate))
            }
            _ => Err((false, Rule::LengthAndEncoding)),
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
    names: &'static [&'static str],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(rest: &'a [u8], left: u16, names: &'static [&'static str]) -> Self {
        Self { rest, left, names }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (&[high, low], after) = self.rest.split_first_chunk::<2>()?;
        let (name, code) = if high == 0xa0 {
            self.rest = after;
            (by_code(self.names, low)?.as_bytes(), Some(low))
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
