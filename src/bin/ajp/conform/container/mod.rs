//! `ajp conform container`: a container, by what a web server could send it.
//!
//! - `packets`: packets as no writer would make them.
//! - `answer`: what comes back.
//! - `malformed`, `exchanges`, `bodies`, `trust`: the checks.

mod answer;
mod bodies;
mod exchanges;
mod malformed;
mod packets;
mod trust;

use super::check::{Evidence, Step, checks, differs, holds, wrong};
use super::connection::Connection;
use ajp::client::{Address, Transport};
use answer::{Answer, End};
use packets::{CONTENT_LENGTH, Head, Name, body, packet};
use std::iter;
use std::time::Duration;

/// Data of a body packet of the default size.
const PIECE: usize = 8186;

pub(super) struct Container<'a> {
    pub(super) address: &'a Address,
    pub(super) path: &'a str,
    /// A page that reads its body.
    pub(super) reading: &'a str,
    /// A page that answers with a status: `{}` stands for it.
    pub(super) statuses: Option<&'a str>,
    pub(super) secret: Option<&'a [u8]>,
    pub(super) limit: Duration,
}

checks! {
    container: Container<'_>, between {}
    "C01" "cping" "exchange: CPing and CPong"
        "CPing on an idle connection is answered with CPong"
        => container.cping();
    "C02" "cping-in-pieces" "packets: Packet header"
        "a packet may arrive byte by byte"
        => container.cping_in_pieces();
    "C03" "cping-again" "exchange: CPing and CPong"
        "a connection takes one CPing after the other"
        => container.cping_again();
    "C04" "wrong-magic" "packets: Packet header"
        "a wrong magic number closes the connection, without an answer"
        => container.closes(&[0x12, 0x33, 0, 1, 10]);
    "C05" "own-magic" "packets: Packet header"
        "a packet with the magic number of containers closes the connection, without an answer"
        => container.closes(&[0x41, 0x42, 0, 1, 10]);
    "C06" "other-protocol" "packets: Packet header"
        "HTTP is not answered as AJP"
        => container.closes(b"GET / HTTP/1.0\r\n\r\n");
    "C07" "unknown-type" "exchange: Errors"
        "an unknown packet type in idle closes the connection"
        => container.closes(&packet(&[0x0b]));
    "C08" "shutdown" "packets: The short ones"
        "SHUTDOWN from anybody does not stop the container"
        => container.shutdown();
    "C09" "announced-too-long" "packets: Packet size"
        "a length above the packet size is refused without reading on"
        => container.refused(&[0x12, 0x34, 0xff, 0xff]);
    "C10" "string-too-long" "packets: Strings"
        "a string longer than its packet is refused"
        => container.refused(&packet(&[&[2, 2, 0, 0x20], &b"HTTP/1.1\0"[..]].concat()));
    "C11" "no-terminator" "packets: Forward Request"
        "a request without its last byte FF is refused"
        => container.refused_head(|head| head.end = Vec::new());
    "C12" "trailing-byte" "packets: Forward Request"
        "bytes behind the last byte FF are refused"
        => container.refused_or_overlooked(|head| head.end = vec![0xff, 0]);
    "C13" "header-code-0" "codes: Request headers"
        "header code A000 is refused"
        => container.refused_head(|head| head.headers.push((Name::Code(0xa000), b"x".to_vec())));
    "C14" "header-code-15" "codes: Request headers"
        "header code A00F is refused"
        => container.refused_head(|head| head.headers.push((Name::Code(0xa00f), b"x".to_vec())));
    "C15" "null-header-name" "packets: Strings"
        "a header without a name is refused"
        => container.refused_or_overlooked(|head| head.headers.push((Name::Code(0xffff), b"x".to_vec())));
    "C16" "fewer-headers" "packets: Forward Request"
        "a number of headers that are not there is refused"
        => container.refused_head(|head| { head.header_count = Some(40); head.attributes.clear(); });
    "C17" "65535-headers" "packets: Forward Request"
        "65535 headers that are not there cost nothing and are refused"
        => container.refused_head(|head| { head.header_count = Some(u16::MAX); head.attributes.clear(); });
    "C18" "unknown-attribute-code" "codes: Attributes"
        "an attribute code that is not known is refused"
        => container.refused_head(|head| head.attributes.extend([0x0e, 0, 1, b'x', 0]));
    "C19" "unknown-method-code" "codes: Methods"
        "a method code that is not known is refused"
        => container.refused_head(|head| head.method = 0x1c);
    "C20" "no-stored-method" "codes: Attributes"
        "method code FF without its name is refused"
        => container.refused_head(|head| head.method = 0xff);
    "C21" "two-lengths" "framing: Requests"
        "Content-Length twice is refused"
        => container.smuggled(|head| { head.headers.push((CONTENT_LENGTH, b"5".to_vec())); head.headers.push((Name::Text(b"Content-Length".to_vec()), b"6".to_vec())); });
    "C22" "length-with-sign" "framing: Requests"
        "Content-Length with a sign is refused"
        => container.smuggled(|head| head.headers.push((CONTENT_LENGTH, b"+5".to_vec())));
    "C23" "length-and-encoding" "framing: Requests"
        "Content-Length beside Transfer-Encoding is refused"
        => container.length_and_encoding();
    "C24" "unknown-encoding" "framing: Requests"
        "Transfer-Encoding other than chunked is refused"
        => container.unknown_encoding();
    "C25" "line-break-in-value" "packets: What a string may hold"
        "a line break in a header value is refused"
        => container.refused_head(|head| head.headers.push((Name::Text(b"x-a".to_vec()), b"a\r\nx-b: c".to_vec())));
    "C26" "nul-in-value" "packets: What a string may hold"
        "a NUL in a header value is refused"
        => container.refused_head(|head| head.headers.push((Name::Text(b"x-a".to_vec()), b"a\0b".to_vec())));
    "C27" "get" "exchange: A request without a body"
        "a request without a body is answered: head, data, End Response"
        => container.get();
    "C28" "reuse" "reuse: Conditions"
        "a connection that is kept takes the next request"
        => container.reuse();
    "C29" "head" "exchange: HEAD, and statuses without a body"
        "the answer to HEAD has no data"
        => container.head();
    "C30" "no-length" "exchange: A request without a body"
        "a GET without a length is answered"
        => container.no_length();
    "C31" "post" "exchange: A body of known length"
        "a body with a length arrives as it is, and the connection is kept"
        => container.post(11);
    "C32" "long-post" "exchange: A body of known length"
        "a body of several packets is asked for packet by packet"
        => container.post(20_000);
    "C33" "chunked-post" "exchange: A body of unknown length"
        "a body of unknown length is asked for, and ends with an empty packet"
        => container.chunked();
    "C34" "question-fits" "packets: Packet size"
        "no more data is asked for than a packet of 8192 bytes holds"
        => container.question_fits();
    "C35" "waits-for-owed-packet" "reuse: Early end"
        "End Response with reuse comes after the packet that is owed"
        => container.waits();
    "C36" "end-of-body-without-length" "packets: Strings"
        "an end of body of four bytes counts as one of six"
        => container.short_end();
    "C37" "inner-length-too-long" "exchange: Errors"
        "a body packet whose own length is too long ends the exchange"
        => container.bad_body(&packet(&[0, 9, b'a', b'b', b'c']));
    "C38" "inner-length-too-short" "exchange: Errors"
        "a body packet whose own length is too short ends the exchange"
        => container.bad_body(&packet(&[0, 1, b'a', b'b', b'c', b'd', b'e']));
    "C39" "body-too-long" "exchange: A body of known length"
        "more data than Content-Length says is not taken for the body"
        => container.bad_body(&body(b"more than five bytes"));
    "C40" "body-too-short" "exchange: The end of a body"
        "an end of body below Content-Length is an error for the application"
        => container.short_body();
    "C41" "peer-gone" "exchange: Aborts"
        "a web server that goes in the middle of a body leaves nothing behind"
        => container.gone();
    "C42" "empty-packet-in-idle" "reuse: Empty packets that nobody asked for"
        "an empty packet after an exchange without a body does no harm"
        => container.empty_packet();
    "C43" "secret-missing" "security: Ghostcat"
        "without the secret: 403, and the connection ends"
        => container.without_secret();
    "C44" "secret-wrong" "security: Ghostcat"
        "with a wrong secret: 403, and the connection ends"
        => container.wrong_secret();
    "C45" "secret-twice" "security: Ghostcat"
        "a right and a wrong secret are refused"
        => container.two_secrets();
    "C46" "unknown-attribute" "security: Ghostcat"
        "a request attribute that is not allowed is refused or dropped"
        => container.unknown_attribute();
    "C47" "ghostcat" "security: Ghostcat"
        "attributes of an include do not serve files of the application"
        => container.ghostcat();
    "C48" "full-packet" "packets: Packet size"
        "a head of exactly 8192 bytes is taken"
        => container.full_packet();
    "C49" "101-headers" "packets: Forward Request"
        "more than 100 headers are refused with an answer, or taken"
        => container.many_headers();
    "C50" "stored-method" "codes: Attributes"
        "a method outside of the table is taken by its name"
        => container.stored_method();
    "C51" "null-strings" "packets: Strings"
        "a string that is null is none"
        => container.null_strings();
    "C52" "key-size-as-text" "codes: Attributes"
        "the key size is an integer, and some web servers write it as text"
        => container.key_size();
    "C53" "expect" "exchange: Expect: 100-continue"
        "Expect: 100-continue brings no head before the answer's"
        => container.expect();
    "C54" "statuses-without-body" "exchange: HEAD, and statuses without a body"
        "204, 205 and 304 have no data"
        => container.bodiless();
    "C55" "refusal-of-a-post" "reuse: Early end"
        "a refused POST is answered though its body was not read"
        => container.refused_post();
    "C56" "alive" "exchange: States of a connection"
        "after all of this the container answers as before"
        => container.get();
}

impl Container<'_> {
    async fn connection(&self) -> Step<Connection<Transport>> {
        answer::connect(self.address, self.limit)
            .await
            .map_err(wrong)
    }

    fn get_head(&self) -> Head {
        Head::get(self.path, self.secret)
    }

    fn post_head(&self) -> Head {
        Head::post(self.reading, self.secret)
    }

    async fn ask(&self, head: &Head) -> Step<Answer> {
        let mut connection = self.connection().await?;
        connection.send(&head.bytes()).await;
        Ok(connection.answer(iter::empty()).await)
    }
}

/// Whether something was refused as it should be.
fn judged(answer: &Answer, closed: bool) -> Evidence {
    let seen = answer.shown();
    match (&answer.end, answer.status()) {
        (End::Done { reuse: false }, 400) if closed => holds(seen),
        (End::Done { reuse: false }, 400..=599) | (End::Closed, _) => differs(seen),
        (End::Done { reuse: true }, 400..=599) => {
            differs(format!("{seen}, and the connection goes on"))
        }
        (End::TimedOut, 0) => wrong("no answer, and the connection stays open"),
        _ => wrong(seen),
    }
}
