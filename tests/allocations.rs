//! What the codec costs in memory, counted: decoding a packet and reading all of it allocates
//! nothing, and what it hands out lies in the buffer that was received. The futures that send
//! requests are small, since programs put them into futures of their own and move those.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

mod packets;

use ajp::client::RequestFacts;
use ajp::dump::{Content, Dump};
use ajp::mapping::{write_forward_request, write_send_headers};
use ajp::wire::{
    Attribute, BodyFraming, BodyPacket, CPING, DecodeOptions, Direction, ForwardRequest,
    PacketSize, SendHeaders, ToContainer, ToWebServer, split_packet,
};
use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use packets::{fixture, load};

/// Every packet of every recorded connection, with its direction and whether it is a body.
fn recorded() -> Vec<(Direction, bool, Bytes)> {
    let mut all = Vec::new();
    for case in load("captures/manifest.json") {
        for entry in case["connections"].as_array().unwrap() {
            let read = |key: &str| {
                let path = format!("captures/{}", entry[key].as_str().unwrap());
                std::fs::read(fixture(&path)).unwrap()
            };
            let (mut up, mut down) = (read("request"), read("response"));
            let mut dump = Dump::new();
            for step in entry["timeline"].as_array().unwrap() {
                let len = step[1].as_u64().unwrap() as usize;
                let (direction, bytes): (_, Vec<u8>) = match step[0].as_str().unwrap() {
                    ">" => (Direction::ToContainer, up.drain(..len).collect()),
                    _ => (Direction::ToWebServer, down.drain(..len).collect()),
                };
                for record in dump.feed(direction, &bytes) {
                    let is_body = match record.content() {
                        Content::ToContainer(_) | Content::ToWebServer(_) => false,
                        Content::RequestBody(_) => true,
                        other => panic!("{other:?}"),
                    };
                    all.push((direction, is_body, record.raw().clone()));
                }
            }
        }
    }
    all
}

/// Whether `part` lies in `whole`.
fn within(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    part.is_empty() || (whole.start <= part.start && part.end <= whole.end)
}

/// All that a request tells, as a number that cannot be had without reading it.
fn read_request(request: &ForwardRequest) -> usize {
    let parts = [
        Some(request.method()),
        Some(request.protocol()),
        Some(request.req_uri()),
        request.remote_addr(),
        request.remote_host(),
        request.server_name(),
        request.query_string(),
        request.req_attribute(b"AJP_REMOTE_PORT"),
    ];
    let line: usize = parts.iter().flatten().map(|part| part.len()).sum();
    let headers: usize = request
        .headers()
        .map(|header| header.name.len() + header.value.len())
        .sum();
    let attributes: usize = request
        .attributes()
        .map(|attribute| match attribute {
            Attribute::Coded { value, .. } => value.unwrap_or_default().len(),
            Attribute::SslKeySize(bits) => bits.into(),
            Attribute::Named { name, value } => name.len() + value.unwrap_or_default().len(),
        })
        .sum();
    line + headers + attributes + usize::from(request.server_port())
}

fn read_response(headers: &SendHeaders) -> usize {
    let all = headers.headers().map(|h| h.name.len() + h.value.len());
    all.sum::<usize>() + usize::from(headers.status()) + headers.reason().len()
}

#[test]
fn decoding_and_reading_a_packet_allocates_nothing() {
    let packets = recorded();
    let (mut requests, mut heads, mut chunks, mut bodies) = (0, 0, 0, 0);
    for (direction, is_body, packet) in &packets {
        // A handle to a buffer, as `split_packet` returns it.
        let payload = packet.slice(4..);
        let mut inside = true;
        let counted = measure(|| match (direction, is_body) {
            (_, true) => {
                if let BodyPacket::Data(data) = BodyPacket::parse(&payload).unwrap() {
                    inside = within(&data, &payload);
                    bodies += 1;
                }
            }
            (Direction::ToContainer, false) => {
                let options = DecodeOptions::default();
                // The strict options refuse a few of the recorded requests.
                if let Ok(ToContainer::ForwardRequest(request)) =
                    ToContainer::parse(payload.clone(), &options)
                {
                    assert!(read_request(&request) > 0);
                    inside = request.headers().all(|h| within(h.value, &payload))
                        && within(&request.slice_ref(request.req_uri()), &payload);
                    requests += 1;
                }
            }
            (Direction::ToWebServer, false) => match ToWebServer::parse(payload.clone()).unwrap() {
                ToWebServer::SendHeaders(headers) => {
                    assert!(read_response(&headers) > 0);
                    inside = headers.headers().all(|h| within(h.value, &payload));
                    heads += 1;
                }
                ToWebServer::SendBodyChunk(data) => {
                    inside = within(&data, &payload);
                    chunks += 1;
                }
                _ => {}
            },
        });
        assert_eq!(counted.count_total, 0, "{packet:?}");
        assert!(inside, "{packet:?}");
    }
    assert_eq!((requests, heads, chunks, bodies), (283, 278, 680, 111));
}

#[test]
fn an_error_allocates_nothing() {
    let packets = recorded();
    let mut errors = 0;
    for (direction, is_body, packet) in &packets {
        for cut in (4..packet.len()).step_by(7).take(40) {
            let payload = packet.slice(4..cut);
            let counted = measure(|| {
                let result = match (direction, is_body) {
                    (_, true) => BodyPacket::parse(&payload).map(drop),
                    (Direction::ToContainer, false) => {
                        ToContainer::parse(payload.clone(), &DecodeOptions::default()).map(drop)
                    }
                    (Direction::ToWebServer, false) => {
                        ToWebServer::parse(payload.clone()).map(drop)
                    }
                };
                errors += usize::from(result.is_err());
            });
            assert_eq!(counted.count_total, 0, "{packet:?} cut at {cut}");
        }
    }
    assert!(errors > 10_000, "{errors}");
}

#[test]
fn a_buffer_full_of_packets_is_shared_by_one_allocation() {
    let mut buffer = BytesMut::with_capacity(65536);
    while buffer.len() < 50_000 {
        buffer.extend_from_slice(&CPING);
        let mut packet = BytesMut::new();
        let (size, framing) = (PacketSize::DEFAULT, BodyFraming::Length(0));
        let facts = RequestFacts::own_request();
        write_forward_request(&mut packet, size, &request(), &facts, framing, None).unwrap();
        buffer.extend_from_slice(&packet);
    }
    let mut packets = 0u64;
    let counted = measure(|| {
        while let Some(payload) =
            split_packet(&mut buffer, Direction::ToContainer, PacketSize::DEFAULT).unwrap()
        {
            ToContainer::parse(payload, &DecodeOptions::default()).unwrap();
            packets += 1;
        }
    });
    assert!(packets > 200, "{packets}");
    assert_eq!(counted.count_total, 1, "one counter for the whole buffer");
}

fn request() -> http::request::Parts {
    let mut request = http::Request::get("/app/echo/page?name=value&q=a%20b");
    for (name, value) in [
        ("host", "www.shop.example:8080"),
        ("connection", "keep-alive"),
        ("user-agent", "Mozilla/5.0"),
        ("accept", "*/*"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cookie", "JSESSIONID=0123.jvm1"),
    ] {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn heads_are_written_without_a_message_in_between() {
    let (parts, facts) = (request(), RequestFacts::own_request());
    let (response, ()) = http::Response::builder()
        .header("content-type", "text/html")
        .header("set-cookie", "JSESSIONID=0123.jvm1; Path=/app; HttpOnly")
        .header("x-frame-options", "DENY")
        .body(())
        .unwrap()
        .into_parts();
    let mut buffer = BytesMut::with_capacity(8192);
    let size = PacketSize::DEFAULT;
    let counted = measure(|| {
        let framing = BodyFraming::Length(5);
        write_forward_request(&mut buffer, size, &parts, &facts, framing, None).unwrap();
        write_send_headers(&mut buffer, size, &response, false, Some(5)).unwrap();
    });
    assert_eq!(counted.count_total, 0);
    let payload = split_packet(&mut buffer, Direction::ToContainer, size).unwrap();
    assert_eq!(
        ForwardRequest::parse(payload.unwrap())
            .unwrap()
            .headers()
            .len(),
        6
    );
    let payload = split_packet(&mut buffer, Direction::ToWebServer, size).unwrap();
    assert_eq!(
        SendHeaders::parse(payload.unwrap())
            .unwrap()
            .headers()
            .len(),
        4
    );
}

/// Bytes of the futures, whatever the compiler makes of them; they were three and seven
/// thousand once, and copying them was a third of a gateway's work.
#[tokio::test]
async fn futures_are_small() {
    use ajp::balancer::{Balancer, BalancerConfig};
    use ajp::client::{Address, Client, Pool, PoolConfig, RequestTimeouts};
    let pool = Pool::new(Address::tcp("127.0.0.1", 1), PoolConfig::default());
    let client = Client::for_own_requests(pool.clone());
    let balancer = Balancer::new(BalancerConfig::new("b").with_own_requests(true));
    let timeouts = RequestTimeouts::new();
    let request = || http::Request::new(http_body_util::Empty::<Bytes>::new());
    for (what, size, most) in [
        ("acquire", size_of_val(&pool.acquire_with(&timeouts)), 512),
        ("send", size_of_val(&client.send(request())), 1536),
        ("try_send", size_of_val(&client.try_send(request())), 1536),
        ("balanced", size_of_val(&balancer.send(request())), 2560),
    ] {
        assert!(size <= most, "{what}: {size} bytes");
    }
}
