//! Packets made by hand, right and wrong in every way known to matter.
//!
//! The verdict "neither: A | B" says why the library refuses, and what status Tomcat answers
//! ("close" is a close without an answer); in "only ours | B" and "only Tomcat: A" one of the
//! two takes the request. "DIFFERENT" names the facts in which two accepted requests differ:
//! there are three such cases, each a known peculiarity of Tomcat.

use crate::support::tomcat::SECRET;

/// Bytes, what both sides make of them, and why they differ if they do.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) stream: Vec<u8>,
    pub(crate) expected: &'static str,
    pub(crate) why: &'static str,
}

impl Case {
    /// Whether this is what was found. A packet that is too long leaves Tomcat with the bytes of
    /// an earlier one, so that its status varies.
    pub(crate) fn expects(&self, found: &str) -> bool {
        match self.expected.strip_suffix("400 or 500") {
            Some(start) => ["400", "500"]
                .map(|status| format!("{start}{status}"))
                .contains(&found.to_owned()),
            None => self.expected == found,
        }
    }
}

/// The same to both.
fn alike(name: &'static str, stream: Vec<u8>, expected: &'static str) -> Case {
    differs(name, stream, expected, "")
}

fn differs(name: &'static str, stream: Vec<u8>, expected: &'static str, why: &'static str) -> Case {
    Case {
        name,
        stream,
        expected,
        why,
    }
}

// Why the two differ. Sections are those of the protocol reference.
const BYTES: &str = "Tomcat passes any bytes on; the protocol chapter \"packets\" names those that may stand in a field";
const TERMINATOR: &str =
    "Tomcat skips the terminator unseen; a wrong one means a wrong length (1.3)";
const TRAILING: &str = "Tomcat stops at the end mark; nothing may follow it (2.2)";
const TWICE: &str =
    "Tomcat takes the last one; which of two counts is no place for a choice (3.4, 6.5)";
const EMPTY: &str = "Tomcat goes on with an empty name; a name is never empty or null (2.2)";
const UNKNOWN: &str = "Tomcat skips the code and reads its value as further codes (3.4)";
const STORED_METHOD: &str = "Tomcat lets the name win over the code and over an earlier name (3.1)";
const ABSOLUTE: &str =
    "Tomcat takes a URI apart; the library does with DecodeOptions::absolute_uri";
const DIGITS: &str = "Tomcat parses any number of digits; more than 19 is refused (6.5)";
const ENCODING: &str =
    "Tomcat ignores Transfer-Encoding; it is \"chunked\" and alone, or refused (6.5)";
const BODY: &str = "Tomcat counts no body bytes; length and body have to agree (4.6, 6.5)";
const ASTERISK: &str = "Tomcat answers for the whole server by itself; here the application does";
const PATH: &str = "Tomcat decodes the path to choose a servlet; the library hands it on as it is";
const HOST_NAME: &str = "Tomcat takes Host apart; to the codec it is a header like others";
const NULL_VALUE: &str = "Tomcat fails on a null value; it is tolerated as empty (2.2)";
const CONTENT_TYPE_TWICE: &str = "Tomcat overwrites the first of two values with the last";
const KEY_SIZE: &str = "Tomcat takes the length of the string for the size (3.5.1)";
const JAVAX: &str = "Tomcat renames the javax attributes to jakarta";

const FOUR_MORE: &str = "some peers do not count the four bytes of the header (1.4.2)";

/// A request in parts, as they are on the wire.
#[derive(Clone)]
struct Raw {
    method: u8,
    /// Protocol, path, client address, client name, server name.
    strings: [Vec<u8>; 5],
    port: [u8; 2],
    is_ssl: u8,
    count: Option<u16>,
    headers: Vec<Vec<u8>>,
    attributes: Vec<Vec<u8>>,
    end: Vec<u8>,
}

const ACCEPT: [u8; 2] = [0xa0, 1];
const CONTENT_TYPE: [u8; 2] = [0xa0, 7];
const LENGTH: [u8; 2] = [0xa0, 8];
const HOST: [u8; 2] = [0xa0, 0x0b];
const NULL: [u8; 2] = [0xff, 0xff];

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text, &[0]].concat()
}

fn header(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, &string(value)].concat()
}

fn attribute(code: u8, value: &[u8]) -> Vec<u8> {
    [&[code], &string(value)[..]].concat()
}

fn named(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0x0a], &string(name)[..], &string(value)].concat()
}

fn packet(payload: &[u8]) -> Vec<u8> {
    [
        &[0x12, 0x34],
        &(payload.len() as u16).to_be_bytes()[..],
        payload,
    ]
    .concat()
}

fn body(data: &[u8]) -> Vec<u8> {
    packet(&[&(data.len() as u16).to_be_bytes(), data].concat())
}

/// GET with the right secret, and a body length.
fn get(length: &[u8]) -> Raw {
    Raw {
        method: 2,
        strings: [&b"HTTP/1.1"[..], b"/a", b"::1", b"client", b"server"].map(string),
        port: [0, 80],
        is_ssl: 0,
        count: None,
        headers: vec![header(&LENGTH, length)],
        attributes: vec![attribute(0x0c, SECRET.as_bytes())],
        end: vec![0xff],
    }
}

impl Raw {
    fn payload(&self) -> Vec<u8> {
        let count = self.count.unwrap_or(self.headers.len() as u16);
        [
            &[2, self.method],
            &self.strings.concat()[..],
            &self.port,
            &[self.is_ssl],
            &count.to_be_bytes(),
            &self.headers.concat(),
            &self.attributes.concat(),
            &self.end,
        ]
        .concat()
    }

    fn packet(&self) -> Vec<u8> {
        packet(&self.payload())
    }
}

fn with(change: impl FnOnce(&mut Raw)) -> Vec<u8> {
    let mut raw = get(b"0");
    change(&mut raw);
    raw.packet()
}

fn with_header(name: &[u8], value: &[u8]) -> Vec<u8> {
    with(|raw| raw.headers.push(header(name, value)))
}

fn with_raw_header(bytes: &[u8]) -> Vec<u8> {
    with(|raw| raw.headers.push(bytes.to_vec()))
}

fn with_attributes(attributes: &[Vec<u8>]) -> Vec<u8> {
    with(|raw| raw.attributes.extend_from_slice(attributes))
}

fn with_uri(uri: &[u8]) -> Vec<u8> {
    with(|raw| raw.strings[1] = string(uri))
}

fn with_body(length: &[u8], packets: &[Vec<u8>]) -> Vec<u8> {
    [get(length).packet(), packets.concat()].concat()
}

fn with_host(host: &[u8]) -> Vec<u8> {
    with_header(&HOST, host)
}

/// With a payload of this length.
fn padded(len: usize) -> Vec<u8> {
    let room = len - get(b"0").payload().len() - 2 - 3;
    with_header(&ACCEPT, &vec![b'v'; room])
}

/// A header whose name is spelled out.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    header(&string(name), value)
}

/// Another terminator instead of the NUL.
fn unterminated(text: &[u8]) -> Vec<u8> {
    let mut bytes = string(text);
    *bytes.last_mut().unwrap() = b'x';
    bytes
}

pub(crate) fn table() -> Vec<Case> {
    [
        right_ones(),
        packets(),
        lines(),
        headers(),
        hosts(),
        lengths(),
        bodies(),
        attributes(),
        secrets(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Right ones.
#[rustfmt::skip]
fn right_ones() -> Vec<Case> {
    let plain = get(b"0").packet();
    vec![
        alike("plain", plain.clone(), "both"),
        alike("two requests", plain.repeat(2), "both"),
        alike("CPing", vec![0x12, 0x34, 0, 1, 10], "both"),
        alike("CPing, then a request", [&[0x12, 0x34, 0, 1, 10], &plain[..]].concat(), "both"),
        alike("a body", with_body(b"3", &[body(b"abc")]), "both"),
        alike("a body in two packets", with_body(b"5", &[body(b"abc"), body(b"de")]), "both"),
        alike("a NUL after the body data", with_body(b"3", &[packet(b"\0\x03abc\0")]), "both"),
        alike("is_ssl 2", with(|raw| raw.is_ssl = 2), "both"),
        alike("null strings", with(|raw| raw.strings[2..].fill(NULL.to_vec())), "both"),
        alike("secret twice", with_attributes(&[attribute(0x0c, SECRET.as_bytes())]), "both"),
        alike("named attribute twice", with_attributes(&[named(b"n", b"1"), named(b"n", b"2")]), "both"),
        alike("a method code by name", with(|raw| { raw.method = 0xff; raw.attributes.push(attribute(0x0d, b"GET")); }), "both"),
        alike("a literal name that has a code", with_raw_header(&literal(b"accept", b"v")), "both"),
    ]
}

/// Packets.
#[rustfmt::skip]
fn packets() -> Vec<Case> {
    let plain = get(b"0").packet();
    let payload = get(b"0").payload();
    let len = payload.len();
    let cut = |n: usize| packet(&payload[..n]);
    vec![
        alike("magic of the other side", [b"AB", &plain[2..]].concat(), "neither: Magic | close"),
        alike("magic of AJP14", [&[0x12, 0x35], &plain[2..]].concat(), "neither: Magic | close"),
        alike("length one short", [&[0x12, 0x34, 0, len as u8 - 1], &plain[4..]].concat(), "neither: attribute code Truncated | 500"),
        alike("length one long", [&[0x12, 0x34, 0, len as u8 + 1], &plain[4..]].concat(), "neither: incomplete | close"),
        alike("length 0", vec![0x12, 0x34, 0, 0], "neither: the peer sent an empty packet between exchanges | 500"),
        alike("length 0, then a request", [&[0x12, 0x34, 0, 0], &plain[..]].concat(), "neither: the peer sent an empty packet between exchanges | 500"),
        alike("payload of 8188", padded(8188), "both"),
        differs("payload of 8189", padded(8189), "only ours | 400 or 500", FOUR_MORE),
        differs("payload of 8192", padded(8192), "only ours | 400 or 500", FOUR_MORE),
        alike("length of 8193", vec![0x12, 0x34, 0x20, 1], "neither: PayloadLength | 400 or 500"),
        alike("length of 65535", vec![0x12, 0x34, 0xff, 0xff], "neither: PayloadLength | 400 or 500"),
        alike("unknown type", packet(&[11]), "neither: invalid AJP packet at byte 4: message type 0x0b is not defined | close"),
        alike("SHUTDOWN", packet(&[7]), "neither: the peer sent SHUTDOWN which is never obeyed | close"),
        alike("PING", packet(&[8]), "neither: the peer sent PING which is never obeyed | close"),
        differs("CPing with more", packet(&[10, 0]), "only Tomcat: invalid AJP packet at byte 5: end of payload is 1 bytes later than the last field", TRAILING),
        alike("half a header", plain[..3].to_vec(), "neither: incomplete | close"),
        alike("half a request", plain[..20].to_vec(), "neither: incomplete | close"),
        alike("payload ends after the method", cut(2), "neither: protocol Truncated | 500"),
        alike("payload ends in the path", cut(15), "neither: req_uri Truncated | 500"),
        alike("payload ends before the headers", cut(len - 20), "neither: value of header 0 Truncated | 500"),
        alike("payload ends before the end mark", cut(len - 1), "neither: attribute code Truncated | 500"),
        alike("no end mark, but more", with(|raw| raw.end = vec![0]), "neither: attribute code UnknownCode | 500"),
        differs("bytes after the end mark", with(|raw| raw.end = vec![0xff, 0]), "only Tomcat: end of payload TrailingBytes", TRAILING),
        differs("an attribute after the end mark", with(|raw| { raw.end.extend(attribute(3, b"root")); raw.end.push(0xff); }), "only Tomcat: end of payload TrailingBytes", TRAILING),
    ]
}

/// The fixed fields.
#[rustfmt::skip]
fn lines() -> Vec<Case> {
    vec![
        alike("method code 0", with(|raw| raw.method = 0), "neither: method UnknownCode | 500"),
        alike("method code 28", with(|raw| raw.method = 28), "neither: method UnknownCode | 500"),
        alike("method code 128", with(|raw| raw.method = 128), "neither: method UnknownCode | 500"),
        alike("method code 254", with(|raw| raw.method = 254), "neither: method UnknownCode | 500"),
        alike("stored method missing", with(|raw| raw.method = 0xff), "neither: method MethodMissing | 500"),
        differs("stored method beside a code", with_attributes(&[attribute(0x0d, b"DELETE")]), "only Tomcat: method MethodTwice", STORED_METHOD),
        differs("stored method not a token", with(|raw| { raw.method = 0xff; raw.attributes.push(attribute(0x0d, b"G ET")); }), "only Tomcat: attribute stored_method InvalidByte", BYTES),
        differs("stored method empty", with(|raw| { raw.method = 0xff; raw.attributes.push(attribute(0x0d, b"")); }), "only Tomcat: attribute stored_method Empty", STORED_METHOD),
        differs("stored method twice", with(|raw| { raw.method = 0xff; raw.attributes.extend([attribute(0x0d, b"A"), attribute(0x0d, b"B")]); }), "only Tomcat: attribute stored_method Duplicate", STORED_METHOD),
        differs("protocol null", with(|raw| raw.strings[0] = NULL.to_vec()), "only Tomcat: protocol Null", EMPTY),
        differs("protocol with CR LF", with(|raw| raw.strings[0] = string(b"HTTP/1.1\r\n")), "only Tomcat: protocol InvalidByte", BYTES),
        alike("path null", with(|raw| raw.strings[1] = NULL.to_vec()), "neither: req_uri Null | 404"),
        alike("path empty", with_uri(b""), "neither: req_uri Empty | 400"),
        alike("path without slash", with_uri(b"a"), "neither: req_uri NotOriginForm | 400"),
        differs("path *", with_uri(b"*"), "only ours | 400", ASTERISK),
        differs("OPTIONS *", with(|raw| { raw.method = 1; raw.strings[1] = string(b"*"); }), "only ours | 200", ASTERISK),
        differs("path with space", with_uri(b"/a b"), "only Tomcat: req_uri InvalidByte", BYTES),
        differs("path with ?", with_uri(b"/a?b"), "only Tomcat: req_uri InvalidByte", BYTES),
        differs("path with #", with_uri(b"/a#b"), "only Tomcat: req_uri InvalidByte", BYTES),
        differs("path with CR", with_uri(b"/a\rb"), "only Tomcat: req_uri InvalidByte", BYTES),
        alike("path with NUL", with_uri(b"/a\0b"), "neither: req_uri InvalidByte | 400"),
        alike("path with a byte above 0x7F", with_uri(b"/\xe9"), "neither: req_uri InvalidByte | 400"),
        differs("path with UTF-8", with_uri("/\u{e9}".as_bytes()), "only Tomcat: req_uri InvalidByte", BYTES),
        differs("path with backslash", with_uri(b"/a\\b"), "only ours | 400", PATH),
        differs("path with %2F", with_uri(b"/a%2Fb"), "only ours | 400", PATH),
        differs("path with %5C", with_uri(b"/a%5Cb"), "only ours | 400", PATH),
        differs("path with %00", with_uri(b"/a%00b"), "only ours | 400", PATH),
        differs("path with a bad escape", with_uri(b"/a%zz"), "only ours | 400", PATH),
        differs("path with a cut escape", with_uri(b"/a%2"), "only ours | 400", PATH),
        differs("path with an escape that is not UTF-8", with_uri(b"/a%ff"), "only ours | 400", PATH),
        differs("path that goes up", with_uri(b"/../a"), "only ours | 400", PATH),
        alike("path that goes up within", with_uri(b"/a/../b"), "both"),
        alike("path with two slashes", with_uri(b"//a"), "both"),
        differs("absolute path", with_uri(b"http://other/a"), "only Tomcat: req_uri NotOriginForm", ABSOLUTE),
        alike("path of the wrong length", with(|raw| raw.strings[1][1] = 3), "neither: req_uri InvalidByte | 400"),
        alike("path of a huge length", with(|raw| raw.strings[1][0] = 0x7f), "neither: req_uri Truncated | 500"),
        differs("path terminated wrong", with(|raw| raw.strings[1] = unterminated(b"/a")), "only Tomcat: req_uri MissingTerminator", TERMINATOR),
        differs("address with a control byte", with(|raw| raw.strings[2] = string(b"1\n2")), "only Tomcat: remote_addr InvalidByte", BYTES),
        differs("address with space", with(|raw| raw.strings[2] = string(b"1 2")), "only Tomcat: remote_addr InvalidByte", BYTES),
        differs("server name with a control byte", with(|raw| raw.strings[4] = string(b"a\x01")), "only Tomcat: server_name InvalidByte", BYTES),
        alike("server name with a slash", with(|raw| raw.strings[4] = string(b"a/b")), "both"),
    ]
}

/// Headers.
#[rustfmt::skip]
fn headers() -> Vec<Case> {
    vec![
        alike("count one high", with(|raw| raw.count = Some(2)), "neither: name of header 1 Truncated | 500"),
        differs("count one low", with(|raw| { raw.count = Some(1); raw.headers.push(header(&ACCEPT, b"v")); }), "only Tomcat: attribute code UnknownCode", UNKNOWN),
        alike("count of 65535", with(|raw| raw.count = Some(65_535)), "neither: num_headers Truncated | 500"),
        alike("100 headers", with(|raw| raw.headers.extend(vec![header(&ACCEPT, b"v"); 99])), "both"),
        alike("101 headers", with(|raw| raw.headers.extend(vec![header(&ACCEPT, b"v"); 100])), "neither: num_headers TooMany | 500"),
        alike("header code 0", with_header(&[0xa0, 0], b"v"), "neither: name of header 1 UnknownCode | 500"),
        alike("header code 15", with_header(&[0xa0, 15], b"v"), "neither: name of header 1 UnknownCode | 500"),
        alike("header code 255", with_header(&[0xa0, 255], b"v"), "neither: name of header 1 UnknownCode | 500"),
        differs("header name empty", with_raw_header(&literal(b"", b"v")), "only Tomcat: name of header 1 Empty", EMPTY),
        differs("header name null", with_raw_header(&[&NULL[..], &string(b"v")].concat()), "only Tomcat: name of header 1 Null", EMPTY),
        differs("header name with a space", with_raw_header(&literal(b"a b", b"v")), "only Tomcat: name of header 1 InvalidByte", BYTES),
        differs("header name with a colon", with_raw_header(&literal(b"a:b", b"v")), "only Tomcat: name of header 1 InvalidByte", BYTES),
        differs("header name with LF", with_raw_header(&literal(b"a\nb", b"v")), "only Tomcat: name of header 1 InvalidByte", BYTES),
        alike("header name of 256 bytes", with_raw_header(&literal(&[b'n'; 256], b"v")), "both"),
        differs("header name terminated wrong", with_raw_header(&[unterminated(b"n"), string(b"v")].concat()), "only Tomcat: name of header 1 MissingTerminator", TERMINATOR),
        differs("header value null", with_raw_header(&[ACCEPT, NULL].concat()), "only ours | 500", NULL_VALUE),
        differs("header value with CR LF", with_header(&ACCEPT, b"v\r\nx: y"), "only Tomcat: value of header 1 InvalidByte", BYTES),
        differs("header value with LF", with_header(&ACCEPT, b"v\nw"), "only Tomcat: value of header 1 InvalidByte", BYTES),
        differs("header value with NUL", with_header(&ACCEPT, b"v\0w"), "only Tomcat: value of header 1 InvalidByte", BYTES),
        differs("header value with a control byte", with_header(&ACCEPT, b"v\x01w"), "only Tomcat: value of header 1 InvalidByte", BYTES),
        differs("header value with DEL", with_header(&ACCEPT, b"v\x7fw"), "only Tomcat: value of header 1 InvalidByte", BYTES),
        differs("header value terminated wrong", with_raw_header(&[&ACCEPT[..], &unterminated(b"v")].concat()), "only Tomcat: value of header 1 MissingTerminator", TERMINATOR),
        differs("two content types", with(|raw| { raw.headers.extend([header(&CONTENT_TYPE, b"a/b"), header(&CONTENT_TYPE, b"c/d")]); }), "DIFFERENT apiHeaders contentType headers", CONTENT_TYPE_TWICE),
        alike("content type null", with_raw_header(&[CONTENT_TYPE, NULL].concat()), "both"),
    ]
}

/// The header Host.
#[rustfmt::skip]
fn hosts() -> Vec<Case> {
    vec![
        alike("host twice", with(|raw| { raw.headers.extend([header(&HOST, b"a"), header(&HOST, b"b")]); }), "both"),
        differs("host null", with_raw_header(&[HOST, NULL].concat()), "only ours | 500", NULL_VALUE),
        differs("host with a space", with_host(b"a b"), "only ours | 400", HOST_NAME),
        differs("host with a slash", with_host(b"a/b"), "only ours | 400", HOST_NAME),
        differs("host with a user", with_host(b"u@a"), "only ours | 400", HOST_NAME),
        differs("host with an underscore", with_host(b"a_b"), "only ours | 400", HOST_NAME),
        differs("host with a port that is none", with_host(b"a:x"), "only ours | 400", HOST_NAME),
        alike("host with a port above 65535", with_host(b"a:65536"), "both"),
        alike("host with an empty port", with_host(b"a:"), "both"),
        differs("host with a bad address", with_host(b"[::1"), "only ours | 400", HOST_NAME),
    ]
}

/// The length of the body.
#[rustfmt::skip]
fn lengths() -> Vec<Case> {
    vec![
        alike("no length", with(|raw| raw.headers.clear()), "neither: incomplete | close"),
        alike("no length, and an end", [with(|raw| raw.headers.clear()), packet(&[0, 0])].concat(), "both"),
        alike("length twice, the same", with_header(&LENGTH, b"0"), "neither: content-length Duplicate | 400"),
        alike("length twice, spelled out", with_raw_header(&literal(b"Content-Length", b"1")), "neither: content-length Duplicate | 400"),
        alike("length not a number", with_body(b"x", &[]), "neither: content-length NotANumber | 400"),
        alike("length negative", with_body(b"-1", &[]), "neither: content-length NotANumber | 400"),
        alike("length with a plus", with_body(b"+1", &[body(b"a")]), "neither: content-length NotANumber | 400"),
        alike("length with a space", with_body(b"1 ", &[body(b"a")]), "neither: content-length NotANumber | 400"),
        alike("length in hexadecimal", with_body(b"0x1", &[body(b"a")]), "neither: content-length NotANumber | 400"),
        alike("length empty", with_body(b"", &[]), "neither: content-length NotANumber | 400"),
        alike("length with leading zeros", with_body(b"0001", &[body(b"a")]), "both"),
        differs("length of twenty digits", with_body(b"00000000000000000001", &[body(b"a")]), "only Tomcat: content-length NotANumber", DIGITS),
        alike("length above 2^63", with_body(b"9223372036854775808", &[]), "neither: content-length NotANumber | 400"),
        alike("length above 2^64", with_body(b"18446744073709551617", &[body(b"a")]), "neither: content-length NotANumber | 400"),
        differs("length and chunked", with_raw_header(&literal(b"Transfer-Encoding", b"chunked")), "only Tomcat: transfer-encoding LengthAndEncoding", ENCODING),
        differs("chunked and length", with(|raw| { raw.headers.insert(0, literal(b"transfer-encoding", b"chunked")); }), "only Tomcat: content-length LengthAndEncoding", ENCODING),
        alike("encoding gzip", with(|raw| raw.headers = vec![literal(b"transfer-encoding", b"gzip")]), "neither: transfer-encoding NotChunked | close"),
        differs("encoding gzip, with an end", [with(|raw| raw.headers = vec![literal(b"transfer-encoding", b"gzip")]), packet(&[0, 0])] .concat(), "only Tomcat: transfer-encoding NotChunked", ENCODING),
        differs("encoding twice, with an end", [with(|raw| raw.headers = vec![literal(b"transfer-encoding", b"chunked"); 2]), packet(&[0, 0])] .concat(), "only Tomcat: transfer-encoding Duplicate", TWICE),
    ]
}

/// The body.
#[rustfmt::skip]
fn bodies() -> Vec<Case> {
    let plain = get(b"0").packet();
    vec![
        alike("no body", with_body(b"3", &[]), "neither: incomplete | close"),
        alike("half a body packet", with_body(b"3", &[body(b"abc")[..7].to_vec()]), "neither: incomplete | close"),
        alike("less body than announced, then nothing", with_body(b"3", &[body(b"ab")]), "neither: incomplete | close"),
        differs("less body than announced, then an end", with_body(b"3", &[body(b"ab"), packet(&[0, 0])]), "only Tomcat: body: the request body ended after 2 of 3 bytes", BODY),
        differs("more body than announced", with_body(b"3", &[body(b"abcd")]), "only Tomcat: body: the request body is longer than its Content-Length of 3 bytes", BODY),
        differs("body data shorter than its packet", with_body(b"3", &[packet(b"\0\x03abcdefg")]), "only Tomcat: body: invalid AJP packet at byte 4: data length says 3, the payload holds 7", BODY),
        alike("body data longer than its packet", with_body(b"3", &[packet(b"\0\x04abc")]), "neither: body: invalid AJP packet at byte 4: data length says 4, the payload holds 3 | 500"),
        alike("a body packet of one byte", with_body(b"3", &[packet(b"\0")]), "neither: body: invalid AJP packet at byte 4: data length needs 2 bytes, 1 left in the payload | 500"),
        alike("a request in place of the body", with_body(b"3", std::slice::from_ref(&plain)), "neither: body: invalid AJP packet at byte 4: data length says 514, the payload holds 69 | 500"),
        alike("a body that was not announced", with_body(b"0", &[body(b"abc")]), "neither: invalid AJP packet at byte 4: message type 0x00 is not defined | close"),
    ]
}

/// Attributes.
#[rustfmt::skip]
fn attributes() -> Vec<Case> {
    vec![
        differs("attribute code 0", with_attributes(&[vec![0]]), "only Tomcat: attribute code UnknownCode", UNKNOWN),
        alike("attribute code 0x0E", with_attributes(&[attribute(0x0e, b"v")]), "neither: attribute code UnknownCode | 500"),
        alike("an unknown attribute with one inside", with_attributes(&[attribute(0x20, b"\x03\0\x04root\0")]), "neither: attribute code UnknownCode | 500"),
        alike("attribute of a huge length", with_attributes(&[vec![0x05, 0x7f, 0xff, b'a', 0]]), "neither: attribute query_string Truncated | 500"),
        differs("attribute terminated wrong", with_attributes(&[[&[5][..], &unterminated(b"q")].concat()]), "only Tomcat: attribute query_string MissingTerminator", TERMINATOR),
        differs("user twice", with_attributes(&[attribute(3, b"a"), attribute(3, b"b")]), "only Tomcat: attribute remote_user Duplicate", TWICE),
        differs("query twice", with_attributes(&[attribute(5, b"a"), attribute(5, b"b")]), "only Tomcat: attribute query_string Duplicate", TWICE),
        alike("query null", with_attributes(&[vec![5, 0xff, 0xff]]), "both"),
        alike("query empty", with_attributes(&[attribute(5, b"")]), "both"),
        differs("query with space", with_attributes(&[attribute(5, b"a b")]), "only Tomcat: attribute query_string InvalidByte", BYTES),
        differs("query with CR LF", with_attributes(&[attribute(5, b"a\r\n")]), "only Tomcat: attribute query_string InvalidByte", BYTES),
        differs("query with #", with_attributes(&[attribute(5, b"a#b")]), "only Tomcat: attribute query_string InvalidByte", BYTES),
        alike("query with a byte above 0x7F", with_attributes(&[attribute(5, b"\xe9")]), "both"),
        differs("user with a control byte", with_attributes(&[attribute(3, b"a\nb")]), "only Tomcat: attribute remote_user InvalidByte", BYTES),
        differs("key size as a string", with_attributes(&[attribute(0x0b, b"128")]), "DIFFERENT attributes", KEY_SIZE),
        alike("key size cut", with(|raw| { raw.attributes.push(vec![0x0b, 0]); raw.end.clear(); }), "neither: attribute ssl_key_size Truncated | 500"),
        differs("named attribute without a name", with_attributes(&[named(b"", b"v")]), "only Tomcat: name of a req_attribute Empty", EMPTY),
        alike("named attribute null", with_attributes(&[[&[0x0a][..], &NULL, &string(b"v")].concat()]), "neither: name of a req_attribute Null | 500"),
        differs("named attribute with LF", with_attributes(&[named(b"n", b"a\nb")]), "only Tomcat: value of a req_attribute InvalidByte", BYTES),
        differs("remote port twice", with_attributes(&[named(b"AJP_REMOTE_PORT", b"1"), named(b"AJP_REMOTE_PORT", b"2")]), "only Tomcat: name of a req_attribute Duplicate", TWICE),
        alike("remote port not a number", with_attributes(&[named(b"AJP_REMOTE_PORT", b"x")]), "both"),
        alike("remote port negative", with_attributes(&[named(b"AJP_REMOTE_PORT", b"-7")]), "both"),
        alike("remote port with a plus", with_attributes(&[named(b"AJP_REMOTE_PORT", b"+7")]), "both"),
        differs("javax name of the key size", with_attributes(&[named(b"javax.servlet.request.key_size", b"1")]), "DIFFERENT attributes", JAVAX),
    ]
}

/// The secret.
#[rustfmt::skip]
fn secrets() -> Vec<Case> {
    let secret = |value: &[u8]| with(|raw| raw.attributes = vec![attribute(0x0c, value)]);
    vec![
        alike("no secret", with(|raw| raw.attributes.clear()), "neither: secret | 403"),
        alike("wrong secret", secret(b"wrong"), "neither: secret | 403"),
        alike("secret empty", secret(b""), "neither: secret | 403"),
        alike("secret null", with(|raw| raw.attributes = vec![vec![0x0c, 0xff, 0xff]]), "neither: secret | 403"),
        alike("secret too long by one", secret(&[SECRET.as_bytes(), b"x"].concat()), "neither: secret | 403"),
        alike("right secret, then a wrong one", with_attributes(&[attribute(0x0c, b"wrong")]), "neither: secret | 403"),
        alike("wrong secret, then the right one", with(|raw| raw.attributes.insert(0, attribute(0x0c, b"wrong"))), "neither: secret | 403"),
    ]
}
