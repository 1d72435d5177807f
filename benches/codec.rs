//! The codec against an HTTP/1.1 parser, on the same request with the same checks.
//!
//! Buffers are taken from several offsets, because the cost of a copy depends on where it
//! lands.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a benchmark of our own data"
)]

#[allow(dead_code, reason = "the counts use the rest")]
mod work;

use ajp::client::RequestFacts;
use ajp::wire::{PacketSize, body_packet_header, request_header_code};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let payloads = work::placed(&work::ajp_payload());
    let mut turn = payloads.iter().cycle();
    group.bench_function("ajp", |b| {
        // Another handle to the buffer is the bench's doing, its end the view's.
        let payload = || turn.next().unwrap().clone();
        b.iter_batched(payload, work::decode_ajp, BatchSize::SmallInput);
    });
    let heads = work::placed(&work::http1_head());
    let mut turn = heads.iter().cycle();
    group.bench_function("httparse", |b| {
        let head = || turn.next().unwrap();
        b.iter_batched(
            head,
            |head| work::decode_httparse(head),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let facts = RequestFacts::own_request();
    let mut buffer = BytesMut::with_capacity(8192);
    let coded = |name: &str| request_header_code(name.as_bytes()).is_some();
    for (suffix, parts) in [("", work::parts(|_| true)), ("-coded", work::parts(coded))] {
        group.bench_function(format!("ajp{suffix}"), |b| {
            b.iter(|| {
                buffer.clear();
                work::encode_ajp(&mut buffer, black_box(&parts), &facts);
                buffer.len()
            });
        });
        group.bench_function(format!("http1{suffix}"), |b| {
            b.iter(|| {
                buffer.clear();
                work::encode_http1(&mut buffer, black_box(&parts));
                buffer.len()
            });
        });
        group.bench_function(format!("http1-proxy{suffix}"), |b| {
            b.iter(|| {
                buffer.clear();
                work::encode_http1_proxy(&mut buffer, black_box(&parts));
                buffer.len()
            });
        });
    }
    group.finish();
}

fn body(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    for size in [PacketSize::DEFAULT, PacketSize::MAX] {
        let payload = work::chunk_payload(size);
        group.bench_function(format!("decode/{}", size.bytes()), |b| {
            b.iter(|| work::decode_chunk(black_box(payload.clone())));
        });
        group.bench_function(format!("encode/{}", size.bytes()), |b| {
            b.iter(|| body_packet_header(black_box(size.max_request_body()), size).unwrap());
        });
    }
    group.finish();
}

fn http(c: &mut Criterion) {
    let mut group = c.benchmark_group("http");
    let config = work::server_config();
    let payloads = work::placed(&work::ajp_payload());
    let mut turn = payloads.iter().cycle();
    group.bench_function("request_from_ajp", |b| {
        b.iter(|| work::request_from_ajp(turn.next().unwrap().clone(), &config));
    });
    let heads = work::placed(&work::http1_head());
    let mut turn = heads.iter().cycle();
    group.bench_function("request_from_httparse", |b| {
        b.iter(|| work::request_from_httparse(turn.next().unwrap()));
    });
    group.finish();
}

criterion_group!(benches, decode, encode, body, http);
criterion_main!(benches);
