//! Packets for readers: the texts of any packet have only printable characters and are not longer
//! than what they tell; a secret is in none of them, in whatever form and wherever it stands, but
//! in the one that reveals it; and an output that fails ends them.
//!
//! The secrets are put in here, by names and in forms that the library knows. So it is known where
//! they are, and that nothing else looks like them.

use crate::decoded::check_encode_error;
use crate::input::Input;
use crate::packets::packet_size;
use ajp::proto::{BodyEvent, ClientEvent, IdleEvent};
use ajp::wire::{
    Attribute, AttributeCode, BodyPacket, Direction, EncodeError, EncodeRule, Field,
    ForwardRequest, ForwardRequestWriter, FromWebServer, PacketSize, RequestLine, SendHeaders,
    SendHeadersWriter, ToContainer, ToWebServer,
};
use bytes::{Bytes, BytesMut};
use std::fmt::{self, Debug, Display, Write};

/// What must not be shown. No escaped byte, number or name looks like any part of it.
const SECRET: &[u8] = b"ZQKVWJMGHUYP7ZQKVWJMGHUYP";
/// So many letters of it in a row are enough to fail.
const PART: usize = 5;

/// Names of which the values are secrets.
const NAMES: [&str; 12] = [
    "Authorization",
    "proxy-authorization",
    "Cookie",
    "set-cookie2",
    "X-Secret",
    "j_password",
    "passwd",
    "X-CSRF-Token",
    "JSESSIONID",
    "session_id",
    "x-api-key",
    "apikey",
];

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let switches = input.byte();
    let size = packet_size(switches >> 4);
    match switches % 4 {
        0 => request(&mut input, size),
        1 => head(&mut input, size),
        2 => body(&mut input),
        _ => short(&mut input),
    }
}

/// Counts what is printed, and looks for what must not be.
struct Reader {
    /// The end of what came before, for parts of secrets that come in pieces.
    last: Vec<u8>,
    len: usize,
    /// From here on nothing is taken.
    room: usize,
    several_lines: bool,
    shows_secret: bool,
}

impl Write for Reader {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.len += text.len();
        if self.len > self.room {
            return Err(fmt::Error);
        }
        let allowed = |b: u8| matches!(b, b' '..=b'~') || self.several_lines && b == b'\n';
        assert!(text.bytes().all(allowed), "{text:?}");
        self.last.extend_from_slice(text.as_bytes());
        self.shows_secret |= shows_secret(&self.last);
        self.last.drain(..self.last.len().saturating_sub(PART - 1));
        Ok(())
    }
}

fn shows_secret(text: &[u8]) -> bool {
    text.windows(PART).any(|part| {
        part.iter().all(u8::is_ascii_uppercase) && SECRET.windows(PART).any(|one| one == part)
    })
}

impl Reader {
    fn new(room: usize, several_lines: bool) -> Self {
        Self {
            last: Vec::new(),
            len: 0,
            room,
            several_lines,
            shows_secret: false,
        }
    }

    /// Whether a secret was seen in a text, and how long it was.
    fn of(several_lines: bool, text: fmt::Arguments<'_>) -> (bool, usize) {
        let mut reader = Self::new(usize::MAX, several_lines);
        reader.write_fmt(text).expect("there is room");
        (reader.shows_secret, reader.len)
    }
}

/// No secret is in it, it is not longer than `most`, and it ends where the output does.
fn check(several_lines: bool, text: fmt::Arguments<'_>, most: usize, cut: u16) {
    let (shows_secret, len) = Reader::of(several_lines, text);
    assert!(!shows_secret, "a secret is shown: {text}");
    assert!((1..=most).contains(&len), "{len} of {most} bytes: {text}");
    let room = usize::from(cut) % (len + 1);
    let result = Reader::new(room, several_lines).write_fmt(text);
    assert_eq!(result.is_ok(), room == len, "{room} of {len} bytes");
}

/// All texts of a packet. `line` is the most of one line, `facts` that of all facts.
fn check_all(packet: &(impl Display + Debug), line: usize, facts: usize, cut: u16) {
    check(false, format_args!("{packet}"), line, cut);
    check(true, format_args!("{packet:#}"), facts, cut);
    check(false, format_args!("{packet:?}"), facts, cut);
}

/// Any text, or one that may stand everywhere.
fn text(input: &mut Input<'_>, most: u8) -> Vec<u8> {
    let len = input.byte();
    let any = len & 0x80 != 0;
    let mut text = input
        .take(usize::from(len & 0x7f).min(most.into()))
        .to_vec();
    if !any {
        for byte in &mut text {
            *byte = b'!' + *byte % 94;
        }
        text.retain(|b| !b"#?".contains(b));
    }
    text
}

/// A name of a secret, in any letter case, now and then as a part of a longer one.
fn secret_name(input: &mut Input<'_>) -> Vec<u8> {
    let shape = input.byte();
    let mut name = NAMES[usize::from(shape) % NAMES.len()].as_bytes().to_vec();
    if shape & 0x80 != 0 {
        name.make_ascii_uppercase();
    }
    if shape & 0x40 != 0 {
        name = [b"x-", &name[..], b".1"].concat();
    }
    name
}

/// A secret in a text that does not begin with it.
fn in_text(input: &mut Input<'_>, form: u8) -> Vec<u8> {
    let before = text(input, 60);
    let name = secret_name(input);
    let behind = text(input, 60);
    let ends = [&b"&"[..], b"\"", b"<"][usize::from(form >> 4) % 3];
    match form % 4 {
        0 => [&before, &b"&"[..], &name, b"=", SECRET, ends, &behind].concat(),
        1 => [&before, &b" "[..], &name, b": ", SECRET, b"\"", &behind].concat(),
        2 => [
            &before,
            &b"{\""[..],
            &name,
            b"\": \"",
            SECRET,
            b"\"}",
            &behind,
        ]
        .concat(),
        _ => [&before, &b"&"[..], &name, b"%3D", SECRET, b"&", &behind].concat(),
    }
}

/// Where the secret stands in a request.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Secret,
    SslSession,
    Named,
    Header,
    InHeader,
    Query,
    Path,
}

fn request(input: &mut Input<'_>, size: PacketSize) {
    let cut = input.number();
    let form = input.byte();
    let place = match form % 7 {
        0 => Place::Secret,
        1 => Place::SslSession,
        2 => Place::Named,
        3 => Place::Header,
        4 => Place::InHeader,
        5 => Place::Query,
        _ => Place::Path,
    };
    let mut uri = [b"/", &text(input, 127)[..]].concat();
    let mut query = text(input, 127);
    let protocol = text(input, 20);
    let addr = text(input, 20);
    let others: Vec<_> = (0..input.byte() % 4)
        .map(|_| (text(input, 20), text(input, 127)))
        .collect();
    let name = secret_name(input);
    let value = in_text(input, form);
    let everything = [&uri, &query, &protocol, &addr];
    let others_text = others.iter().flat_map(|(name, value)| [name, value]);
    if everything
        .into_iter()
        .chain(others_text)
        .any(|text| shows_secret(text))
    {
        return;
    }
    match place {
        Place::Path => uri.extend([&b";"[..], &name, b"=", SECRET, b"/x"].concat()),
        Place::Query => query = value.clone(),
        _ => {}
    }
    let line = RequestLine {
        method: if form & 0x80 == 0 {
            b"GET"
        } else {
            b"M-SEARCH"
        },
        protocol: &protocol,
        req_uri: &uri,
        remote_addr: Some(&addr),
        ..RequestLine::default()
    };
    check(true, format_args!("{line:?}"), 8 * (uri.len() + 200), cut);
    let coded = |code, value| Attribute::Coded { code, value };
    let write = |writer: &mut ForwardRequestWriter<'_, '_>| -> Result<(), EncodeError> {
        for (name, value) in &others {
            writer.header(name, value)?;
        }
        match place {
            Place::Header => writer.header(&name, SECRET)?,
            Place::InHeader => writer.header(b"x-text", &value)?,
            _ => {}
        }
        if !query.is_empty() {
            writer.attribute(coded(AttributeCode::QueryString, Some(&query)))?;
        }
        match place {
            Place::Secret => writer.attribute(coded(AttributeCode::Secret, Some(SECRET)))?,
            Place::SslSession => {
                writer.attribute(coded(AttributeCode::SslSession, Some(SECRET)))?
            }
            Place::Named => writer.attribute(Attribute::Named {
                name: &name,
                value: Some(SECRET),
            })?,
            _ => {}
        }
        check(false, format_args!("{writer:?}"), 1000, cut);
        Ok(())
    };
    let mut packet = BytesMut::new();
    let written = ForwardRequestWriter::new(&mut packet, size, &line).and_then(|mut writer| {
        write(&mut writer)?;
        writer.finish()
    });
    let built = ForwardRequest::build(size, &line, write);
    let request = match (built, written) {
        (Ok(request), Ok(framing)) => {
            assert_eq!(request.payload(), &packet[4..]);
            assert_eq!(request.framing(), framing);
            request
        }
        (Err(built), Err(written)) => {
            assert!(packet.is_empty());
            check_encode_error(&built, size);
            return assert_eq!(built, written);
        }
        (built, written) => panic!("{built:?} and {written:?}"),
    };
    // Five texts of at most 256 bytes each, of which each may be escaped.
    let (line, facts) = (5 * 4 * 256 + 400, 4 * request.payload().len() + 2000);
    check_all(&request, line, facts, cut);
    let (shown, _) = Reader::of(true, format_args!("{:#}", request.reveal()));
    assert!(shown, "a secret is not found where it is shown");
    for attribute in request.attributes() {
        check(false, format_args!("{attribute}"), facts, cut);
    }
    check(false, format_args!("{:?}", request.headers()), facts, cut);
    check(
        false,
        format_args!("{:?}", request.attributes()),
        facts,
        cut,
    );
    let message = ToContainer::ForwardRequest(request.clone());
    check_all(&message, line, facts, cut);
    check_all(&FromWebServer::from(request.clone()), line, facts, cut);
    check(
        false,
        format_args!("{:?}", IdleEvent::Request(request)),
        facts,
        cut,
    );
}

fn head(input: &mut Input<'_>, size: PacketSize) {
    let cut = input.number();
    let form = input.byte();
    let status = 100 + input.number() % 900;
    let others: Vec<_> = (0..input.byte() % 4)
        .map(|_| (text(input, 20), text(input, 127)))
        .collect();
    let lengths = [input.byte(), input.byte()];
    let name = secret_name(input);
    let value = in_text(input, form);
    if others
        .iter()
        .any(|(name, value)| shows_secret(name) || shows_secret(value))
    {
        return;
    }
    let write = |writer: &mut SendHeadersWriter<'_>| -> Result<(), EncodeError> {
        for (name, value) in &others {
            writer.header(name, value)?;
        }
        // None, or two that are the same, differ, or are no numbers.
        for length in lengths.iter().filter(|_| form & 0x80 != 0) {
            match length {
                255 => writer.header(b"content-length", b"x")?,
                _ => writer.header(b"Content-Length", (length % 4).to_string().as_bytes())?,
            }
        }
        match form % 2 {
            0 => writer.header(&name, SECRET)?,
            _ => writer.header(b"x-text", &value)?,
        }
        check(false, format_args!("{writer:?}"), 1000, cut);
        Ok(())
    };
    let mut packet = BytesMut::new();
    let written = SendHeadersWriter::new(&mut packet, size, status).and_then(|mut writer| {
        write(&mut writer)?;
        writer.finish();
        Ok(())
    });
    let head = match (SendHeaders::build(size, status, write), written) {
        (Ok(head), Ok(())) => {
            assert_eq!(head.payload(), &packet[4..]);
            head
        }
        // The writer takes any Content-Length; a web server does not.
        (Err(built), Ok(())) => {
            check_encode_error(&built, size);
            assert_eq!(built.field(), Field::ContentLength);
            assert!(SendHeaders::parse(packet.split_off(4).freeze()).is_err());
            let is_number = built.rule() == EncodeRule::Duplicate;
            let others = others
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
            return assert!(is_number || lengths.contains(&255) || others.count() > 0);
        }
        (Err(built), Err(written)) => {
            assert!(packet.is_empty());
            check_encode_error(&built, size);
            return assert_eq!(built, written);
        }
        (built, written) => panic!("{built:?} and {written:?}"),
    };
    let (line, facts) = (140, 4 * head.payload().len() + 1000);
    check_all(&head, line, facts, cut);
    let (shown, _) = Reader::of(true, format_args!("{:#}", head.reveal()));
    assert!(shown, "a secret is not found where it is shown");
    check_all(&ToWebServer::SendHeaders(head.clone()), line, facts, cut);
    check(
        false,
        format_args!("{:?}", ClientEvent::Head(head)),
        facts,
        cut,
    );
}

fn body(input: &mut Input<'_>) {
    let cut = input.number();
    let form = input.byte();
    let (before, behind) = (text(input, 127), text(input, 127));
    if shows_secret(&before) || shows_secret(&behind) {
        return;
    }
    // By its name, or as a word that a machine has made.
    let data = if form & 0x80 == 0 {
        in_text(input, form)
    } else {
        [&before, &b" "[..], SECRET, b" ", &behind].concat()
    };
    if form & 0x80 == 0 && {
        let at = data.windows(SECRET.len()).position(|part| part == SECRET);
        let at = at.expect("put in");
        shows_secret(&data[..at]) || shows_secret(&data[at + SECRET.len()..])
    } {
        return;
    }
    let data = Bytes::from(data);
    // The beginning of the data, each byte escaped, and how much there is.
    let (line, facts) = (50, 4 * 128 + 150);
    let packet = BodyPacket::Data(data.clone());
    check_all(&packet, line, facts, cut);
    check_all(&FromWebServer::from(packet.clone()), line, facts, cut);
    check_all(&ToWebServer::SendBodyChunk(data.clone()), line, facts, cut);
    check(
        false,
        format_args!("{:?}", ClientEvent::Data(data.clone())),
        facts,
        cut,
    );
    check(
        false,
        format_args!("{:?}", BodyEvent::Data(data.clone())),
        facts,
        cut,
    );
    let at = data.windows(SECRET.len()).position(|part| part == SECRET);
    let (shown, _) = Reader::of(true, format_args!("{:#}", packet.reveal()));
    assert_eq!(
        shown,
        at.is_some_and(|at| at + PART <= 128),
        "what is shown begins with it"
    );
}

/// Packets without text, and what else has a name.
fn short(input: &mut Input<'_>) {
    let cut = input.number();
    let number = input.number();
    let packets = [
        ToWebServer::SendBodyChunk(Bytes::new()),
        ToWebServer::EndResponse {
            reuse: cut & 1 == 0,
        },
        ToWebServer::GetBodyChunk { requested: number },
        ToWebServer::CPong,
    ];
    for packet in &packets {
        check_all(packet, 60, 60, cut);
    }
    let (_, asked) = Reader::of(false, format_args!("{}", packets[2]));
    let digits = number.to_string().len();
    assert_eq!(asked, "Get Body Chunk (at most  bytes)".len() + digits);
    for message in [ToContainer::CPing, ToContainer::Shutdown, ToContainer::Ping] {
        check_all(&message, 60, 60, cut);
        check_all(&FromWebServer::Message(message), 60, 60, cut);
    }
    check_all(&FromWebServer::from(BodyPacket::End), 60, 60, cut);
    for direction in [Direction::ToContainer, Direction::ToWebServer] {
        check(false, format_args!("{direction}"), 20, cut);
    }
    let events = [
        ClientEvent::Flush,
        ClientEvent::BodyRequested,
        ClientEvent::Ignored,
        ClientEvent::End,
    ];
    for event in events {
        check(false, format_args!("{event:?}"), 20, cut);
    }
    for event in [BodyEvent::End, BodyEvent::StrayEmpty] {
        check(false, format_args!("{event:?}"), 20, cut);
    }
}
