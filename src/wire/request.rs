//! Forward Request as a view over one payload (protocol section 2.2).

use super::class::Class;
use super::code::{AttributeCode, method_name, request_header_name};
use super::error::{DecodeError, Field, Rule};
use super::limits::{BodyFraming, DecodeOptions};
use super::reader::{Reader, Span, check_payload_len};
use bytes::Bytes;
use std::fmt;

/// The message type byte.
pub(crate) const FORWARD_REQUEST: u8 = 2;

/// One checked Forward Request: a view over a single payload.
///
/// [`parse`](Self::parse) checks everything once: structure, terminators, byte classes,
/// counts, the body length headers and that nothing follows. Afterwards the accessors
/// cannot fail, copy nothing and allocate nothing. Cloning clones one `Bytes`.
///
/// ```
/// use ajp::wire::{ForwardRequest, ForwardRequestWriter, PacketSize, RequestLine, split_packet, Direction};
/// let mut buffer = bytes::BytesMut::new();
/// let line = RequestLine { method: b"GET", req_uri: b"/hello", ..RequestLine::default() };
/// let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line)?;
/// writer.header(b"Host", b"app.example")?;
/// writer.finish()?;
///
/// let payload = split_packet(&mut buffer, Direction::ToContainer, PacketSize::DEFAULT)?.unwrap();
/// let request = ForwardRequest::parse(payload)?;
/// assert_eq!(request.method(), b"GET");
/// assert_eq!(request.req_uri(), b"/hello");
/// assert_eq!(request.headers().next().unwrap().name, b"host");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardRequest {
    payload: Bytes,
    strings: Strings,
    method_code: u8,
    is_ssl: bool,
    server_port: u16,
    num_headers: u16,
    headers_at: u16,
    attributes_at: u16,
    ssl_key_size: Option<u16>,
    framing: BodyFraming,
    coded: [Span; 14],
}

#[derive(Clone, PartialEq, Eq, Default)]
struct Strings {
    protocol: Span,
    req_uri: Span,
    remote_addr: Span,
    remote_host: Span,
    server_name: Span,
}

impl ForwardRequest {
    /// Checks a payload with the default options.
    ///
    /// # Errors
    /// [`DecodeError`] at the first byte that breaks a rule of protocol sections 2.2, 3,
    /// 6.4 and 6.5. A container answers 400 and closes.
    pub fn parse(payload: Bytes) -> Result<Self, DecodeError> {
        Self::parse_with(payload, &DecodeOptions::default())
    }

    /// Checks a payload.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(payload: Bytes, options: &DecodeOptions) -> Result<Self, DecodeError> {
        check_payload_len(&payload)?;
        let mut r = Reader::new(&payload);
        let code = r.u8(Field::MessageCode)?;
        if code != FORWARD_REQUEST {
            return Err(r.error_at(0, Field::MessageCode, Rule::UnknownCode(code.into())));
        }
        let method_code = r.u8(Field::Method)?;
        if method_code != 0xff && method_name(method_code).is_none() {
            return Err(r.error_at(1, Field::Method, Rule::UnknownCode(method_code.into())));
        }
        let mut strings = Strings::default();
        let protocol = r.required(Field::Protocol, Class::Visible)?;
        strings.protocol = r.span(Some(protocol));
        let uri_class = if options.lenient_uri {
            Class::LenientUri
        } else {
            Class::Uri
        };
        let req_uri = r.required(Field::ReqUri, uri_class)?;
        strings.req_uri = r.span(Some(req_uri));
        check_req_uri(&r, req_uri, *options)?;
        let remote_addr = r.classed(Field::RemoteAddr, Class::Visible)?;
        strings.remote_addr = r.span(remote_addr);
        let remote_host = r.classed(Field::RemoteHost, Class::Visible)?;
        strings.remote_host = r.span(remote_host);
        let server_name = r.classed(Field::ServerName, Class::Visible)?;
        strings.server_name = r.span(server_name);
        let server_port = r.u16(Field::ServerPort)?;
        let is_ssl = r.u8(Field::IsSsl)? != 0;

        let (num_headers, headers_at, framing) = check_headers(&mut r, options.max_headers)?;
        let attributes_at = position(&r);
        let attributes = check_attributes(&mut r, options.der_certificate, uri_class)?;
        r.finish()?;

        if method_code == 0xff && attributes.span(AttributeCode::StoredMethod) == Span::NULL {
            return Err(r.error_at(1, Field::Method, Rule::MethodMissing));
        }
        if method_code != 0xff && attributes.stored_method_seen {
            return Err(r.error_at(1, Field::Method, Rule::MethodTwice));
        }
        Ok(Self {
            strings,
            method_code,
            is_ssl,
            server_port,
            num_headers,
            headers_at,
            attributes_at,
            ssl_key_size: attributes.ssl_key_size,
            framing,
            coded: attributes.coded,
            payload,
        })
    }

    fn str(&self, span: Span) -> Option<&[u8]> {
        span.get(&self.payload)
    }

    /// The method: an HTTP token, by code or by `stored_method`.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        match method_name(self.method_code) {
            Some(name) => name.as_bytes(),
            None => self
                .attribute(AttributeCode::StoredMethod)
                .unwrap_or_default(),
        }
    }

    /// The method byte; 0xFF when the method is in `stored_method`.
    #[must_use]
    pub fn method_code(&self) -> u8 {
        self.method_code
    }

    /// The client's protocol version, such as `HTTP/1.1`. Informational.
    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        self.str(self.strings.protocol).unwrap_or_default()
    }

    /// The path as received, undecoded and without query; or `*`.
    #[must_use]
    pub fn req_uri(&self) -> &[u8] {
        self.str(self.strings.req_uri).unwrap_or_default()
    }

    /// The address of the HTTP client as text, without port.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&[u8]> {
        self.str(self.strings.remote_addr)
    }

    /// The name of the HTTP client; `None` is usual.
    #[must_use]
    pub fn remote_host(&self) -> Option<&[u8]> {
        self.str(self.strings.remote_host)
    }

    /// The virtual host as the web server sees it.
    #[must_use]
    pub fn server_name(&self) -> Option<&[u8]> {
        self.str(self.strings.server_name)
    }

    /// The port the HTTP client connected to, as sent. 0 and 65535 mean unknown.
    #[must_use]
    pub fn server_port(&self) -> u16 {
        self.server_port
    }

    /// Whether the HTTP client's connection was TLS.
    #[must_use]
    pub fn is_ssl(&self) -> bool {
        self.is_ssl
    }

    /// The request headers in wire order.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers {
            rest: self
                .payload
                .get(usize::from(self.headers_at)..)
                .unwrap_or_default(),
            left: self.num_headers,
            name_of: request_header_name,
        }
    }

    /// The attributes in wire order.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes {
            rest: self
                .payload
                .get(usize::from(self.attributes_at)..)
                .unwrap_or_default(),
        }
    }

    /// The value of a coded string attribute; `None` when it is absent or null, and
    /// always for `ssl_key_size` and `req_attribute`, which are not single strings.
    #[must_use]
    pub fn attribute(&self, code: AttributeCode) -> Option<&[u8]> {
        self.str(
            self.coded
                .get(usize::from(code.code()))
                .copied()
                .unwrap_or_default(),
        )
    }

    /// The value of a `req_attribute`, the last one if the name is repeated.
    #[must_use]
    pub fn req_attribute(&self, name: &[u8]) -> Option<&[u8]> {
        self.attributes()
            .fold(None, |found, attribute| match attribute {
                Attribute::Named { name: n, value } if n == name => value,
                _ => found,
            })
    }

    /// The query without `?`. `Some(b"")` means that a `?` was there.
    #[must_use]
    pub fn query_string(&self) -> Option<&[u8]> {
        self.attribute(AttributeCode::QueryString)
    }

    /// `ssl_key_size` in bits. The string form of some peers is understood (section 3.5.1).
    #[must_use]
    pub fn ssl_key_size(&self) -> Option<u16> {
        self.ssl_key_size
    }

    /// How the request announces the length of its body.
    #[must_use]
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// The whole payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// A counted handle to a part that an accessor returned. It keeps the **whole**
    /// payload (up to 64 KiB) alive. Bytes from elsewhere are copied.
    #[must_use]
    pub fn slice_ref(&self, part: &[u8]) -> Bytes {
        slice_ref(&self.payload, part)
    }
}

/// `Bytes::slice_ref` that copies instead of panicking when `part` is from elsewhere.
pub(crate) fn slice_ref(payload: &Bytes, part: &[u8]) -> Bytes {
    let whole = payload.as_ptr_range();
    let part_range = part.as_ptr_range();
    if part_range.start >= whole.start && part_range.end <= whole.end {
        payload.slice_ref(part)
    } else {
        Bytes::copy_from_slice(part)
    }
}

impl fmt::Debug for ForwardRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardRequest")
            .field("method", &Text(self.method()))
            .field("protocol", &Text(self.protocol()))
            .field("req_uri", &Text(self.req_uri()))
            .field("remote_addr", &self.remote_addr().map(Text))
            .field("remote_host", &self.remote_host().map(Text))
            .field("server_name", &self.server_name().map(Text))
            .field("server_port", &self.server_port)
            .field("is_ssl", &self.is_ssl)
            .field("framing", &self.framing)
            .field("headers", &DebugIter(self.headers()))
            .field("attributes", &DebugIter(self.attributes()))
            .finish_non_exhaustive()
    }
}

struct Text<'a>(&'a [u8]);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

pub(crate) struct DebugIter<I>(pub(crate) I);

impl<I: Iterator<Item: fmt::Debug> + Clone> fmt::Debug for DebugIter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.clone()).finish()
    }
}

fn position(r: &Reader<'_>) -> u16 {
    // Payloads are at most 65535 bytes.
    u16::try_from(r.position()).unwrap_or(u16::MAX)
}

fn check_req_uri(r: &Reader<'_>, uri: &[u8], options: DecodeOptions) -> Result<(), DecodeError> {
    let start = r.position().saturating_sub(1).saturating_sub(uri.len());
    if let Some(at) = uri.iter().position(|&b| b == b'?') {
        return Err(r.error_at(
            start.saturating_add(at),
            Field::ReqUri,
            Rule::InvalidByte(b'?'),
        ));
    }
    match uri {
        [] => Err(r.error_at(start, Field::ReqUri, Rule::Empty)),
        [b'/', ..] | [b'*'] => Ok(()),
        _ if options.absolute_uri && is_absolute(uri) => Ok(()),
        _ => Err(r.error_at(start, Field::ReqUri, Rule::NotOriginForm)),
    }
}

fn is_absolute(uri: &[u8]) -> bool {
    [&b"http://"[..], b"https://"].iter().any(|scheme| {
        uri.split_at_checked(scheme.len())
            .is_some_and(|(start, host)| start.eq_ignore_ascii_case(scheme) && !host.is_empty())
    })
}

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

fn check_headers(
    r: &mut Reader<'_>,
    max_headers: u16,
) -> Result<(u16, u16, BodyFraming), DecodeError> {
    let count = header_count(r, max_headers)?;
    let start = position(r);
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

#[derive(Default)]
struct CheckedAttributes {
    coded: [Span; 14],
    ssl_key_size: Option<u16>,
    stored_method_seen: bool,
}

impl CheckedAttributes {
    fn span(&self, code: AttributeCode) -> Span {
        self.coded
            .get(usize::from(code.code()))
            .copied()
            .unwrap_or_default()
    }
}

/// The `req_attribute` names that may occur only once (section 3.4).
const WELL_KNOWN: [&[u8]; 4] = [
    b"AJP_REMOTE_PORT",
    b"AJP_LOCAL_ADDR",
    b"AJP_SSL_PROTOCOL",
    b"JK_LB_ACTIVATION",
];

fn check_attributes(
    r: &mut Reader<'_>,
    der_certificate: bool,
    uri_class: Class,
) -> Result<CheckedAttributes, DecodeError> {
    let mut out = CheckedAttributes::default();
    let mut seen = 0u16;
    let mut well_known_seen = 0u8;
    loop {
        let at = r.position();
        let byte = r.u8(Field::AttributeCode)?;
        if byte == 0xff {
            return Ok(out);
        }
        let Some(code) = AttributeCode::from_code(byte) else {
            return Err(r.error_at(at, Field::AttributeCode, Rule::UnknownCode(byte.into())));
        };
        let bit = 1u16.wrapping_shl(byte.into());
        // A repeated secret is left to the secret check: every occurrence must match.
        let repeatable = matches!(code, AttributeCode::ReqAttribute | AttributeCode::Secret);
        if seen & bit != 0 && !repeatable {
            return Err(r.error_at(at, Field::Attribute(code), Rule::Duplicate));
        }
        seen |= bit;
        let field = Field::Attribute(code);
        let class = match code {
            AttributeCode::ReqAttribute => {
                let name_at = r.position();
                let name = r.required(Field::AttributeName, Class::Value)?;
                if name.is_empty() {
                    return Err(r.error_at(name_at, Field::AttributeName, Rule::Empty));
                }
                if let Some(index) = WELL_KNOWN.iter().position(|known| *known == name) {
                    let bit = 1u8.wrapping_shl(u32::try_from(index).unwrap_or_default());
                    if well_known_seen & bit != 0 {
                        return Err(r.error_at(name_at, Field::AttributeName, Rule::Duplicate));
                    }
                    well_known_seen |= bit;
                }
                r.classed(Field::AttributeValue, Class::Value)?;
                continue;
            }
            AttributeCode::SslKeySize => {
                out.ssl_key_size = Some(key_size(r)?);
                continue;
            }
            AttributeCode::QueryString => uri_class,
            AttributeCode::SslCert if der_certificate => Class::Any,
            AttributeCode::SslCert => Class::Pem,
            AttributeCode::StoredMethod => Class::Token,
            _ => Class::Value,
        };
        let value_at = r.position();
        let value = r.classed(field, class)?;
        if code == AttributeCode::StoredMethod {
            out.stored_method_seen = true;
            match value {
                None => return Err(r.error_at(value_at, field, Rule::Null)),
                Some([]) => return Err(r.error_at(value_at, field, Rule::Empty)),
                Some(_) => {}
            }
        }
        if let Some(slot) = out.coded.get_mut(usize::from(byte)) {
            *slot = r.span(value);
        }
    }
}

/// `ssl_key_size`: an integer, or the string form that some peers send by mistake. A
/// key size of 1..=5 does not exist and a digit is no attribute code, so the two cannot
/// be confused (section 3.5.1).
fn key_size(r: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let field = Field::Attribute(AttributeCode::SslKeySize);
    let at = r.position();
    let number = r.u16(field)?;
    if (1..=5).contains(&number) {
        let digits = usize::from(number);
        if let Some((text, [0, ..])) = r.rest().split_at_checked(digits) {
            if text.iter().all(u8::is_ascii_digit) {
                let value = parse_content_length(text).unwrap_or(u64::MAX);
                let value = u16::try_from(value).map_err(|_| {
                    r.error_at(
                        at,
                        field,
                        Rule::OutOfRange(u32::try_from(value).unwrap_or(u32::MAX)),
                    )
                })?;
                r.take(digits.saturating_add(1), field)?;
                return Ok(value);
            }
        }
    }
    Ok(number)
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

/// Iterator over the headers of a checked packet. See [`ForwardRequest::headers`].
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

/// A string of a payload that was checked before; null reads as empty.
fn checked_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    Some(checked_nullable(rest)?.unwrap_or_default())
}

#[allow(
    clippy::option_option,
    reason = "end of input and null string are different"
)]
fn checked_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
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

/// One attribute of a Forward Request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol has exactly these shapes"
)]
pub enum Attribute<'a> {
    /// A coded string attribute; a null value counts as absent.
    Coded {
        /// Which one; never `ReqAttribute` or `SslKeySize`.
        code: AttributeCode,
        /// The value, `None` for the null string.
        value: Option<&'a [u8]>,
    },
    /// `ssl_key_size` in bits.
    SslKeySize(u16),
    /// `req_attribute`.
    Named {
        /// The name. Never the same as a coded attribute of that name.
        name: &'a [u8],
        /// The value, `None` for the null string.
        value: Option<&'a [u8]>,
    },
}

impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = match *self {
            Self::Coded {
                code: AttributeCode::Secret,
                ..
            } => return f.write_str("secret: [redacted]"),
            Self::Coded { code, value } => (code.name().as_bytes(), value),
            Self::SslKeySize(bits) => return write!(f, "ssl_key_size: {bits}"),
            Self::Named { name, value } => (name, value),
        };
        match value {
            Some(value) => write!(f, "{}: \"{}\"", name.escape_ascii(), value.escape_ascii()),
            None => write!(f, "{}: null", name.escape_ascii()),
        }
    }
}

/// Iterator over the attributes of a checked request. See [`ForwardRequest::attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (&byte, after) = self.rest.split_first()?;
        let code = AttributeCode::from_code(byte)?;
        self.rest = after;
        Some(match code {
            AttributeCode::ReqAttribute => Attribute::Named {
                name: checked_string(&mut self.rest)?,
                value: checked_nullable(&mut self.rest)?,
            },
            AttributeCode::SslKeySize => {
                let mut r = Reader::new(self.rest);
                let bits = key_size(&mut r).ok()?;
                self.rest = r.rest();
                Attribute::SslKeySize(bits)
            }
            _ => Attribute::Coded {
                code,
                value: checked_nullable(&mut self.rest)?,
            },
        })
    }
}
