//! Wireshark's AJP dissector, run once over a whole capture file.

use std::process::Command;

use super::need;
use super::pcap::{PORT, Pcap};

/// One field that tshark found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in tshark, without `ajp13.`.
    pub name: String,
    /// The name and value as tshark displays them, such as `Method: GET (2)`.
    pub label: Vec<u8>,
    /// The value as tshark displays it.
    pub shown: Vec<u8>,
    /// The bytes that tshark counts to this field.
    pub bytes: Vec<u8>,
}

/// One AJP packet as tshark read it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// Its fields in wire order.
    pub fields: Vec<Field>,
    /// Whether tshark gave up in the middle of it.
    pub malformed: bool,
}

impl Packet {
    /// The first field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// For each frame the AJP packets that end in it.
pub fn dissect(pcap: &Pcap) -> Vec<Vec<Packet>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ajp.pcap");
    pcap.save(&file);
    let mut command = Command::new("tshark");
    command
        // Nobody's own settings.
        .env("HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path())
        .args(["-n", "-r"])
        .arg(&file)
        .args(["-d", &format!("tcp.port=={PORT},ajp13")])
        .args(["-T", "pdml", "-J", "ajp13"]);
    let frames = parse(&need::run(&mut command, "tshark").stdout);
    assert_eq!(frames.len(), pcap.frames(), "tshark lost frames");
    frames
}

/// PDML: no text, only elements. It is not always UTF-8, and values have raw line ends.
fn parse(pdml: &[u8]) -> Vec<Vec<Packet>> {
    let mut frames: Vec<Vec<Packet>> = Vec::new();
    let mut in_ajp = false;
    for tag in pdml.split(|&b| b == b'<') {
        if tag.starts_with(b"packet>") {
            frames.push(Vec::new());
        } else if tag.starts_with(b"proto ") {
            let packets = frames.last_mut().unwrap();
            let name = attribute(tag, "name");
            in_ajp = name == b"ajp13";
            if in_ajp {
                packets.push(Packet::default());
            } else if name == b"_ws.malformed" {
                packets.last_mut().unwrap().malformed = true;
            }
        } else if in_ajp && tag.starts_with(b"field name=\"ajp13.") {
            let packet = frames.last_mut().unwrap().last_mut().unwrap();
            let name = String::from_utf8(attribute(tag, "name")).unwrap();
            packet.fields.push(Field {
                name: name["ajp13.".len()..].to_owned(),
                label: attribute(tag, "showname"),
                shown: attribute(tag, "show"),
                bytes: unhex(&attribute(tag, "value")),
            });
        }
    }
    frames
}

/// An attribute's value, unescaped; empty when it is not there.
fn attribute(tag: &[u8], name: &str) -> Vec<u8> {
    let start = format!(" {name}=\"");
    let Some(at) = tag
        .windows(start.len())
        .position(|window| window == start.as_bytes())
    else {
        return Vec::new();
    };
    let rest = &tag[at + start.len()..];
    let end = rest.iter().position(|&b| b == b'"').unwrap();
    let mut out = Vec::with_capacity(end);
    let mut rest = &rest[..end];
    while let Some((&byte, after)) = rest.split_first() {
        let escapes = [
            (&b"&lt;"[..], b'<'),
            (b"&gt;", b'>'),
            (b"&amp;", b'&'),
            (b"&quot;", b'"'),
            (b"&#x27;", b'\''),
        ];
        if let Some((text, byte)) = escapes.iter().find(|(text, _)| rest.starts_with(text)) {
            out.push(*byte);
            rest = &rest[text.len()..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    out
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
    text.chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
