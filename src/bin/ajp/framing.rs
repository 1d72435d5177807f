//! Headers that no configuration changes, the gateway's and what is imported from others alike.

use http::header::{self, HeaderName};

/// What HTTP itself says with headers of a connection and of a message's length.
pub(crate) const FRAMING: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
