//! What tshark must have found in a packet, said from what the library decoded: names, the
//! exact bytes of every field, and the value as displayed where it needs no escapes.

use crate::packets::observer::Packet;
use crate::support::tshark;
use ajp::wire::{Attribute, BodyPacket, ForwardRequest, Header, Headers, SendHeaders};
use bytes::Bytes;

/// tshark cuts what it displays.
const LONGEST_SHOWN: usize = 230;

/// One field as the library has it.
#[derive(Debug)]
struct Field {
    name: String,
    bytes: Vec<u8>,
    shown: Option<String>,
    label: Option<String>,
}

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) packets: usize,
    pub(crate) fields: usize,
    pub(crate) headers: usize,
    pub(crate) shown: usize,
}

/// Panics unless tshark read the packet as the library did.
pub(crate) fn compare(
    packet: &Packet,
    payload: &Bytes,
    theirs: &tshark::Packet,
    compared: &mut Compared,
) {
    let ours = fields(packet, payload);
    let names = |names: Vec<&str>| names.join(" ");
    assert_eq!(
        names(theirs.fields.iter().map(|f| f.name.as_str()).collect()),
        names(ours.iter().map(|f| f.name.as_str()).collect()),
        "{packet:?}"
    );
    assert!(!theirs.malformed, "tshark calls it malformed: {packet:?}");
    for (our, their) in ours.iter().zip(&theirs.fields) {
        assert_eq!(their.bytes, our.bytes, "{} of {packet:?}", our.name);
        if let Some(shown) = &our.shown {
            assert_eq!(their.shown, shown.as_bytes(), "{} of {packet:?}", our.name);
            compared.shown += 1;
        }
        if let Some(label) = &our.label {
            assert_eq!(their.label, label.as_bytes(), "{} of {packet:?}", our.name);
        }
        compared.fields += 1;
    }
    compared.headers += match packet {
        Packet::Request(request) => request.headers().len(),
        Packet::Head(head) => head.headers().len(),
        _ => 0,
    };
    compared.packets += 1;
}

fn fields(packet: &Packet, payload: &Bytes) -> Vec<Field> {
    let to_container = matches!(packet, Packet::CPing | Packet::Request(_) | Packet::Body(_));
    let magic = if to_container {
        [0x12, 0x34]
    } else {
        [0x41, 0x42]
    };
    let mut all = vec![plain("magic", &magic), number("len", payload.len() as u16)];
    match packet {
        Packet::CPing => all.push(code(10, "CPING")),
        Packet::CPong => all.push(code(9, "CPONG")),
        Packet::Body(BodyPacket::End) => {}
        Packet::Body(BodyPacket::Data(data)) => all.push(plain("data", data)),
        Packet::Chunk(data) => {
            all.push(code(3, "SEND BODY CHUNK"));
            // With the NUL that no length counts.
            all.push(plain("data", &[data, &[0][..]].concat()));
        }
        Packet::Ask(requested) => {
            all.push(code(6, "GET BODY CHUNK"));
            all.push(number("rlen", *requested));
        }
        Packet::End { reuse } => {
            all.push(code(5, "END RESPONSE"));
            all.push(byte("reusep", u8::from(*reuse)));
        }
        Packet::Head(head) => response(head, &mut all),
        Packet::Request(request) => forward_request(request, &mut all),
    }
    all
}

fn response(head: &SendHeaders, all: &mut Vec<Field>) {
    all.push(code(4, "SEND HEADERS"));
    all.push(number("rstatus", head.status()));
    all.push(string("rmsg", head.raw_reason()));
    headers(head.headers(), all);
}

fn forward_request(request: &ForwardRequest, all: &mut Vec<Field>) {
    all.push(code(2, "FORWARD REQUEST"));
    let method = request.method_code();
    let mut field = byte("method", method);
    let name = match method {
        // tshark's table ends with 21; 0xFF is a code to nobody but AJP.
        1..=21 => std::str::from_utf8(request.method()).unwrap(),
        _ => "Unknown",
    };
    field.label = Some(format!("Method: {name} ({method})"));
    all.push(field);
    all.push(string("ver", Some(request.protocol())));
    all.push(string("uri", Some(request.req_uri())));
    all.push(string("raddr", request.line().remote_addr));
    all.push(string("rhost", request.line().remote_host));
    all.push(string("srv", request.line().server_name));
    all.push(number("port", request.server_port()));
    all.push(byte("sslp", u8::from(request.is_ssl())));
    headers(request.headers(), all);
    all.extend(request.attributes().map(attribute));
}

fn headers(headers: Headers<'_>, all: &mut Vec<Field>) {
    all.push(number("nhdr", headers.len() as u16));
    all.extend(headers.map(header));
}

fn header(header: Header<'_>) -> Field {
    let value = wire(Some(header.value));
    if let Some(code) = header.code {
        return Field {
            name: std::str::from_utf8(header.name).unwrap().replace('-', "_"),
            bytes: [&[0xa0, code], &value[..]].concat(),
            shown: shown(header.value),
            label: None,
        };
    }
    Field {
        name: "unknown_header".to_owned(),
        bytes: [wire(Some(header.name)), value].concat(),
        shown: shown(&[header.name, b": ", header.value].concat()),
        label: None,
    }
}

fn attribute(attribute: Attribute<'_>) -> Field {
    match attribute {
        Attribute::Coded { code, value } => Field {
            name: code.name().to_owned(),
            bytes: [&[code.code()], &wire(value)[..]].concat(),
            shown: shown(value.unwrap_or_default()),
            label: None,
        },
        Attribute::SslKeySize(bits) => Field {
            name: "ssl_key_size".to_owned(),
            bytes: [&[0x0b], &bits.to_be_bytes()[..]].concat(),
            shown: Some(bits.to_string()),
            label: None,
        },
        Attribute::Named { name, value } => Field {
            name: "req_attribute".to_owned(),
            bytes: [vec![0x0a], wire(Some(name)), wire(value)].concat(),
            shown: shown(&[name, b": ", value.unwrap_or_default()].concat()),
            label: None,
        },
    }
}

fn plain(name: &str, bytes: &[u8]) -> Field {
    Field {
        name: name.to_owned(),
        bytes: bytes.to_vec(),
        shown: None,
        label: None,
    }
}

fn number(name: &str, number: u16) -> Field {
    Field {
        shown: Some(number.to_string()),
        ..plain(name, &number.to_be_bytes())
    }
}

fn byte(name: &str, byte: u8) -> Field {
    Field {
        shown: Some(byte.to_string()),
        ..plain(name, &[byte])
    }
}

fn code(code: u8, name: &str) -> Field {
    Field {
        label: Some(format!("Code: {name} ({code})")),
        ..byte("code", code)
    }
}

fn string(name: &str, text: Option<&[u8]>) -> Field {
    Field {
        shown: shown(text.unwrap_or_default()),
        ..plain(name, &wire(text))
    }
}

/// A string as it is on the wire.
fn wire(text: Option<&[u8]>) -> Vec<u8> {
    let Some(text) = text else {
        return vec![0xff, 0xff];
    };
    [&(text.len() as u16).to_be_bytes(), text, &[0]].concat()
}

/// The text as tshark displays it, if that is the text itself.
fn shown(text: &[u8]) -> Option<String> {
    let plain = text.len() <= LONGEST_SHOWN && text.iter().all(|b| (0x20..0x7f).contains(b));
    plain.then(|| String::from_utf8(text.to_vec()).unwrap())
}
