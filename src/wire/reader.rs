//! A checked cursor over one payload. Every read names the field it is for, so that an
//! error can say where and what.
//!
//! What a packet holds is found and checked in one walk; afterwards nothing can fail.

#![allow(
    clippy::inline_always,
    reason = "the cursor stays in registers only when nothing takes its address"
)]

use super::byte_class::Class;
use super::error::{DecodeError, Field, Rule};
use super::packet::HEADER_LEN;

/// Where a string lies in its payload. Position 0 is the message code, never a string,
/// so it marks "absent or null".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u16,
    len: u16,
}

impl Span {
    pub(crate) const NULL: Self = Self { start: 0, len: 0 };

    /// Where a part of a payload lies; [`NULL`](Self::NULL) if it is from elsewhere.
    #[inline]
    pub(crate) fn of(part: &[u8], payload: &[u8]) -> Self {
        let start = offset_in(payload, part).and_then(|start| u16::try_from(start).ok());
        match (start, u16::try_from(part.len())) {
            (Some(start), Ok(len)) => Self { start, len },
            _ => Self::NULL,
        }
    }

    /// [`NULL`](Self::NULL) for an empty string.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn filled(self) -> Self {
        if self.len == 0 { Self::NULL } else { self }
    }

    pub(crate) fn get(self, payload: &[u8]) -> Option<&[u8]> {
        if self.start == 0 {
            return None;
        }
        let start = usize::from(self.start);
        payload.get(start..start + usize::from(self.len))
    }
}

/// Where in a payload a part of it lies, if it does.
#[inline]
pub(crate) fn offset_in(payload: &[u8], part: &[u8]) -> Option<usize> {
    let start = part.as_ptr().addr().wrapping_sub(payload.as_ptr().addr());
    let is_part = part.len() <= payload.len().checked_sub(start)?;
    is_part.then_some(start)
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    payload: &'a [u8],
    rest: &'a [u8],
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "payloads are at most 65535 bytes, checked by split_packet and parse"
)]
fn u32_len(n: usize) -> u32 {
    n as u32
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self {
            payload,
            rest: payload,
        }
    }

    /// Bytes read so far, from the start of the payload.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.payload.len().wrapping_sub(self.rest.len())
    }

    /// [`position`](Self::position) in the type that offsets are kept in.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "payloads are at most 65535 bytes, checked by parse"
    )]
    #[inline]
    pub(crate) fn position_u16(&self) -> u16 {
        self.position() as u16
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the current position.
    #[cold]
    pub(crate) fn error(&self, field: Field, rule: Rule) -> DecodeError {
        self.error_at(self.position(), field, rule)
    }

    /// An error at a position of the payload.
    #[allow(clippy::unused_self, reason = "reads as part of the cursor")]
    #[cold]
    pub(crate) fn error_at(&self, position: usize, field: Field, rule: Rule) -> DecodeError {
        DecodeError::new(position + HEADER_LEN, field, rule)
    }

    fn truncated(&self, field: Field, needed: usize) -> DecodeError {
        self.error(
            field,
            Rule::Truncated {
                needed: u32_len(needed),
                left: u32_len(self.rest.len()),
            },
        )
    }

    #[inline(always)]
    fn bytes<const N: usize>(&mut self, field: Field) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((&bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.truncated(field, N)),
        }
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self, field: Field) -> Result<u8, DecodeError> {
        let [byte] = self.bytes(field)?;
        Ok(byte)
    }

    #[inline(always)]
    pub(crate) fn u16(&mut self, field: Field) -> Result<u16, DecodeError> {
        self.bytes(field).map(u16::from_be_bytes)
    }

    /// Goes to where `after` says that something ends which stands here, if it does.
    #[inline(always)]
    pub(crate) fn skip(&mut self, after: impl FnOnce(&'a [u8]) -> Option<&'a [u8]>) -> bool {
        match after(self.rest) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A code of two bytes of which the first is `high`, if it stands here.
    #[inline(always)]
    pub(crate) fn code_if(&mut self, high: u8) -> Option<u8> {
        match *self.rest {
            [first, code, ref rest @ ..] if first == high => {
                self.rest = rest;
                Some(code)
            }
            _ => None,
        }
    }

    /// A string of a byte class, null allowed: length, bytes, NUL; or 0xFFFF.
    #[inline(always)]
    pub(crate) fn classed(
        &mut self,
        field: Field,
        class: Class,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        if let [0, len, ref after @ ..] = *self.rest {
            if let Some((bytes, rest)) = after.split_at_checked(usize::from(len).wrapping_add(1)) {
                if let Some((0, bytes)) = bytes.split_last() {
                    self.string(field, class, bytes)?;
                    self.rest = rest;
                    return Ok(Some(bytes));
                }
            }
        }
        // No payload is long enough for a string of this length.
        if let [0xff, 0xff, ref rest @ ..] = *self.rest {
            self.rest = rest;
            return Ok(None);
        }
        let (ahead, string) = self.long(field, class)?;
        *self = ahead;
        Ok(Some(string))
    }

    /// A string from 256 bytes, or an error; and the cursor behind it.
    #[cold]
    #[inline(never)]
    fn long(mut self, field: Field, class: Class) -> Result<(Self, &'a [u8]), DecodeError> {
        let Some((&prefix, after)) = self.rest.split_first_chunk::<2>() else {
            return Err(self.truncated(field, 2));
        };
        let len = usize::from(u16::from_be_bytes(prefix));
        let Some((bytes, rest)) = after.split_at_checked(len + 1) else {
            self.rest = after;
            return Err(self.truncated(field, len + 1));
        };
        match bytes.split_last() {
            Some((0, bytes)) => {
                self.string(field, class, bytes)?;
                self.rest = rest;
                Ok((self, bytes))
            }
            last => {
                let byte = last.map_or(0, |(&byte, _)| byte);
                let at = self.position() + 2 + len;
                Err(self.error_at(at, field, Rule::MissingTerminator(byte)))
            }
        }
    }

    /// Checks the bytes of the string that stands here.
    #[inline(always)]
    fn string(&self, field: Field, class: Class, bytes: &[u8]) -> Result<(), DecodeError> {
        if class.is_usual(bytes) {
            return Ok(());
        }
        match class.first_bad(bytes) {
            None => Ok(()),
            Some((index, byte)) => Err(self.invalid_byte(field, index, byte)),
        }
    }

    #[cold]
    #[inline(never)]
    fn invalid_byte(&self, field: Field, index: usize, byte: u8) -> DecodeError {
        let at = self.position() + 2 + index;
        self.error_at(at, field, Rule::InvalidByte(byte))
    }

    /// A string like [`classed`](Self::classed), if the whole of it is there and not null.
    /// For places where something else may stand.
    #[inline(always)]
    pub(crate) fn string_if(&mut self, is_one: impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let bytes = ahead.classed(Field::End, Class::Any).ok()??;
        is_one(bytes).then(|| {
            *self = ahead;
            bytes
        })
    }

    /// A string of a byte class that may not be null.
    #[inline(always)]
    pub(crate) fn required(&mut self, field: Field, class: Class) -> Result<&'a [u8], DecodeError> {
        let start = self.position();
        match self.classed(field, class)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.error_at(start, field, Rule::Null)),
        }
    }

    /// The span of the string that was read last.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "payloads are at most 65535 bytes, checked by parse"
    )]
    #[inline]
    pub(crate) fn span(&self, value: Option<&[u8]>) -> Span {
        match value {
            None => Span::NULL,
            Some(bytes) => Span {
                // The string ended one NUL before the current position.
                start: self.position().wrapping_sub(1).wrapping_sub(bytes.len()) as u16,
                len: bytes.len() as u16,
            },
        }
    }

    /// The payload must end here.
    #[inline]
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(Field::End, Rule::TrailingBytes(u32_len(self.rest.len()))))
        }
    }
}

/// Refuses payloads longer than any packet can be; everything after counts in `u16`.
pub(crate) fn check_payload_len(payload: &[u8]) -> Result<(), DecodeError> {
    if payload.len() > 65535 {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        return Err(DecodeError::new(
            2,
            Field::PayloadLength,
            Rule::TooLong { len, max: 65535 },
        ));
    }
    Ok(())
}

/// A string of a payload that was checked before; null reads as empty.
#[inline(always)]
pub(crate) fn checked_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if let Some(value) = short_checked(rest) {
        return Some(value);
    }
    let (value, after) = rare_checked(rest)?;
    *rest = after;
    Some(value.unwrap_or_default())
}

#[allow(
    clippy::option_option,
    reason = "end of input and null string are different"
)]
#[inline(always)]
pub(crate) fn checked_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    if let Some(value) = short_checked(rest) {
        return Some(Some(value));
    }
    let (value, after) = rare_checked(rest)?;
    *rest = after;
    Some(value)
}

/// A string of less than 256 bytes, if one stands here.
#[inline(always)]
fn short_checked<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [0, len, ref after @ ..] = **rest else {
        return None;
    };
    let (bytes, after) = after.split_at_checked(usize::from(len).wrapping_add(1))?;
    *rest = after;
    let (_, value) = bytes.split_last()?;
    Some(value)
}

/// A string from 256 bytes, or null; and what follows it. The cursor is handed over so that it can
/// stay in registers elsewhere.
#[cold]
#[inline(never)]
fn rare_checked(rest: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (&len, after) = rest.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes(len));
    // Only null says more than there is: the payload was checked.
    let Some((bytes, after)) = after.split_at_checked(len + 1) else {
        return Some((None, after));
    };
    let (_, value) = bytes.split_last()?;
    Some((Some(value), after))
}
