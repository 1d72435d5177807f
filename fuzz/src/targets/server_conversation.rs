//! The container's side of a connection. Against any web server, with a model written from
//! protocol chapter "exchange", and with a second machine that is given the packets of a codec
//! where the first is given bytes; and both sides' machines back to back over one connection that
//! is reused, where nothing may hang, get lost or be left over.

use crate::input::{Cuts, Input};
use crate::packets::{framed, packet_size, split};
use crate::printed::printed;
use crate::shadow;
use ajp::proto::{
    BodyEvent, ClientEvent, ClientExchange, Finish, Idle, IdleEvent, ProtocolError, ServerExchange,
};
use ajp::wire::{
    BodyFraming, CHUNK_TERMINATOR, ContainerCodec, DecodeOptions, Direction, END_RESPONSE_CLOSE,
    END_RESPONSE_REUSE, FLUSH, ForwardRequestWriter, PacketSize, RequestLine, SendHeaders,
    SendHeadersWriter, ToWebServer, split_packet,
};
use bytes::{Bytes, BytesMut};

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.flag() {
        Pair::new(&mut input).run(&mut input);
    } else {
        Alone::new(&mut input).run(&mut input);
    }
}

/// An exchange by protocol chapter "exchange", with plain counters.
#[derive(Debug, Clone)]
struct Model {
    framing: BodyFraming,
    size: PacketSize,
    owed: u64,
    /// Most of them at a time.
    most: u16,
    complete: bool,
    stray: bool,
    failed: bool,
    received: u64,
    no_body: bool,
    /// What the response still promises, once it has begun.
    response: Option<Option<u64>>,
}

impl Model {
    fn new(framing: BodyFraming, head_request: bool, size: PacketSize, most: u16) -> Self {
        Self {
            framing,
            size,
            owed: u64::from(matches!(framing, BodyFraming::Length(1..))),
            most,
            complete: framing == BodyFraming::Length(0),
            stray: false,
            failed: false,
            received: 0,
            no_body: head_request,
            response: None,
        }
    }

    fn check(&self, exchange: &ServerExchange) {
        assert_eq!(u64::from(exchange.owed()), self.owed, "{self:?}");
        assert_eq!(exchange.is_owed(), self.owed > 0);
        assert_eq!(exchange.is_body_complete(), self.complete, "{self:?}");
        assert_eq!(exchange.body_received(), self.received);
        assert_eq!(exchange.is_responding(), self.response.is_some());
        assert_eq!(exchange.response_has_body(), !self.no_body);
        let left = if self.no_body {
            Some(0)
        } else {
            self.response.flatten()
        };
        assert_eq!(exchange.response_left(), left, "{self:?}");
        let finish = match (self.failed, self.owed > 0) {
            (true, _) => Finish::End { reuse: false },
            (false, true) => Finish::ReadOwedBodyFirst,
            (false, false) => Finish::End { reuse: !self.stray },
        };
        assert_eq!(exchange.finish(), finish, "{self:?}");
    }

    fn ask(&mut self, exchange: &mut ServerExchange) -> Option<[u8; 7]> {
        // What is owed can all have data, however full the packets are.
        let ahead = match self.framing {
            BodyFraming::Length(length) => {
                let fits = self.owed * (self.size.bytes() as u64 - 6);
                self.owed < u64::from(self.most) && fits < length.saturating_sub(self.received)
            }
            _ => false,
        };
        let may = (self.owed == 0 || ahead) && !self.complete && !self.failed;
        let most = u16::try_from(self.size.bytes() - 6).expect("at most 65530");
        let [high, low] = most.to_be_bytes();
        let expected = may.then_some([0x41, 0x42, 0, 3, 6, high, low]);
        assert_eq!(exchange.request_body(), expected);
        self.owed += u64::from(may);
        expected
    }

    fn receive(&mut self, payload: &Bytes, exchange: &mut ServerExchange) -> Option<BodyEvent> {
        let length = match self.framing {
            BodyFraming::Length(length) => Some(length),
            _ => None,
        };
        let parsed = shadow::body(payload);
        let no_more = self.complete || self.framing == BodyFraming::Absent && self.received == 0;
        let expected = if self.owed > 0 {
            // A malformed packet is still owed; nothing can come of it any more.
            self.owed -= u64::from(parsed.is_some());
            match parsed {
                Some(shadow::Body::Data(data)) => {
                    self.received += data.len() as u64;
                    if length.is_some_and(|length| self.received > length) {
                        Err(())
                    } else {
                        self.complete |= length == Some(self.received);
                        Ok(BodyEvent::Data(payload.slice_ref(data)))
                    }
                }
                Some(shadow::Body::End) if length.is_some_and(|length| self.received < length) => {
                    Err(())
                }
                Some(shadow::Body::End) => {
                    self.complete = true;
                    Ok(BodyEvent::End)
                }
                None => Err(()),
            }
        } else if parsed == Some(shadow::Body::End) && no_more && !self.stray {
            self.stray = true;
            Ok(BodyEvent::StrayEmpty)
        } else {
            Err(())
        };
        self.failed |= expected.is_err();
        let result = exchange.receive(payload);
        match &result {
            Err(ProtocolError::RequestTooLong { expected }) => {
                assert_eq!(Some(*expected), length);
            }
            Err(ProtocolError::RequestTooShort { expected, received }) => {
                assert_eq!((Some(*expected), *received), (length, self.received));
            }
            _ => {}
        }
        assert_eq!(result.map_err(|_| ()), expected, "{self:?}");
        expected.ok()
    }

    /// Whether so much may be sent.
    fn send_chunk(&mut self, exchange: &mut ServerExchange, len: usize) -> bool {
        let left = self.response.flatten();
        let fits =
            len > 0 && len <= self.size.bytes() - 8 && left.is_none_or(|left| len as u64 <= left);
        match exchange.send_chunk(len) {
            Ok(header) => {
                assert!(fits, "{len} of {left:?}");
                assert_eq!(header[..2], [0x41, 0x42]);
                let number = |at: usize| usize::from(header[at]) << 8 | usize::from(header[at + 1]);
                assert_eq!((number(2), header[4], number(5)), (len + 4, 3, len));
                self.response = self.response.map(|left| left.map(|left| left - len as u64));
            }
            // A refused chunk takes nothing from what was promised: see `check`.
            Err(error) => assert!(!fits, "{error}"),
        }
        fits
    }
}

/// A container that takes packets of a codec instead of bytes. It must say the same, as long as
/// the connection is not to be closed.
struct Twin {
    codec: ContainerCodec,
    size: PacketSize,
    most: u16,
    idle: Idle,
    exchange: Option<ServerExchange>,
}

/// What either of the machines says.
#[derive(Debug, PartialEq)]
enum Event {
    Idle(IdleEvent),
    Body(BodyEvent),
}

impl Twin {
    fn new(size: PacketSize, most: u16) -> Self {
        Self {
            codec: ContainerCodec::new(size),
            size,
            most,
            idle: Idle::new(),
            exchange: None,
        }
    }

    /// What it says of a packet; `None` when the connection is to be closed.
    fn receive(&mut self, payload: &Bytes) -> Option<Event> {
        let mut packet = BytesMut::from(&framed(payload, Direction::ToContainer, self.size)[..]);
        let packet = self.codec.decode_packet(&mut packet).ok()?;
        let packet = packet.expect("a whole one");
        if let Some(exchange) = &mut self.exchange {
            let event = exchange.receive_packet(packet).ok()?;
            assert_eq!(exchange.owed(), self.codec.owed());
            return Some(Event::Body(event));
        }
        match self.idle.receive_packet(packet) {
            IdleEvent::BadRequest(error) => panic!("{error}, which the codec has not found"),
            IdleEvent::Close(_) => None,
            IdleEvent::Request(request) => {
                let exchange = ServerExchange::for_request(&request, self.size);
                assert_eq!(exchange.owed(), self.codec.owed());
                self.exchange = Some(exchange.with_body_requests(self.most));
                Some(Event::Idle(IdleEvent::Request(request)))
            }
            event => Some(Event::Idle(event)),
        }
    }

    /// Encodes what it sends; these are the bytes.
    fn sends(&mut self, packet: ToWebServer) -> BytesMut {
        let mut bytes = BytesMut::new();
        let sent = self.codec.encode_packet(packet, &mut bytes);
        sent.expect("a machine gives what can be written");
        bytes
    }

    fn ask(&mut self, expected: Option<[u8; 7]>) {
        let exchange = self.exchange.as_mut().expect("one as the other");
        let packet = exchange.request_body_packet();
        let owed = exchange.owed();
        let bytes = packet.map(|packet| self.sends(packet));
        assert_eq!(bytes.as_deref(), expected.as_ref().map(|ask| &ask[..]));
        assert_eq!(self.codec.owed(), owed);
    }

    fn send_head(&mut self, status: u16, length: Option<u64>) {
        let exchange = self.exchange.as_mut().expect("one as the other");
        let head = SendHeaders::build(self.size, status, |head| match length {
            Some(length) => head.header(b"Content-Length", length.to_string().as_bytes()),
            None => Ok(()),
        });
        let head = head.expect("short");
        let packet = exchange.head_packet(head.clone());
        let bytes = self.sends(packet).split_off(4).freeze();
        assert_eq!(SendHeaders::parse(bytes), Ok(head));
    }

    fn send_chunk(&mut self, len: usize, fits: bool) {
        let exchange = self.exchange.as_mut().expect("one as the other");
        let packet = exchange.chunk_packet(Bytes::from_static(&ZEROS[..len]));
        assert_eq!(packet.is_ok(), fits);
        if let Ok(packet) = packet {
            let payload = self.sends(packet).split_off(4).freeze();
            let data = Bytes::from_static(&ZEROS[..len]);
            assert_eq!(
                ToWebServer::parse(payload),
                Ok(ToWebServer::SendBodyChunk(data))
            );
        }
    }

    /// Ends the exchange as `finish` says, whether this side wants another request or not.
    fn end(&mut self, finish: Finish, keep: bool) {
        let exchange = self.exchange.as_ref().expect("one as the other");
        let packet = exchange.end_packet(keep);
        let reuse = match finish {
            Finish::ReadOwedBodyFirst if keep => return assert_eq!(packet, None),
            Finish::ReadOwedBodyFirst => false,
            Finish::End { reuse } => reuse && keep,
        };
        assert_eq!(packet, Some(ToWebServer::EndResponse { reuse }));
    }

    fn ended(&mut self) {
        let exchange = self.exchange.take().expect("one as the other");
        self.idle.exchange_ended(&exchange);
    }
}

static ZEROS: [u8; 65_536] = [0; 65_536];

/// A container against a web server that sends anything.
struct Alone {
    size: PacketSize,
    /// Body packets that may be owed at a time.
    most: u16,
    cuts: u8,
    idle: Idle,
    stray_allowed: bool,
    exchange: Option<(ServerExchange, Model)>,
    closed: bool,
    /// Until something comes upon which a connection is closed.
    twin: Option<Twin>,
}

impl Alone {
    fn new(input: &mut Input<'_>) -> Self {
        let first = input.byte();
        let (size, most) = (packet_size(first), most(first));
        Self {
            size,
            most,
            cuts: input.byte(),
            idle: Idle::new(),
            stray_allowed: false,
            exchange: None,
            closed: false,
            twin: Some(Twin::new(size, most)),
        }
    }

    fn run(mut self, input: &mut Input<'_>) {
        while !input.is_empty() && !self.closed {
            let operation = input.byte() % 8;
            let payload = match operation {
                0 => {
                    let len = usize::from(input.number());
                    input.take(len).to_vec()
                }
                1 => body_payload(input.length(65_535), input.byte()),
                2 => vec![0; 2 * usize::from(input.flag())],
                7 => request_payload(input, self.size),
                _ => {
                    self.answer(operation, input);
                    continue;
                }
            };
            let packet = framed(&payload, Direction::ToContainer, self.size);
            for payload in split(&packet, self.cuts, Direction::ToContainer, self.size) {
                let event = self.receive(&payload);
                if let Some(event) = &event {
                    assert!(printed(format_args!("{event:?}")));
                }
                let twin = self.twin.as_mut().map(|twin| twin.receive(&payload));
                if let Some(twin) = twin {
                    assert_eq!(twin, event, "bytes and packets mean the same");
                }
                if event.is_none() {
                    self.twin = None;
                }
            }
        }
    }

    /// What a packet means; `None` when the connection is to be closed.
    fn receive(&mut self, payload: &Bytes) -> Option<Event> {
        if let Some((exchange, model)) = &mut self.exchange {
            let event = model.receive(payload, exchange);
            model.check(exchange);
            return event.map(Event::Body);
        }
        let options = shadow::Options::DEFAULT;
        let expected = shadow::to_container(payload, options);
        let empty = matches!(payload.as_ref(), [] | [0, 0]);
        let stray_allowed = std::mem::take(&mut self.stray_allowed);
        let event = self
            .idle
            .receive(payload.clone(), &options.decode_options());
        match &event {
            IdleEvent::Request(request) => {
                assert!(matches!(expected, Some(shadow::ToContainer::Request(_))));
                let head_request = request.method() == b"HEAD";
                let framing = request.framing();
                let exchange = ServerExchange::new(framing, head_request, self.size);
                let exchange = exchange.with_body_requests(self.most);
                let model = Model::new(framing, head_request, self.size, self.most);
                model.check(&exchange);
                self.exchange = Some((exchange, model));
            }
            IdleEvent::CPing => assert_eq!(expected, Some(shadow::ToContainer::CPing)),
            IdleEvent::StrayEmpty => assert!(empty && stray_allowed),
            IdleEvent::BadRequest(_) => {
                assert!(expected.is_none() && payload.first() == Some(&2));
                self.closed = true;
            }
            IdleEvent::Close(error) => {
                assert!(!error.to_string().is_empty());
                assert!(!(empty && stray_allowed) && payload.first() != Some(&2));
                use shadow::ToContainer::{Ping, Shutdown};
                assert!(matches!(expected, None | Some(Shutdown | Ping)));
                self.closed = true;
            }
        }
        (!self.closed).then_some(Event::Idle(event))
    }

    fn answer(&mut self, operation: u8, input: &mut Input<'_>) {
        let Some((exchange, model)) = &mut self.exchange else {
            return;
        };
        let twin = self.twin.as_mut();
        match operation {
            3 => {
                let ask = model.ask(exchange);
                if let Some(twin) = twin {
                    twin.ask(ask);
                }
            }
            4 if !exchange.is_responding() => {
                let status = [200, 204, 205, 304, 404, 500][usize::from(input.byte() % 6)];
                let length = input.flag().then(|| u64::from(input.number()));
                exchange.headers_sent(status, length);
                model.no_body |= matches!(status, 204 | 205 | 304);
                model.response = Some(length);
                if let Some(twin) = twin {
                    twin.send_head(status, length);
                }
            }
            5 => {
                let len = usize::from(input.number());
                let fits = model.send_chunk(exchange, len);
                if let Some(twin) = twin {
                    twin.send_chunk(len, fits);
                }
            }
            6 => {
                let finish = exchange.finish();
                if let Some(twin) = twin {
                    twin.end(finish, true);
                    twin.end(finish, false);
                }
                if let Finish::End { reuse } = finish {
                    self.idle.exchange_ended(exchange);
                    if let Some(twin) = &mut self.twin {
                        twin.ended();
                    }
                    self.stray_allowed = !model.stray;
                    self.closed = !reuse;
                    self.exchange = None;
                    return;
                }
            }
            _ => {}
        }
        model.check(exchange);
    }
}

/// Body packets that may be owed at a time: 1 to 4.
fn most(byte: u8) -> u16 {
    1 + u16::from(byte >> 6)
}

fn body_payload(len: usize, extra: u8) -> Vec<u8> {
    let mut payload = u16::try_from(len).expect("a u16").to_be_bytes().to_vec();
    payload.extend(vec![2; len]);
    // The tolerated NUL, and what is not tolerated.
    match extra % 8 {
        0 => payload.push(0),
        1 => payload.push(1),
        2 => drop(payload.pop()),
        _ => {}
    }
    payload
}

/// A Forward Request as the crate writes it.
fn request_payload(input: &mut Input<'_>, size: PacketSize) -> Vec<u8> {
    let framing = match input.byte() % 4 {
        0 => BodyFraming::Absent,
        1 => BodyFraming::Chunked,
        2 => BodyFraming::Length(0),
        _ => BodyFraming::Length(input.number().into()),
    };
    let mut packet = BytesMut::new();
    write_request(&mut packet, size, framing, input.flag());
    packet[4..].to_vec()
}

fn write_request(buffer: &mut BytesMut, size: PacketSize, framing: BodyFraming, head: bool) {
    let line = RequestLine {
        method: if head { b"HEAD" } else { b"PUT" },
        ..RequestLine::default()
    };
    let mut writer = ForwardRequestWriter::new(buffer, size, &line).expect("valid");
    let length = match framing {
        BodyFraming::Length(length) => length.to_string(),
        _ => String::new(),
    };
    match framing {
        BodyFraming::Length(_) => writer.header(b"content-length", length.as_bytes()),
        BodyFraming::Chunked => writer.header(b"transfer-encoding", b"chunked"),
        BodyFraming::Absent => Ok(()),
    }
    .expect("valid");
    assert_eq!(writer.finish(), Ok(framing));
}

/// Body bytes that look like packets, and differ from place to place.
fn content(len: usize, seed: u8) -> Vec<u8> {
    let packets = b"\x12\x34\x00\x01\x0a\x41\x42\x00\x02\x05\x01\x02\x02\x00";
    let at = |n: usize| packets[n % packets.len()].wrapping_add(seed.wrapping_mul((n >> 8) as u8));
    (0..len).map(at).collect()
}

/// Both machines over two pipes that pass on some bytes at a time.
struct Pair {
    size: PacketSize,
    cuts: Cuts,
    idle: Idle,
    /// On their way, and arrived, towards the container and back.
    to_server: [BytesMut; 2],
    to_client: [BytesMut; 2],
}

/// One request and its response.
struct Exchange {
    client: ClientExchange,
    server: Option<ServerExchange>,
    /// Body packets that may be owed at a time.
    most: u16,
    framing: BodyFraming,
    head: bool,
    /// Most bytes of a request body packet, so that packets are not always full.
    piece: usize,
    upload: Vec<u8>,
    uploaded: usize,
    arrived: Vec<u8>,
    body_ended: bool,
    downloaded: Vec<u8>,
    head_seen: bool,
}

impl Pair {
    fn new(input: &mut Input<'_>) -> Self {
        Self {
            size: packet_size(input.byte()),
            cuts: Cuts::new(input.byte()),
            idle: Idle::new(),
            to_server: Default::default(),
            to_client: Default::default(),
        }
    }

    fn run(mut self, input: &mut Input<'_>) {
        // Reused as long as both sides say so.
        for _ in 0..4 {
            if input.is_empty() || !self.exchange(input) {
                return;
            }
        }
    }

    /// Whether the connection may be used again.
    fn exchange(&mut self, input: &mut Input<'_>) -> bool {
        let switches = input.byte();
        let length = match switches % 4 {
            0 => 0,
            1 => usize::from(input.byte()),
            // Around what fits one packet, and the lengths that look like a request.
            2 => self.size.max_request_body() - 2 + usize::from(input.byte() % 5),
            _ => input.length(20_000),
        };
        let framing = match switches & 0x0c {
            0 => BodyFraming::Chunked,
            _ if length == 0 && switches & 0x10 != 0 => BodyFraming::Absent,
            _ => BodyFraming::Length(length as u64),
        };
        let head = switches & 0x20 != 0;
        let most = most(switches);
        let request = &mut self.to_server[0];
        write_request(request, self.size, framing, head);
        let mut x = Exchange {
            client: ClientExchange::new(framing, head, self.size).with_body_requests(most),
            server: None,
            most,
            framing,
            head,
            piece: 1 + usize::from(input.number()) % self.size.bytes(),
            upload: content(length, switches),
            uploaded: 0,
            arrived: Vec::new(),
            body_ended: false,
            downloaded: Vec::new(),
            head_seen: false,
        };
        x.client.request_written();
        while x.server.is_none() {
            assert!(self.step(&mut x), "the request never arrives");
        }
        let sent = self.respond(&mut x, input);
        self.finish(&mut x, input, &sent)
    }

    /// What the application does; the response body it sent.
    fn respond(&mut self, x: &mut Exchange, input: &mut Input<'_>) -> Vec<u8> {
        let acts = input.byte() % 16;
        let mut sent = Vec::new();
        let mut started = false;
        for _ in 0..acts {
            let server = x.server.as_mut().expect("accepted");
            match input.byte() % 8 {
                0 | 1 => {
                    if let Some(ask) = server.request_body() {
                        self.to_client[0].extend_from_slice(&ask);
                    }
                }
                2 | 3 if !started => {
                    started = true;
                    let status = [200, 200, 204, 304][usize::from(input.byte() % 4)];
                    self.send_head(server, status);
                }
                2 | 3 if server.response_has_body() => {
                    let data = content(input.length(20_000), sent.len() as u8);
                    for part in data.chunks(self.size.max_body_chunk()) {
                        let header = server.send_chunk(part.len()).expect("fits");
                        self.to_client[0].extend_from_slice(&header);
                        self.to_client[0].extend_from_slice(part);
                        self.to_client[0].extend_from_slice(&CHUNK_TERMINATOR);
                    }
                    sent.extend(data);
                }
                4 => self.to_client[0].extend_from_slice(&FLUSH),
                _ => {}
            }
            self.step(x);
        }
        if input.flag() {
            // Read to the end.
            while !x.server.as_ref().expect("accepted").is_body_complete() {
                if let Some(ask) = x.server.as_mut().and_then(ServerExchange::request_body) {
                    self.to_client[0].extend_from_slice(&ask);
                }
                let (at, of) = (x.arrived.len(), x.upload.len());
                assert!(self.step(x), "nothing moves after {at} of {of} bytes");
            }
            assert_eq!(x.arrived, x.upload);
            assert!(x.body_ended || x.framing == BodyFraming::Length(x.arrived.len() as u64));
        }
        if !started {
            let server = x.server.as_mut().expect("accepted");
            self.send_head(server, 200);
        }
        sent
    }

    fn send_head(&mut self, server: &mut ServerExchange, status: u16) {
        SendHeadersWriter::new(&mut self.to_client[0], self.size, status)
            .expect("in range")
            .finish();
        server.headers_sent(status, None);
    }

    fn finish(&mut self, x: &mut Exchange, input: &mut Input<'_>, sent: &[u8]) -> bool {
        let swallow = input.byte() & 3 != 0;
        while swallow
            && x.server.as_ref().map(ServerExchange::finish) == Some(Finish::ReadOwedBodyFirst)
        {
            assert!(self.step(x), "the owed packet never comes");
        }
        let server = x.server.as_ref().expect("accepted");
        let reuse = server.finish() == (Finish::End { reuse: true });
        assert_eq!(reuse, !server.is_owed(), "both sides keep the rules");
        self.idle.exchange_ended(server);
        self.to_client[0].extend_from_slice(if reuse {
            &END_RESPONSE_REUSE
        } else {
            &END_RESPONSE_CLOSE
        });
        while !x.client.is_ended() {
            assert!(self.step(x), "the end never arrives");
        }
        assert_eq!(x.client.is_reusable(), reuse);
        assert!(x.head_seen);
        assert_eq!(x.downloaded, sent);
        assert!(x.upload.starts_with(&x.arrived));
        if reuse {
            for pipe in self.to_server.iter().chain(&self.to_client) {
                assert!(pipe.is_empty(), "{} bytes are left over", pipe.len());
            }
        }
        reuse
    }

    /// Moves some bytes each way and lets both sides react. Whether anything happened.
    fn step(&mut self, x: &mut Exchange) -> bool {
        let mut moved = self.upload(x);
        for [from, to] in [&mut self.to_server, &mut self.to_client] {
            let part = from.split_to(self.cuts.next_len().min(from.len()));
            moved |= !part.is_empty();
            to.extend_from_slice(&part);
        }
        let [_, arrived] = &mut self.to_server;
        if let Some(payload) =
            split_packet(arrived, Direction::ToContainer, self.size).expect("written by the crate")
        {
            moved = true;
            match &mut x.server {
                None => match self.idle.receive(payload, &DecodeOptions::default()) {
                    IdleEvent::Request(request) => {
                        assert_eq!(request.framing(), x.framing);
                        assert_eq!(request.method() == b"HEAD", x.head);
                        let server = ServerExchange::new(x.framing, x.head, self.size);
                        x.server = Some(server.with_body_requests(x.most));
                    }
                    other => panic!("{other:?} instead of the request"),
                },
                Some(server) => match server.receive(&payload).expect("keeps the rules") {
                    BodyEvent::Data(data) => x.arrived.extend_from_slice(&data),
                    BodyEvent::End => x.body_ended = true,
                    BodyEvent::StrayEmpty => panic!("nobody sends one"),
                },
            }
        }
        let [_, arrived] = &mut self.to_client;
        if let Some(payload) =
            split_packet(arrived, Direction::ToWebServer, self.size).expect("written by the crate")
        {
            moved = true;
            let packet = ToWebServer::parse(payload).expect("written by the crate");
            match x.client.receive(packet).expect("keeps the rules") {
                ClientEvent::Data(data) => x.downloaded.extend_from_slice(&data),
                ClientEvent::Head(_) => x.head_seen = true,
                _ => {}
            }
        }
        moved
    }

    /// The web server sends what is due.
    fn upload(&mut self, x: &mut Exchange) -> bool {
        let Some(credit) = x.client.credit() else {
            return false;
        };
        let rest = &x.upload[x.uploaded..];
        let len = rest.len().min(credit).min(x.piece);
        let out = &mut self.to_server[0];
        if len == 0 {
            assert!(rest.is_empty(), "credit 0 with {} bytes left", rest.len());
            out.extend_from_slice(&x.client.send_end().expect("complete"));
        } else {
            out.extend_from_slice(&x.client.send_data(len).expect("within the credit"));
            out.extend_from_slice(&rest[..len]);
            x.uploaded += len;
        }
        true
    }
}
