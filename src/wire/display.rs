//! Packets for human readers: `{}` is one line, `{:#}` every fact on a line of its own.
//! Neither shows a secret; only [`Reveal`] does.

use super::attributes::Attribute;
use super::body::BodyPacket;
use super::headers::{Header, Headers};
use super::limits::BodyFraming;
use super::message::{FromWebServer, ToContainer, ToWebServer};
use super::packet::Direction;
use super::redact::{Form, Redacted, SecretDisplay, Text, hidden_parts, is_secret_name};
use super::request::ForwardRequest;
use super::response::SendHeaders;
use std::fmt;

/// Most bytes of path and query on one line.
const LINE_LIMIT: usize = 256;
/// Most bytes of body data that are shown.
pub(super) const PREVIEW: usize = 128;

/// A packet whose `Display` shows secrets too. Made by `reveal()` of each packet type.
///
/// ```
/// use ajp::wire::{ForwardRequest, ForwardRequestWriter, PacketSize, RequestLine};
/// let mut buffer = bytes::BytesMut::new();
/// let line = RequestLine { req_uri: b"/a;jsessionid=0123", ..RequestLine::default() };
/// ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line)?.finish()?;
/// let request = ForwardRequest::parse(buffer.split_off(4).freeze())?;
/// assert_eq!(
///     request.to_string(),
///     "Forward Request GET /a;jsessionid=[redacted, 4 bytes] \
///      (HTTP/1.1, 0 headers, 0 attributes, no length)",
/// );
/// assert!(request.reveal().to_string().contains(";jsessionid=0123 "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Reveal<'a>(Packet<'a>);

impl fmt::Display for Reveal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, SecretDisplay::Shown)
    }
}

/// What can be shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packet<'a> {
    Request(&'a ForwardRequest),
    Head(&'a SendHeaders),
    Body(&'a BodyPacket),
    Chunk(&'a [u8]),
    End {
        reuse: bool,
    },
    Ask(u16),
    /// Nothing but a name.
    Plain(&'static str),
}

impl<'a> From<&'a ToContainer> for Packet<'a> {
    fn from(packet: &'a ToContainer) -> Self {
        match packet {
            ToContainer::ForwardRequest(request) => Self::Request(request),
            ToContainer::CPing => Self::Plain("CPing"),
            ToContainer::Shutdown => Self::Plain("Shutdown"),
            ToContainer::Ping => Self::Plain("Ping"),
        }
    }
}

impl<'a> From<&'a ToWebServer> for Packet<'a> {
    fn from(packet: &'a ToWebServer) -> Self {
        match packet {
            ToWebServer::SendHeaders(head) => Self::Head(head),
            ToWebServer::SendBodyChunk(data) => Self::Chunk(data),
            ToWebServer::EndResponse { reuse } => Self::End { reuse: *reuse },
            ToWebServer::GetBodyChunk { requested } => Self::Ask(*requested),
            ToWebServer::CPong => Self::Plain("CPong"),
        }
    }
}

impl<'a> From<&'a FromWebServer> for Packet<'a> {
    fn from(packet: &'a FromWebServer) -> Self {
        match packet {
            FromWebServer::Message(message) => message.into(),
            FromWebServer::Body(body) => Self::Body(body),
        }
    }
}

impl<'a> From<&'a ForwardRequest> for Packet<'a> {
    fn from(request: &'a ForwardRequest) -> Self {
        Self::Request(request)
    }
}

impl<'a> From<&'a SendHeaders> for Packet<'a> {
    fn from(head: &'a SendHeaders) -> Self {
        Self::Head(head)
    }
}

impl<'a> From<&'a BodyPacket> for Packet<'a> {
    fn from(body: &'a BodyPacket) -> Self {
        Self::Body(body)
    }
}

macro_rules! shown {
    ($($packet:ident),*) => {$(
        impl $packet {
            /// Shows everything, secrets too.
            #[must_use]
            pub fn reveal(&self) -> Reveal<'_> {
                Reveal(self.into())
            }
        }

        /// One line, or with `{:#}` a line for each fact. Secrets are redacted;
        /// [`reveal`](Self::reveal) shows them.
        impl fmt::Display for $packet {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Packet::from(self).show(f, SecretDisplay::Hidden)
            }
        }
    )*};
}

shown!(
    ForwardRequest,
    SendHeaders,
    BodyPacket,
    ToContainer,
    ToWebServer,
    FromWebServer
);

impl Packet<'_> {
    fn show(self, f: &mut fmt::Formatter<'_>, secrets: SecretDisplay) -> fmt::Result {
        match (self, f.alternate()) {
            (Self::Request(request), false) => request_line(f, request, secrets),
            (Self::Request(request), true) => request_facts(f, request, secrets),
            (Self::Head(head), false) => head_line(f, head),
            (Self::Head(head), true) => head_facts(f, head, secrets),
            (Self::Body(BodyPacket::Data(data)), all) => {
                body(f, "Request Body", data, all, secrets)
            }
            (Self::Body(BodyPacket::End), _) => f.write_str("Request Body (end)"),
            (Self::Chunk([]), _) => f.write_str("Send Body Chunk (flush)"),
            (Self::Chunk(data), all) => body(f, "Send Body Chunk", data, all, secrets),
            (Self::End { reuse: true }, _) => f.write_str("End Response (reuse)"),
            (Self::End { reuse: false }, _) => f.write_str("End Response (close)"),
            (Self::Ask(requested), _) => write!(f, "Get Body Chunk (at most {requested} bytes)"),
            (Self::Plain(name), _) => f.write_str(name),
        }
    }

    /// As `Display` does, with the flags of `f`.
    pub(crate) fn write(self, f: &mut fmt::Formatter<'_>, reveal: bool) -> fmt::Result {
        let secrets = if reveal {
            SecretDisplay::Shown
        } else {
            SecretDisplay::Hidden
        };
        self.show(f, secrets)
    }

    /// Calls `mark` with every part of the payload that is shown as redacted.
    pub(crate) fn secrets(self, mut mark: impl FnMut(&[u8])) {
        let mut text = |bytes: &[u8]| unnamed(bytes, Form::Text, &mut mark);
        match self {
            Self::Request(request) => {
                text(request.protocol());
                text(request.req_uri());
                for bytes in [
                    request.remote_addr(),
                    request.remote_host(),
                    request.server_name(),
                ] {
                    text(bytes.unwrap_or_default());
                }
                for header in request.headers() {
                    named(header.name, header.value, &mut mark);
                }
                for attribute in request.attributes() {
                    let (name, value) = parts(&attribute);
                    named(name, value.unwrap_or_default(), &mut mark);
                }
            }
            Self::Head(head) => {
                text(head.raw_reason().unwrap_or_default());
                for header in head.headers() {
                    named(header.name, header.value, &mut mark);
                }
            }
            Self::Body(BodyPacket::Data(data)) => unnamed(data, Form::Body, &mut mark),
            Self::Chunk(data) => unnamed(data, Form::Body, &mut mark),
            Self::Body(BodyPacket::End) | Self::End { .. } | Self::Ask(_) | Self::Plain(_) => {}
        }
    }
}

fn named(name: &[u8], value: &[u8], mark: &mut impl FnMut(&[u8])) {
    if is_secret_name(name) {
        mark(value);
    } else {
        unnamed(value, Form::Text, mark);
    }
}

fn unnamed(bytes: &[u8], form: Form, mark: &mut impl FnMut(&[u8])) {
    for part in hidden_parts(bytes, form) {
        mark(bytes.get(part).unwrap_or_default());
    }
}

/// A path with its query.
struct Target<'a>(&'a ForwardRequest, SecretDisplay);

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(request, secrets) = *self;
        let uri = Text::new(request.req_uri(), secrets).limit(LINE_LIMIT);
        match request.query_string() {
            Some(query) => write!(f, "{uri}?{}", Text::new(query, secrets).limit(LINE_LIMIT)),
            None => uri.fmt(f),
        }
    }
}

/// "1 header", "2 headers".
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

fn request_line(
    f: &mut fmt::Formatter<'_>,
    request: &ForwardRequest,
    secrets: SecretDisplay,
) -> fmt::Result {
    let short = |bytes| Text::new(bytes, secrets).limit(LINE_LIMIT);
    write!(
        f,
        "Forward Request {} {} ({}, {}{}, {}, {})",
        short(request.method()),
        Target(request, secrets),
        short(request.protocol()),
        if request.is_ssl() { "TLS, " } else { "" },
        Count(request.headers().len(), "header"),
        Count(request.attributes().count(), "attribute"),
        request.framing(),
    )
}

fn request_facts(
    f: &mut fmt::Formatter<'_>,
    request: &ForwardRequest,
    secrets: SecretDisplay,
) -> fmt::Result {
    let nullable = |bytes| NullableText(bytes, secrets);
    let line = request.line();
    write!(
        f,
        "Forward Request\n  method       {} (code {})\n  protocol     {}\n  req_uri      {}",
        Text::new(request.method(), secrets),
        request.method_code(),
        Text::new(request.protocol(), secrets),
        Text::new(request.req_uri(), secrets),
    )?;
    write!(
        f,
        "\n  remote_addr  {}\n  remote_host  {}\n  server_name  {}\n  server_port  {}\n  is_ssl       {}",
        nullable(line.remote_addr),
        nullable(line.remote_host),
        nullable(line.server_name),
        request.server_port(),
        request.is_ssl(),
    )?;
    write!(f, "\n  body         {}", request.framing())?;
    headers(f, request.headers(), secrets)?;
    write!(
        f,
        "\n  {}",
        Count(request.attributes().count(), "attribute")
    )?;
    for value in request.attributes() {
        let code = match value {
            Attribute::Coded { code, .. } => code.code(),
            Attribute::SslKeySize(_) => 0x0b,
            Attribute::Named { .. } => 0x0a,
        };
        write!(f, "\n    {code:02x}    ")?;
        attribute(f, &value, secrets)?;
    }
    Ok(())
}

fn head_line(f: &mut fmt::Formatter<'_>, head: &SendHeaders) -> fmt::Result {
    write!(f, "Send Headers {}", head.status())?;
    if !head.reason().is_empty() {
        write!(f, " {}", head.reason())?;
    }
    write!(f, " ({}", Count(head.headers().len(), "header"))?;
    match head.content_length() {
        Some(length) => write!(f, ", Content-Length {length})"),
        None => f.write_str(", no length)"),
    }
}

fn head_facts(
    f: &mut fmt::Formatter<'_>,
    head: &SendHeaders,
    secrets: SecretDisplay,
) -> fmt::Result {
    write!(
        f,
        "Send Headers\n  status       {}\n  reason       {}",
        head.status(),
        NullableText(head.raw_reason(), secrets)
    )?;
    headers(f, head.headers(), secrets)
}

fn headers(
    f: &mut fmt::Formatter<'_>,
    headers: Headers<'_>,
    secrets: SecretDisplay,
) -> fmt::Result {
    write!(f, "\n  {}", Count(headers.len(), "header"))?;
    for header in headers {
        match header.code {
            Some(code) => write!(f, "\n    a0{code:02x}  ")?,
            None => f.write_str("\n    text  ")?,
        }
        entry(f, header.name, Some(header.value), secrets)?;
    }
    Ok(())
}

fn body(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    data: &[u8],
    all: bool,
    secrets: SecretDisplay,
) -> fmt::Result {
    write!(f, "{name} ({})", Count(data.len(), "byte"))?;
    if all {
        let preview = Text::body(data, secrets).limit(PREVIEW);
        write!(f, "\n  data         {preview}")?;
    }
    Ok(())
}

/// A string that may be null.
struct NullableText<'a>(Option<&'a [u8]>, SecretDisplay);

impl fmt::Display for NullableText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => Text::new(bytes, self.1).fmt(f),
            None => f.write_str("(null)"),
        }
    }
}

/// A header or attribute.
fn entry(
    f: &mut fmt::Formatter<'_>,
    name: &[u8],
    value: Option<&[u8]>,
    secrets: SecretDisplay,
) -> fmt::Result {
    // A name is nobody's secret, whatever it looks like.
    write!(f, "{}: ", Text::new(name, SecretDisplay::Shown))?;
    match value {
        Some(value) if secrets == SecretDisplay::Hidden && is_secret_name(name) => {
            write!(f, "{}", Redacted(value.len()))
        }
        value => write!(f, "{}", NullableText(value, secrets)),
    }
}

fn attribute(
    f: &mut fmt::Formatter<'_>,
    attribute: &Attribute<'_>,
    secrets: SecretDisplay,
) -> fmt::Result {
    if let Attribute::SslKeySize(bits) = attribute {
        return write!(f, "ssl_key_size: {bits}");
    }
    let (name, value) = parts(attribute);
    entry(f, name, value, secrets)
}

/// Name and value; `ssl_key_size` has no bytes to show.
fn parts<'a>(attribute: &Attribute<'a>) -> (&'a [u8], Option<&'a [u8]>) {
    match *attribute {
        Attribute::Coded { code, value } => (code.name().as_bytes(), value),
        Attribute::SslKeySize(_) => (b"ssl_key_size", None),
        Attribute::Named { name, value } => (name, value),
    }
}

/// `name: value` on one line; a secret is redacted.
impl fmt::Display for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        entry(f, self.name, Some(self.value), SecretDisplay::Hidden)
    }
}

/// `name: value` on one line; a secret is redacted.
impl fmt::Display for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        attribute(f, self, SecretDisplay::Hidden)
    }
}

impl fmt::Display for BodyFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "Content-Length {length}"),
            Self::Chunked => f.write_str("chunked"),
            Self::Absent => f.write_str("no length"),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToContainer => "to container",
            Self::ToWebServer => "to web server",
        })
    }
}
