//! The web server's side of an exchange against any container: a model written from section
//! 4.15 of the document predicts every answer, and reuse is never claimed for a connection
//! that a packet may still be on its way on. A second machine gives packets for a codec where the
//! first gives bytes: they mean the same.

use crate::decoded::check_encode_error;
use crate::input::Input;
use crate::packets::{framed, packet_size, split};
use crate::printed::printed;
use crate::shadow;
use ajp::proto::{ClientEvent, ClientExchange, Progress, ProtocolError};
use ajp::wire::{
    BodyFraming, BodyPacket, Direction, EncodeRule, FLUSH, FromWebServer, PacketSize,
    SendHeadersWriter, ToWebServer, get_body_chunk,
};
use bytes::{Bytes, BytesMut};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitHead,
    Streaming,
    Ended { reuse: bool },
    Failed,
}

/// Protocol chapter "exchange", with plain counters.
#[derive(Debug, Clone)]
struct Model {
    size: PacketSize,
    /// Up to which size the container may show that it takes longer packets.
    learns_up_to: Option<PacketSize>,
    phase: Phase,
    /// Body bytes in all, if they are known.
    length: Option<u64>,
    /// The largest answer to any of the questions that are open.
    asked_for: usize,
    /// Body packets that the container waits for or waited for: the eager one and the asked.
    owed: u64,
    answered: u64,
    /// Most questions that may be open at a time.
    most: u16,
    sent: u64,
    end_sent: bool,
    no_body: bool,
    status: u16,
    expected: Option<u64>,
    received: u64,
    progress: Progress,
}

impl Model {
    fn new(framing: BodyFraming, head_request: bool, size: PacketSize, most: u16) -> Self {
        let length = match framing {
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Absent => Some(0),
            BodyFraming::Chunked => None,
        };
        Self {
            size,
            learns_up_to: None,
            phase: Phase::AwaitHead,
            length,
            asked_for: size.bytes() - 6,
            owed: u64::from(matches!(framing, BodyFraming::Length(1..))),
            answered: 0,
            most,
            sent: 0,
            end_sent: false,
            no_body: head_request,
            status: 0,
            expected: None,
            received: 0,
            progress: Progress::NotSent,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::AwaitHead | Phase::Streaming)
    }

    fn left(&self) -> Option<u64> {
        self.length.map(|length| length - self.sent)
    }

    /// The rule of protocol chapter "exchange": min(k, P-6, left), and nothing after the end of the
    /// exchange.
    fn credit(&self) -> Option<usize> {
        if !self.is_open() || self.owed == self.answered {
            return None;
        }
        if self.end_sent {
            return Some(0);
        }
        let most = self.asked_for.min(self.size.bytes() - 6);
        let left = self.left().unwrap_or(u64::MAX);
        Some(usize::try_from(left).unwrap_or(usize::MAX).min(most))
    }

    /// What becomes of a packet, by name; `None` is a protocol error.
    fn receive(&mut self, packet: &shadow::ToWebServer<'_>) -> Option<&'static str> {
        let event = self.step(packet);
        if event.is_none() {
            self.phase = Phase::Failed;
        }
        event
    }

    fn step(&mut self, packet: &shadow::ToWebServer<'_>) -> Option<&'static str> {
        use shadow::ToWebServer::{Ask, CPong, Chunk, End, Head};
        match (self.phase, packet) {
            (Phase::Ended { .. } | Phase::Failed, _) | (_, CPong) => None,
            (_, Ask(number)) => {
                let open = self.owed - self.answered;
                if open >= u64::from(self.most) {
                    return None;
                }
                self.owed += 1;
                let number = usize::from(*number);
                // Whole KiB, with the six bytes before the data; no packet is longer than 64 KiB.
                let shown = if number <= 65_530 {
                    (number + 6) / 1024 * 1024
                } else {
                    0
                };
                if let Some(most) = self.learns_up_to {
                    let shown = shown.min(most.bytes()).max(self.size.bytes());
                    let shown = u32::try_from(shown).expect("at most 65536");
                    self.size = PacketSize::new(shown).expect("in range");
                }
                self.asked_for = if open == 0 {
                    number
                } else {
                    self.asked_for.min(number)
                };
                Some("asked")
            }
            (Phase::AwaitHead, Head(head)) => {
                self.progress = Progress::Responding;
                match head.status {
                    100 | 102 | 103 => return Some("ignored"),
                    101..=199 => return None,
                    _ => {}
                }
                self.no_body |= matches!(head.status, 204 | 205 | 304);
                self.status = head.status;
                self.expected = head.content_length;
                self.phase = Phase::Streaming;
                Some("head")
            }
            (Phase::AwaitHead, Chunk(data)) => data.is_empty().then_some("ignored"),
            (Phase::AwaitHead, End { .. }) | (Phase::Streaming, Head(_)) => None,
            (Phase::Streaming, Chunk([])) => Some("flush"),
            (Phase::Streaming, Chunk(_)) if self.no_body => Some("ignored"),
            (Phase::Streaming, Chunk(data)) => {
                self.received += data.len() as u64;
                let fits = self
                    .expected
                    .is_none_or(|expected| self.received <= expected);
                fits.then_some("data")
            }
            (Phase::Streaming, End { reuse }) => {
                let short = self
                    .expected
                    .is_some_and(|expected| self.received < expected);
                if short && !self.no_body {
                    return None;
                }
                self.phase = Phase::Ended { reuse: *reuse };
                Some("end")
            }
        }
    }

    /// Protocol chapter "reuse".
    fn is_reusable(&self) -> bool {
        self.phase == (Phase::Ended { reuse: true })
            && self.owed == self.answered
            && self.progress >= Progress::RequestSent
    }

    fn check(&self, exchange: &ClientExchange) {
        assert_eq!(exchange.credit(), self.credit(), "credit: {self:?}");
        assert_eq!(exchange.body_left(), self.left(), "body_left");
        assert_eq!(exchange.progress(), self.progress);
        assert_eq!(exchange.packet_size(), self.size);
        assert_eq!(
            exchange.is_ended(),
            matches!(self.phase, Phase::Ended { .. })
        );
        assert_eq!(exchange.is_reusable(), self.is_reusable(), "{self:?}");
        assert_eq!(exchange.response_has_body(), !self.no_body);
        let left = if self.no_body {
            Some(0)
        } else {
            self.expected
                .map(|expected| expected.saturating_sub(self.received))
        };
        assert_eq!(exchange.response_left(), left);
        let refused = self.status == 403 && self.phase == (Phase::Ended { reuse: false });
        assert_eq!(exchange.is_refusal(), refused);
        assert!(self.answered <= self.owed && self.owed <= self.answered + u64::from(self.most));
        assert!(self.length.is_none_or(|length| self.sent <= length));
    }

    fn send_data(&mut self, exchange: &mut ClientExchange, twin: &mut ClientExchange, len: usize) {
        let allowed = self.credit().unwrap_or(0);
        let data = Bytes::from_static(&ZEROS[..len]);
        let expected = FromWebServer::Body(BodyPacket::Data(data.clone()));
        let packet = twin.data_packet(data);
        assert_eq!(packet.ok(), (len > 0 && len <= allowed).then_some(expected));
        match exchange.send_data(len) {
            Ok(header) => {
                assert!(len > 0 && len <= allowed, "{len} of {allowed}");
                assert!(len + 6 <= self.size.bytes());
                assert_eq!(header[..2], [0x12, 0x34]);
                assert_eq!(
                    usize::from(u16::from_be_bytes([header[2], header[3]])),
                    len + 2
                );
                assert_eq!(usize::from(u16::from_be_bytes([header[4], header[5]])), len);
                self.sent += len as u64;
                self.answered += 1;
                self.progress = self.progress.max(Progress::BodySent);
            }
            Err(error) => {
                assert!(len == 0 || len > allowed, "{error}: {len} of {allowed}");
                let over = matches!(error.rule(), EncodeRule::OverLimit { .. });
                assert_eq!(over, len > allowed, "{error}");
                check_encode_error(&error, self.size);
            }
        }
    }

    fn send_end(&mut self, exchange: &mut ClientExchange, twin: &mut ClientExchange) {
        let due = self.credit().is_some();
        let complete = self.left().is_none_or(|left| left == 0);
        let end = FromWebServer::Body(BodyPacket::End);
        assert_eq!(twin.end_packet().ok(), (due && complete).then_some(end));
        match exchange.send_end() {
            Ok(packet) => {
                assert!(due && complete, "end of body: {self:?}");
                assert_eq!(packet, [0x12, 0x34, 0, 2, 0, 0]);
                self.answered += 1;
                self.end_sent = true;
            }
            Err(ProtocolError::RequestTooShort { expected, received }) => {
                assert!(due && !complete);
                assert_eq!((Some(expected), received), (self.length, self.sent));
            }
            Err(error) => assert!(!due, "{error}"),
        }
    }
}

static ZEROS: [u8; 65_536] = [0; 65_536];

/// The packet of a container that an operation stands for.
fn packet(operation: u8, input: &mut Input<'_>, size: PacketSize) -> Vec<u8> {
    let mut packet = BytesMut::new();
    match operation {
        0 => {
            let len = usize::from(input.number());
            packet.extend_from_slice(&framed(input.take(len), Direction::ToWebServer, size));
        }
        1 => packet.extend_from_slice(&get_body_chunk(input.number())),
        2 => {
            let status = match input.byte() {
                picked @ 0..=9 => {
                    [200, 204, 205, 304, 100, 101, 102, 103, 403, 500][usize::from(picked)]
                }
                _ => 100 + input.number() % 900,
            };
            let mut writer = SendHeadersWriter::new(&mut packet, size, status).expect("in range");
            if input.flag() {
                let length = input.number().to_string();
                writer
                    .header(b"Content-Length", length.as_bytes())
                    .expect("short");
            }
            writer.finish();
        }
        3 => {
            let len = input.length(size.max_body_chunk());
            let mut payload = vec![3];
            payload.extend(u16::try_from(len).expect("below P").to_be_bytes());
            payload.extend(vec![7; len + 1]);
            packet.extend_from_slice(&framed(&payload, Direction::ToWebServer, size));
        }
        4 => packet.extend_from_slice(&[0x41, 0x42, 0, 2, 5, input.byte()]),
        _ => packet.extend_from_slice(&FLUSH),
    }
    packet.to_vec()
}

fn event_name(event: &ClientEvent) -> &'static str {
    match event {
        ClientEvent::Head(_) => "head",
        ClientEvent::Data(_) => "data",
        ClientEvent::Flush => "flush",
        ClientEvent::BodyRequested => "asked",
        ClientEvent::Ignored => "ignored",
        ClientEvent::End => "end",
    }
}

fn receive(
    payload: &Bytes,
    model: &mut Model,
    exchange: &mut ClientExchange,
    twin: &mut ClientExchange,
) {
    let expected = shadow::to_web_server(payload);
    let Ok(message) = ToWebServer::parse(payload.clone()) else {
        assert_eq!(expected, None);
        return;
    };
    let expected = expected.expect("accepted by both");
    let predicted = model.receive(&expected);
    let same = twin.receive(message.clone());
    let result = exchange.receive(message);
    assert_eq!(result, same);
    match result {
        Ok(event) => {
            assert!(printed(format_args!("{event:?}")));
            assert_eq!(Some(event_name(&event)), predicted, "{expected:?}");
            match (&event, &expected) {
                (ClientEvent::Data(data), shadow::ToWebServer::Chunk(expected)) => {
                    assert!(!data.is_empty() && data == expected);
                }
                (ClientEvent::Head(head), shadow::ToWebServer::Head(expected)) => {
                    assert_eq!(head.status(), expected.status);
                }
                (ClientEvent::Data(_) | ClientEvent::Head(_), _) => panic!("{event:?}"),
                _ => {}
            }
        }
        Err(error) => {
            assert_eq!(predicted, None, "{error}: {expected:?}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let framing = match input.byte() {
        0 => BodyFraming::Absent,
        1 => BodyFraming::Chunked,
        2 => BodyFraming::Length(i64::MAX as u64 - u64::from(input.number())),
        _ => BodyFraming::Length(input.number().into()),
    };
    let switches = input.byte();
    let size = packet_size(switches >> 4);
    let cuts = input.byte();
    let most = 1 + u16::from(switches >> 1 & 3);
    let mut model = Model::new(framing, switches & 1 != 0, size, most);
    model.learns_up_to = (switches & 8 != 0).then(|| packet_size(cuts));
    let exchange = || {
        let exchange = ClientExchange::new(framing, switches & 1 != 0, size);
        let exchange = exchange.with_body_requests(most);
        match model.learns_up_to {
            Some(most) => exchange.with_packet_size_up_to(most),
            None => exchange,
        }
    };
    let (mut exchange, mut twin) = (exchange(), exchange());
    assert_eq!(exchange.is_head_request(), switches & 1 != 0);
    model.check(&exchange);
    while !input.is_empty() {
        match input.byte() % 9 {
            6 => {
                let len = match input.byte() % 4 {
                    0 => exchange.credit().unwrap_or(1),
                    1 => exchange.credit().unwrap_or(0) + 1,
                    2 => 0,
                    _ => input.number().into(),
                };
                model.send_data(&mut exchange, &mut twin, len);
            }
            7 => model.send_end(&mut exchange, &mut twin),
            8 => {
                exchange.request_written();
                twin.request_written();
                model.progress = model.progress.max(Progress::RequestSent);
            }
            operation => {
                let bytes = packet(operation, &mut input, size);
                for payload in split(&bytes, cuts, Direction::ToWebServer, size) {
                    receive(&payload, &mut model, &mut exchange, &mut twin);
                }
            }
        }
        model.check(&exchange);
        model.check(&twin);
    }
}
