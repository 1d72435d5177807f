//! Everything that a container may be sent, whole and damaged.

use crate::honest::Site;
use crate::raw::Random;
use ajp::server::{ServerConfig, ServerTimeouts, Trust};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Peers at the same time.
const AT_ONCE: usize = 64;
/// Damaged copies of each input.
const DAMAGED: usize = 8;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The vectors of the protocol, good and bad, what real web servers have sent, and what the
/// fuzzer of the server has kept, if it ever ran here.
fn inputs() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for file in ["positive", "negative"] {
        let path = root(&format!("tests/fixtures/vectors/{file}.json"));
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        collect_hex(&vectors, &mut all);
    }
    let vectors = all.len();
    assert!(vectors > 65, "{vectors} vectors");
    for peer in ["httpd", "jk"] {
        all.extend(files(&root(&format!("tests/fixtures/captures/{peer}"))));
    }
    let recorded = all.len() - vectors;
    assert!(recorded > 400, "{recorded} recorded streams");
    let corpus = root("fuzz/corpus/server_conversation");
    if corpus.is_dir() {
        all.extend(files(&corpus));
    }
    all
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    paths.iter().map(read).collect()
}

fn collect_hex(value: &Value, all: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_hex(value, all)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "hex") {
                    Some(hex) => all.push(bytes_of(hex)),
                    None => collect_hex(value, all),
                }
            }
        }
        _ => {}
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A copy with a few bytes changed, cut out, doubled, or with another input behind it.
fn damaged(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1));
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = random.bytes(1)[0],
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => {
                let part = bytes.get(at..(at + 40).min(bytes.len()));
                let part = part.unwrap_or_default().to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                bytes.truncate(at);
                bytes.extend(other);
            }
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_every_kind_disturbs_nobody() {
    let timeouts = ServerTimeouts::default()
        .with_packet(Duration::from_millis(500))
        .with_body(Duration::from_millis(500))
        .with_swallow(Duration::from_millis(500));
    let config = ServerConfig::new(Trust::TrustedNetwork).with_timeouts(timeouts);
    let site = Site::open(config).await;
    let honest = site.honest(4);

    let inputs = inputs();
    let mut random = Random::new(0x5eed_0bad);
    let mut streams = inputs.clone();
    for (i, input) in inputs.iter().enumerate() {
        for _ in 0..DAMAGED {
            let other = &inputs[(i + 1 + random.below(inputs.len() - 1)) % inputs.len()];
            streams.push(damaged(input, other, &mut random));
        }
    }
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let count = streams.len();
    let mut peers = Vec::new();
    for bytes in streams {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let address = site.address;
        peers.push(tokio::spawn(async move {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            let (mut read, mut write) = tcp.split();
            let send = async {
                // The server may have closed at the first byte.
                let _ = write.write_all(&bytes).await;
                let _ = write.shutdown().await;
            };
            let mut answer = Vec::new();
            let ((), _) = tokio::join!(send, read.read_to_end(&mut answer));
            drop(place);
            answer.is_empty() || answer.starts_with(b"AB")
        }));
    }
    for peer in peers {
        let limit = Duration::from_secs(30);
        let ended = tokio::time::timeout(limit, peer).await;
        assert!(ended.expect("a peer is never closed").unwrap(), "no packet");
    }
    honest.go_on(100).await;
    let stats = site.monitor.stats();
    assert_eq!(stats.open, 4, "{stats:?}");
    assert!(stats.malformed > 100, "{stats:?}");
    println!(
        "{count} streams, {} honest requests, {stats:?}",
        honest.done()
    );
    honest.end().await;
}
