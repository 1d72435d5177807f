//! Tomcat's own decoder says about every Forward Request what the library says.
//!
//! A servlet behind a live AJP connector answers with all that Tomcat has of a request. The
//! requests are written by the library, then read by both; and made wrong in many ways, to see
//! that the library never takes a packet for another request than Tomcat does.
//!
//! `DIFFERENTIAL=100000` tries so many random requests, and as many with a random byte, from a
//! seed of their own (`DIFFERENTIAL_SEED`, or the time): then no counts are compared, but every
//! difference must still be of a class that is known here. One such run:
//!
//! - 100 000 random requests (seed 1795886254768504894): all 24 facts of each are the same;
//! - 100 000 with a random byte (the same seed): both accept 66 872 and read the same, both refuse
//!   12 270; the library alone refuses 20 278, by the rules that `differences.txt` names (16 694 for
//!   a byte that may not stand in its field, 2 931 for a missing terminator), Tomcat alone 579
//!   (487 for the host or port, 92 for a path); one is read differently, as two Content-Types;
//! - 100 000 with a random byte (seed 1795886252184493590): the same classes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

mod facts;
mod mutated;
mod peer;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod verdict;

use ajp::wire::{DecodeOptions, Direction, ForwardRequest, PacketSize, ToContainer, split_packet};
use bytes::BytesMut;
use peer::Connection;
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;
use support::random::Random;
use support::tomcat::{Tomcat, TomcatBuilder};

fn builder() -> TomcatBuilder {
    Tomcat::builder()
        .facts_only()
        .connector_attr("tomcatAuthentication", "false")
        .connector_attr("allowTrace", "true")
        .connector_attr("allowedRequestAttributesPattern", "(?s).*")
}

/// How many requests of other seeds are tried instead of the same ones, and from which seed.
fn differential() -> Option<(usize, u64)> {
    let count = std::env::var("DIFFERENTIAL").ok()?.parse().unwrap();
    let seed = std::env::var("DIFFERENTIAL_SEED").map_or_else(
        |_| UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        |text| text.parse().unwrap(),
    );
    println!("DIFFERENTIAL={count} DIFFERENTIAL_SEED={seed}");
    Some((count, seed))
}

fn decode(packet: &[u8], size: PacketSize) -> ForwardRequest {
    let mut buffer = BytesMut::from(packet);
    let payload = split_packet(&mut buffer, Direction::ToContainer, size);
    let message = ToContainer::parse(payload.unwrap().unwrap(), &DecodeOptions::default());
    match message.unwrap() {
        ToContainer::ForwardRequest(request) => request,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_thousand_random_requests() {
    let size = PacketSize::MAX;
    let tomcat = builder().packet_size(size.bytes()).start().await;
    let other = differential();
    let (count, seed) = other.unwrap_or((2_000, 0x1234_4142));
    let mut random = Random::new(seed);
    let mut connection = Connection::open(tomcat.ajp_addr(), size);
    let (mut facts, mut asks) = (0, 0);
    for n in 0..count {
        if n % 250 == 0 {
            connection = Connection::open(tomcat.ajp_addr(), size);
        }
        let sent = random::request(&mut random, size);
        let request = decode(&sent.head, size);
        connection.send(&sent.head);
        let mut body = sent.body.iter().map(Vec::as_slice);
        if sent.eager {
            connection.send(body.next().unwrap());
        }
        let answer = connection
            .answer(body.by_ref())
            .unwrap_or_else(|| panic!("{n}: closed on {request:?}"));
        assert_eq!(
            (answer.status, answer.reuse),
            (200, true),
            "{n}: {request:?}"
        );
        assert_eq!(body.next(), None, "{n}: Tomcat did not read the body");
        let ours = facts::of(&request, &sent.data);
        let theirs = answer.facts.unwrap();
        let different = facts::differences(&theirs, &ours);
        assert!(
            different.is_empty(),
            "{n}: {different:?} in {request:?}: {theirs}"
        );
        facts += ours.as_object().unwrap().len();
        asks += answer.asks;
    }
    // 24 of each.
    assert_eq!(facts, 24 * count);
    if other.is_none() {
        // How often Tomcat asked for more body.
        assert_eq!(asks, 2_029);
    }
}

#[tokio::test]
async fn packets_made_wrong_by_hand() {
    let tomcat = builder().start().await;
    let mut failed = Vec::new();
    let mut classes = BTreeMap::new();
    for case in mutated::table() {
        let ours = verdict::ours(&case.stream);
        let theirs = verdict::theirs(tomcat.ajp_addr(), &case.stream);
        let found = verdict::compare(&ours, &theirs);
        if !case.expects(&found) {
            failed.push(format!("{}: {found}", case.name));
        }
        let agreed = found == "both" || found.starts_with("neither");
        if case.why.is_empty() != agreed {
            failed.push(format!("{}: a reason?", case.name));
        }
        let class = found
            .split([':', '|', '['])
            .next()
            .unwrap()
            .trim()
            .to_owned();
        *classes.entry(class).or_insert(0) += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let expected = [
        ("both", 31),
        ("neither", 67),
        ("only Tomcat", 51),
        ("only ours", 20),
        ("DIFFERENT apiHeaders contentType headers", 1),
        ("DIFFERENT attributes", 2),
    ];
    let expected = expected.map(|(class, n)| (class.to_owned(), n));
    assert_eq!(classes, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_random_byte_in_random_requests() {
    let tomcat = builder().start().await;
    let other = differential();
    let (count, seed) = other.unwrap_or((1_500, 0x4142_1234));
    let mut random = Random::new(seed);
    let mut classes = BTreeMap::new();
    for _ in 0..count {
        let sent = random::request(&mut random, PacketSize::DEFAULT);
        let mut stream = [sent.head, sent.body.concat()].concat();
        let before = verdict::ours(&stream);
        let at = random.below(stream.len());
        stream[at] = random.next() as u8;
        let ours = verdict::ours(&stream);
        let theirs = verdict::theirs(tomcat.ajp_addr(), &stream);
        let found = verdict::compare(&ours, &theirs);
        let class = match found.split_once(": ") {
            // Ours to refuse: by which rule.
            Some(("only Tomcat", reason)) if reason.starts_with("body:") => {
                "only Tomcat: body".to_owned()
            }
            Some(("only Tomcat", reason)) => {
                format!("only Tomcat: {}", reason.split(' ').next_back().unwrap())
            }
            Some(("neither", _)) => "neither".to_owned(),
            _ if found == "both" => found,
            // Ours to accept: what was changed. What follows from a header is not told apart.
            _ => {
                let changed = verdict::changed(&before, &ours);
                if found.starts_with("DIFFERENT") && changed.iter().any(|fact| fact == "headers") {
                    format!("{found} [a header]")
                } else {
                    format!("{found} {changed:?}")
                }
            }
        };
        let example = || format!("{ours:?}, Tomcat {theirs:?}, of {}", stream.escape_ascii());
        classes.entry(class).or_insert_with(|| (0, example())).0 += 1;
    }
    let expected = [
        ("both", 1004),
        ("neither", 182),
        // The library is stricter: the reasons are those of the table.
        ("only Tomcat: InvalidByte", 236),
        ("only Tomcat: MissingTerminator", 52),
        ("only Tomcat: NotChunked", 6),
        ("only Tomcat: UnknownCode", 14),
        ("only Tomcat: body", 1),
        // No longer a host name to Tomcat, or no path that it can decode.
        (
            r#"only ours | 400 ["apiHeaders", "headers", "serverName"]"#,
            1,
        ),
        (
            r#"only ours | 400 ["apiHeaders", "headers", "serverPort"]"#,
            3,
        ),
        (r#"only ours | 400 ["uri"]"#, 1),
    ];
    let known: Vec<&str> = include_str!("differences.txt")
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    let unknown: Vec<_> = classes
        .iter()
        .filter(|(class, _)| !known.contains(&class.as_str()))
        .collect();
    assert!(unknown.is_empty(), "not in differences.txt: {unknown:#?}");
    let classes: BTreeMap<_, _> = classes
        .iter()
        .map(|(class, (n, _))| (class.clone(), *n))
        .collect();
    if other.is_some() {
        return println!("{classes:#?}");
    }
    let expected = expected.map(|(class, n)| (class.to_owned(), n));
    assert_eq!(classes, BTreeMap::from(expected));
}
