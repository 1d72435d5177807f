//! Send Headers (protocol chapter [packets](crate::docs::protocol::packets#send-headers)): view and
//! writer.

use super::byte_class::Class;
use super::code_lookup::{RESPONSE_HEADERS, response_header_code, standard_reason};
use super::error::{DecodeError, EncodeError, EncodeRule, Field, Rule, ShortName};
use super::headers::{
    Headers, after_usual_header, header_count, header_name, header_value, is_usual_value,
    parse_content_length,
};
use super::limits::PacketSize;
use super::packet::{Direction, HEADER_LEN};
use super::reader::{Reader, Span, check_payload_len};
use super::request::slice_ref;
use super::request_writer::write_header;
use super::writer::PacketWriter;
use bytes::{Bytes, BytesMut};

pub(crate) const SEND_HEADERS: u8 = 4;

/// `content-length` in a response.
const CONTENT_LENGTH_CODE: u8 = 0x03;

/// One checked Send Headers: a view over a single payload.
#[derive(Clone, PartialEq, Eq)]
pub struct SendHeaders {
    payload: Bytes,
    parts: Parts,
}

/// Where everything lies that was found by the walk over a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    status: u16,
    reason: Span,
    num_headers: u16,
    headers_at: u16,
    content_length: Option<u64>,
}

impl Parts {
    #[inline]
    fn walk(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = r.u8(Field::MessageCode)?;
        if code != SEND_HEADERS {
            return Err(r.error_at(0, Field::MessageCode, Rule::UnknownCode(code.into())));
        }
        let status = r.u16(Field::Status)?;
        if !(100..=999).contains(&status) {
            return Err(r.error_at(1, Field::Status, Rule::OutOfRange(status.into())));
        }
        let reason = r.classed(Field::Reason, Class::Any)?;
        let reason = r.span(reason);
        let num_headers = header_count(r, u16::MAX)?;
        let headers_at = r.position_u16();
        let mut content_length = None;
        for index in 0..u32::from(num_headers) {
            let accept = |_, value: &[u8]| is_usual_value(value);
            if r.skip(|rest| {
                after_usual_header(rest, RESPONSE_HEADERS.len(), CONTENT_LENGTH_CODE, accept)
            }) {
                continue;
            }
            let name_at = r.position();
            let (code, name) = header_name(r, index, RESPONSE_HEADERS.len())?;
            let value_at = r.position();
            let value = header_value(r, index)?.unwrap_or_default();
            if code == CONTENT_LENGTH_CODE || name.eq_ignore_ascii_case(b"content-length") {
                let Some(length) = parse_content_length(value) else {
                    return Err(r.error_at(value_at, Field::ContentLength, Rule::NotANumber));
                };
                if content_length.is_some_and(|known| known != length) {
                    return Err(r.error_at(name_at, Field::ContentLength, Rule::Duplicate));
                }
                content_length = Some(length);
            }
        }
        r.finish()?;
        Ok(Self {
            status,
            reason,
            num_headers,
            headers_at,
            content_length,
        })
    }
}

impl SendHeaders {
    /// Checks a payload.
    ///
    /// A reason phrase is not checked here: it is never forwarded as received
    /// ([`reason`](Self::reason)).
    ///
    /// # Errors
    /// [`DecodeError`] at the first byte that breaks a rule of protocol chapters
    /// [packets](crate::docs::protocol::packets#send-headers) and
    /// [codes](crate::docs::protocol::codes#response-headers): a web server answers 502 and closes
    /// the connection.
    pub fn parse(payload: Bytes) -> Result<Self, DecodeError> {
        check_payload_len(&payload)?;
        let parts = Parts::walk(&mut Reader::new(&payload))?;
        Ok(Self { payload, parts })
    }

    /// Writes a response head and reads it back, for who needs one as a value. `write` adds
    /// headers.
    ///
    /// # Errors
    /// [`EncodeError`] of `write`, or when the status is out of range.
    pub fn build(
        size: PacketSize,
        status: u16,
        write: impl FnOnce(&mut SendHeadersWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut buffer = BytesMut::new();
        let mut writer = SendHeadersWriter::new(&mut buffer, size, status)?;
        write(&mut writer)?;
        writer.finish();
        let payload = buffer.split_off(HEADER_LEN).freeze();
        // Only two Content-Lengths are written that cannot be read.
        Self::parse(payload).map_err(|error| {
            let rule = match error.rule() {
                Rule::NotANumber => EncodeRule::NotANumber,
                _ => EncodeRule::Duplicate,
            };
            EncodeError::new(error.field(), rule)
        })
    }

    /// HTTP status, 100..=999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.parts.status
    }

    /// The reason phrase as received, `None` for the null string.
    #[must_use]
    pub fn raw_reason(&self) -> Option<&[u8]> {
        self.parts.reason.get(&self.payload)
    }

    /// The standard phrase of the status. What the container sent is not used: Tomcat sends the
    /// digits, and a hostile phrase would split the HTTP response (protocol chapter
    /// [packets](crate::docs::protocol::packets#what-a-string-may-hold)).
    #[must_use]
    pub fn reason(&self) -> &'static str {
        standard_reason(self.parts.status)
    }

    /// The response headers in wire order.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        let rest = self
            .payload
            .get(usize::from(self.parts.headers_at)..)
            .unwrap_or_default();
        Headers::new(rest, self.parts.num_headers, &RESPONSE_HEADERS)
    }

    /// `Content-Length`, if there is one.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.parts.content_length
    }

    /// The whole payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// A counted handle to a part that an accessor returned. It keeps the **whole**
    /// payload alive. Bytes from elsewhere are copied.
    #[must_use]
    #[inline]
    pub fn slice_ref(&self, part: &[u8]) -> Bytes {
        slice_ref(&self.payload, part)
    }
}

/// Writes one Send Headers into a buffer. Nothing stays in the buffer unless
/// [`finish`](Self::finish) is called.
///
/// ```
/// use ajp::wire::{PacketSize, SendHeadersWriter};
/// let mut buffer = bytes::BytesMut::new();
/// let mut writer = SendHeadersWriter::new(&mut buffer, PacketSize::DEFAULT, 302)?;
/// writer.header(b"Location", b"/x")?;
/// writer.finish();
/// assert_eq!(&buffer[..4], [0x41, 0x42, 0, 20]);
/// # Ok::<(), ajp::wire::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct SendHeadersWriter<'b> {
    packet: PacketWriter<'b>,
    count_at: usize,
    num_headers: u16,
}

impl<'b> SendHeadersWriter<'b> {
    /// Starts a packet with a status (100..=999) and its standard reason phrase.
    ///
    /// # Errors
    /// [`EncodeError`] when the status is out of range.
    pub fn new(
        buffer: &'b mut BytesMut,
        size: PacketSize,
        status: u16,
    ) -> Result<Self, EncodeError> {
        Self::with_reason(buffer, size, status, standard_reason(status).as_bytes())
    }

    /// Starts a packet with a reason phrase of one's own.
    ///
    /// # Errors
    /// [`EncodeError`] when the status is out of range or the phrase holds control bytes.
    pub fn with_reason(
        buffer: &'b mut BytesMut,
        size: PacketSize,
        status: u16,
        reason: &[u8],
    ) -> Result<Self, EncodeError> {
        if !(100..=999).contains(&status) {
            return Err(EncodeError::new(
                Field::Status,
                EncodeRule::OutOfRange(status.into()),
            ));
        }
        let mut packet = PacketWriter::new(buffer, Direction::ToWebServer, size);
        packet.u8(|| Field::MessageCode, SEND_HEADERS)?;
        packet.u16(|| Field::Status, status)?;
        packet.string(|| Field::Reason, reason, Class::Value)?;
        let count_at = packet.len();
        packet.u16(|| Field::NumHeaders, 0)?;
        Ok(Self {
            packet,
            count_at,
            num_headers: 0,
        })
    }

    /// Adds a header. Names with a code are written as code.
    ///
    /// # Errors
    /// [`EncodeError`] naming the header: a byte that may not occur, or no room.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        let field = || Field::Header(ShortName::new(name));
        write_header(
            &mut self.packet,
            field,
            response_header_code(name),
            name,
            value,
        )?;
        self.count(name)
    }

    /// Adds headers that say nothing about the body, with values that hold only what they
    /// may and names in lower case, each with its code if it has one.
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    #[inline]
    pub(crate) fn checked_headers<'h, N: AsRef<str> + Copy>(
        &mut self,
        headers: impl Iterator<Item = (Option<u8>, N, &'h [u8])>,
    ) -> Result<(), EncodeError> {
        let count = self.packet.checked_headers(headers)?;
        let all = count + usize::from(self.num_headers);
        self.num_headers = u16::try_from(all)
            .map_err(|_| EncodeError::new(Field::NumHeaders, EncodeRule::TooMany))?;
        Ok(())
    }

    fn count(&mut self, name: &[u8]) -> Result<(), EncodeError> {
        let field = || Field::Header(ShortName::new(name));
        self.num_headers = self
            .num_headers
            .checked_add(1)
            .ok_or_else(|| EncodeError::new(field(), EncodeRule::TooMany))?;
        Ok(())
    }

    /// Checks a `Content-Length` value that is about to be written; `earlier` is the one
    /// written before.
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    pub(crate) fn content_length(value: &[u8], earlier: Option<u64>) -> Result<u64, EncodeError> {
        let length = parse_content_length(value)
            .ok_or_else(|| EncodeError::new(Field::ContentLength, EncodeRule::NotANumber))?;
        match earlier {
            Some(earlier) if earlier != length => Err(EncodeError::new(
                Field::ContentLength,
                EncodeRule::Duplicate,
            )),
            _ => Ok(length),
        }
    }

    /// Ends the packet.
    pub fn finish(mut self) {
        self.packet.patch_u16(self.count_at, self.num_headers);
        self.packet.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_may_be_written_again_but_not_another_one() {
        let length = |value: &[u8], earlier| {
            let length = SendHeadersWriter::content_length(value, earlier);
            length.map_err(|error| error.rule())
        };
        assert_eq!(length(b"5", None), Ok(5));
        assert_eq!(length(b"5", Some(5)), Ok(5));
        assert_eq!(length(b"6", Some(5)), Err(EncodeRule::Duplicate));
        assert_eq!(length(b"-1", None), Err(EncodeRule::NotANumber));
    }

    #[test]
    fn headers_that_were_checked_count_as_others() {
        let head = SendHeaders::build(PacketSize::DEFAULT, 200, |writer| {
            writer.header(b"a", b"b")?;
            let checked = [(None, "c", &b"d"[..]), (None, "e", b"f")];
            writer.checked_headers(checked.into_iter())?;
            writer.checked_headers([(None, "g", &b"h"[..])].into_iter())
        })
        .unwrap();
        let names: Vec<&[u8]> = head.headers().map(|header| header.name).collect();
        assert_eq!(names.concat(), b"aceg");
    }
}
