//! Writes a Forward Request straight from borrowed data.

#![allow(
    clippy::inline_always,
    reason = "a writer stays in registers only when nothing takes its address"
)]

use super::attributes::Attribute;
use super::byte_class::Class;
use super::code_lookup::{AttributeCode, method_code, request_header_code};
use super::code_table::request_attribute;
use super::error::{EncodeError, EncodeRule, Field, ShortName};
use super::headers::{CONTENT_LENGTH_CODE, parse_content_length};
use super::limits::{BodyFraming, PacketSize};
use super::packet::Direction;
use super::request::FORWARD_REQUEST;
use super::writer::{
    PacketWriter, check, check_inlined, name_len, nullable_len, put_bytes, put_nullable, put_string,
};
use bytes::BytesMut;

/// The fixed fields of a Forward Request, in wire order.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "the protocol fixes these fields; built with struct update syntax"
)]
pub struct RequestLine<'a> {
    /// HTTP method, a token. Methods without a code travel as `stored_method`.
    pub method: &'a [u8],
    /// The client's protocol version.
    pub protocol: &'a [u8],
    /// Path without query, percent-encoded, or `*`.
    pub req_uri: &'a [u8],
    /// Address of the HTTP client as text.
    pub remote_addr: Option<&'a [u8]>,
    /// Name of the HTTP client; `None` unless it was looked up.
    pub remote_host: Option<&'a [u8]>,
    /// Virtual host.
    pub server_name: Option<&'a [u8]>,
    /// Port the HTTP client connected to.
    pub server_port: u16,
    /// Whether the HTTP client's connection was TLS.
    pub is_ssl: bool,
}

impl Default for RequestLine<'_> {
    fn default() -> Self {
        Self {
            method: b"GET",
            protocol: b"HTTP/1.1",
            req_uri: b"/",
            remote_addr: Some(b"127.0.0.1"),
            remote_host: None,
            server_name: Some(b"localhost"),
            server_port: 80,
            is_ssl: false,
        }
    }
}

impl RequestLine<'_> {
    /// Refuses a path that a Forward Request cannot have.
    #[inline(always)]
    pub(crate) fn check_req_uri(&self) -> Result<(), EncodeError> {
        match self.req_uri {
            [b'/', ..] | [b'*'] => check_inlined(|| Field::ReqUri, Some(self.req_uri), Class::Path),
            [] => Err(EncodeError::new(Field::ReqUri, EncodeRule::Empty)),
            _ => Err(EncodeError::new(Field::ReqUri, EncodeRule::NotOriginForm)),
        }
    }

    /// Refuses names of hosts that a Forward Request cannot have.
    #[inline(always)]
    pub(crate) fn check_names(&self) -> Result<(), EncodeError> {
        check(|| Field::RemoteHost, self.remote_host, Class::Visible)?;
        check_inlined(|| Field::ServerName, self.server_name, Class::Visible)
    }
}

/// Writes one Forward Request into a buffer: the request line, then headers, then
/// attributes, then [`finish`](Self::finish). Nothing stays in the buffer unless
/// `finish` succeeds.
#[derive(Debug)]
pub struct ForwardRequestWriter<'b, 'a> {
    packet: PacketWriter<'b>,
    stored_method: Option<&'a [u8]>,
    count_at: usize,
    num_headers: u16,
    in_attributes: bool,
    framing: BodyFraming,
    seen: u16,
    well_known_seen: u8,
}

impl<'b, 'a> ForwardRequestWriter<'b, 'a> {
    /// Starts a packet of at most `size` bytes at the end of `buffer`.
    ///
    /// # Errors
    /// [`EncodeError`] when a field of the line has a byte that may not occur in it, is
    /// empty, or does not fit.
    pub fn new(
        buffer: &'b mut BytesMut,
        size: PacketSize,
        line: &RequestLine<'a>,
    ) -> Result<Self, EncodeError> {
        if line.method.is_empty() {
            return Err(EncodeError::new(Field::Method, EncodeRule::Empty));
        }
        check(|| Field::Protocol, Some(line.protocol), Class::Visible)?;
        line.check_req_uri()?;
        check(|| Field::RemoteAddr, line.remote_addr, Class::Visible)?;
        line.check_names()?;
        Self::of_checked(buffer, size, line)
    }

    /// As [`new`](Self::new), of a line that is known to hold only what it may.
    #[inline(always)]
    pub(crate) fn of_checked(
        buffer: &'b mut BytesMut,
        size: PacketSize,
        line: &RequestLine<'a>,
    ) -> Result<Self, EncodeError> {
        let code = method_code(line.method);
        let stored_method = if code.is_some() {
            None
        } else {
            Some(line.method)
        };
        let mut packet = PacketWriter::new(buffer, Direction::ToContainer, size);
        let code = code.unwrap_or(0xff);
        if !packet.put(|room| put_line(room, code, line)) {
            packet.make_room(&[
                (Field::Method, 2),
                (Field::Protocol, nullable_len(Some(line.protocol))),
                (Field::ReqUri, nullable_len(Some(line.req_uri))),
                (Field::RemoteAddr, nullable_len(line.remote_addr)),
                (Field::RemoteHost, nullable_len(line.remote_host)),
                (Field::ServerName, nullable_len(line.server_name)),
                (Field::NumHeaders, 5),
            ])?;
            packet.put(|room| put_line(room, code, line));
        }
        let count_at = packet.len().wrapping_sub(2);
        Ok(Self {
            packet,
            stored_method,
            count_at,
            num_headers: 0,
            in_attributes: false,
            framing: BodyFraming::Absent,
            seen: 0,
            well_known_seen: 0,
        })
    }

    /// Adds a header. Names with a code are written as code.
    ///
    /// # Errors
    /// [`EncodeError`] naming the header: a byte that may not occur, a body length header
    /// that breaks protocol chapter [framing](crate::docs::protocol::framing#requests), or no room.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        let field = || Field::Header(ShortName::new(name));
        if self.in_attributes {
            return Err(EncodeError::new(field(), EncodeRule::AfterAttributes));
        }
        let code = request_header_code(name);
        let announced = match code {
            Some(CONTENT_LENGTH_CODE) => Some(announce(self.framing, Field::ContentLength, value)?),
            None if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                Some(announce(self.framing, Field::TransferEncoding, value)?)
            }
            _ => None,
        };
        write_header(&mut self.packet, field, code, name, value)?;
        self.framing = announced.unwrap_or(self.framing);
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
        self.count_checked(count)
    }

    #[inline]
    fn count_checked(&mut self, count: usize) -> Result<(), EncodeError> {
        let all = count + usize::from(self.num_headers);
        self.num_headers = u16::try_from(all)
            .map_err(|_| EncodeError::new(Field::NumHeaders, EncodeRule::TooMany))?;
        Ok(())
    }

    /// Adds the header that announces the body, the only one that does.
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    pub(crate) fn announce(&mut self, framing: BodyFraming) -> Result<(), EncodeError> {
        const LENGTH: &str = "content-length";
        let code = Some(CONTENT_LENGTH_CODE);
        let packet = &mut self.packet;
        match framing {
            BodyFraming::Absent | BodyFraming::Length(0) => {
                packet.checked_header((code, LENGTH, b"0"))?;
            }
            BodyFraming::Chunked => {
                packet.checked_header((None, "transfer-encoding", b"chunked"))?;
            }
            // More than any container can count.
            BodyFraming::Length(n) if i64::try_from(n).is_err() => {
                let field = Field::ContentLength;
                return Err(EncodeError::new(field, EncodeRule::NotANumber));
            }
            BodyFraming::Length(n) => {
                packet.checked_header((code, LENGTH, decimal(n, &mut [0; 20])))?;
            }
        }
        self.count_checked(1)?;
        self.framing = match framing {
            BodyFraming::Absent => BodyFraming::Length(0),
            known => known,
        };
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

    /// How much is written, for [`take_back`](Self::take_back).
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    pub(crate) fn mark(&self) -> (usize, u16) {
        (self.packet.len(), self.num_headers)
    }

    /// Takes back the headers written since [`mark`](Self::mark), none of which may say
    /// anything about the body.
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    pub(crate) fn take_back(&mut self, (len, num_headers): (usize, u16)) {
        self.packet.truncate(len);
        self.num_headers = num_headers;
    }

    /// Adds an attribute. `stored_method` is written by [`finish`](Self::finish) when the
    /// method needs it.
    ///
    /// # Errors
    /// [`EncodeError`] naming the attribute: written twice, a byte that may not occur, a name that
    /// belongs to a coded attribute (protocol chapter
    /// [codes](crate::docs::protocol::codes#request-attributes)), or no room.
    pub fn attribute(&mut self, attribute: Attribute<'_>) -> Result<(), EncodeError> {
        self.in_attributes = true;
        let code = match attribute {
            Attribute::Coded { code, .. } => code,
            Attribute::SslKeySize(_) => AttributeCode::SslKeySize,
            Attribute::Named { .. } => AttributeCode::ReqAttribute,
        };
        let field = Field::Attribute(code);
        let bit = bit(code);
        if self.seen & bit != 0 && code != AttributeCode::ReqAttribute {
            return Err(EncodeError::new(field, EncodeRule::Duplicate));
        }
        let mut known = 0;
        if let Attribute::Named { name, .. } = attribute {
            known = request_attribute::bit(name);
            if self.well_known_seen & known != 0 {
                let field = Field::NamedAttribute(ShortName::new(name));
                return Err(EncodeError::new(field, EncodeRule::Duplicate));
            }
        }
        let before = self.packet.len();
        let written = self.write_attribute(attribute, code);
        if written.is_ok() {
            self.seen |= bit;
            self.well_known_seen |= known;
        } else {
            // What comes next must not be read as the rest of this one.
            self.packet.truncate(before);
        }
        written
    }

    /// Adds the query, the only one. It may hold nothing but ASCII.
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    #[inline(always)]
    pub(crate) fn query(&mut self, query: &[u8]) -> Result<(), EncodeError> {
        const CODE: AttributeCode = AttributeCode::QueryString;
        let field = || Field::Attribute(CODE);
        check_inlined(field, Some(query), Class::AsciiQuery)?;
        self.in_attributes = true;
        self.seen |= bit(CODE);
        self.packet.checked_coded(field, CODE.code(), Some(query))
    }

    fn write_attribute(
        &mut self,
        attribute: Attribute<'_>,
        code: AttributeCode,
    ) -> Result<(), EncodeError> {
        let field = Field::Attribute(code);
        match attribute {
            Attribute::Coded {
                code:
                    AttributeCode::StoredMethod
                    | AttributeCode::ReqAttribute
                    | AttributeCode::SslKeySize,
                ..
            } => Err(EncodeError::new(field, EncodeRule::Reserved)),
            Attribute::Coded { code, value } => {
                let class = match code {
                    AttributeCode::SslCert => Class::Pem,
                    AttributeCode::QueryString => Class::Query,
                    _ => Class::Value,
                };
                self.packet.coded(|| field, code.code(), value, class)
            }
            Attribute::SslKeySize(bits) => {
                self.packet.u8(|| field, code.code())?;
                self.packet.u16(|| field, bits)
            }
            Attribute::Named { name, value } => {
                let field = || Field::NamedAttribute(ShortName::new(name));
                if name.is_empty() {
                    return Err(EncodeError::new(Field::AttributeName, EncodeRule::Empty));
                }
                if AttributeCode::is_coded_name(name) {
                    return Err(EncodeError::new(field(), EncodeRule::Reserved));
                }
                self.packet.u8(field, code.code())?;
                self.packet.string(field, name, Class::Value)?;
                self.packet.nullable(field, value, Class::Value)
            }
        }
    }

    /// Ends the packet and tells how it announces the body, which decides who owes the
    /// first body packet (protocol chapter [framing](crate::docs::protocol::framing#requests)).
    ///
    /// # Errors
    /// [`EncodeError`] when `stored_method` is not a token, or the end does not fit.
    #[inline(always)]
    pub fn finish(mut self) -> Result<BodyFraming, EncodeError> {
        if let Some(method) = self.stored_method {
            let field = || Field::Attribute(AttributeCode::StoredMethod);
            let (code, value) = (AttributeCode::StoredMethod.code(), Some(method));
            self.packet.coded(field, code, value, Class::Token)?;
        }
        self.packet.u8(|| Field::End, 0xff)?;
        self.packet.patch_u16(self.count_at, self.num_headers);
        self.packet.finish();
        Ok(self.framing)
    }
}

/// The fixed fields at the start of `room`, with a number of headers that is to be overwritten;
/// what is left of that. `None` if they do not fit.
#[inline(always)]
fn put_line<'r>(
    room: &'r mut [u8],
    method_code: u8,
    line: &RequestLine<'_>,
) -> Option<&'r mut [u8]> {
    let room = put_bytes(room, [FORWARD_REQUEST, method_code])?;
    let room = put_string(room, line.protocol)?;
    let room = put_string(room, line.req_uri)?;
    let room = put_nullable(room, line.remote_addr)?;
    let room = put_nullable(room, line.remote_host)?;
    let room = put_nullable(room, line.server_name)?;
    let [high, low] = line.server_port.to_be_bytes();
    put_bytes(room, [high, low, line.is_ssl.into(), 0, 0])
}

/// A bit for each attribute.
const fn bit(code: AttributeCode) -> u16 {
    1u16.wrapping_shl(code.code() as u32)
}

/// What the headers say about the body with one of the two length headers more.
fn announce(before: BodyFraming, field: Field, value: &[u8]) -> Result<BodyFraming, EncodeError> {
    let rule = match (before, field) {
        (BodyFraming::Absent, Field::ContentLength) => match parse_content_length(value) {
            Some(length) => return Ok(BodyFraming::Length(length)),
            None => EncodeRule::NotANumber,
        },
        (BodyFraming::Absent, _) if value.eq_ignore_ascii_case(b"chunked") => {
            return Ok(BodyFraming::Chunked);
        }
        (BodyFraming::Absent, _) => EncodeRule::NotChunked,
        (BodyFraming::Length(_), Field::ContentLength)
        | (BodyFraming::Chunked, Field::TransferEncoding) => EncodeRule::Duplicate,
        _ => EncodeRule::LengthAndEncoding,
    };
    Err(EncodeError::new(field, rule))
}

/// One header, as code or spelled out; nothing of it if there is an error.
pub(crate) fn write_header(
    packet: &mut PacketWriter<'_>,
    field: impl Fn() -> Field,
    code: Option<u8>,
    name: &[u8],
    value: &[u8],
) -> Result<(), EncodeError> {
    let before = packet.len();
    let written = match code {
        Some(code) => packet.u16(&field, u16::from_be_bytes([0xa0, code])),
        None => name_len(name).and_then(|_| packet.string(&field, name, Class::Token)),
    }
    .and_then(|()| packet.string(&field, value, Class::Value));
    if written.is_err() {
        packet.truncate(before);
    }
    written
}

/// Decimal digits without allocation.
#[allow(
    dead_code,
    reason = "for the client and the server, which are features"
)]
pub(crate) fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut used = 0usize;
    for slot in digits.iter_mut().rev() {
        // A remainder by ten fits a byte.
        *slot = b'0'.wrapping_add(u8::try_from(n % 10).unwrap_or_default());
        used += 1;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    digits.get(20 - used..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for n in [0, 7, 10, 65535, u64::MAX] {
            assert_eq!(decimal(n, &mut [0; 20]), n.to_string().as_bytes());
        }
    }

    #[test]
    fn a_query_is_written_once() {
        let mut buffer = BytesMut::new();
        let line = RequestLine::default();
        let size = PacketSize::DEFAULT;
        let mut writer = ForwardRequestWriter::new(&mut buffer, size, &line).unwrap();
        let coded = |code, value| Attribute::Coded {
            code,
            value: Some(value),
        };
        writer
            .attribute(coded(AttributeCode::RemoteUser, b"u"))
            .unwrap();
        writer.query(b"a=b").unwrap();
        for again in [AttributeCode::QueryString, AttributeCode::RemoteUser] {
            let error = writer.attribute(coded(again, b"c")).unwrap_err();
            assert_eq!(error.rule(), EncodeRule::Duplicate, "{again}");
        }
    }
}
