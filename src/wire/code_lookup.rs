//! From a code to its name and back (protocol chapter [codes](crate::docs::protocol::codes)), without
//! hashing or allocation. The functions are made of the rows in [`code_table`](super::code_table).

use super::code_table::{attributes, methods, request_headers, response_headers};

/// The names of the rows `(code b"name")` or `(code length "name")`, which are in code order.
macro_rules! table {
    ([] $(($code:literal $name:literal))*) => {{
        const CODES: &[usize] = &[$($code),*];
        const { assert_in_order(CODES) };
        [$(text($name)),*]
    }};
    ([] $(($code:literal $len:literal $name:literal))*) => {{
        const CODES: &[usize] = &[$($code),*];
        const { assert_in_order(CODES) };
        $(const { assert!($name.len() == $len, "the length of a name") };)*
        [$($name),*]
    }};
}

/// A name is found by its code as an index: the codes are 1, 2, 3 and so on.
const fn assert_in_order(codes: &[usize]) {
    let (mut rest, mut expected) = (codes, 1usize);
    while let Some((&code, after)) = rest.split_first() {
        assert!(code == expected, "the rows are in code order");
        rest = after;
        expected = expected.wrapping_add(1);
    }
}

const fn text(name: &'static [u8]) -> &'static str {
    match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(_) => panic!("a method is ASCII"),
    }
}

/// The names of all methods.
const METHODS: [&str; 27] = methods!(table!);

/// The names of the request header codes `A001..=A00E`.
pub(super) static REQUEST_HEADERS: [&str; 14] = request_headers!(table!);

/// The names of the response header codes `A001..=A00B`.
pub(super) static RESPONSE_HEADERS: [&str; 11] = response_headers!(table!);

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

macro_rules! method_code {
    ([$name:ident] $(($code:literal $known:literal))*) => {
        match $name {
            $($known => Some($code),)*
            _ => None,
        }
    };
}

/// The code of a method name; case-sensitive as methods are.
#[must_use]
pub fn method_code(name: &[u8]) -> Option<u8> {
    methods!(method_code! name)
}

/// The code of a header name in any letter case. By length first: at most three names share one.
macro_rules! header_code {
    ([$name:ident] $(($code:literal $len:literal $known:literal))*) => {
        match $name.len() {
            $($len if $name.eq_ignore_ascii_case($known.as_bytes()) => Some($code),)*
            _ => None,
        }
    };
}

/// The lower-case name of a request header code 0x01..=0x0E (low byte of `A0xx`).
#[must_use]
pub fn request_header_name(code: u8) -> Option<&'static str> {
    by_code(&REQUEST_HEADERS, code)
}

/// The low byte of the code of a request header name, in any letter case.
#[must_use]
pub fn request_header_code(name: &[u8]) -> Option<u8> {
    request_headers!(header_code! name)
}

/// The lower-case name of a response header code 0x01..=0x0B (low byte of `A0xx`).
#[must_use]
pub fn response_header_name(code: u8) -> Option<&'static str> {
    by_code(&RESPONSE_HEADERS, code)
}

/// The low byte of the code of a response header name, in any letter case.
#[must_use]
pub fn response_header_code(name: &[u8]) -> Option<u8> {
    response_headers!(header_code! name)
}

macro_rules! attribute_codes {
    ([] $(($code:literal $variant:ident $name:literal $is:literal))*) => {
        /// Attribute codes of a Forward Request (protocol chapter
        /// [codes](crate::docs::protocol::codes#attributes)). The list is closed: a code that is
        /// not known cannot be skipped, because its length is not known either.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(clippy::exhaustive_enums, reason = "the protocol closed this list")]
        pub enum AttributeCode {
            $(
                #[doc = concat!("`", $name, "` (", stringify!($code), "): ", $is, ".")]
                $variant = $code,
            )*
        }

        impl AttributeCode {
            /// The attribute of a code 0x01..=0x0D.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                Some(match code {
                    $($code => Self::$variant,)*
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
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether `name` is the name of a coded attribute. Such a name is refused as the
            /// name of a `req_attribute`: Undertow would take it for the coded one (protocol
            /// chapter [codes](crate::docs::protocol::codes#request-attributes)).
            #[must_use]
            pub fn is_coded_name(name: &[u8]) -> bool {
                // Most attributes have longer names, such as AJP_REMOTE_PORT.
                name.len() <= LONGEST_CODED_NAME
                    && [$($name),*]
                        .iter()
                        .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
            }
        }
    };
}

attributes!(attribute_codes!);

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
                assert_eq!(attribute.to_string(), name);
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
