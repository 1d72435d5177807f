//! A second decoder, written from the protocol document alone: byte by byte, with tables of
//! its own, and with no thought of speed. It says whether a payload is accepted and what it
//! says; the crate must agree on both.

use ajp::wire::{BodyFraming, DecodeOptions};

pub const METHODS: [&str; 27] = [
    "OPTIONS",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "ACL",
    "REPORT",
    "VERSION-CONTROL",
    "CHECKIN",
    "CHECKOUT",
    "UNCHECKOUT",
    "SEARCH",
    "MKWORKSPACE",
    "UPDATE",
    "LABEL",
    "MERGE",
    "BASELINE-CONTROL",
    "MKACTIVITY",
];

pub const REQUEST_HEADERS: [&str; 14] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-type",
    "content-length",
    "cookie",
    "cookie2",
    "host",
    "pragma",
    "referer",
    "user-agent",
];

pub const RESPONSE_HEADERS: [&str; 11] = [
    "content-type",
    "content-language",
    "content-length",
    "date",
    "last-modified",
    "location",
    "set-cookie",
    "set-cookie2",
    "servlet-engine",
    "status",
    "www-authenticate",
];

pub const ATTRIBUTES: [&str; 13] = [
    "context",
    "servlet_path",
    "remote_user",
    "auth_type",
    "query_string",
    "route",
    "ssl_cert",
    "ssl_cipher",
    "ssl_session",
    "req_attribute",
    "ssl_key_size",
    "secret",
    "stored_method",
];

pub const WELL_KNOWN: [&str; 4] = [
    "AJP_REMOTE_PORT",
    "AJP_LOCAL_ADDR",
    "AJP_SSL_PROTOCOL",
    "JK_LB_ACTIVATION",
];

pub const QUERY_STRING: u8 = 0x05;
pub const SSL_CERT: u8 = 0x07;
pub const SECRET: u8 = 0x0c;
pub const STORED_METHOD: u8 = 0x0d;

/// What the container accepts beyond the strict rules.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub max_headers: u16,
    pub lenient_uri: bool,
    pub ascii_query: bool,
    pub absolute_uri: bool,
    pub der_certificate: bool,
    pub absent_as_empty: bool,
}

impl Options {
    /// What a container accepts of which nothing else was asked.
    pub const DEFAULT: Self = Self {
        max_headers: 100,
        lenient_uri: false,
        ascii_query: false,
        absolute_uri: false,
        der_certificate: false,
        absent_as_empty: false,
    };

    #[must_use]
    pub fn decode_options(self) -> DecodeOptions {
        DecodeOptions::default()
            .with_max_headers(self.max_headers)
            .with_lenient_uri(self.lenient_uri)
            .with_ascii_query(self.ascii_query)
            .with_absolute_uri(self.absolute_uri)
            .with_der_certificate(self.der_certificate)
            .with_absent_length_as_empty(self.absent_as_empty)
    }
}

pub type Text<'a> = Option<&'a [u8]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub code: Option<u8>,
    pub name: &'a [u8],
    pub value: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute<'a> {
    Coded(u8, Text<'a>),
    KeySize(u16),
    Named(&'a [u8], Text<'a>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    pub method_code: u8,
    pub method: &'a [u8],
    pub protocol: &'a [u8],
    pub req_uri: &'a [u8],
    pub remote_addr: Text<'a>,
    pub remote_host: Text<'a>,
    pub server_name: Text<'a>,
    pub server_port: u16,
    pub is_ssl: bool,
    pub headers: Vec<Header<'a>>,
    pub attributes: Vec<Attribute<'a>>,
    pub framing: BodyFraming,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    pub status: u16,
    pub reason: Text<'a>,
    pub headers: Vec<Header<'a>>,
    pub content_length: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToContainer<'a> {
    Request(Request<'a>),
    CPing,
    Shutdown,
    Ping,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWebServer<'a> {
    Head(Response<'a>),
    Chunk(&'a [u8]),
    End { reuse: bool },
    Ask(u16),
    CPong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    Data(&'a [u8]),
    End,
}

// Byte classes of protocol chapter "packets".

#[must_use]
pub fn token_byte(b: u8) -> bool {
    TOKEN_BYTES[usize::from(b)]
}

/// The letters, the digits and these marks.
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut at: u8 = 0;
    while at < 255 {
        table[at as usize] = at.is_ascii_alphanumeric();
        at += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut n = 0;
    while n < marks.len() {
        table[marks[n] as usize] = true;
        n += 1;
    }
    table
};

#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| token_byte(b))
}

#[must_use]
pub fn value_byte(b: u8) -> bool {
    b == 0x09 || (0x20..=0x7e).contains(&b) || b >= 0x80
}

#[must_use]
pub fn visible_byte(b: u8) -> bool {
    (0x21..=0x7e).contains(&b)
}

#[must_use]
pub fn query_byte(b: u8, options: &Options) -> bool {
    let more = !options.ascii_query && (b >= 0x80 || (options.lenient_uri && b == 0x20));
    b != b'#' && (visible_byte(b) || more)
}

/// What the writer takes in a query.
#[must_use]
pub fn written_query_byte(b: u8) -> bool {
    b != b'#' && (visible_byte(b) || b >= 0x80)
}

#[must_use]
pub fn path_byte(b: u8, lenient: bool) -> bool {
    if lenient {
        b >= 0x20 && b != 0x7f
    } else {
        visible_byte(b) && b != b'?' && b != b'#'
    }
}

#[must_use]
pub fn pem_byte(b: u8) -> bool {
    b == 0x0a || b == 0x0d || (0x20..=0x7e).contains(&b)
}

/// Protocol chapter "framing".
#[must_use]
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number <= 0x7fff_ffff_ffff_ffff).then_some(number)
}

/// One payload, read one byte at a time; `None` is "malformed".
struct Payload<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Payload<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn integer(&mut self) -> Option<u16> {
        let high = self.byte()?;
        let low = self.byte()?;
        Some(u16::from(high) << 8 | u16::from(low))
    }

    /// Protocol chapter "packets". The outer `None` is malformed, the inner one null.
    fn string(&mut self, allowed: impl Fn(u8) -> bool) -> Option<Text<'a>> {
        let len = self.integer()?;
        if len == 0xffff {
            return Some(None);
        }
        let text = self.bytes.get(self.at..self.at + usize::from(len))?;
        self.at += text.len();
        if !text.iter().fold(true, |all, &byte| all & allowed(byte)) {
            return None;
        }
        (self.byte()? == 0).then_some(Some(text))
    }

    /// The length of a packet is a number of two bytes.
    fn is_possible(&self) -> Option<()> {
        (self.bytes.len() < 0x1_0000).then_some(())
    }

    fn end(&self) -> Option<()> {
        (self.at == self.bytes.len()).then_some(())
    }

    fn header(&mut self, names: &[&'static str]) -> Option<Header<'a>> {
        let (code, name) = if *self.bytes.get(self.at)? == 0xa0 {
            let code = self.integer()?.to_be_bytes()[1];
            let name = names.get(usize::from(code).checked_sub(1)?)?;
            (Some(code), name.as_bytes())
        } else {
            let name = self.string(token_byte)??;
            if name.is_empty() {
                return None;
            }
            (None, name)
        };
        let value = self.string(value_byte)?.unwrap_or_default();
        Some(Header { code, name, value })
    }

    /// Protocol chapter "codes".
    fn key_size(&mut self) -> Option<u16> {
        let number = self.integer()?;
        let digits = usize::from(number);
        if !(1..=5).contains(&digits) || self.bytes.len() < self.at + digits + 1 {
            return Some(number);
        }
        let text = &self.bytes[self.at..self.at + digits];
        if !text.iter().all(u8::is_ascii_digit) || self.bytes[self.at + digits] != 0 {
            return Some(number);
        }
        self.at += digits + 1;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    fn attribute(&mut self, code: u8, options: Options) -> Option<Attribute<'a>> {
        Some(match code {
            0x0a => {
                let name = self.string(value_byte)??;
                if name.is_empty() {
                    return None;
                }
                Attribute::Named(name, self.string(value_byte)?)
            }
            0x0b => Attribute::KeySize(self.key_size()?),
            STORED_METHOD => {
                let method = self.string(token_byte)??;
                if method.is_empty() {
                    return None;
                }
                Attribute::Coded(code, Some(method))
            }
            QUERY_STRING => Attribute::Coded(code, self.string(|b| query_byte(b, &options))?),
            SSL_CERT => {
                let any = options.der_certificate;
                Attribute::Coded(code, self.string(|b| any || pem_byte(b))?)
            }
            0x01..=0x0d => Attribute::Coded(code, self.string(value_byte)?),
            _ => return None,
        })
    }
}

fn same_kind(a: &Attribute<'_>, b: &Attribute<'_>) -> bool {
    match (a, b) {
        (Attribute::Coded(a, _), Attribute::Coded(b, _)) => a == b && *a != SECRET,
        (Attribute::KeySize(_), Attribute::KeySize(_)) => true,
        (Attribute::Named(a, _), Attribute::Named(b, _)) => {
            a == b && WELL_KNOWN.iter().any(|name| name.as_bytes() == *a)
        }
        _ => false,
    }
}

/// Protocol chapters "framing" and "exchange".
#[must_use]
pub fn body_framing(headers: &[Header<'_>]) -> Option<BodyFraming> {
    let named = |name: &'static str| {
        let mut values = headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|header| header.value);
        [values.next(), values.next()]
    };
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    match (lengths, codings) {
        ([None, _], [None, _]) => Some(BodyFraming::Absent),
        ([Some(length), None], [None, _]) => content_length(length).map(BodyFraming::Length),
        ([None, _], [Some(coding), None]) if coding.eq_ignore_ascii_case(b"chunked") => {
            Some(BodyFraming::Chunked)
        }
        _ => None,
    }
}

/// Protocol chapter "packets".
fn request<'a>(payload: &mut Payload<'a>, options: Options) -> Option<Request<'a>> {
    payload.is_possible()?;
    let method_code = payload.byte()?;
    let method = match method_code {
        0xff => &b""[..],
        code => METHODS.get(usize::from(code).checked_sub(1)?)?.as_bytes(),
    };
    let protocol = payload.string(visible_byte)??;
    let req_uri = payload.string(|b| path_byte(b, options.lenient_uri))??;
    let longer_than = |scheme: &[u8]| {
        let start = req_uri.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && req_uri.len() > scheme.len()
    };
    let absolute = options.absolute_uri && (longer_than(b"http://") || longer_than(b"https://"));
    if !(req_uri.starts_with(b"/") || req_uri == b"*" || absolute) {
        return None;
    }
    let remote_addr = payload.string(visible_byte)?;
    let remote_host = payload.string(visible_byte)?;
    let server_name = payload.string(visible_byte)?;
    let server_port = payload.integer()?;
    let is_ssl = payload.byte()? != 0;
    let count = payload.integer()?;
    if count > options.max_headers {
        return None;
    }
    let mut headers = Vec::with_capacity(16);
    for _ in 0..count {
        headers.push(payload.header(&REQUEST_HEADERS)?);
    }
    let mut attributes = Vec::new();
    loop {
        let code = payload.byte()?;
        if code == 0xff {
            break;
        }
        let attribute = payload.attribute(code, options)?;
        if attributes.iter().any(|known| same_kind(known, &attribute)) {
            return None;
        }
        attributes.push(attribute);
    }
    payload.end()?;
    let stored = attributes.iter().find_map(|attribute| match attribute {
        Attribute::Coded(STORED_METHOD, Some(method)) => Some(*method),
        _ => None,
    });
    let method = match (method_code, stored) {
        (0xff, Some(stored)) => stored,
        (0xff, None) | (_, Some(_)) => return None,
        _ => method,
    };
    let framing = match body_framing(&headers)? {
        BodyFraming::Absent if options.absent_as_empty => BodyFraming::Length(0),
        framing => framing,
    };
    Some(Request {
        method_code,
        method,
        protocol,
        req_uri,
        remote_addr,
        remote_host,
        server_name,
        server_port,
        is_ssl,
        headers,
        attributes,
        framing,
    })
}

/// What a web server may send to an idle connection; `None` is refused.
#[must_use]
pub fn to_container(payload: &[u8], options: Options) -> Option<ToContainer<'_>> {
    let mut payload = Payload {
        bytes: payload,
        at: 0,
    };
    let message = match payload.byte()? {
        2 => ToContainer::Request(request(&mut payload, options)?),
        7 => ToContainer::Shutdown,
        8 => ToContainer::Ping,
        10 => ToContainer::CPing,
        _ => return None,
    };
    payload.end()?;
    Some(message)
}

/// Protocol chapter "packets".
fn response<'a>(payload: &mut Payload<'a>) -> Option<Response<'a>> {
    payload.is_possible()?;
    let status = payload.integer()?;
    if !(100..=999).contains(&status) {
        return None;
    }
    let reason = payload.string(|_| true)?;
    let count = payload.integer()?;
    let mut headers = Vec::with_capacity(16);
    for _ in 0..count {
        headers.push(payload.header(&RESPONSE_HEADERS)?);
    }
    let content_length = response_length(&headers)?;
    Some(Response {
        status,
        reason,
        headers,
        content_length,
    })
}

/// The length that a response announces; the outer `None` is malformed.
#[must_use]
pub fn response_length(headers: &[Header<'_>]) -> Option<Option<u64>> {
    let mut announced = None;
    let mut differ = false;
    for header in headers {
        if header.name.eq_ignore_ascii_case(b"content-length") {
            let length = content_length(header.value)?;
            differ |= announced.is_some_and(|known| known != length);
            announced = Some(length);
        }
    }
    (!differ).then_some(announced)
}

/// What protocols begin with whose peers end up at the port of another.
const OTHERS: [(&str, &[&[u8]]); 5] = [
    ("TLS", &[b"\x15\x03", b"\x16\x03"]),
    ("the PROXY protocol", &[b"PROXY ", b"\r\n\r\n\0"]),
    ("SSH", &[b"SSH-"]),
    ("SMTP or FTP", &[b"220 ", b"220-"]),
    (
        "HTTP",
        &[
            b"HTTP/",
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"CONNECT ",
            b"TRACE ",
            b"PATCH ",
            b"PRI * HTTP/2",
        ],
    ),
];

/// Which other protocol a stream begins like.
#[must_use]
pub fn other_protocol(bytes: &[u8]) -> Option<&'static str> {
    let begins = |starts: &[&[u8]]| starts.iter().any(|start| bytes.starts_with(start));
    let (name, _) = OTHERS.iter().find(|(_, starts)| begins(starts))?;
    Some(name)
}

/// What a container may send; `None` is a protocol error.
#[must_use]
pub fn to_web_server(bytes: &[u8]) -> Option<ToWebServer<'_>> {
    let mut payload = Payload { bytes, at: 0 };
    let message = match payload.byte()? {
        3 => {
            let len = usize::from(payload.integer()?);
            // Protocol chapter "packets": the terminator may have any value or be missing.
            if bytes.len() != len + 3 && bytes.len() != len + 4 {
                return None;
            }
            payload.at = bytes.len();
            ToWebServer::Chunk(&bytes[3..3 + len])
        }
        4 => ToWebServer::Head(response(&mut payload)?),
        // Protocol chapter "peers": only 1 is reuse.
        5 => ToWebServer::End {
            reuse: payload.byte()? == 1,
        },
        6 => match payload.integer()? {
            0 => return None,
            number => ToWebServer::Ask(number),
        },
        9 => ToWebServer::CPong,
        _ => return None,
    };
    payload.end()?;
    Some(message)
}

/// Protocol chapters "packets" and "exchange", with the tolerance of protocol chapter "exchange".
#[must_use]
pub fn body(payload: &[u8]) -> Option<Body<'_>> {
    let (len, data) = match payload {
        [] | [0, 0] => return Some(Body::End),
        [_] => return None,
        [high, low, data @ ..] => (usize::from(*high) << 8 | usize::from(*low), data),
    };
    match data.get(len..)? {
        [] | [0] if len > 0 => Some(Body::Data(&data[..len])),
        _ => None,
    }
}
