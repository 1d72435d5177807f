//! The code tables of protocol chapter [codes](crate::docs::protocol::codes), both ways, without
//! hashing or allocation.

/// Methods 1..=27 in code order (protocol chapter [codes](crate::docs::protocol::codes#methods)).
const METHODS: [&str; 27] = [
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

/// Request header names `A001..=A00E` in code order (protocol chapter
/// [codes](crate::docs::protocol::codes#request-headers)).
pub(super) static REQUEST_HEADERS: [&str; 14] = [
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

/// Response header names `A001..=A00B` in code order (protocol chapter
/// [codes](crate::docs::protocol::codes#response-headers)).
pub(super) static RESPONSE_HEADERS: [&str; 11] = [
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

#[inline]
pub(super) fn by_code(table: &[&'static str], code: u8) -> Option<&'static str> {
    table.get(usize::from(code).checked_sub(1)?).copied()
}

/// The method of a code 1..=27.
#[must_use]
#[inline]
pub fn method_name(code: u8) -> Option<&'static str> {
    by_code(&METHODS, code)
}

/// The code of a method name; case-sensitive as methods are.
#[must_use]
pub fn method_code(name: &[u8]) -> Option<u8> {
    Some(match name {
        b"GET" => 2,
        b"POST" => 4,
        b"HEAD" => 3,
        b"PUT" => 5,
        b"DELETE" => 6,
        b"OPTIONS" => 1,
        b"TRACE" => 7,
        b"PROPFIND" => 8,
        b"PROPPATCH" => 9,
        b"MKCOL" => 10,
        b"COPY" => 11,
        b"MOVE" => 12,
        b"LOCK" => 13,
        b"UNLOCK" => 14,
        b"ACL" => 15,
        b"REPORT" => 16,
        b"VERSION-CONTROL" => 17,
        b"CHECKIN" => 18,
        b"CHECKOUT" => 19,
        b"UNCHECKOUT" => 20,
        b"SEARCH" => 21,
        b"MKWORKSPACE" => 22,
        b"UPDATE" => 23,
        b"LABEL" => 24,
        b"MERGE" => 25,
        b"BASELINE-CONTROL" => 26,
        b"MKACTIVITY" => 27,
        _ => return None,
    })
}

/// The lower-case name of a request header code 0x01..=0x0E (low byte of `A0xx`).
#[must_use]
pub fn request_header_name(code: u8) -> Option<&'static str> {
    by_code(&REQUEST_HEADERS, code)
}

/// The low byte of the code of a request header name, in any letter case.
#[must_use]
pub fn request_header_code(name: &[u8]) -> Option<u8> {
    // Length first: at most two names share one.
    let candidates: &[u8] = match name.len() {
        4 => &[0x0b],
        6 => &[0x01, 0x09, 0x0c],
        7 => &[0x0a, 0x0d],
        10 => &[0x06, 0x0e],
        12 => &[0x07],
        13 => &[0x05],
        14 => &[0x02, 0x08],
        15 => &[0x03, 0x04],
        _ => return None,
    };
    pick(candidates, name, request_header_name)
}

/// The lower-case name of a response header code 0x01..=0x0B (low byte of `A0xx`).
#[must_use]
pub fn response_header_name(code: u8) -> Option<&'static str> {
    by_code(&RESPONSE_HEADERS, code)
}

/// The low byte of the code of a response header name, in any letter case.
#[must_use]
pub fn response_header_code(name: &[u8]) -> Option<u8> {
    let candidates: &[u8] = match name.len() {
        4 => &[0x04],
        6 => &[0x0a],
        8 => &[0x06],
        10 => &[0x07],
        11 => &[0x08],
        12 => &[0x01],
        13 => &[0x05],
        14 => &[0x03, 0x09],
        16 => &[0x02, 0x0b],
        _ => return None,
    };
    pick(candidates, name, response_header_name)
}

fn pick(candidates: &[u8], name: &[u8], lookup: fn(u8) -> Option<&'static str>) -> Option<u8> {
    candidates
        .iter()
        .copied()
        .find(|&code| lookup(code).is_some_and(|known| known.as_bytes().eq_ignore_ascii_case(name)))
}

/// Attribute codes of a Forward Request (protocol chapter
/// [codes](crate::docs::protocol::codes#attributes)). The list is closed: a code that is not known
/// cannot be skipped, because its length is not known either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(clippy::exhaustive_enums, reason = "the protocol closed this list")]
pub enum AttributeCode {
    /// `context` (0x01), sent by nobody.
    Context = 0x01,
    /// `servlet_path` (0x02), sent by nobody.
    ServletPath = 0x02,
    /// `remote_user` (0x03): a user the web server vouches for.
    RemoteUser = 0x03,
    /// `auth_type` (0x04), such as `Basic`.
    AuthType = 0x04,
    /// `query_string` (0x05), without the question mark.
    QueryString = 0x05,
    /// `route` (0x06): the route part of the session id.
    Route = 0x06,
    /// `ssl_cert` (0x07): client certificate, PEM.
    SslCert = 0x07,
    /// `ssl_cipher` (0x08).
    SslCipher = 0x08,
    /// `ssl_session` (0x09).
    SslSession = 0x09,
    /// `req_attribute` (0x0A): a name and a value.
    ReqAttribute = 0x0a,
    /// `ssl_key_size` (0x0B): a 16-bit number of bits.
    SslKeySize = 0x0b,
    /// `secret` (0x0C).
    Secret = 0x0c,
    /// `stored_method` (0x0D): the method when its code is 0xFF.
    StoredMethod = 0x0d,
}

impl AttributeCode {
    /// The attribute of a code 0x01..=0x0D.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x01 => Self::Context,
            0x02 => Self::ServletPath,
            0x03 => Self::RemoteUser,
            0x04 => Self::AuthType,
            0x05 => Self::QueryString,
            0x06 => Self::Route,
            0x07 => Self::SslCert,
            0x08 => Self::SslCipher,
            0x09 => Self::SslSession,
            0x0a => Self::ReqAttribute,
            0x0b => Self::SslKeySize,
            0x0c => Self::Secret,
            0x0d => Self::StoredMethod,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name used by the protocol document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::ServletPath => "servlet_path",
            Self::RemoteUser => "remote_user",
            Self::AuthType => "auth_type",
            Self::QueryString => "query_string",
            Self::Route => "route",
            Self::SslCert => "ssl_cert",
            Self::SslCipher => "ssl_cipher",
            Self::SslSession => "ssl_session",
            Self::ReqAttribute => "req_attribute",
            Self::SslKeySize => "ssl_key_size",
            Self::Secret => "secret",
            Self::StoredMethod => "stored_method",
        }
    }

    /// Whether `name` is the name of a coded attribute. Such a name is refused as the name of a
    /// `req_attribute`: Undertow would take it for the coded one (protocol chapter
    /// [codes](crate::docs::protocol::codes#request-attributes)).
    #[must_use]
    pub fn is_coded_name(name: &[u8]) -> bool {
        // Most attributes have longer names, such as AJP_REMOTE_PORT.
        name.len() <= LONGEST_CODED_NAME
            && (0x01..=0x0d)
                .filter_map(Self::from_code)
                .any(|attribute| attribute.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// `req_attribute` and `stored_method`.
const LONGEST_CODED_NAME: usize = 13;

impl std::fmt::Display for AttributeCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The standard reason phrase of a status, empty when there is none.
///
/// Tomcat sends the digits as reason (protocol chapter [peers](crate::docs::protocol::peers)); a
/// gateway writes this instead.
#[must_use]
pub fn standard_reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_its_own_inverse() {
        for code in 0..=255u8 {
            if let Some(name) = method_name(code) {
                assert_eq!(method_code(name.as_bytes()), Some(code));
            }
            if let Some(name) = request_header_name(code) {
                assert_eq!(request_header_code(name.as_bytes()), Some(code));
                assert_eq!(
                    request_header_code(name.to_uppercase().as_bytes()),
                    Some(code)
                );
            }
            if let Some(name) = response_header_name(code) {
                assert_eq!(response_header_code(name.as_bytes()), Some(code));
                assert_eq!(
                    response_header_code(name.to_uppercase().as_bytes()),
                    Some(code)
                );
            }
            if let Some(attribute) = AttributeCode::from_code(code) {
                assert_eq!(attribute.code(), code);
                let name = attribute.name();
                assert!(AttributeCode::is_coded_name(name.as_bytes()));
                assert!(AttributeCode::is_coded_name(name.to_uppercase().as_bytes()));
            }
        }
        assert_eq!((1..=255).filter_map(method_name).count(), 27);
        assert_eq!((1..=255).filter_map(request_header_name).count(), 14);
        assert_eq!((1..=255).filter_map(response_header_name).count(), 11);
        assert_eq!((0..=255).filter_map(AttributeCode::from_code).count(), 13);
    }

    #[test]
    fn names_outside_the_tables_have_no_code() {
        assert_eq!(method_code(b"PATCH"), None);
        assert_eq!(method_code(b"get"), None);
        assert_eq!(method_name(0), None);
        assert_eq!(request_header_code(b"x-forwarded-for"), None);
        assert_eq!(request_header_code(b"set-cookie"), None);
        assert_eq!(response_header_code(b"cookie"), None);
        assert!(!AttributeCode::is_coded_name(b"AJP_REMOTE_PORT"));
    }
}
