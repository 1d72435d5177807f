//! The one table of the codes of AJP and the names that they stand for: methods, headers,
//! attributes.
//!
//! A table is a macro that hands its rows to another macro, as in
//! `request_headers!(count!)`: whoever needs an array, a `match` or the constants of another
//! crate makes it of the same rows. Arguments for the other macro come first, in brackets.

/// Methods: code and name (protocol chapter
/// [codes](crate::docs::protocol::codes#methods)).
macro_rules! methods {
    ($use:ident! $($argument:tt)*) => {
        $use! {
            [$($argument)*]
            (1 b"OPTIONS")
            (2 b"GET")
            (3 b"HEAD")
            (4 b"POST")
            (5 b"PUT")
            (6 b"DELETE")
            (7 b"TRACE")
            (8 b"PROPFIND")
            (9 b"PROPPATCH")
            (10 b"MKCOL")
            (11 b"COPY")
            (12 b"MOVE")
            (13 b"LOCK")
            (14 b"UNLOCK")
            (15 b"ACL")
            (16 b"REPORT")
            (17 b"VERSION-CONTROL")
            (18 b"CHECKIN")
            (19 b"CHECKOUT")
            (20 b"UNCHECKOUT")
            (21 b"SEARCH")
            (22 b"MKWORKSPACE")
            (23 b"UPDATE")
            (24 b"LABEL")
            (25 b"MERGE")
            (26 b"BASELINE-CONTROL")
            (27 b"MKACTIVITY")
        }
    };
}

/// Request headers: the low byte of the code `A0xx`, the length of the name, and the name
/// (protocol chapter [codes](crate::docs::protocol::codes#request-headers)).
macro_rules! request_headers {
    ($use:ident! $($argument:tt)*) => {
        $use! {
            [$($argument)*]
            (0x01 6 "accept") // 0xA001
            (0x02 14 "accept-charset") // 0xA002
            (0x03 15 "accept-encoding") // 0xA003
            (0x04 15 "accept-language") // 0xA004
            (0x05 13 "authorization") // 0xA005
            (0x06 10 "connection") // 0xA006
            (0x07 12 "content-type") // 0xA007
            (0x08 14 "content-length") // 0xA008
            (0x09 6 "cookie") // 0xA009
            (0x0a 7 "cookie2") // 0xA00A
            (0x0b 4 "host") // 0xA00B
            (0x0c 6 "pragma") // 0xA00C
            (0x0d 7 "referer") // 0xA00D
            (0x0e 10 "user-agent") // 0xA00E
        }
    };
}

/// Response headers, as [`request_headers`] (protocol chapter
/// [codes](crate::docs::protocol::codes#response-headers)).
macro_rules! response_headers {
    ($use:ident! $($argument:tt)*) => {
        $use! {
            [$($argument)*]
            (0x01 12 "content-type") // 0xA001
            (0x02 16 "content-language") // 0xA002
            (0x03 14 "content-length") // 0xA003
            (0x04 4 "date") // 0xA004
            (0x05 13 "last-modified") // 0xA005
            (0x06 8 "location") // 0xA006
            (0x07 10 "set-cookie") // 0xA007
            (0x08 11 "set-cookie2") // 0xA008
            (0x09 14 "servlet-engine") // 0xA009
            (0x0a 6 "status") // 0xA00A
            (0x0b 16 "www-authenticate") // 0xA00B
        }
    };
}

/// Attributes: code, variant of [`AttributeCode`](super::AttributeCode), name, and what it is
/// (protocol chapter [codes](crate::docs::protocol::codes#attributes)).
macro_rules! attributes {
    ($use:ident! $($argument:tt)*) => {
        $use! {
            [$($argument)*]
            (0x01 Context "context" "sent by nobody")
            (0x02 ServletPath "servlet_path" "sent by nobody")
            (0x03 RemoteUser "remote_user" "a user the web server vouches for")
            (0x04 AuthType "auth_type" "how the web server authenticated the user, such as `Basic`")
            (0x05 QueryString "query_string" "without the question mark")
            (0x06 Route "route" "the route part of the session id")
            (0x07 SslCert "ssl_cert" "client certificate, PEM")
            (0x08 SslCipher "ssl_cipher" "the cipher suite of the HTTP client's connection")
            (0x09 SslSession "ssl_session" "the TLS session id of the HTTP client's connection")
            (0x0a ReqAttribute "req_attribute" "a name and a value")
            (0x0b SslKeySize "ssl_key_size" "a 16-bit number of bits")
            (0x0c Secret "secret" "the secret that container and web server share")
            (0x0d StoredMethod "stored_method" "the method when its code is 0xFF")
        }
    };
}

pub(crate) use {attributes, methods, request_headers, response_headers};

/// The `req_attribute` names that every container knows, each of which may occur once (protocol
/// chapter [codes](crate::docs::protocol::codes#request-attributes)).
pub(crate) mod request_attribute {
    pub(crate) const REMOTE_PORT: &[u8] = b"AJP_REMOTE_PORT";
    pub(crate) const LOCAL_ADDR: &[u8] = b"AJP_LOCAL_ADDR";
    pub(crate) const SSL_PROTOCOL: &[u8] = b"AJP_SSL_PROTOCOL";
    pub(crate) const ACTIVATION: &[u8] = b"JK_LB_ACTIVATION";

    /// Which of them a name is.
    #[derive(Clone, Copy)]
    pub(crate) enum WellKnown {
        RemotePort,
        LocalAddr,
        SslProtocol,
        Activation,
    }

    /// Which of them a name is, if it is one.
    #[inline]
    pub(crate) fn well_known(name: &[u8]) -> Option<WellKnown> {
        // Compared as slices: patterns would be compared byte by byte.
        match name.len() {
            15 if name == REMOTE_PORT => Some(WellKnown::RemotePort),
            14 if name == LOCAL_ADDR => Some(WellKnown::LocalAddr),
            16 if name == SSL_PROTOCOL => Some(WellKnown::SslProtocol),
            16 if name == ACTIVATION => Some(WellKnown::Activation),
            _ => None,
        }
    }

    /// A bit for each of them, 0 for any other name.
    #[inline]
    pub(crate) fn bit(name: &[u8]) -> u8 {
        match well_known(name) {
            Some(WellKnown::RemotePort) => 1,
            Some(WellKnown::LocalAddr) => 2,
            Some(WellKnown::SslProtocol) => 4,
            Some(WellKnown::Activation) => 8,
            None => 0,
        }
    }
}
