//! What is wrong with a packet, and where. Both errors are `Copy` and never allocate.

use super::AttributeCode;
use std::fmt;

/// Why a payload is not valid AJP. Its text says where, which field and which rule.
///
/// `offset` counts bytes from the first byte of the packet header (0..=65538).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    offset: u32,
    field: Field,
    rule: Rule,
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(offset: usize, field: Field, rule: Rule) -> Self {
        Self {
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            field,
            rule,
        }
    }

    /// Position of the bad byte, counted from the first byte of the packet header.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The field that the bad byte belongs to.
    #[doc(hidden)]
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// The rule that was broken.
    #[doc(hidden)]
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid AJP packet at byte {}: {} {}",
            self.offset, self.field, self.rule
        )
    }
}

impl std::error::Error for DecodeError {}

/// A field of a packet, as named in errors. Header and attribute positions count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The two magic bytes.
    Magic,
    /// The payload length in the packet header.
    PayloadLength,
    /// The message type, first byte of the payload.
    MessageCode,
    /// The method byte.
    Method,
    /// `protocol`.
    Protocol,
    /// `req_uri`.
    ReqUri,
    /// `remote_addr`.
    RemoteAddr,
    /// `remote_host`.
    RemoteHost,
    /// `server_name`.
    ServerName,
    /// `server_port`.
    ServerPort,
    /// `is_ssl`.
    IsSsl,
    /// `num_headers`.
    NumHeaders,
    /// The name of the header at this position.
    HeaderName(u16),
    /// The value of the header at this position.
    HeaderValue(u16),
    /// A header, by name. Used by writers.
    Header(ShortName),
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// The code byte of an attribute.
    AttributeCode,
    /// The value of a coded attribute.
    Attribute(AttributeCode),
    /// The name of a `req_attribute`.
    AttributeName,
    /// The value of a `req_attribute`.
    AttributeValue,
    /// A `req_attribute`, by name. Used by writers.
    NamedAttribute(ShortName),
    /// The status of Send Headers.
    Status,
    /// The reason phrase of Send Headers.
    Reason,
    /// The data length of a request body packet or Send Body Chunk.
    DataLength,
    /// The data of a request body packet or Send Body Chunk.
    Data,
    /// The number of bytes asked for by Get Body Chunk.
    RequestedLength,
    /// The reuse flag of End Response.
    Reuse,
    /// The end of the payload.
    End,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("magic"),
            Self::PayloadLength => f.write_str("payload length"),
            Self::MessageCode => f.write_str("message type"),
            Self::Method => f.write_str("method"),
            Self::Protocol => f.write_str("protocol"),
            Self::ReqUri => f.write_str("req_uri"),
            Self::RemoteAddr => f.write_str("remote_addr"),
            Self::RemoteHost => f.write_str("remote_host"),
            Self::ServerName => f.write_str("server_name"),
            Self::ServerPort => f.write_str("server_port"),
            Self::IsSsl => f.write_str("is_ssl"),
            Self::NumHeaders => f.write_str("num_headers"),
            Self::HeaderName(i) => write!(f, "name of header {i}"),
            Self::HeaderValue(i) => write!(f, "value of header {i}"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::ContentLength => f.write_str("content-length"),
            Self::TransferEncoding => f.write_str("transfer-encoding"),
            Self::AttributeCode => f.write_str("attribute code"),
            Self::Attribute(code) => write!(f, "attribute {code}"),
            Self::AttributeName => f.write_str("name of a req_attribute"),
            Self::AttributeValue => f.write_str("value of a req_attribute"),
            Self::NamedAttribute(name) => write!(f, "req_attribute {name}"),
            Self::Status => f.write_str("status"),
            Self::Reason => f.write_str("reason phrase"),
            Self::DataLength => f.write_str("data length"),
            Self::Data => f.write_str("data"),
            Self::RequestedLength => f.write_str("requested length"),
            Self::Reuse => f.write_str("reuse flag"),
            Self::End => f.write_str("end of payload"),
        }
    }
}

/// The rule a packet breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// A byte that is not the one of the magic of this direction.
    WrongMagic(u8),
    /// Longer than the packet size allows.
    TooLong {
        /// Bytes announced.
        len: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// The payload ends before the field does.
    Truncated {
        /// Bytes the field needs.
        needed: u32,
        /// Bytes left in the payload.
        left: u32,
    },
    /// The byte after a string is not NUL.
    MissingTerminator(u8),
    /// A code outside its table.
    UnknownCode(u16),
    /// A null string (0xFFFF) where a value is needed.
    Null,
    /// An empty string where a value is needed.
    Empty,
    /// A byte that may not occur in this field.
    InvalidByte(u8),
    /// Present more than once.
    Duplicate,
    /// More than the limit.
    TooMany {
        /// How many there are.
        count: u32,
        /// How many are allowed.
        limit: u32,
    },
    /// Not a decimal number without sign, at most 2^63-1.
    NotANumber,
    /// Not exactly `chunked`.
    NotChunked,
    /// Content-Length and Transfer-Encoding in one request.
    LengthAndEncoding,
    /// A method code together with `stored_method`.
    MethodTwice,
    /// Method code 0xFF without `stored_method`.
    MethodMissing,
    /// Neither `/...` nor `*`.
    NotOriginForm,
    /// The inner length does not agree with the payload length.
    LengthMismatch {
        /// Length in the field.
        declared: u32,
        /// Bytes that are there.
        actual: u32,
    },
    /// A number outside its range.
    OutOfRange(u32),
    /// Bytes after the last field.
    TrailingBytes(u32),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongMagic(byte) => write!(f, "has {byte:#04x}, which is not of this direction"),
            Self::TooLong { len, max } => write!(
                f,
                "is {len} bytes, more than the {max} this packet size allows"
            ),
            Self::Truncated { needed, left } => {
                write!(f, "needs {needed} bytes, {left} left in the payload")
            }
            Self::MissingTerminator(b) => write!(f, "is followed by {b:#04x} instead of NUL"),
            Self::UnknownCode(code) => write!(f, "{code:#04x} is not defined"),
            Self::Null => f.write_str("may not be null"),
            Self::Empty => f.write_str("may not be empty"),
            Self::InvalidByte(b) => write!(f, "may not contain {b:#04x}"),
            Self::Duplicate => f.write_str("occurs twice"),
            Self::TooMany { count, limit } => write!(f, "is {count}, the limit is {limit}"),
            Self::NotANumber => f.write_str("is not a plain decimal number"),
            Self::NotChunked => f.write_str("is not exactly \"chunked\""),
            Self::LengthAndEncoding => {
                f.write_str("comes together with the other body length header")
            }
            Self::MethodTwice => f.write_str("is given by code and by stored_method"),
            Self::MethodMissing => f.write_str("is 0xff and there is no stored_method"),
            Self::NotOriginForm => f.write_str("is neither a path nor \"*\""),
            Self::LengthMismatch { declared, actual } => {
                write!(f, "says {declared}, the payload holds {actual}")
            }
            Self::OutOfRange(n) => write!(f, "{n} is out of range"),
            Self::TrailingBytes(n) => write!(f, "is {n} bytes later than the last field"),
        }
    }
}

/// Why a packet cannot be written. Its text says which field and which rule; nothing was added
/// to the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeError {
    field: Field,
    rule: EncodeRule,
}

impl EncodeError {
    #[cold]
    pub(crate) fn new(field: Field, rule: EncodeRule) -> Self {
        Self { field, rule }
    }

    /// More data than the peer may be sent now.
    #[cold]
    pub(crate) fn body_over_credit(len: usize, allowed: usize) -> Self {
        let clamp = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self::new(
            Field::Data,
            EncodeRule::OverLimit {
                len: clamp(len),
                allowed: clamp(allowed),
            },
        )
    }

    /// The field that could not be written.
    #[doc(hidden)]
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// The rule it breaks.
    #[doc(hidden)]
    #[must_use]
    pub fn rule(&self) -> EncodeRule {
        self.rule
    }

    /// Whether the packet would exceed the packet size; then a larger one on both ends,
    /// or less data, is the cure.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.rule, EncodeRule::TooLarge { .. })
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write AJP packet: {} {}", self.field, self.rule)
    }
}

impl std::error::Error for EncodeError {}

/// The rule that an attempted packet breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeRule {
    /// The packet would grow beyond the packet size with this field.
    TooLarge {
        /// Size the packet would have up to the end of this field, in bytes.
        needed: u32,
        /// The packet size.
        packet_size: u32,
    },
    /// A byte that may not occur in this field.
    InvalidByte(u8),
    /// Empty where a value is needed.
    Empty,
    /// Present more than once.
    Duplicate,
    /// Not a decimal number without sign, at most 2^63-1.
    NotANumber,
    /// A Content-Length that is not the length of the body behind it.
    NotBodyLength,
    /// Not exactly `chunked`.
    NotChunked,
    /// Content-Length and Transfer-Encoding in one request.
    LengthAndEncoding,
    /// Neither `/...` nor `*`.
    NotOriginForm,
    /// A header after the first attribute.
    AfterAttributes,
    /// The writer sets this field itself.
    Reserved,
    /// More than 65535.
    TooMany,
    /// A number outside its range.
    OutOfRange(u32),
    /// More data than was asked for, or than Content-Length leaves.
    OverLimit {
        /// Bytes offered.
        len: u32,
        /// Bytes allowed.
        allowed: u32,
    },
}

impl fmt::Display for EncodeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge {
                needed,
                packet_size,
            } => write!(
                f,
                "makes the packet {needed} bytes long, {} more than the packet size {packet_size}",
                needed.saturating_sub(*packet_size)
            ),
            Self::InvalidByte(b) => write!(f, "may not contain {b:#04x}"),
            Self::Empty => f.write_str("may not be empty"),
            Self::Duplicate => f.write_str("was given twice"),
            Self::NotANumber => f.write_str("is not a plain decimal number"),
            Self::NotBodyLength => f.write_str("is not the length of the body"),
            Self::NotChunked => f.write_str("is not exactly \"chunked\""),
            Self::LengthAndEncoding => {
                f.write_str("comes together with the other body length header")
            }
            Self::NotOriginForm => f.write_str("is neither a path nor \"*\""),
            Self::AfterAttributes => f.write_str("must come before the attributes"),
            Self::Reserved => f.write_str("is written by the library itself"),
            Self::TooMany => f.write_str("occurs too often"),
            Self::OutOfRange(n) => write!(f, "{n} is out of range"),
            Self::OverLimit { len, allowed } => write!(f, "is {len} bytes, {allowed} are allowed"),
        }
    }
}

/// The first 30 bytes of a name, kept in an error without allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortName {
    len: u8,
    cut: bool,
    bytes: [u8; 30],
}

impl ShortName {
    #[cold]
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 30];
        let mut len = 0u8;
        for (to, &from) in bytes.iter_mut().zip(name) {
            *to = from;
            len += 1;
        }
        Self {
            len,
            cut: name.len() > bytes.len(),
            bytes,
        }
    }

    /// The kept bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether the name was longer than what is kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Display for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.as_bytes().escape_ascii(),
            if self.cut { "..." } else { "" }
        )
    }
}

impl fmt::Debug for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
