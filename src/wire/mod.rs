//! Bytes to packets and back. No IO and no clock. Nothing is remembered from packet to packet,
//! except that [`ContainerCodec`] counts the body packets that are owed.
//!
//! A packet is a 4-byte header and a payload:
//!
//! ```text
//! web server -> container   12 34 | length (u16) | payload
//! container -> web server   41 42 | length (u16) | payload
//! ```
//!
//! [`split_packet`] takes one payload off a receive buffer. What the payload means is
//! then asked of the type that is expected: [`ToContainer`] or [`BodyPacket`] in the
//! container (the body packet carries no type byte, so only the caller can know which
//! of the two comes next), [`ToWebServer`] in the web server. Views such as
//! [`ForwardRequest`] check a payload once; their accessors cannot fail afterwards and
//! copy nothing.
//!
//! Writers such as [`ForwardRequestWriter`] append one packet to a `BytesMut`, refuse to
//! exceed the [`PacketSize`] and take back what they wrote when they fail.
//!
//! What may not live here: sockets, timers, and what remembers earlier packets, other than the
//! count of owed body packets in [`ContainerCodec`].

mod attributes;
mod body;
mod byte_class;
mod code_lookup;
mod code_table;
mod codec;
mod control;
mod debug;
mod display;
mod error;
mod header_sink;
mod headers;
mod limits;
mod message;
mod other_protocol;
mod packet;
mod reader;
mod redact;
mod request;
mod request_writer;
mod response;
mod writer;

pub use attributes::{Attribute, Attributes};
pub use body::{
    BodyPacket, CHUNK_TERMINATOR, END_OF_BODY, FLUSH, body_chunk_header, body_packet_header,
    write_body_chunk, write_request_body,
};
pub use code_lookup::{
    AttributeCode, method_code, method_name, request_header_code, request_header_name,
    response_header_code, response_header_name, standard_reason,
};
#[cfg(feature = "tokio-codec")]
pub use codec::CodecError;
pub use codec::{ContainerCodec, WebServerCodec};
pub use control::{CPING, CPONG, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, get_body_chunk};
pub(crate) use debug::Data;
pub(crate) use display::Packet;
pub use display::Reveal;
pub use error::{DecodeError, EncodeError};
// For the tests of this crate, which compare what an error says with what was sent. Users have
// its text, its offset and `is_too_large`, so that rules can be added and told apart.
#[doc(hidden)]
pub use error::{EncodeRule, Field, Rule, ShortName};
pub use headers::{Header, Headers};
pub use limits::{BodyFraming, DecodeOptions, PacketSize};
pub use message::{FromWebServer, ToContainer, ToWebServer};
pub use other_protocol::OtherProtocol;
pub use packet::{Direction, HEADER_LEN, split_packet};
#[cfg(feature = "server")]
pub(crate) use reader::Span;
pub(crate) use request::FORWARD_REQUEST;
pub use request::ForwardRequest;
pub use request_writer::{ForwardRequestWriter, RequestLine};
pub use response::{SendHeaders, SendHeadersWriter};

#[allow(
    unused_imports,
    reason = "for the client and the server, which are features"
)]
pub(crate) use {
    code_table::{request_attribute, request_headers, response_headers},
    header_sink::{HeaderSink, NoSink},
    headers::{SentName, parse_content_length},
    packet::packet_len,
    request::slice_ref,
    request_writer::decimal,
};
