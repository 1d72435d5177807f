//! Packets for programmers: `Debug` with every fact and no secret.

use super::attributes::{Attribute, Attributes};
use super::body::BodyPacket;
use super::display::PREVIEW;
use super::headers::{Header, Headers};
use super::message::ToWebServer;
use super::redact::{SecretDisplay, Text};
use super::request::ForwardRequest;
use super::request_writer::RequestLine;
use super::response::SendHeaders;
use super::writer::PacketWriter;
use std::fmt;

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

fn quoted(bytes: &[u8]) -> Text<'_> {
    Text::new(bytes, SecretDisplay::Hidden)
}

impl fmt::Debug for ForwardRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardRequest")
            .field("method", &quoted(self.method()))
            .field("protocol", &quoted(self.protocol()))
            .field("req_uri", &quoted(self.req_uri()))
            .field("remote_addr", &self.remote_addr().map(quoted))
            .field("remote_host", &self.remote_host().map(quoted))
            .field("server_name", &self.server_name().map(quoted))
            .field("server_port", &self.server_port())
            .field("is_ssl", &self.is_ssl())
            .field("framing", &self.framing())
            .field("headers", &self.headers())
            .field("attributes", &self.attributes())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SendHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHeaders")
            .field("status", &self.status())
            .field("headers", &self.headers())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLine")
            .field("method", &quoted(self.method))
            .field("protocol", &quoted(self.protocol))
            .field("req_uri", &quoted(self.req_uri))
            .field("remote_addr", &self.remote_addr.map(quoted))
            .field("remote_host", &self.remote_host.map(quoted))
            .field("server_name", &self.server_name.map(quoted))
            .field("server_port", &self.server_port)
            .field("is_ssl", &self.is_ssl)
            .finish()
    }
}

/// Body data: how much, and how it begins.
pub(crate) struct Data<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preview = Text::body(self.0, SecretDisplay::Hidden).limit(PREVIEW);
        write!(f, "{} bytes, {preview:?}", self.0.len())
    }
}

impl fmt::Debug for BodyPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => f.debug_tuple("Data").field(&Data(data)).finish(),
            Self::End => f.write_str("End"),
        }
    }
}

impl fmt::Debug for ToWebServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SendHeaders(head) => f.debug_tuple("SendHeaders").field(head).finish(),
            Self::SendBodyChunk(data) => f.debug_tuple("SendBodyChunk").field(&Data(data)).finish(),
            Self::EndResponse { reuse } => {
                f.debug_struct("EndResponse").field("reuse", reuse).finish()
            }
            Self::GetBodyChunk { requested } => f
                .debug_struct("GetBodyChunk")
                .field("requested", requested)
                .finish(),
            Self::CPong => f.write_str("CPong"),
        }
    }
}

impl fmt::Debug for PacketWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketWriter")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
