//! Random conversations, right in every byte, within what tshark is able to follow: no method
//! code above 21, a coded Content-Length, every body read, a request and its first body packet
//! in different segments, and nothing after a body of known length that had to be asked for.

use crate::support::pcap::{MOST, Side};
use crate::support::random::Random;
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, CPING, CPONG, END_OF_BODY, END_RESPONSE_CLOSE,
    END_RESPONSE_REUSE, FLUSH, ForwardRequest, ForwardRequestWriter, PacketSize, RequestLine,
    SendHeadersWriter, get_body_chunk, method_name, request_header_name, response_header_name,
    write_body_chunk, write_request_body,
};
use bytes::{Bytes, BytesMut};

const SIZE: PacketSize = PacketSize::DEFAULT;
/// The other spelling of the end of a body.
const END_OF_BODY_B: [u8; 4] = [0x12, 0x34, 0, 0];
const TOKEN: &[u8] =
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Packets of one side that may end in the same segment.
pub(crate) struct Run {
    pub(crate) side: Side,
    pub(crate) bytes: Vec<u8>,
}

impl Run {
    /// Cut into segments anywhere.
    pub(crate) fn segments(&self, random: &mut Random) -> Vec<&[u8]> {
        let len = self.bytes.len();
        let most = match random.below(4) {
            0 => 1 + random.below(len.min(1460)),
            1 => 1460,
            _ => MOST,
        }
        .max(len / 12);
        let mut rest = &self.bytes[..];
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, after) = rest.split_at((1 + random.below(most)).min(rest.len()));
            segments.push(if most == MOST { rest } else { segment });
            rest = if most == MOST { &[] } else { after };
        }
        segments
    }
}

/// A whole connection.
pub(crate) fn conversation(random: &mut Random) -> Vec<Run> {
    let mut runs = Runs(Vec::new());
    let exchanges = 1 + random.below(3);
    for n in 1..=exchanges {
        if random.one_in(5) {
            runs.push(Side::Client, &CPING);
            runs.push(Side::Server, &CPONG);
        }
        let body = body(random);
        let last = n == exchanges || body.confuses();
        let reuse = !last || random.one_in(2);
        exchange(random, &mut runs, &body, reuse);
        if last {
            break;
        }
    }
    runs.0
}

/// A request body, in packets.
struct Body {
    framing: BodyFraming,
    packets: Vec<Vec<u8>>,
}

impl Body {
    /// tshark expects as many bytes as were asked for, which nobody promised.
    fn confuses(&self) -> bool {
        self.framing != BodyFraming::Chunked && self.packets.len() > 1
    }
}

fn body(random: &mut Random) -> Body {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    if random.one_in(2) {
        for _ in 0..=random.below(4) {
            let most = if random.one_in(12) {
                SIZE.max_request_body()
            } else {
                300
            };
            let len = 1 + random.below(most);
            let mut packet = BytesMut::new();
            write_request_body(&mut packet, &random.bytes(len), SIZE).unwrap();
            packets.push(packet.to_vec());
        }
    }
    let length: usize = packets.iter().map(|packet| packet.len() - 6).sum();
    let framing = match random.below(3) {
        0 => BodyFraming::Chunked,
        1 if length == 0 => BodyFraming::Absent,
        _ => BodyFraming::Length(length as u64),
    };
    if framing == BodyFraming::Chunked {
        let end = [&END_OF_BODY[..], &END_OF_BODY_B];
        packets.push(end[random.below(2)].to_vec());
    }
    Body { framing, packets }
}

struct Runs(Vec<Run>);

impl Runs {
    fn push(&mut self, side: Side, packet: &[u8]) {
        match self.0.last_mut() {
            Some(run) if run.side == side && run.bytes.len() + packet.len() <= MOST => {
                run.bytes.extend(packet);
            }
            _ => self.apart(side, packet),
        }
    }

    /// Not in one segment with the packet before: tshark decides once per segment whether it
    /// holds a request body.
    fn apart(&mut self, side: Side, packet: &[u8]) {
        let bytes = packet.to_vec();
        self.0.push(Run { side, bytes });
    }
}

fn exchange(random: &mut Random, runs: &mut Runs, body: &Body, reuse: bool) {
    let (packet, method) = request(random, body.framing);
    runs.push(Side::Client, &packet);
    let mut packets = body.packets.iter();
    if body.framing.is_eager() {
        runs.apart(Side::Client, packets.next().unwrap());
    }
    let mut ask = |runs: &mut Runs| {
        let Some(packet) = packets.next() else {
            return false;
        };
        runs.push(
            Side::Server,
            &get_body_chunk(SIZE.max_request_body() as u16),
        );
        runs.apart(Side::Client, packet);
        true
    };
    while random.one_in(2) && ask(runs) {}
    let status = *random.pick(&[&200u16, &201, &204, &302, &304, &404, &500, &599, &999]);
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    if method != b"HEAD" && ![204, 304].contains(&status) {
        for _ in 0..random.below(5) {
            let most = if random.one_in(12) {
                SIZE.max_body_chunk()
            } else {
                400
            };
            let len = random.below(most);
            chunks.push(random.bytes(len));
        }
    }
    runs.push(Side::Server, &head(random, status, &chunks));
    for chunk in &chunks {
        if random.one_in(2) {
            ask(runs);
        }
        let mut packet = BytesMut::from(&FLUSH[..]);
        if !chunk.is_empty() {
            packet.clear();
            write_body_chunk(&mut packet, chunk, SIZE).unwrap();
        }
        runs.push(Side::Server, &packet);
    }
    while ask(runs) {}
    let end = if reuse {
        END_RESPONSE_REUSE
    } else {
        END_RESPONSE_CLOSE
    };
    runs.push(Side::Server, &end);
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

fn optional(random: &mut Random, alphabet: &[u8]) -> Option<Vec<u8>> {
    (!random.one_in(4)).then(|| random.text(30, alphabet))
}

/// A packet and its method.
fn request(random: &mut Random, framing: BodyFraming) -> (Vec<u8>, Vec<u8>) {
    let visible: Vec<u8> = (0x21..0x7f).collect();
    let path: Vec<u8> = visible
        .iter()
        .copied()
        .filter(|b| !b"#?".contains(b))
        .collect();
    let query: Vec<u8> = visible.iter().copied().filter(|b| *b != b'#').collect();
    let stored = random.one_in(4);
    let method = if stored {
        random.word(20, TOKEN)
    } else {
        method_name(1 + random.below(21) as u8).unwrap().into()
    };
    let most = if random.one_in(20) { 3000 } else { 60 };
    let uri = [b"/", &random.text(most, &path)[..]].concat();
    let protocol = random.pick(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0"]);
    let mut ends = || optional(random, &visible);
    let (addr, host, name) = (ends(), ends(), ends());
    let line = RequestLine {
        method: &method,
        protocol: protocol.as_bytes(),
        req_uri: &uri,
        remote_addr: addr.as_deref(),
        remote_host: host.as_deref(),
        server_name: name.as_deref(),
        server_port: random.next() as u16,
        is_ssl: random.one_in(2),
    };
    let mut buffer = BytesMut::new();
    let mut writer = ForwardRequestWriter::new(&mut buffer, SIZE, &line).unwrap();
    let count = random.below(9);
    let length_at = random.below(count + 1);
    for n in 0..=count {
        if n == length_at {
            match framing {
                BodyFraming::Length(n) => {
                    let value = n.to_string();
                    writer.header(b"Content-Length", value.as_bytes()).unwrap();
                }
                BodyFraming::Chunked => writer.header(b"Transfer-Encoding", b"chunked").unwrap(),
                BodyFraming::Absent => {}
            }
            continue;
        }
        let name = match random.below(16) {
            // 8 is Content-Length.
            code @ (1..=7 | 9..=14) => request_header_name(code as u8).unwrap().into(),
            _ => literal_name(random),
        };
        writer.header(&name, &value(random)).unwrap();
    }
    for attribute in 1..=13 {
        let code = AttributeCode::from_code(attribute).unwrap();
        if !random.one_in(4) || code == AttributeCode::StoredMethod {
            continue;
        }
        let text = value(random);
        let text = (!random.one_in(6)).then_some(text);
        match code {
            AttributeCode::ReqAttribute => {
                for n in 0..=random.below(3) {
                    let name = format!("NAME {n}");
                    let (name, value) = (name.as_bytes(), text.as_deref());
                    writer.attribute(Attribute::Named { name, value }).unwrap();
                }
            }
            AttributeCode::SslKeySize => {
                let bits = 6 + random.below(65_530) as u16;
                writer.attribute(Attribute::SslKeySize(bits)).unwrap();
            }
            AttributeCode::QueryString => {
                let value = random.text(60, &query);
                let value = Some(&value[..]);
                writer.attribute(Attribute::Coded { code, value }).unwrap();
            }
            AttributeCode::SslCert => {
                let value = Some(&b"-----BEGIN CERTIFICATE-----\r\nAAAA\n"[..]);
                writer.attribute(Attribute::Coded { code, value }).unwrap();
            }
            _ => {
                let value = text.as_deref();
                writer.attribute(Attribute::Coded { code, value }).unwrap();
            }
        }
    }
    writer.finish().unwrap();
    let packet = if random.one_in(3) {
        spelled_out(random, &buffer)
    } else {
        buffer.to_vec()
    };
    (packet, method)
}

/// A name without code in either table.
fn literal_name(random: &mut Random) -> Vec<u8> {
    [b"X-", &random.text(30, TOKEN)[..]].concat()
}

/// The same request with names spelled out that have a code, as `mod_jk` sends them. The body
/// length stays coded.
fn spelled_out(random: &mut Random, packet: &[u8]) -> Vec<u8> {
    let payload = Bytes::copy_from_slice(&packet[4..]);
    let request = ForwardRequest::parse(payload.clone()).unwrap();
    let tail: usize = request.headers().map(header_len).sum::<usize>() + 2;
    let attributes: usize = payload.len() - attributes_len(&request);
    let mut out = payload[..attributes - tail].to_vec();
    out.extend((request.headers().len() as u16).to_be_bytes());
    for header in request.headers() {
        match header.code {
            Some(code) if code == 8 || random.one_in(2) => out.extend([0xa0, code]),
            _ => string(&mut out, header.name),
        }
        string(&mut out, header.value);
    }
    out.extend(&payload[attributes..]);
    [&[0x12, 0x34], &(out.len() as u16).to_be_bytes()[..], &out].concat()
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
    out.push(0);
}

fn header_len(header: ajp::wire::Header<'_>) -> usize {
    let name = header.code.map_or(header.name.len() + 3, |_| 2);
    name + header.value.len() + 3
}

/// Of the attributes and the byte that ends them.
fn attributes_len(request: &ForwardRequest) -> usize {
    let text = |text: Option<&[u8]>| text.map_or(2, |text| text.len() + 3);
    let lengths = request.attributes().map(|attribute| match attribute {
        Attribute::Coded { value, .. } => 1 + text(value),
        Attribute::SslKeySize(_) => 3,
        Attribute::Named { name, value } => 1 + text(Some(name)) + text(value),
    });
    lengths.sum::<usize>() + 1
}

fn head(random: &mut Random, status: u16, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let reason = value(random);
    let mut writer = match random.below(3) {
        0 => SendHeadersWriter::with_reason(&mut buffer, SIZE, status, &reason).unwrap(),
        _ => SendHeadersWriter::new(&mut buffer, SIZE, status).unwrap(),
    };
    for _ in 0..random.below(8) {
        let name = match random.below(14) {
            // 3 is Content-Length.
            code @ (1 | 2 | 4..=11) => response_header_name(code as u8).unwrap().into(),
            _ => literal_name(random),
        };
        writer.header(&name, &value(random)).unwrap();
    }
    if random.one_in(2) {
        let length: usize = chunks.iter().map(Vec::len).sum();
        let value = length.to_string();
        writer.header(b"Content-Length", value.as_bytes()).unwrap();
    }
    writer.finish();
    buffer.to_vec()
}
