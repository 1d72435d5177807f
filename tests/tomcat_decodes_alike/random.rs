//! Random requests that are valid for Tomcat as well.

use crate::facts::CERTIFICATE;
use crate::support::random::Random;
use crate::support::tomcat::SECRET;
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, END_OF_BODY, ForwardRequestWriter, PacketSize,
    RequestLine, method_name, request_header_name, write_request_body,
};
use bytes::BytesMut;

const TOKEN: &[u8] =
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// What Tomcat takes between two slashes; no dots, so that no segment goes up or is removed.
const PATH: &[u8] =
    b"!\"$&'()*+,-0123456789:;<=>@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";
/// Not `%2F` and `%5C`, which Tomcat refuses, nor anything that is not UTF-8.
const ESCAPES: [&str; 8] = [
    "%20",
    "%25",
    "%3F",
    "%23",
    "%41",
    "%c3%a9",
    "%E2%82%AC",
    "%7E",
];
/// Name and port as Tomcat takes them apart.
pub(crate) const HOSTS: [&str; 9] = [
    "",
    "a",
    "shop.example",
    "shop.example:8443",
    "192.0.2.7",
    "192.0.2.7:1",
    "[2001:db8::1]",
    "[2001:db8::1]:65535",
    "UPPER-case.Example:0080",
];

/// A request in packets: the one to start with, and those to give when asked.
pub(crate) struct Request {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) eager: bool,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn request(random: &mut Random, size: PacketSize) -> Request {
    let mut packets = Vec::new();
    let mut data = Vec::new();
    if random.one_in(3) {
        for _ in 0..=random.below(4) {
            let most = match random.below(16) {
                0 => size.max_request_body(),
                _ => 500,
            };
            let len = 1 + random.below(most);
            let part = random.bytes(len);
            let mut packet = BytesMut::new();
            write_request_body(&mut packet, &part, size).unwrap();
            packets.push(packet.to_vec());
            data.extend(part);
        }
    }
    let framing = match random.below(4) {
        0 => BodyFraming::Chunked,
        1 if data.is_empty() => BodyFraming::Absent,
        _ => BodyFraming::Length(data.len() as u64),
    };
    if framing.length().is_none() {
        packets.push(END_OF_BODY.to_vec());
    }
    Request {
        head: head(random, framing, size),
        body: packets,
        eager: framing.is_eager(),
        data,
    }
}

fn value(random: &mut Random) -> Vec<u8> {
    let plain: Vec<u8> = (0x20..0x7f).collect();
    let any: Vec<u8> = (0x20..0x7f).chain(0x80..=0xff).chain([b'\t']).collect();
    match random.below(8) {
        0 => Vec::new(),
        1 | 2 => random.text(60, &any),
        3 => random.text(400, &plain),
        _ => random.text(40, &plain),
    }
}

fn uri(random: &mut Random) -> Vec<u8> {
    let mut uri = b"/".to_vec();
    for _ in 0..random.below(6) {
        match random.below(4) {
            0 => uri.extend(random.pick(&ESCAPES).as_bytes()),
            1 => uri.extend(b"a.b/"),
            _ => uri.extend(random.text(12, PATH)),
        }
    }
    uri
}

fn head(random: &mut Random, framing: BodyFraming, size: PacketSize) -> Vec<u8> {
    let visible: Vec<u8> = (0x21..0x7f).collect();
    let query: Vec<u8> = visible.iter().copied().filter(|b| *b != b'#').collect();
    let method: Vec<u8> = match random.below(4) {
        0 => random.word(20, TOKEN),
        _ => method_name(1 + random.below(27) as u8).unwrap().into(),
    };
    let uri = uri(random);
    let optional = |random: &mut Random| (!random.one_in(4)).then(|| random.text(30, &visible));
    let (addr, host) = (optional(random), optional(random));
    let name = (!random.one_in(4)).then(|| *random.pick(&HOSTS.each_ref()));
    let line = RequestLine {
        method: &method,
        protocol: random
            .pick(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "x"])
            .as_bytes(),
        req_uri: &uri,
        remote_addr: addr.as_deref(),
        remote_host: host.as_deref(),
        server_name: name.map(str::as_bytes),
        server_port: random.next() as u16,
        is_ssl: random.one_in(2),
    };
    let mut buffer = BytesMut::new();
    let mut writer = ForwardRequestWriter::new(&mut buffer, size, &line).unwrap();
    // The answer to HEAD is in a header, which has to fit.
    let brief = method == b"HEAD" || size == PacketSize::DEFAULT;
    headers(random, framing, size, brief, &mut writer);
    attributes(random, &query, &mut writer);
    assert_eq!(writer.finish(), Ok(framing));
    buffer.to_vec()
}

fn headers(
    random: &mut Random,
    framing: BodyFraming,
    size: PacketSize,
    brief: bool,
    writer: &mut ForwardRequestWriter<'_, '_>,
) {
    let count = if random.one_in(40) && !brief {
        98
    } else {
        random.below(12)
    };
    let length_at = random.below(count + 1);
    let host_at = random.below(2 * count + 1);
    let large = random.below(30 * (count + 1));
    let mut typed = false;
    for n in 0..=count {
        if n == length_at {
            let length = framing.length().unwrap_or_default().to_string();
            let spelled = [&b"Content-Length"[..], b"content-length"];
            match framing {
                BodyFraming::Length(_) => writer.header(random.pick(&spelled), length.as_bytes()),
                BodyFraming::Chunked => writer.header(b"Transfer-Encoding", b"chunked"),
                BodyFraming::Absent => Ok(()),
            }
            .unwrap();
            continue;
        }
        if n == host_at {
            let host = random.pick(&HOSTS.each_ref());
            writer.header(b"Host", host.as_bytes()).unwrap();
            continue;
        }
        let name: Vec<u8> = match random.below(18) {
            // Twice is a case of its own.
            7 if std::mem::replace(&mut typed, true) => continue,
            // 8 is Content-Length, 11 is Host.
            code @ (1..=7 | 9 | 10 | 12..=14) => request_header_name(code as u8).unwrap().into(),
            15 => random
                .pick(&["x-twice", "X-Twice", "X-TWICE"])
                .as_bytes()
                .into(),
            _ => [b"X-", &random.text(30, TOKEN)[..]].concat(),
        };
        let value = if large == n && !brief {
            vec![b'v'; size.bytes() * 2 / 5]
        } else {
            value(random)
        };
        writer.header(&name, &value).unwrap();
    }
}

fn attributes(random: &mut Random, query: &[u8], writer: &mut ForwardRequestWriter<'_, '_>) {
    let mut put = |code, value: Option<&[u8]>| {
        writer.attribute(Attribute::Coded { code, value }).unwrap();
    };
    put(AttributeCode::Secret, Some(SECRET.as_bytes()));
    for code in (1..=9).filter_map(AttributeCode::from_code) {
        if !random.one_in(3) {
            continue;
        }
        let value = match code {
            AttributeCode::QueryString => random.text(60, query),
            AttributeCode::SslCert if random.one_in(2) => continue,
            AttributeCode::SslCert => CERTIFICATE.into(),
            _ => value(random),
        };
        put(code, (!random.one_in(8)).then_some(&value[..]));
    }
    if random.one_in(3) {
        let bits = 6 + random.below(65_530) as u16;
        writer.attribute(Attribute::SslKeySize(bits)).unwrap();
    }
    let port = (random.next() as u16).to_string();
    for (name, value) in [
        ("AJP_REMOTE_PORT", port.as_str()),
        ("AJP_REMOTE_PORT", "none"),
        ("AJP_LOCAL_ADDR", "192.0.2.9"),
        ("AJP_SSL_PROTOCOL", "TLSv1.3"),
        ("JK_LB_ACTIVATION", "ACT"),
    ] {
        if !random.one_in(4) || (value == "none" && !random.one_in(4)) {
            continue;
        }
        let (name, value) = (name.as_bytes(), Some(value.as_bytes()));
        // A second port is a duplicate.
        writer.attribute(Attribute::Named { name, value }).unwrap();
        if name == b"AJP_REMOTE_PORT" {
            break;
        }
    }
    for _ in 0..random.below(4) {
        let name = [b"attribute ", &value(random)[..]].concat();
        let text = value(random);
        let value = (!random.one_in(8)).then_some(&text[..]);
        let name = &name[..];
        writer.attribute(Attribute::Named { name, value }).unwrap();
    }
}
