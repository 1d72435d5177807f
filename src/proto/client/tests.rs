use super::*;
use crate::wire::{Direction, SendHeadersWriter, split_packet};
use bytes::BytesMut;

fn head(status: u16, headers: &[(&str, &str)]) -> ToWebServer {
    let mut buffer = BytesMut::new();
    let mut writer = SendHeadersWriter::new(&mut buffer, PacketSize::DEFAULT, status).unwrap();
    for (name, value) in headers {
        writer.header(name.as_bytes(), value.as_bytes()).unwrap();
    }
    writer.finish();
    let payload = split_packet(&mut buffer, Direction::ToWebServer, PacketSize::DEFAULT)
        .unwrap()
        .unwrap();
    ToWebServer::parse(payload).unwrap()
}

fn exchange(framing: BodyFraming) -> ClientExchange {
    let mut exchange = ClientExchange::new(framing, false, PacketSize::DEFAULT);
    exchange.request_written();
    exchange
}

const END: ToWebServer = ToWebServer::EndResponse { reuse: true };
const ASK: ToWebServer = ToWebServer::GetBodyChunk { requested: 8186 };

fn chunk(data: &'static [u8]) -> ToWebServer {
    ToWebServer::SendBodyChunk(Bytes::from_static(data))
}

#[test]
fn bodyless_request_is_reusable_after_end() {
    let mut x = exchange(BodyFraming::Length(0));
    assert_eq!(x.credit(), None);
    assert!(matches!(
        x.receive(head(200, &[("content-length", "2")])),
        Ok(ClientEvent::Head(_))
    ));
    assert_eq!(
        x.receive(chunk(b"ok")),
        Ok(ClientEvent::Data(Bytes::from_static(b"ok")))
    );
    assert!(!x.is_reusable());
    assert_eq!(x.receive(END), Ok(ClientEvent::End));
    assert!(x.is_reusable());
    assert!(x.receive(chunk(b"")).is_err());
    assert!(
        !x.is_reusable(),
        "a packet after the end spoils the connection"
    );
}

#[test]
fn a_bodyless_request_answers_every_ask_with_end_of_body() {
    let mut x = exchange(BodyFraming::Absent);
    for _ in 0..3 {
        assert_eq!(x.receive(ASK), Ok(ClientEvent::BodyRequested));
        assert_eq!(x.credit(), Some(0));
        assert_eq!(x.send_end(), Ok(END_OF_BODY));
    }
}

#[test]
fn credit_is_bounded_by_request_packet_and_length() {
    let mut x = exchange(BodyFraming::Length(8190));
    assert_eq!(x.credit(), Some(8186));
    assert!(x.send_data(8187).is_err());
    assert!(x.send_end().is_err(), "8190 bytes are still promised");
    x.send_data(8186).unwrap();
    assert_eq!(x.credit(), None);
    x.receive(ToWebServer::GetBodyChunk { requested: 3 })
        .unwrap();
    assert_eq!(x.credit(), Some(3));
    x.send_data(3).unwrap();
    x.receive(ToWebServer::GetBodyChunk { requested: 65535 })
        .unwrap();
    assert_eq!(x.credit(), Some(1));
    x.send_data(1).unwrap();
    x.receive(ASK).unwrap();
    assert_eq!(x.send_end(), Ok(END_OF_BODY));
    assert_eq!(x.progress(), Progress::BodySent);
}

#[test]
fn a_container_shows_its_packet_size_by_what_it_asks_for() {
    let ask = |requested| ToWebServer::GetBodyChunk { requested };
    let size = |bytes| PacketSize::new(bytes).unwrap();
    let begin = |most| exchange(BodyFraming::Chunked).with_packet_size_up_to(most);

    // Tomcat with packetSize="65536".
    let mut x = begin(PacketSize::MAX);
    assert_eq!(x.packet_size(), PacketSize::DEFAULT);
    x.receive(ask(65530)).unwrap();
    assert_eq!(
        (x.packet_size(), x.credit()),
        (PacketSize::MAX, Some(65530))
    );
    x.send_data(65530).unwrap();
    // What it asks for later may be less, and its packets are as long as before.
    x.receive(ask(10)).unwrap();
    assert_eq!((x.packet_size(), x.credit()), (PacketSize::MAX, Some(10)));

    for (asked, most, shown, credit) in [
        (8186, PacketSize::MAX, PacketSize::DEFAULT, 8186),
        // Two bytes more than its packets hold.
        (8188, PacketSize::MAX, PacketSize::DEFAULT, 8186),
        // The same number whatever the size is.
        (65535, PacketSize::MAX, PacketSize::DEFAULT, 8186),
        (65530, size(16384), size(16384), 16378),
        (9994, PacketSize::MAX, size(9216), 9210),
    ] {
        let mut x = begin(most);
        x.receive(ask(asked)).unwrap();
        assert_eq!(
            (x.packet_size(), x.credit()),
            (shown, Some(credit)),
            "{asked}"
        );
    }

    // Without leave nothing is learned.
    let mut x = exchange(BodyFraming::Chunked);
    x.receive(ask(65530)).unwrap();
    assert_eq!(x.credit(), Some(8186));
}

#[test]
fn a_second_ask_before_the_answer_is_an_error() {
    let mut x = exchange(BodyFraming::Length(5));
    assert_eq!(x.receive(ASK), Err(ProtocolError::BodyRequestedTwice));
    let mut x = exchange(BodyFraming::Chunked);
    x.receive(ASK).unwrap();
    assert_eq!(x.receive(ASK), Err(ProtocolError::BodyRequestedTwice));
}

#[test]
fn as_many_are_due_as_are_allowed_and_the_smallest_number_holds() {
    let mut x = exchange(BodyFraming::Length(20_000)).with_body_requests(3);
    x.receive(ASK).unwrap();
    let few = ToWebServer::GetBodyChunk { requested: 5000 };
    x.receive(few).unwrap();
    assert_eq!(x.receive(ASK), Err(ProtocolError::BodyRequestedTwice));

    let mut x = exchange(BodyFraming::Length(20_000)).with_body_requests(3);
    x.receive(ASK).unwrap();
    x.receive(ToWebServer::GetBodyChunk { requested: 5000 })
        .unwrap();
    for left in [15_000, 10_000, 5000] {
        assert_eq!(x.credit(), Some(5000));
        x.send_data(5000).unwrap();
        assert_eq!(x.body_left(), Some(left));
    }
    assert_eq!(x.credit(), None);
    x.receive(ASK).unwrap();
    assert_eq!(x.credit(), Some(5000), "all that is left");
    x.send_data(4999).unwrap();
    for _ in 0..3 {
        x.receive(ASK).unwrap();
    }
    assert_eq!(x.credit(), Some(1));
    x.send_data(1).unwrap();
    x.receive(head(200, &[])).unwrap();
    x.receive(END).unwrap();
    assert!(!x.is_reusable(), "two were not answered");
}

#[test]
fn an_early_end_with_the_eager_packet_unsent_is_not_reusable() {
    let mut x = exchange(BodyFraming::Length(5));
    x.receive(head(413, &[])).unwrap();
    x.receive(END).unwrap();
    assert!(!x.is_reusable());
    let mut x = exchange(BodyFraming::Length(100_000));
    x.send_data(8186).unwrap();
    x.receive(head(413, &[])).unwrap();
    x.receive(END).unwrap();
    assert!(
        x.is_reusable(),
        "the owed packet was sent, the rest was never asked for"
    );
}

#[test]
fn lengths_are_enforced_both_ways() {
    let mut x = exchange(BodyFraming::Length(0));
    x.receive(head(200, &[("content-length", "3")])).unwrap();
    x.receive(chunk(b"ok")).unwrap();
    assert_eq!(
        x.receive(END),
        Err(ProtocolError::ResponseTooShort {
            expected: 3,
            received: 2
        })
    );
    let mut x = exchange(BodyFraming::Length(0));
    x.receive(head(200, &[("content-length", "1")])).unwrap();
    assert_eq!(
        x.receive(chunk(b"ok")),
        Err(ProtocolError::ResponseTooLong { expected: 1 })
    );
}

#[test]
fn bodies_of_head_and_no_content_are_dropped() {
    let mut x = ClientExchange::new(BodyFraming::Length(0), true, PacketSize::DEFAULT);
    x.request_written();
    x.receive(head(200, &[("content-length", "1234")])).unwrap();
    assert_eq!(x.receive(chunk(b"ok")), Ok(ClientEvent::Ignored));
    assert_eq!(x.receive(END), Ok(ClientEvent::End));
    for status in [204, 205, 304] {
        let mut x = exchange(BodyFraming::Length(0));
        x.receive(head(status, &[])).unwrap();
        assert_eq!(x.receive(chunk(b"ok")), Ok(ClientEvent::Ignored));
        assert_eq!(x.receive(END), Ok(ClientEvent::End));
    }
}

#[test]
fn a_403_that_closes_is_a_refusal() {
    for (status, reuse, refusal) in [(403, false, true), (403, true, false), (200, false, false)] {
        let mut x = exchange(BodyFraming::Length(0));
        x.receive(head(status, &[])).unwrap();
        assert!(!x.is_refusal());
        x.receive(ToWebServer::EndResponse { reuse }).unwrap();
        assert_eq!(x.is_refusal(), refusal);
    }
}

#[test]
fn order_is_enforced() {
    let mut x = exchange(BodyFraming::Length(0));
    assert!(x.receive(chunk(b"ok")).is_err());
    let mut x = exchange(BodyFraming::Length(0));
    assert!(x.receive(END).is_err());
    let mut x = exchange(BodyFraming::Length(0));
    assert_eq!(x.receive(chunk(b"")), Ok(ClientEvent::Ignored));
    x.receive(head(200, &[])).unwrap();
    assert_eq!(x.receive(chunk(b"")), Ok(ClientEvent::Flush));
    assert!(x.receive(head(200, &[])).is_err());
    let mut x = exchange(BodyFraming::Length(0));
    assert!(x.receive(ToWebServer::CPong).is_err());
}

#[test]
fn interim_statuses_are_skipped_and_101_is_an_error() {
    let mut x = exchange(BodyFraming::Length(0));
    assert_eq!(x.receive(head(103, &[])), Ok(ClientEvent::Ignored));
    assert!(matches!(
        x.receive(head(200, &[])),
        Ok(ClientEvent::Head(_))
    ));
    let mut x = exchange(BodyFraming::Length(0));
    assert_eq!(
        x.receive(head(101, &[])),
        Err(ProtocolError::InformationalStatus(101))
    );
}
