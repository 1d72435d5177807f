//! The decode example as a user runs it: raw bytes, hex text, captures; what it prints and
//! how it exits.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

#[path = "support/example.rs"]
#[allow(unreachable_pub, reason = "other binaries have it as a public module")]
mod example;

use ajp::wire::{
    END_RESPONSE_REUSE, ForwardRequestWriter, PacketSize, RequestLine, SendHeadersWriter,
    get_body_chunk, write_body_chunk, write_request_body,
};
use bytes::BytesMut;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// The example's binary.
static BINARY: LazyLock<PathBuf> = LazyLock::new(|| example::binary("decode"));

fn decode_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(&*BINARY)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // Wrong arguments end it before it reads.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What it prints when all is well.
fn printed(arguments: &[&str], input: &[u8]) -> String {
    let output = decode_with(arguments, input);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*errors), (Some(0), ""), "{text}");
    text
}

/// Exit code, output and errors.
fn ended(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let output = decode_with(arguments, input);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

const FIXTURES: &str = "tests/fixtures/captures";

/// One upload: what was sent and what came back.
fn upload() -> (Vec<u8>, Vec<u8>) {
    let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
    let size = PacketSize::DEFAULT;
    let line = RequestLine {
        method: b"POST",
        req_uri: b"/app/up",
        ..RequestLine::default()
    };
    let mut writer = ForwardRequestWriter::new(&mut up, size, &line).unwrap();
    writer.header(b"Content-Length", b"2005").unwrap();
    writer.header(b"Cookie", b"JSESSIONID=HIDDEN123").unwrap();
    writer.finish().unwrap();
    write_request_body(&mut up, &[b'x'; 2000], size).unwrap();
    write_request_body(&mut up, b"hello", size).unwrap();
    down.extend_from_slice(&get_body_chunk(8186));
    SendHeadersWriter::new(&mut down, size, 200)
        .unwrap()
        .finish();
    write_body_chunk(&mut down, &[b'y'; 3000], size).unwrap();
    down.extend_from_slice(&END_RESPONSE_REUSE);
    (up.to_vec(), down.to_vec())
}

const UPLOAD: [&str; 7] = [
    "> 0        93     Forward Request POST /app/up (HTTP/1.1, 2 headers, 0 attributes, Content-Length 2005)",
    "> 93       2006   Request Body (2000 bytes)",
    "< 0        7      Get Body Chunk (at most 8186 bytes)",
    "> 2099     11     Request Body (5 bytes)",
    "< 7        14     Send Headers 200 OK (0 headers, no length)",
    "< 21       3008   Send Body Chunk (3000 bytes)",
    "< 3029     6      End Response (reuse)",
];

#[test]
fn two_files_are_one_conversation_in_either_order() {
    let files =
        ["request", "response"].map(|side| format!("{FIXTURES}/jk/post-chunked-small.{side}.bin"));
    let expected = "\
> 0        229    Forward Request POST /app/echo (HTTP/1.1, 3 headers, 3 attributes, chunked)
< 0        7      Get Body Chunk (at most 8186 bytes)
> 229      16     Request Body (10 bytes)
< 7        7      Get Body Chunk (at most 8186 bytes)
> 245      4      Request Body (end)
";
    let text = printed(&[&files[0], &files[1]], b"");
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(
        text.lines().last().unwrap().split_once("End ").unwrap().1,
        "Response (reuse)"
    );
    assert_eq!(printed(&[&files[1], &files[0]], b""), text);
    // Of one file alone, its own packets.
    let alone = printed(&[&files[0]], b"");
    let expected: String = expected
        .lines()
        .filter(|l| l.starts_with('>'))
        .map(|l| l.to_owned() + "\n")
        .collect();
    assert_eq!(alone, expected);
    assert_eq!(
        printed(&["-"], &std::fs::read(&files[0]).unwrap()),
        expected
    );
}

#[test]
fn every_recorded_pair_is_decoded() {
    let mut files: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(FIXTURES)
            .join("httpd"),
    )
    .unwrap()
    {
        let path = entry.unwrap().path();
        if std::fs::metadata(&path).unwrap().len() > 0 {
            files.push(path.to_str().unwrap().to_owned());
        }
    }
    let arguments: Vec<&str> = ["-v", "--hex"]
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    let text = printed(&arguments, b"");
    assert_eq!(
        text.lines().filter(|line| line.ends_with(".bin:")).count(),
        files.len()
    );
}

#[test]
fn all_facts_hex_and_secrets() {
    let file = format!("{FIXTURES}/httpd/secret-post.request.bin");
    let text = printed(&["-v", &file], b"");
    assert!(text.contains("\n    0c    secret: [redacted, "), "{text}");
    let secret = printed(&["-v", "--reveal", &file], b"");
    let secret = secret
        .lines()
        .find_map(|line| line.strip_prefix("    0c    secret: "))
        .unwrap();
    assert!(!text.contains(secret));
    let hex = printed(&["--hex", &file], b"");
    assert!(
        hex.lines().nth(1).unwrap().starts_with("  0000  12 34 0"),
        "{hex}"
    );
    assert!(hex.contains(" **") && !hex.contains(secret), "{hex}");
    let hex = printed(&["--hex", "--reveal", &file], b"");
    assert!(!hex.contains(" **"));
}

/// The three forms of hex text, and plain digits.
#[test]
fn hex_text_of_every_kind() {
    let (up, _) = upload();
    let expected = UPLOAD[0].to_owned() + "\n" + UPLOAD[1] + "\n" + UPLOAD[3] + "\n";
    let ascii = |line: &[u8]| -> String {
        let shown = |&b: &u8| {
            if (0x20..0x7f).contains(&b) {
                char::from(b)
            } else {
                '.'
            }
        };
        line.iter().map(shown).collect()
    };
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |text, b| text + &format!("{b:02x}"))
    };
    let spaced = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |text, b| text + &format!("{b:02x} "))
    };
    let (mut xxd, mut canonical, mut tshark, mut plain) =
        (String::new(), String::new(), String::new(), String::new());
    for (n, line) in up.chunks(16).enumerate() {
        let at = n * 16;
        let pairs: Vec<_> = line.chunks(2).map(hex).collect();
        xxd += &format!("{at:08x}: {:<40} {}\n", pairs.join(" "), ascii(line));
        let (left, right) = line.split_at(line.len().min(8));
        canonical += &format!(
            "{at:08x}  {:<24} {:<24} |{}|\n",
            spaced(left),
            spaced(right),
            ascii(line)
        );
        tshark += &format!("{at:04x}  {:<48}  {}\n", spaced(line), ascii(line));
        plain += &format!("{}\r\n", hex(line).to_uppercase());
    }
    canonical += &format!("{:08x}\n", up.len());
    for text in [&xxd, &canonical, &tshark, &plain] {
        assert_eq!(printed(&["-"], text.as_bytes()), expected);
        assert_eq!(
            printed(&["--format", "hex", "-"], text.as_bytes()),
            expected
        );
    }
    // Packets of both directions, one on a line.
    let ping = "# a comment\n12:34:00:01:0a\n0x41, 0x42, 0x00, 0x01, 0x09\n";
    assert_eq!(
        printed(&["-"], ping.as_bytes()),
        "> 0        5      CPing\n< 0        5      CPong\n"
    );
}

/// A TCP segment.
#[derive(Clone)]
struct Tcp {
    up: bool,
    sequence: u32,
    ack: u32,
    flags: u8,
    data: &'static [u8],
    port: u16,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

impl Tcp {
    fn bytes(&self) -> Vec<u8> {
        let (from, to) = if self.up {
            (self.port, 8009)
        } else {
            (8009, self.port)
        };
        let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(self.data);
        bytes
    }

    fn ip4(&self) -> Vec<u8> {
        let tcp = self.bytes();
        let len = (tcp.len() + 20) as u16;
        let mut bytes = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0];
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        let ends = [[10, 0, 0, 1], [10, 0, 0, 2]];
        bytes.extend(ends[usize::from(!self.up)]);
        bytes.extend(ends[usize::from(self.up)]);
        bytes.extend(tcp);
        bytes
    }

    fn ip6(&self) -> Vec<u8> {
        let tcp = self.bytes();
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend((tcp.len() as u16).to_be_bytes());
        bytes.extend([6, 64]);
        for end in [!self.up, self.up] {
            bytes.extend([
                0xfd,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                u8::from(end) + 1,
            ]);
        }
        bytes.extend(tcp);
        bytes
    }

    fn ethernet(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend(self.ip4());
        // Short frames are padded.
        bytes.resize(bytes.len().max(60), 0xee);
        bytes
    }
}

/// Frames 1 ms apart, microseconds, little-endian.
fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend(65535u32.to_le_bytes());
    file.extend(link.to_le_bytes());
    for (n, frame) in frames.iter().enumerate() {
        for field in [
            1_600_000_000,
            n as u32 * 1000,
            frame.len() as u32,
            frame.len() as u32,
        ] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The same in nanoseconds, big-endian, behind blocks that are not frames.
fn pcapng(link: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let len = (body.len().next_multiple_of(4) + 12) as u32;
        file.extend(kind.to_be_bytes());
        file.extend(len.to_be_bytes());
        file.extend(body);
        file.resize(file.len().next_multiple_of(4), 0);
        file.extend(len.to_be_bytes());
    };
    block(
        0x0a0d_0d0a,
        &[
            0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
        ],
    );
    let mut interface = link.to_be_bytes().to_vec();
    interface.extend([0, 0, 0, 0, 0xff, 0xff]);
    // A comment, then if_tsresol: 10^-9.
    interface.extend([
        0, 1, 0, 3, b'a', b'b', b'c', 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0,
    ]);
    block(1, &interface);
    block(0xbad, b"unknown");
    for (n, frame) in frames.iter().enumerate() {
        let time = 1_600_000_000_000_000_000 + n as u64 * 1_000_000;
        let mut body = 0u32.to_be_bytes().to_vec();
        body.extend(time.to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend(frame);
        block(6, &body);
    }
    file
}

/// One connection with everything that networks do: sequence numbers that wrap, segments out
/// of order, twice, and overlapping.
fn connection(up: &[u8], down: &[u8]) -> Vec<Tcp> {
    let (up, down) = (up.to_vec().leak(), down.to_vec().leak());
    let (client, server) = (0xffff_ff00u32, 5000u32);
    let syn = |up, sequence, ack, flags| Tcp {
        up,
        sequence,
        ack,
        flags,
        data: &[],
        port: 40000,
    };
    let sent = |range: std::ops::Range<usize>| Tcp {
        up: true,
        sequence: client.wrapping_add(1 + range.start as u32),
        ack: server + 1,
        flags: ACK,
        data: &up[range],
        port: 40000,
    };
    let received = |range: std::ops::Range<usize>, ack: usize| Tcp {
        up: false,
        sequence: server + 1 + range.start as u32,
        ack: client.wrapping_add(1 + ack as u32),
        flags: ACK,
        data: &down[range],
        port: 40000,
    };
    let (u, d) = (up.len(), down.len());
    vec![
        syn(true, client, 0, SYN),
        syn(false, server, client.wrapping_add(1), SYN | ACK),
        sent(0..93),
        sent(1000..2099),
        sent(93..500),
        sent(93..500),
        // Overlaps both what was there and what is waiting.
        sent(300..1200),
        received(0..7, 2099),
        sent(2099..u),
        received(1500..d, u),
        received(7..1500, u),
        Tcp {
            flags: ACK | FIN,
            ..sent(u..u)
        },
        Tcp {
            flags: ACK | FIN,
            ..received(d..d, u + 1)
        },
    ]
}

fn lines_of(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn a_capture_is_put_in_order() {
    let (up, down) = upload();
    let frames: Vec<_> = connection(&up, &down).iter().map(Tcp::ethernet).collect();
    let expected = format!(
        "\
#1 10.0.0.1:40000 > 10.0.0.2:8009
#1    0.002000 {}
#1    0.006000 {}
#1    0.007000 {}
#1    0.008000 {}
#1    0.010000 {}
#1    0.010000 {}
#1    0.010000 {}
#1    0.011000 > the web server closed
#1    0.012000 < the container closed
",
        UPLOAD[0], UPLOAD[1], UPLOAD[2], UPLOAD[3], UPLOAD[4], UPLOAD[5], UPLOAD[6]
    );
    let file = pcap(1, &frames);
    assert_eq!(printed(&["-"], &file), expected);
    assert_eq!(printed(&["-"], &pcapng(1, &frames)), expected);
    assert_eq!(printed(&["--port", "8009", "-"], &file), expected);
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let sample = expected.split_inclusive('\n').take(8).collect::<String>();
    assert!(readme.contains(&sample), "the README shows something else");
    let mut saved = tempfile::NamedTempFile::new().unwrap();
    saved.write_all(&file).unwrap();
    assert_eq!(printed(&[saved.path().to_str().unwrap()], b""), expected);
    let (code, text, errors) = ended(&["--port", "80", "-"], &file);
    assert_eq!((code, &*text), (1, ""));
    assert!(
        errors.contains("no AJP connection found; without --port"),
        "{errors}"
    );
}

#[test]
fn every_link_type_and_ip_version() {
    let (up, down) = upload();
    let segments = connection(&up, &down);
    let under = |header: &[u8], ip: fn(&Tcp) -> Vec<u8>| -> Vec<Vec<u8>> {
        segments
            .iter()
            .map(|tcp| [header, &ip(tcp)].concat())
            .collect()
    };
    let vlan = [&[0; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat();
    let sll = [&[0; 14][..], &[8, 0]].concat();
    let sll2 = [&[0x86, 0xdd][..], &[0; 18]].concat();
    for (link, frames) in [
        (0, under(&[2, 0, 0, 0], Tcp::ip4)),
        (0, under(&[30, 0, 0, 0], Tcp::ip6)),
        (108, under(&[0, 0, 0, 2], Tcp::ip4)),
        (1, under(&vlan, Tcp::ip4)),
        (101, under(&[], Tcp::ip4)),
        (101, under(&[], Tcp::ip6)),
        (228, under(&[], Tcp::ip4)),
        (229, under(&[], Tcp::ip6)),
        (113, under(&sll, Tcp::ip4)),
        (276, under(&sll2, Tcp::ip6)),
    ] {
        for file in [pcap(link, &frames), pcapng(link as u16, &frames)] {
            let text = printed(&["-"], &file);
            let packets: Vec<_> = lines_of(&text)[1..8]
                .iter()
                .map(|line| &line[15..])
                .collect();
            assert_eq!(packets, UPLOAD, "link type {link}");
        }
    }
    let (code, _, errors) = ended(&["-"], &pcap(147, &[vec![0; 60]]));
    assert_eq!(code, 1);
    assert!(
        errors.contains("1 frames of link type 147 cannot be read"),
        "{errors}"
    );
}

#[test]
fn a_lost_segment_is_said_aloud() {
    let (up, down) = upload();
    let mut segments = connection(&up, &down);
    // 500..1200, of which only 1000.. came otherwise.
    segments.remove(6);
    let frames: Vec<_> = segments.iter().map(Tcp::ethernet).collect();
    let (code, text, _) = ended(&["-"], &pcap(1, &frames));
    assert_eq!(code, 1);
    let lines = lines_of(&text);
    // Noticed when the container acknowledges what was never seen.
    assert_eq!(
        lines[2],
        "#1    0.006000 > 93       407    error: 407 bytes of a packet of 2006"
    );
    assert_eq!(
        lines[3],
        "#1    0.006000 > 500      500    missing 500 bytes"
    );
    assert!(
        text.contains("> 1000     1099   skipped 1099 bytes"),
        "{text}"
    );
    assert!(
        text.contains("> 2099     11     Request Body (5 bytes)\n"),
        "{text}"
    );
    assert!(
        text.contains("< 3029     6      End Response (reuse)\n"),
        "{text}"
    );
}

#[test]
fn connections_are_told_apart_and_may_begin_before_the_capture() {
    let (up, down) = upload();
    let first = connection(&up, &down);
    let second: Vec<_> = first
        .iter()
        .map(|tcp| Tcp {
            port: 40001,
            ..tcp.clone()
        })
        .collect();
    let web = Tcp {
        up: true,
        sequence: 1,
        ack: 1,
        flags: ACK,
        data: b"GET / HTTP/1.1\r\n\r\n",
        port: 50000,
    };
    let mut frames = vec![web.ethernet()];
    // The second without its SYNs and its first segment.
    let mut second = second.into_iter().skip(3);
    for tcp in first {
        frames.push(tcp.ethernet());
        frames.extend(second.next().map(|tcp| tcp.ethernet()));
    }
    let text = printed(&["-"], &pcap(1, &frames));
    assert!(
        text.contains("#1 10.0.0.1:40000 > 10.0.0.2:8009\n"),
        "{text}"
    );
    assert!(
        text.contains("#2 10.0.0.1:40001 > 10.0.0.2:8009, recorded from midway\n"),
        "{text}"
    );
    let packets = |label: &str| -> Vec<String> {
        let of = text
            .lines()
            .filter(|line| line.starts_with(label) && line[14..].starts_with([' ', '>', '<']));
        of.map(|line| line[15..].to_owned()).collect()
    };
    assert_eq!(packets("#1 ")[..7], UPLOAD);
    let tail: Vec<_> = packets("#2 ")
        .iter()
        .filter(|line| line.starts_with('<'))
        .cloned()
        .collect();
    assert_eq!(tail[..4], [UPLOAD[2], UPLOAD[4], UPLOAD[5], UPLOAD[6]]);
    assert!(!text.contains("50000"));
}

/// The same addresses and ports again, for a new connection.
#[test]
fn a_reused_port_is_a_new_connection() {
    let (up, down) = upload();
    let segments = connection(&up, &down);
    let again: Vec<_> = segments
        .iter()
        .map(|tcp| Tcp {
            sequence: tcp.sequence.wrapping_add(77_777),
            ack: tcp.ack.wrapping_add(77_777),
            ..tcp.clone()
        })
        .collect();
    let frames: Vec<_> = segments.iter().chain(&again).map(Tcp::ethernet).collect();
    let text = printed(&["-"], &pcap(1, &frames));
    assert_eq!(text.matches("10.0.0.1:40000 > 10.0.0.2:8009\n").count(), 2);
    assert_eq!(text.matches("End Response (reuse)").count(), 2);
}

/// Whole frames as `tshark -x` prints them.
#[test]
fn frames_in_hex_text() {
    let (up, down) = upload();
    let mut text = String::new();
    for tcp in connection(&up, &down) {
        let frame = tcp.ethernet();
        text += &format!("Packet ({} bytes):\n", frame.len());
        for (n, line) in frame.chunks(16).enumerate() {
            let hex = line
                .iter()
                .fold(String::new(), |text, b| text + &format!("{b:02x} "));
            text += &format!("{:04x}  {hex:<48}  {}\n", n * 16, ".".repeat(line.len()));
        }
        text += "\nReassembled TCP (4 bytes):\n0000  ff ff ff ff                ....\n\n";
    }
    let shown = printed(&["-"], text.as_bytes());
    let packets: Vec<_> = lines_of(&shown)[1..8]
        .iter()
        .map(|line| &line[3..])
        .collect();
    assert_eq!(packets, UPLOAD);
}

#[test]
fn what_cannot_be_decoded_is_exit_code_1() {
    let (up, down) = upload();
    for (input, expected) in [
        (
            &up[..50],
            "> 0        50     error: 50 bytes of a packet of 93\n",
        ),
        (
            &[&up[..], b"garbage!"].concat(),
            "> 2110     8      skipped 8 bytes, no packet begins there\n",
        ),
        (
            b"\x12\x34\0\x02\x02\x02",
            "> 0        6      error: invalid AJP packet at byte 6: protocol needs 2 bytes, 0 left in the payload\n",
        ),
    ] {
        let (code, text, errors) = ended(&["--format", "raw", "-"], input);
        assert_eq!((code, &*errors), (1, ""), "{text}");
        assert!(text.ends_with(expected), "{text}");
    }
    // A capture that breaks off.
    let frames: Vec<_> = connection(&up, &down)
        .iter()
        .take(3)
        .map(Tcp::ethernet)
        .collect();
    let mut file = pcap(1, &frames);
    file.extend([0; 7]);
    let (code, text, errors) = ended(&["-"], &file);
    assert_eq!(
        (code, &*errors),
        (1, "decode: -: the file ends within a frame\n")
    );
    assert!(text.contains(UPLOAD[0]), "{text}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_to_do() {
    for (arguments, input, expected) in [
        (
            &["no-such-file"][..],
            &b""[..],
            "decode: no-such-file: cannot be read: ",
        ),
        (&["-"], b"", "decode: -: is empty"),
        (&["-"], b"\x1f\x8b\x08\0", "unpack it with gunzip first"),
        (
            &["-"],
            b"\0\x01\x02\x03",
            "no AJP packet begins anywhere (12 34 or 41 42)",
        ),
        (&["-"], b"12340\n", "line 1: an odd number of hex digits"),
        (
            &["-"],
            b"hello\n",
            "line 1: 'h' is no hex digit; if this is no hex text, --format",
        ),
        (
            &["--format", "pcap", "-"],
            b"123",
            "is no capture: it is shorter than the four bytes that one begins with",
        ),
        (
            &["--format", "pcapng", "-"],
            b"123456789012",
            "is no pcap file: shorter than its header",
        ),
        (&[], b"", "Usage: decode"),
        (&["--port", "x", "-"], b"", "--port"),
    ] {
        let (code, text, errors) = ended(arguments, input);
        assert_eq!((code, &*text), (2, ""), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
    let help = printed(&["--help"], b"");
    assert!(
        help.contains("Examples:") && help.contains("Exit code: 0"),
        "{help}"
    );
}
