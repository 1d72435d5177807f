use super::*;
use crate::wire::{DecodeOptions, ToContainer};

fn exchange(framing: BodyFraming) -> ServerExchange {
    ServerExchange::new(framing, false, PacketSize::DEFAULT)
}

fn body(data: &[u8]) -> Bytes {
    let mut payload = vec![0, u8::try_from(data.len()).unwrap()];
    payload.extend_from_slice(data);
    payload.into()
}

#[test]
fn the_eager_packet_is_owed_only_with_a_length() {
    assert!(exchange(BodyFraming::Length(5)).is_owed());
    assert!(!exchange(BodyFraming::Length(0)).is_owed());
    assert!(!exchange(BodyFraming::Chunked).is_owed());
    assert!(!exchange(BodyFraming::Absent).is_owed());
}

#[test]
fn a_known_length_is_not_asked_for_again_at_its_end() {
    let mut x = exchange(BodyFraming::Length(5));
    assert_eq!(x.request_body(), None, "one packet is owed already");
    assert_eq!(
        x.receive(&body(b"hello")),
        Ok(BodyEvent::Data(Bytes::from_static(b"hello")))
    );
    assert!(x.is_body_complete());
    assert_eq!(x.request_body(), None);
    assert_eq!(x.finish(), Finish::End { reuse: true });
}

#[test]
fn no_more_is_asked_ahead_than_the_rest_fills() {
    let full = |n: usize| Bytes::from([&8186u16.to_be_bytes()[..], &vec![7; n]].concat());
    let mut x = exchange(BodyFraming::Length(8186 * 3 + 1)).with_body_requests(3);
    assert_eq!(x.owed(), 1, "the unasked one");
    assert!(x.request_body().is_some() && x.request_body().is_some());
    assert_eq!((x.request_body(), x.owed()), (None, 3));
    x.receive(&full(8186)).unwrap();
    assert!(x.request_body().is_some());
    x.receive(&full(8186)).unwrap();
    assert_eq!((x.request_body(), x.owed()), (None, 2), "8187 bytes");
    // It need not fill its packets; then there are more of them.
    x.receive(&body(&[7; 100])).unwrap();
    assert_eq!((x.request_body(), x.owed()), (None, 1), "8087 bytes");
    assert_eq!(x.finish(), Finish::ReadOwedBodyFirst);
    x.receive(&body(&[7; 100])).unwrap();
    assert!(x.request_body().is_some());

    for framing in [BodyFraming::Chunked, BodyFraming::Absent] {
        let mut x = exchange(framing).with_body_requests(3);
        assert!(x.request_body().is_some());
        assert_eq!(x.request_body(), None, "nobody knows where it ends");
    }
}

#[test]
fn totals_must_match_content_length() {
    let mut x = exchange(BodyFraming::Length(4));
    assert_eq!(
        x.receive(&body(b"hello")),
        Err(ProtocolError::RequestTooLong { expected: 4 })
    );
    assert_eq!(x.finish(), Finish::End { reuse: false });
    let mut x = exchange(BodyFraming::Length(6));
    x.receive(&body(b"hello")).unwrap();
    assert!(x.request_body().is_some());
    let short = ProtocolError::RequestTooShort {
        expected: 6,
        received: 5,
    };
    assert_eq!(x.receive(&Bytes::new()), Err(short));
}

#[test]
fn both_end_forms_end_an_unknown_length() {
    for end in [&[][..], &[0, 0]] {
        let mut x = exchange(BodyFraming::Chunked);
        assert!(x.request_body().is_some());
        assert_eq!(x.request_body(), None);
        assert_eq!(x.receive(&Bytes::copy_from_slice(end)), Ok(BodyEvent::End));
        assert_eq!(x.request_body(), None);
        assert_eq!(x.finish(), Finish::End { reuse: true });
    }
}

#[test]
fn an_unread_owed_packet_is_swallowed() {
    let mut x = exchange(BodyFraming::Length(5));
    assert_eq!(x.finish(), Finish::ReadOwedBodyFirst);
    x.receive(&body(b"he")).unwrap();
    assert_eq!(x.finish(), Finish::End { reuse: true });
}

#[test]
fn a_packet_nobody_asked_for_spoils_the_connection() {
    let mut x = exchange(BodyFraming::Chunked);
    assert!(x.receive(&body(b"hello")).is_err());
    assert_eq!(x.finish(), Finish::End { reuse: false });
    let mut x = exchange(BodyFraming::Length(0));
    assert_eq!(x.receive(&Bytes::new()), Ok(BodyEvent::StrayEmpty));
    assert_eq!(x.finish(), Finish::End { reuse: false });
    assert!(x.receive(&Bytes::new()).is_err());
}

#[test]
fn the_response_may_not_exceed_its_length() {
    let mut x = exchange(BodyFraming::Length(0));
    x.headers_sent(200, Some(3));
    assert!(x.send_chunk(2).is_ok());
    assert_eq!(x.response_left(), Some(1));
    assert!(x.send_chunk(2).is_err());
    x.headers_sent(204, None);
    assert!(!x.response_has_body());
}

#[test]
fn idle_accepts_requests_and_probes_only() {
    let options = DecodeOptions::default();
    let mut idle = Idle::new();
    assert_eq!(
        idle.receive(Bytes::from_static(&[10]), &options),
        IdleEvent::CPing
    );
    for refused in [&[7][..], &[8], &[0x10], &[11], &[], &[0, 0], &[3, 0]] {
        let event = idle.receive(Bytes::copy_from_slice(refused), &options);
        assert!(
            matches!(event, IdleEvent::Close(_)),
            "{refused:?} gave {event:?}"
        );
    }
    assert!(matches!(
        idle.receive(Bytes::from_static(&[2, 2]), &options),
        IdleEvent::BadRequest(_)
    ));
}

/// lighttpd sends one after a request without a body, nginx's AJP module after a chunked upload.
#[test]
fn one_empty_packet_may_follow_any_exchange() {
    let options = DecodeOptions::default();
    let uploaded = |framing| {
        let mut exchange = exchange(framing);
        exchange.request_body();
        exchange.receive(&body(b"hello")).unwrap();
        if framing == BodyFraming::Chunked {
            exchange.request_body().unwrap();
            exchange.receive(&Bytes::new()).unwrap();
        }
        exchange
    };
    for ended in [
        exchange(BodyFraming::Absent),
        uploaded(BodyFraming::Length(5)),
        uploaded(BodyFraming::Chunked),
    ] {
        for stray in [&[][..], &[0, 0]] {
            let mut idle = Idle::new();
            idle.exchange_ended(&ended);
            let stray = Bytes::copy_from_slice(stray);
            let event = idle.receive(stray.clone(), &options);
            assert_eq!(event, IdleEvent::StrayEmpty);
            let event = idle.receive(stray.clone(), &options);
            assert!(matches!(event, IdleEvent::Close(_)), "not a second one");

            idle.exchange_ended(&ended);
            let cping = Bytes::from_static(&[10]);
            assert_eq!(idle.receive(cping, &options), IdleEvent::CPing);
            let event = idle.receive(stray, &options);
            assert!(matches!(event, IdleEvent::Close(_)), "not any later");
        }
    }
    let event = Idle::new().receive(Bytes::new(), &options);
    assert!(matches!(event, IdleEvent::Close(_)), "nor at the beginning");
}

#[test]
fn one_empty_packet_may_come_once_the_body_is_complete() {
    let mut x = exchange(BodyFraming::Chunked);
    x.request_body().unwrap();
    x.receive(&body(b"hello")).unwrap();
    let mut early = exchange(BodyFraming::Chunked);
    assert!(
        early.receive(&Bytes::new()).is_err(),
        "before it is asked for it is no end"
    );
    x.request_body().unwrap();
    x.receive(&Bytes::new()).unwrap();
    assert_eq!(x.receive(&Bytes::new()), Ok(BodyEvent::StrayEmpty));
    assert_eq!(x.finish(), Finish::End { reuse: false });
    let mut idle = Idle::new();
    idle.exchange_ended(&x);
    let event = idle.receive(Bytes::new(), &DecodeOptions::default());
    assert!(matches!(event, IdleEvent::Close(_)), "one in all");
    assert!(x.receive(&Bytes::new()).is_err());
}

#[test]
fn packets_of_a_codec_mean_the_same_as_payloads() {
    let data = Bytes::from_static(b"hello");
    let packet = FromWebServer::Body(BodyPacket::Data(data.clone()));
    let end = FromWebServer::Body(BodyPacket::End);
    let mut x = exchange(BodyFraming::Chunked);
    assert!(
        exchange(BodyFraming::Chunked)
            .receive_packet(packet.clone())
            .is_err()
    );
    assert_eq!(
        x.request_body_packet(),
        Some(ToWebServer::GetBodyChunk { requested: 8186 })
    );
    assert_eq!(x.request_body_packet(), None, "one is owed");
    assert_eq!(x.receive_packet(packet), Ok(BodyEvent::Data(data)));
    x.request_body_packet().unwrap();
    assert_eq!(x.end_packet(true), None, "it is to be received first");
    let close = ToWebServer::EndResponse { reuse: false };
    assert_eq!(x.end_packet(false), Some(close));
    assert_eq!(x.receive_packet(end.clone()), Ok(BodyEvent::End));
    let reuse = ToWebServer::EndResponse { reuse: true };
    assert_eq!(x.end_packet(true), Some(reuse));

    let mut idle = Idle::new();
    idle.exchange_ended(&x);
    assert_eq!(idle.receive_packet(end.clone()), IdleEvent::StrayEmpty);
    assert!(matches!(idle.receive_packet(end), IdleEvent::Close(_)));
    let cping = FromWebServer::Message(ToContainer::CPing);
    assert_eq!(idle.receive_packet(cping.clone()), IdleEvent::CPing);
    assert!(x.receive_packet(cping).is_err());
}
