//! Forward Request as a view over one payload (protocol chapter
//! [packets](crate::docs::protocol::packets#forward-request)).

use super::attributes::{Attribute, Attributes, check_attributes};
use super::byte_class::Class;
use super::code_lookup::{AttributeCode, REQUEST_HEADERS, method_name};
use super::error::{DecodeError, EncodeError, EncodeRule, Field, Rule};
use super::header_sink::{HeaderSink, NoSink};
use super::headers::{Headers, check_headers, header_count};
use super::limits::{BodyFraming, DecodeOptions, PacketSize};
use super::packet::HEADER_LEN;
use super::reader::{Reader, Span, check_payload_len, offset_in};
use super::request_writer::{ForwardRequestWriter, RequestLine};
use bytes::{Bytes, BytesMut};

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
    parts: Parts,
}

/// Where everything lies that was found by the walk over a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    protocol: Span,
    req_uri: Span,
    remote_addr: Span,
    remote_host: Span,
    server_name: Span,
    method_code: u8,
    is_ssl: bool,
    server_port: u16,
    num_headers: u16,
    headers_at: u16,
    attributes_at: u16,
    framing: BodyFraming,
}

impl Parts {
    #[inline]
    fn walk<S: HeaderSink>(
        payload: &Bytes,
        options: DecodeOptions,
        sink: &mut S,
    ) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(payload);
        let code = r.u8(Field::MessageCode)?;
        if code != FORWARD_REQUEST {
            return Err(r.error_at(0, Field::MessageCode, Rule::UnknownCode(code.into())));
        }
        let method_code = r.u8(Field::Method)?;
        if method_code != 0xff && method_name(method_code).is_none() {
            return Err(r.error_at(1, Field::Method, Rule::UnknownCode(method_code.into())));
        }
        let protocol = r.required(Field::Protocol, Class::Visible)?;
        let protocol_span = r.span(Some(protocol));
        let path_class = if options.lenient_uri {
            Class::DecodedPath
        } else {
            Class::Path
        };
        let query_class = match (options.ascii_query, options.lenient_uri) {
            (true, _) => Class::AsciiQuery,
            (false, true) => Class::LenientQuery,
            (false, false) => Class::Query,
        };
        let uri = r.required(Field::ReqUri, path_class)?;
        let req_uri = r.span(Some(uri));
        check_req_uri(r, uri, options)?;
        let addr = r.classed(Field::RemoteAddr, Class::Visible)?;
        let remote_addr = r.span(addr);
        let host = r.classed(Field::RemoteHost, Class::Visible)?;
        let remote_host = r.span(host);
        let name = r.classed(Field::ServerName, Class::Visible)?;
        let server_name = r.span(name);
        let server_port = r.u16(Field::ServerPort)?;
        let is_ssl = r.u8(Field::IsSsl)? != 0;

        let num_headers = header_count(r, options.max_headers)?;
        let headers_at = r.position_u16();
        let framing = check_headers(r, payload, num_headers, sink)?;
        let attributes_at = r.position_u16();
        let stored_method = check_attributes(r, options.der_certificate, query_class)?;
        r.finish()?;

        match (method_code, stored_method) {
            (0xff, false) => return Err(r.error_at(1, Field::Method, Rule::MethodMissing)),
            (0..=0xfe, true) => return Err(r.error_at(1, Field::Method, Rule::MethodTwice)),
            _ => {}
        }
        Ok(Self {
            protocol: protocol_span,
            req_uri,
            remote_addr,
            remote_host,
            server_name,
            method_code,
            is_ssl,
            server_port,
            num_headers,
            headers_at,
            attributes_at,
            framing,
        })
    }
}

impl ForwardRequest {
    /// Checks a payload with the default options.
    ///
    /// # Errors
    /// [`DecodeError`] at the first byte that breaks a rule of protocol chapters
    /// [packets](crate::docs::protocol::packets#forward-request),
    /// [codes](crate::docs::protocol::codes) and
    /// [framing](crate::docs::protocol::framing#requests). A container answers 400 and closes.
    pub fn parse(payload: Bytes) -> Result<Self, DecodeError> {
        Self::parse_with(payload, &DecodeOptions::default())
    }

    /// Checks a payload.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(payload: Bytes, options: &DecodeOptions) -> Result<Self, DecodeError> {
        Self::parse_into(payload, *options, &mut NoSink)
    }

    /// As [`parse_with`](Self::parse_with), and gives the headers to `sink` on the way. After an
    /// error the sink may hold some of them.
    #[inline]
    pub(crate) fn parse_into<S: HeaderSink>(
        payload: Bytes,
        options: DecodeOptions,
        sink: &mut S,
    ) -> Result<Self, DecodeError> {
        check_payload_len(&payload)?;
        let mut parts = Parts::walk(&payload, options, sink)?;
        if options.absent_length_as_empty && parts.framing == BodyFraming::Absent {
            parts.framing = BodyFraming::Length(0);
        }
        Ok(Self { payload, parts })
    }

    /// Writes a request and reads it back, for who needs one as a value: a relay that passes on
    /// another one than came, a test. `write` adds headers and attributes.
    ///
    /// ```
    /// use ajp::wire::{ForwardRequest, PacketSize, RequestLine};
    /// let line = RequestLine { req_uri: b"/hello", ..RequestLine::default() };
    /// let request = ForwardRequest::build(PacketSize::DEFAULT, &line, |writer| {
    ///     writer.header(b"Host", b"app.example")
    /// })?;
    /// assert_eq!(request.headers().next().unwrap().value, b"app.example");
    /// # Ok::<(), ajp::wire::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// [`EncodeError`] of `write`, or naming what of `line` cannot be written.
    pub fn build<'a>(
        size: PacketSize,
        line: &RequestLine<'a>,
        write: impl FnOnce(&mut ForwardRequestWriter<'_, 'a>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut buffer = BytesMut::new();
        let mut writer = ForwardRequestWriter::new(&mut buffer, size, line)?;
        write(&mut writer)?;
        writer.finish()?;
        let payload = buffer.split_off(HEADER_LEN).freeze();
        let options = DecodeOptions::default().with_max_headers(u16::MAX);
        Self::parse_with(payload, &options).map_err(|error| {
            debug_assert!(false, "the writer wrote what cannot be read: {error}");
            EncodeError::new(error.field(), EncodeRule::Reserved)
        })
    }

    fn str(&self, span: Span) -> Option<&[u8]> {
        span.get(&self.payload)
    }

    /// The method: an HTTP token, by code or by `stored_method`.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        match method_name(self.parts.method_code) {
            Some(name) => name.as_bytes(),
            None => self
                .attribute(AttributeCode::StoredMethod)
                .unwrap_or_default(),
        }
    }

    /// The method byte; 0xFF when the method is in `stored_method`.
    #[must_use]
    pub fn method_code(&self) -> u8 {
        self.parts.method_code
    }

    /// The client's protocol version, such as `HTTP/1.1`. Informational.
    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        self.str(self.parts.protocol).unwrap_or_default()
    }

    /// The path as received, undecoded and without query; or `*`.
    #[must_use]
    pub fn req_uri(&self) -> &[u8] {
        self.str(self.parts.req_uri).unwrap_or_default()
    }

    /// The address of the HTTP client as text, without port; `None` when it is null or empty.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&[u8]> {
        filled(self.str(self.parts.remote_addr))
    }

    /// The name of the HTTP client; `None`, which is usual, when it is null or empty.
    #[must_use]
    pub fn remote_host(&self) -> Option<&[u8]> {
        filled(self.str(self.parts.remote_host))
    }

    /// The virtual host as the web server sees it; `None` when it is null or empty.
    #[must_use]
    pub fn server_name(&self) -> Option<&[u8]> {
        filled(self.str(self.parts.server_name))
    }

    /// Where address and name of the HTTP client and the virtual host lie. What is present but
    /// empty says nothing, as with the accessors.
    #[cfg(feature = "server")]
    pub(crate) fn peer_spans(&self) -> [Span; 3] {
        let parts = &self.parts;
        [parts.remote_addr, parts.remote_host, parts.server_name].map(Span::filled)
    }

    /// The port the HTTP client connected to, as sent. 0 and 65535 mean unknown.
    #[must_use]
    pub fn server_port(&self) -> u16 {
        self.parts.server_port
    }

    /// Whether the HTTP client's connection was TLS.
    #[must_use]
    pub fn is_ssl(&self) -> bool {
        self.parts.is_ssl
    }

    /// The fixed fields as they were sent, for a request of one's own that differs in some of
    /// them ([`build`](Self::build)).
    #[must_use]
    pub fn line(&self) -> RequestLine<'_> {
        RequestLine {
            method: self.method(),
            protocol: self.protocol(),
            req_uri: self.req_uri(),
            remote_addr: self.str(self.parts.remote_addr),
            remote_host: self.str(self.parts.remote_host),
            server_name: self.str(self.parts.server_name),
            server_port: self.server_port(),
            is_ssl: self.is_ssl(),
        }
    }

    /// The request headers in wire order.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        let rest = self
            .payload
            .get(usize::from(self.parts.headers_at)..)
            .unwrap_or_default();
        Headers::new(rest, self.parts.num_headers, &REQUEST_HEADERS)
    }

    /// The attributes in wire order.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(
            self.payload
                .get(usize::from(self.parts.attributes_at)..)
                .unwrap_or_default(),
        )
    }

    /// The [value](Attribute::value) of a coded string attribute; `None` when it is absent,
    /// null or, but for the query, empty, and always for `ssl_key_size` and `req_attribute`,
    /// which are not single strings. Only the secret may be repeated: this is the first one,
    /// `None` if that is empty whatever follows, and a container has to compare them all.
    #[must_use]
    pub fn attribute(&self, code: AttributeCode) -> Option<&[u8]> {
        let first = self.attributes().find(|attribute| match attribute {
            Attribute::Coded { code: c, .. } => *c == code,
            _ => false,
        });
        first?.value()
    }

    /// The [value](Attribute::value) of a `req_attribute`, the last one if the name is repeated.
    #[must_use]
    pub fn req_attribute(&self, name: &[u8]) -> Option<&[u8]> {
        self.attributes()
            .fold(None, |found, attribute| match attribute {
                Attribute::Named { name: n, .. } if n == name => attribute.value(),
                _ => found,
            })
    }

    /// The query without `?`. `Some(b"")` means that a `?` was there.
    #[must_use]
    pub fn query_string(&self) -> Option<&[u8]> {
        self.attribute(AttributeCode::QueryString)
    }

    /// `ssl_key_size` in bits. The string form of some peers is understood (protocol chapter
    /// [codes](crate::docs::protocol::codes#attributes)).
    #[must_use]
    pub fn ssl_key_size(&self) -> Option<u16> {
        self.attributes().find_map(|attribute| match attribute {
            Attribute::SslKeySize(bits) => Some(bits),
            _ => None,
        })
    }

    /// How the request announces the length of its body.
    #[must_use]
    pub fn framing(&self) -> BodyFraming {
        self.parts.framing
    }

    /// The whole payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// A counted handle to a part that an accessor returned. It keeps the **whole**
    /// payload (up to 64 KiB) alive. Bytes from elsewhere are copied.
    #[must_use]
    #[inline]
    pub fn slice_ref(&self, part: &[u8]) -> Bytes {
        slice_ref(&self.payload, part)
    }
}

/// Present but empty is absent: some web servers write what they do not know as an empty
/// string, others as null (protocol chapter [packets](crate::docs::protocol::packets#strings)).
pub(super) fn filled(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| !value.is_empty())
}

/// `Bytes::slice_ref` that copies instead of panicking when `part` is from elsewhere.
#[inline]
pub(crate) fn slice_ref(payload: &Bytes, part: &[u8]) -> Bytes {
    match offset_in(payload, part) {
        Some(start) => payload.slice(start..start.wrapping_add(part.len())),
        None => Bytes::copy_from_slice(part),
    }
}

#[inline]
fn check_req_uri(r: &Reader<'_>, uri: &[u8], options: DecodeOptions) -> Result<(), DecodeError> {
    let start = r.position().saturating_sub(1).saturating_sub(uri.len());
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
