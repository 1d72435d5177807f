//! Writes `corpus/<target>/` from the recorded connections and the test vectors of
//! `tests/fixtures`. Nothing is written that is there already.

use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Larger packets teach a fuzzer nothing that smaller ones do not.
const LONGEST: usize = 2048;

/// Payloads in the order they were sent; `true` is towards the container.
type Conversation = Vec<(bool, Vec<u8>)>;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let conversations = conversations(&root.join("../tests/fixtures"))?;
    for target in std::env::args().skip(1) {
        let folder = root.join("corpus").join(&target);
        fs::create_dir_all(&folder)?;
        for (n, seed) in seeds(&target, &conversations).into_iter().enumerate() {
            let path = folder.join(format!("seed-{n:04}"));
            if !path.exists() {
                fs::write(path, seed)?;
            }
        }
    }
    Ok(())
}

fn seeds(target: &str, conversations: &[Conversation]) -> BTreeSet<Vec<u8>> {
    let mut out = streams(target, conversations);
    let texts: &[&[u8]] = match target {
        "site_paths" => &[
            b"/app/*.jsp\n/app/a%2ejsp;v=1",
            b"*.jsp\n/a/../b;x/..;y/%2e%2E/c",
            b"/app\n/app;jsessionid=1.jvm1/x//y/./z",
            b"~ ^/[a-z]+/x$\n/%25%32%65/%2F/\\",
            b"= /app/a\n/a%00b",
        ],
        "client_claims" => &[
            b"\x13\x00\x0b1.2.3.4, x\x05\x20for=\"[2001:db8::1]:4711\";proto=https",
            b"\x11\x00\x0910.0.0.1\x01\x05https\x02\x01a\x03\x02443",
            b"\x00\x0b\x0akeep-alive\x0e\x20JSESSIONID=1; Path=/app; Domain=x",
        ],
        "http2_requests" => &[
            b"\x10\x00\x00\x0bapp.example\x04/a?b\x61\x62\x03",
            b"\x24\x01\x01\x0fu@h.example:8080\x00\x80\x05other\x04\x42\x07",
            b"\x30\x03\x00\x0eh.example:8080\x00",
            b"\x08\x05\x02\x00\x06/a/b?c\x0e\x98\x05x-any\x04\x03a b",
        ],
        _ => &[],
    };
    out.extend(texts.iter().map(|text| text.to_vec()));
    if target == "captures" {
        out.extend(captures(conversations));
    }
    for conversation in conversations {
        match target {
            "client_conversation" => drop(out.insert(as_client(conversation))),
            "server_conversation" => drop(out.insert(as_server(conversation))),
            _ => {}
        }
        for (to_container, payload) in conversation {
            if payload.len() > LONGEST {
                continue;
            }
            let seed = match target {
                "decode_to_container" if *to_container => [&[0, 0, 0, 0, 9], &payload[..]].concat(),
                "decode_to_web_server" if !to_container => [&[0, 0, 0, 9], &payload[..]].concat(),
                "http_mapping" => match (to_container, payload.first()) {
                    (true, Some(2)) => [&[0, 0], &payload[..]].concat(),
                    (false, Some(4)) => [&[1, 0], &payload[..]].concat(),
                    _ => continue,
                },
                // Its input is read as numbers and strings: recorded text is as good as any.
                "roundtrip" if payload.len() > 64 => payload.clone(),
                _ => continue,
            };
            if target.starts_with("decode_") {
                // The same with a long header: see `check_stretched`.
                let cuts = if target == "decode_to_container" {
                    2
                } else {
                    1
                };
                let mut long = seed.clone();
                long[0] = 0x80;
                long[cuts + 1] = 0x50;
                out.insert(long);
            }
            out.insert(seed);
        }
    }
    out
}

/// Both directions of a recorded connection for `Dump`, and small captures of them.
fn captures(conversations: &[Conversation]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for conversation in conversations {
        let mut fed = vec![1];
        let mut file = vec![0];
        file.extend(0xa1b2_c3d4_u32.to_le_bytes());
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
        let mut sent = [1_u32; 2];
        for (to_container, payload) in conversation {
            if payload.len() > 1000 {
                continue;
            }
            let magic = if *to_container {
                [0x12, 0x34]
            } else {
                [0x41, 0x42]
            };
            let len = (payload.len() as u16).to_be_bytes();
            let packet = [&magic[..], &len, payload].concat();
            for piece in packet.chunks(128) {
                fed.push(((piece.len() - 1) as u8) << 1 | u8::from(!to_container));
                fed.extend(piece);
            }
            let side = usize::from(!to_container);
            let frame = frame(&packet, side, sent);
            sent[side] += packet.len() as u32;
            file.extend([0; 8]);
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend(frame);
        }
        out.extend([fed, file].into_iter().filter(|seed| seed.len() <= LONGEST));
    }
    out
}

/// Ethernet, IPv4 and TCP around a packet.
fn frame(packet: &[u8], side: usize, sent: [u32; 2]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + packet.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    let (hosts, ports) = ([[10, 0, 0, 1], [10, 0, 0, 2]], [40_000_u16, 8009]);
    frame.extend(hosts[side]);
    frame.extend(hosts[1 - side]);
    frame.extend(ports[side].to_be_bytes());
    frame.extend(ports[1 - side].to_be_bytes());
    frame.extend(sent[side].to_be_bytes());
    frame.extend(sent[1 - side].to_be_bytes());
    frame.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend(packet);
    frame
}

/// For the targets that take packets: all of one direction in a row, and headers alone that
/// announce the longest payload that is accepted, and one byte more.
fn streams(target: &str, conversations: &[Conversation]) -> BTreeSet<Vec<u8>> {
    let (to_container, magic, parameters) = match target {
        "decode_to_container" => (true, [0x12, 0x34], 4),
        "decode_to_web_server" => (false, [0x41, 0x42], 3),
        _ => return BTreeSet::new(),
    };
    let packet = |payload: &Vec<u8>| {
        let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        [&magic, &len.to_be_bytes()[..], payload].concat()
    };
    let mut out = BTreeSet::new();
    for (size, longest) in [(0u8, 8192u16), (1, 9216)] {
        for len in [longest, longest + 1] {
            let mut seed = vec![8 | size << 4];
            seed.resize(1 + parameters, 0);
            seed.extend(magic);
            seed.extend(len.to_be_bytes());
            out.insert(seed);
        }
    }
    // What else may come: see `OtherProtocol`.
    for text in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP4 ",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"SSH-2.0-x",
        b"220-mail",
    ] {
        let mut seed = vec![8];
        seed.resize(1 + parameters, 9);
        seed.extend(text);
        out.insert(seed);
    }
    for conversation in conversations {
        let mut seed = vec![8];
        seed.resize(1 + parameters, 9);
        for (_, payload) in conversation.iter().filter(|(to, _)| *to == to_container) {
            seed.extend(packet(payload));
        }
        if seed.len() <= LONGEST {
            out.insert(seed);
        }
    }
    out
}

/// An operation with a payload and its length before it.
fn operation(code: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    [&[code], &len.to_be_bytes()[..], payload].concat()
}

/// The recorded container against the crate's client: see `client_conversation`.
fn as_client(conversation: &Conversation) -> Vec<u8> {
    let mut out = vec![1, 0, 9, 8];
    for (to_container, payload) in conversation.iter().skip(1) {
        match (to_container, payload.len()) {
            (true, 0..=2) => out.push(7),
            (true, len) => {
                let len = u16::try_from(len - 2).unwrap_or(u16::MAX);
                out.extend([6, 3]);
                out.extend(len.to_be_bytes());
            }
            (false, 0..=LONGEST) => out.extend(operation(0, payload)),
            (false, len) => {
                let len = u16::try_from(len - 4).unwrap_or(u16::MAX);
                out.push(3);
                out.extend(len.to_be_bytes());
            }
        }
    }
    out.truncate(4096);
    out
}

/// The recorded web server against the crate's container: see `server_conversation`.
fn as_server(conversation: &Conversation) -> Vec<u8> {
    let mut out = vec![0, 0, 9];
    for (to_container, payload) in conversation {
        match (to_container, payload.first()) {
            (true, _) if payload.len() <= LONGEST => out.extend(operation(0, payload)),
            (true, _) => {
                let len = u16::try_from(payload.len() - 2).unwrap_or(u16::MAX);
                out.push(1);
                out.extend(len.to_be_bytes());
            }
            (false, Some(6)) => out.push(3),
            (false, Some(4)) => out.extend([4, 0, 0]),
            (false, Some(3)) => {
                let len = u16::try_from(payload.len().saturating_sub(4)).unwrap_or(u16::MAX);
                out.push(5);
                out.extend(len.to_be_bytes());
            }
            _ => out.push(6),
        }
    }
    out.truncate(4096);
    out
}

fn conversations(fixtures: &Path) -> Result<Vec<Conversation>> {
    let mut out = Vec::new();
    let json = |path: &str| -> Result<Vec<Value>> {
        Ok(serde_json::from_slice(&fs::read(fixtures.join(path))?)?)
    };
    for case in json("captures/manifest.json")? {
        for connection in case["connections"].as_array().into_iter().flatten() {
            let read = |key: &str| -> Result<Vec<u8>> {
                let path: PathBuf = connection[key].as_str().ok_or("no file")?.into();
                Ok(fs::read(fixtures.join("captures").join(path))?)
            };
            let streams = [read("response")?, read("request")?];
            let mut at = [0, 0];
            let mut conversation = Conversation::new();
            for step in connection["timeline"].as_array().into_iter().flatten() {
                let to_container = step[0] == ">";
                let len = usize::try_from(step[1].as_u64().ok_or("no length")?)?;
                let side = usize::from(to_container);
                let bytes = streams[side].get(at[side]..at[side] + len);
                at[side] += len;
                conversation.extend(payloads(to_container, bytes.ok_or("too short")?));
            }
            out.push(conversation);
        }
    }
    for vector in json("vectors/positive.json")? {
        let packets = vector["packets"].as_array().into_iter().flatten();
        out.push(
            packets
                .flat_map(|packet| payloads(packet["from"] == "web", &hex(&packet["hex"])))
                .collect(),
        );
    }
    for vector in json("vectors/negative.json")? {
        out.push(payloads(vector["to"] != "client", &hex(&vector["hex"])));
    }
    Ok(out)
}

fn hex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap_or_default();
    (0..digits.len() / 2)
        .filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// Whole packets, whatever their magic is.
fn payloads(to_container: bool, mut bytes: &[u8]) -> Conversation {
    let mut out = Conversation::new();
    while let [_, _, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (payload, after) = rest.split_at(len.min(rest.len()));
        out.push((to_container, payload.to_vec()));
        bytes = after;
    }
    out
}
