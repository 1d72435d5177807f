//! One piece of the benches' work, a number of times: what `benches/instructions.sh` runs
//! under callgrind. Without arguments it lists the pieces.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a benchmark of our own data"
)]

mod work;

use ajp::client::RequestFacts;
use ajp::wire::{PacketSize, request_header_code};
use bytes::BytesMut;
use std::hint::black_box;

type Piece = Box<dyn FnMut()>;
type Encode = Box<dyn Fn(&mut BytesMut, &http::request::Parts)>;

fn pieces() -> Vec<(&'static str, Piece)> {
    let (payload, head) = (work::ajp_payload(), work::http1_head());
    let head = work::placed(&head).swap_remove(0);
    let coded = |name: &str| request_header_code(name.as_bytes()).is_some();
    let config = work::server_config();
    let mut all: Vec<(&'static str, Piece)> = Vec::new();
    let (p, h) = (payload.clone(), head.clone());
    all.push((
        "decode/ajp",
        Box::new(move || {
            black_box(work::decode_ajp(p.clone()));
        }),
    ));
    all.push((
        "decode/httparse",
        Box::new(move || {
            black_box(work::decode_httparse(&h));
        }),
    ));
    for (names, parts) in [
        (
            ["encode/ajp", "encode/http1", "encode/http1-proxy"],
            work::parts(|_| true),
        ),
        (
            [
                "encode/ajp-coded",
                "encode/http1-coded",
                "encode/http1-proxy-coded",
            ],
            work::parts(coded),
        ),
    ] {
        let facts = RequestFacts::own_request();
        let ajp = move |buffer: &mut BytesMut, parts: &_| work::encode_ajp(buffer, parts, &facts);
        let encoders: [Encode; 3] = [
            Box::new(ajp),
            Box::new(work::encode_http1),
            Box::new(work::encode_http1_proxy),
        ];
        for (name, encode) in names.into_iter().zip(encoders) {
            let (parts, mut buffer) = (parts.clone(), BytesMut::with_capacity(8192));
            all.push((
                name,
                Box::new(move || {
                    buffer.clear();
                    encode(&mut buffer, black_box(&parts));
                }),
            ));
        }
    }
    for (name, size) in [
        ("body/decode/8192", PacketSize::DEFAULT),
        ("body/decode/65536", PacketSize::MAX),
    ] {
        let chunk = work::chunk_payload(size);
        all.push((
            name,
            Box::new(move || drop(black_box(work::decode_chunk(chunk.clone())))),
        ));
    }
    all.push((
        "http/request_from_ajp",
        Box::new(move || {
            drop(black_box(work::request_from_ajp(payload.clone(), &config)));
        }),
    ));
    all.push((
        "http/request_from_httparse",
        Box::new(move || {
            drop(black_box(work::request_from_httparse(&head)));
        }),
    ));
    let payload = work::response_payload();
    all.push((
        "http/response_from_ajp",
        Box::new(move || drop(black_box(work::response_from_ajp(payload.clone())))),
    ));
    let head = work::http1_response_head();
    let head = work::placed(&head).swap_remove(0);
    all.push((
        "http/response_from_httparse",
        Box::new(move || drop(black_box(work::response_from_httparse(&head)))),
    ));
    all
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [wanted, count] = &arguments[..] else {
        for (name, _) in pieces() {
            println!("{name}");
        }
        return;
    };
    let mut pieces = pieces();
    let (_, piece) = pieces
        .iter_mut()
        .find(|(name, _)| name == wanted)
        .unwrap_or_else(|| panic!("no piece is called {wanted}"));
    for _ in 0..count.parse().unwrap() {
        piece();
    }
}
