//! A checked cursor over one payload. Every read names the field it is for, so that an
//! error can say where and what.

use super::class::Class;
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

    pub(crate) fn get(self, payload: &[u8]) -> Option<&[u8]> {
        if self.start == 0 {
            return None;
        }
        let start = usize::from(self.start);
        payload.get(start..start.saturating_add(usize::from(self.len)))
    }
}

#[derive(Debug)]
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
    pub(crate) fn position(&self) -> usize {
        self.payload.len().saturating_sub(self.rest.len())
    }

    /// [`position`](Self::position) in the type that offsets are kept in.
    pub(crate) fn position_u16(&self) -> u16 {
        // Payloads are at most 65535 bytes.
        u16::try_from(self.position()).unwrap_or(u16::MAX)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the current position.
    pub(crate) fn error(&self, field: Field, rule: Rule) -> DecodeError {
        self.error_at(self.position(), field, rule)
    }

    /// An error at a position of the payload.
    #[allow(clippy::unused_self, reason = "reads as part of the cursor")]
    pub(crate) fn error_at(&self, position: usize, field: Field, rule: Rule) -> DecodeError {
        DecodeError::new(position.saturating_add(HEADER_LEN), field, rule)
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

    #[inline]
    pub(crate) fn u8(&mut self, field: Field) -> Result<u8, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) => {
                self.rest = rest;
                Ok(byte)
            }
            None => Err(self.truncated(field, 1)),
        }
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: Field) -> Result<u16, DecodeError> {
        match self.rest.split_first_chunk::<2>() {
            Some((&bytes, rest)) => {
                self.rest = rest;
                Ok(u16::from_be_bytes(bytes))
            }
            None => Err(self.truncated(field, 2)),
        }
    }

    /// The next two bytes without reading them.
    #[inline]
    pub(crate) fn peek_u16(&self) -> Option<u16> {
        self.rest
            .first_chunk::<2>()
            .map(|&bytes| u16::from_be_bytes(bytes))
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize, field: Field) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.truncated(field, len)),
        }
    }

    /// A string: length, bytes, NUL; or the null string 0xFFFF.
    #[inline]
    pub(crate) fn string(&mut self, field: Field) -> Result<Option<&'a [u8]>, DecodeError> {
        let len = self.u16(field)?;
        if len == 0xffff {
            return Ok(None);
        }
        let len = usize::from(len);
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(field, len.saturating_add(1)));
        };
        match rest.split_first() {
            Some((0, rest)) => {
                self.rest = rest;
                Ok(Some(bytes))
            }
            Some((&byte, _)) => Err(self.error_at(
                self.position().saturating_add(len),
                field,
                Rule::MissingTerminator(byte),
            )),
            None => Err(self.truncated(field, len.saturating_add(1))),
        }
    }

    /// A string of a byte class, null allowed.
    #[inline]
    pub(crate) fn classed(
        &mut self,
        field: Field,
        class: Class,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        let value = self.string(field)?;
        if let Some(bytes) = value {
            self.check(bytes, field, class)?;
        }
        Ok(value)
    }

    /// A string of a byte class that may not be null.
    #[inline]
    pub(crate) fn required(&mut self, field: Field, class: Class) -> Result<&'a [u8], DecodeError> {
        let start = self.position();
        self.classed(field, class)?
            .ok_or_else(|| self.error_at(start, field, Rule::Null))
    }

    /// Checks the string that was read last against a class.
    #[inline]
    pub(crate) fn check(
        &self,
        bytes: &[u8],
        field: Field,
        class: Class,
    ) -> Result<(), DecodeError> {
        match class.first_bad(bytes) {
            None => Ok(()),
            Some((index, byte)) => {
                // The string ended one NUL before the current position.
                let start = self
                    .position()
                    .saturating_sub(1)
                    .saturating_sub(bytes.len());
                Err(self.error_at(start.saturating_add(index), field, Rule::InvalidByte(byte)))
            }
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
                start: self
                    .position()
                    .saturating_sub(1)
                    .saturating_sub(bytes.len()) as u16,
                len: bytes.len() as u16,
            },
        }
    }

    /// The payload must end here.
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
pub(crate) fn checked_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    Some(checked_nullable(rest)?.unwrap_or_default())
}

#[allow(
    clippy::option_option,
    reason = "end of input and null string are different"
)]
pub(crate) fn checked_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (&len, after) = rest.split_first_chunk::<2>()?;
    let len = u16::from_be_bytes(len);
    if len == 0xffff {
        *rest = after;
        return Some(None);
    }
    let (value, after) = after.split_at_checked(usize::from(len))?;
    *rest = after.get(1..)?;
    Some(Some(value))
}
