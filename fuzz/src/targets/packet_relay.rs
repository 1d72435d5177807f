//! A web server, a relay and a container, joined by codecs and by the forms of both machines that
//! take and give packets. The connections pass on some bytes at a time, and their packets may be
//! of different sizes. What goes in at one end comes out at the other, nothing hangs, both sides
//! of a connection count alike, and where reuse is claimed no byte is left over.

use crate::decoded::check_encode_error;
use crate::input::{Cuts, Input};
use crate::packets::packet_size;
use crate::printed::printed;
use ajp::proto::{
    BodyEvent, ClientEvent, ClientExchange, Finish, Idle, IdleEvent, Progress, ServerExchange,
};
use ajp::wire::{
    BodyFraming, ContainerCodec, DecodeOptions, ForwardRequest, FromWebServer, PacketSize,
    RequestLine, SendHeaders, ToContainer, ToWebServer, WebServerCodec,
};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    check_sizes(packet_size(input.byte()));
    let mut farm = Farm::new(&mut input);
    // Reused as long as all sides say so.
    for _ in 0..4 {
        if input.is_empty() || !farm.exchange(&mut input) {
            return;
        }
    }
}

/// By protocol chapter "packets".
fn check_sizes(size: PacketSize) {
    let bytes = size.bytes();
    assert_eq!(size.max_payload(), bytes - 4);
    assert_eq!(size.max_request_body(), bytes - 6);
    assert_eq!(size.max_body_chunk(), bytes - 8);
    assert!(size >= PacketSize::default() && size <= PacketSize::MAX);
}

/// More headers than containers take that are asked for nothing else.
fn many_headers() -> DecodeOptions {
    DecodeOptions::default().with_max_headers(200)
}

/// A connection: bytes on their way, and those that have arrived.
#[derive(Default)]
struct Pipe {
    sent: BytesMut,
    arrived: BytesMut,
}

impl Pipe {
    /// Whether anything moved.
    fn pass(&mut self, cuts: &mut Cuts) -> bool {
        let part = self.sent.split_to(cuts.next_len().min(self.sent.len()));
        self.arrived.extend_from_slice(&part);
        !part.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.arrived.is_empty()
    }
}

/// The two connections, and what each side remembers of them from one exchange to the next.
struct Farm {
    cuts: Cuts,
    /// Of the connection from the web server, and of the one to the container.
    sizes: [PacketSize; 2],
    /// Whether the relay begins with the usual size and learns what the container's is.
    learns: bool,
    /// Body packets that may be owed at a time, on each connection.
    most: [u16; 2],
    /// From the web server to the relay, and from there to the container.
    requests: [Pipe; 2],
    /// From the relay to the web server, and from the container to the relay.
    responses: [Pipe; 2],
    web_server: WebServerCodec,
    relay: (ContainerCodec, WebServerCodec),
    container: ContainerCodec,
    /// Of the relay, and of the container.
    idle: [Idle; 2],
}

/// One exchange, as each of the three sees it.
struct Exchange {
    request: ForwardRequest,
    web_server: ClientExchange,
    relay: Option<(ServerExchange, ClientExchange)>,
    container: Option<ServerExchange>,
    upload: Vec<u8>,
    uploaded: usize,
    /// Most bytes of a packet of the web server, so that packets are not always full.
    piece: usize,
    /// Request data that the relay has not passed on.
    held: VecDeque<Bytes>,
    held_ended: bool,
    /// What has reached the container.
    arrived: Vec<u8>,
    /// The container's last packet has reached the relay.
    answered: bool,
    keeps: bool,
    /// Whether the connection to the container may be used again, once the relay knows.
    reuse: Option<bool>,
    head: Option<SendHeaders>,
    /// What has reached the web server, and how often it was told to flush.
    downloaded: Vec<u8>,
    flushes: usize,
    given_up: bool,
}

impl Farm {
    fn new(input: &mut Input<'_>) -> Self {
        let switches = input.byte();
        let sizes = [packet_size(switches), packet_size(switches >> 2)];
        let learns = switches & 0x10 != 0;
        let asks = input.byte();
        Self {
            cuts: Cuts::new(input.byte()),
            sizes,
            learns,
            most: [1 + u16::from(asks & 3), 1 + u16::from(asks >> 2 & 3)],
            requests: Default::default(),
            responses: Default::default(),
            web_server: WebServerCodec::new(sizes[0]),
            relay: (
                ContainerCodec::new(sizes[0]).with_decode_options(many_headers()),
                WebServerCodec::new(PacketSize::MAX),
            ),
            container: ContainerCodec::new(sizes[1]).with_decode_options(many_headers()),
            idle: Default::default(),
        }
    }

    /// Whether the connections may be used again.
    fn exchange(&mut self, input: &mut Input<'_>) -> bool {
        let switches = input.byte();
        if switches & 3 == 3 && !self.between_exchanges(input.byte()) {
            return false;
        }
        let Some(mut x) = self.begin(switches, input) else {
            return false;
        };
        while x.container.is_none() && !x.given_up {
            assert!(self.step(&mut x), "the request never arrives");
        }
        if x.given_up {
            return false;
        }
        let response = self.respond(&mut x, input);
        self.end(&mut x, &response)
    }

    /// A message on an idle connection; whether it stays open.
    fn between_exchanges(&mut self, which: u8) -> bool {
        let message = match which % 4 {
            0 => ToContainer::Shutdown,
            1 => ToContainer::Ping,
            _ => ToContainer::CPing,
        };
        let [pipe, _] = &mut self.requests;
        let packet = FromWebServer::Message(message.clone());
        let sent = self
            .web_server
            .encode_packet(packet.clone(), &mut pipe.sent);
        sent.expect("short");
        while pipe.pass(&mut self.cuts) {}
        let came = self.relay.0.decode_packet(&mut pipe.arrived);
        assert_eq!(came, Ok(Some(packet.clone())));
        match self.idle[0].receive_packet(packet) {
            IdleEvent::CPing => assert_eq!(message, ToContainer::CPing),
            event => {
                assert!(matches!(event, IdleEvent::Close(_)) && message != ToContainer::CPing);
                return false;
            }
        }
        let [pipe, _] = &mut self.responses;
        let sent = self
            .relay
            .0
            .encode_packet(ToWebServer::CPong, &mut pipe.sent);
        sent.expect("short");
        while pipe.pass(&mut self.cuts) {}
        let came = self.web_server.decode_packet(&mut pipe.arrived);
        assert_eq!(came, Ok(Some(ToWebServer::CPong)));
        true
    }

    /// Sends a request, if it fits a packet.
    fn begin(&mut self, switches: u8, input: &mut Input<'_>) -> Option<Exchange> {
        let length = match input.byte() {
            0..=31 => 0,
            // Around what fits one packet of either connection.
            32..=63 => self.sizes[0].max_request_body() - 2 + usize::from(input.byte() % 5),
            64..=95 => self.sizes[1].max_request_body() - 2 + usize::from(input.byte() % 5),
            96..=127 => usize::from(input.byte()),
            _ => input.length(70_000),
        };
        let framing = match switches >> 2 & 3 {
            0 => BodyFraming::Chunked,
            1 if length == 0 => BodyFraming::Absent,
            _ => BodyFraming::Length(length as u64),
        };
        let value = vec![b'v'; input.length(9000)];
        let line = RequestLine {
            method: if switches & 0x10 != 0 {
                b"HEAD"
            } else {
                b"PUT"
            },
            req_uri: b"/relayed",
            ..RequestLine::default()
        };
        let more = if switches & 0x80 != 0 { 150 } else { 0 };
        let request = ForwardRequest::build(self.sizes[0], &line, |writer| {
            match framing {
                BodyFraming::Length(length) => {
                    writer.header(b"content-length", length.to_string().as_bytes())?;
                }
                BodyFraming::Chunked => writer.header(b"transfer-encoding", b"chunked")?,
                BodyFraming::Absent => {}
            }
            for _ in 0..more {
                writer.header(b"x-more", b"")?;
            }
            writer.header(b"x-value", &value)
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                check_encode_error(&error, self.sizes[0]);
                assert!(error.is_too_large() && value.len() + 2000 > self.sizes[0].bytes());
                return None;
            }
        };
        assert_eq!(request.framing(), framing);
        assert_eq!(
            framing.length().is_some_and(|length| length > 0),
            framing.is_eager()
        );
        let web_server = ClientExchange::new(framing, line.method == b"HEAD", self.sizes[0]);
        let mut web_server = web_server.with_body_requests(self.most[0]);
        let packet = FromWebServer::from(request.clone());
        let [pipe, _] = &mut self.requests;
        let sent = self.web_server.encode_packet(packet, &mut pipe.sent);
        sent.expect("it was built for this size");
        let mut packet = BytesMut::from(&pipe.sent[..]);
        let usual = ContainerCodec::new(self.sizes[0]).decode_packet(&mut packet);
        assert_eq!(usual.is_err(), more > 100);
        web_server.request_written();
        Some(Exchange {
            request,
            web_server,
            relay: None,
            container: None,
            upload: content(length, switches),
            uploaded: 0,
            piece: 1 + usize::from(input.number()) % self.sizes[0].bytes(),
            held: VecDeque::new(),
            held_ended: false,
            arrived: Vec::new(),
            answered: false,
            keeps: switches & 0x60 != 0,
            reuse: None,
            head: None,
            downloaded: Vec::new(),
            flushes: 0,
            given_up: false,
        })
    }

    /// What the container sends, up to its last packet.
    fn respond(&mut self, x: &mut Exchange, input: &mut Input<'_>) -> Response {
        let mut response = Response::default();
        for _ in 0..input.byte() % 16 {
            match input.byte() % 8 {
                0 | 1 => self.ask(x),
                2 if response.head.is_none() => self.send_head(x, &mut response, input),
                3 | 4 => self.send_data(x, &mut response, input),
                5 if response.head.is_some() => {
                    self.send(ToWebServer::SendBodyChunk(Bytes::new()));
                    response.flushes += 1;
                }
                _ => {}
            }
            self.step(x);
        }
        if input.flag() {
            self.read_all(x);
        }
        if response.head.is_none() {
            self.send_head(x, &mut response, input);
        }
        self.send_promised(x, &mut response);
        response
    }

    fn send(&mut self, packet: ToWebServer) {
        let [_, pipe] = &mut self.responses;
        let sent = self.container.encode_packet(packet, &mut pipe.sent);
        sent.expect("a machine gives what can be written");
    }

    fn ask(&mut self, x: &mut Exchange) {
        let container = x.container.as_mut().expect("the request has arrived");
        let packet = container.request_body_packet();
        let owed = container.owed();
        if let Some(packet) = packet {
            self.send(packet);
        }
        assert_eq!(self.container.owed(), owed);
    }

    fn send_head(&mut self, x: &mut Exchange, response: &mut Response, input: &mut Input<'_>) {
        let container = x.container.as_mut().expect("the request has arrived");
        let status = [200, 200, 404, 204, 205, 304, 500, 403][usize::from(input.byte() % 8)];
        let length = input.byte().is_multiple_of(3).then(|| input.length(20_000));
        let value = vec![b'w'; input.length(9000)];
        let head = SendHeaders::build(self.sizes[1], status, |writer| {
            if let Some(length) = length {
                writer.header(b"Content-Length", length.to_string().as_bytes())?;
            }
            writer.header(b"X-Value", &value)
        });
        let head = head.unwrap_or_else(|error| {
            check_encode_error(&error, self.sizes[1]);
            assert!(error.is_too_large() && value.len() + 100 > self.sizes[1].bytes());
            SendHeaders::build(self.sizes[1], 500, |_| Ok(())).expect("short")
        });
        let packet = container.head_packet(head.clone());
        response.head = Some(head);
        self.send(packet);
    }

    /// Data, as far as any may be sent.
    fn send_data(&mut self, x: &mut Exchange, response: &mut Response, input: &mut Input<'_>) {
        let container = x.container.as_mut().expect("the request has arrived");
        if !container.is_responding() || !container.response_has_body() {
            return;
        }
        let len = input.length(self.sizes[1].max_body_chunk() + 4);
        let data = Bytes::from(content(len, response.data.len() as u8));
        let left = container.response_left();
        let fits = (1..=self.sizes[1].bytes() - 8).contains(&len)
            && left.is_none_or(|left| len as u64 <= left);
        match container.chunk_packet(data.clone()) {
            Ok(packet) => {
                assert!(fits, "{len} bytes of {left:?}");
                response.data.extend_from_slice(&data);
                self.send(packet);
            }
            Err(error) => {
                check_encode_error(&error, self.sizes[1]);
                assert!(!fits, "{error}");
            }
        }
    }

    /// The rest of what a Content-Length has promised.
    fn send_promised(&mut self, x: &mut Exchange, response: &mut Response) {
        let container = x.container.as_mut().expect("the request has arrived");
        let mut packets = Vec::new();
        while let Some(left @ 1..) = container.response_left() {
            let most = self.sizes[1].max_body_chunk();
            let data = content(most.min(usize::try_from(left).unwrap_or(most)), 7);
            response.data.extend_from_slice(&data);
            packets.push(container.chunk_packet(data.into()).expect("promised"));
        }
        for packet in packets {
            self.send(packet);
        }
    }

    fn read_all(&mut self, x: &mut Exchange) {
        loop {
            let container = x.container.as_ref().expect("the request has arrived");
            if container.is_body_complete() || x.given_up {
                break;
            }
            self.ask(x);
            let (at, of) = (x.arrived.len(), x.upload.len());
            let moved = self.step(x);
            assert!(
                moved || x.given_up,
                "nothing moves after {at} of {of} bytes"
            );
        }
        assert!(x.given_up || x.arrived == x.upload);
    }

    /// Whether the connections may be used again.
    fn end(&mut self, x: &mut Exchange, response: &Response) -> bool {
        let packet = loop {
            let container = x.container.as_ref().expect("the request has arrived");
            if let Some(packet) = container.end_packet(x.keeps) {
                break packet;
            }
            assert!(x.keeps && container.finish() == Finish::ReadOwedBodyFirst);
            if !self.step(x) {
                assert!(x.given_up, "the owed packet never comes");
                return false;
            }
        };
        let container = x.container.as_ref().expect("the request has arrived");
        let reuse = packet == (ToWebServer::EndResponse { reuse: true });
        assert_eq!(
            reuse,
            x.keeps && !container.is_owed(),
            "both keep the rules"
        );
        self.idle[1].exchange_ended(container);
        self.send(packet);
        while !x.web_server.is_ended() {
            if !self.step(x) {
                assert!(x.given_up, "the end never arrives");
            }
            if x.given_up {
                return false;
            }
        }
        assert_eq!(x.head, response.head, "the head");
        assert!(x.downloaded == response.data, "the data");
        assert_eq!(x.flushes, response.flushes);
        assert!(x.upload.starts_with(&x.arrived), "the request body");
        // The relay reads what it is owed before it ends, and nobody breaks a rule.
        assert!(x.web_server.is_reusable());
        assert_eq!(x.web_server.progress(), Progress::Responding);
        let [from_web_server, to_container] = &self.requests;
        let [to_web_server, from_container] = &self.responses;
        assert!(from_web_server.is_empty() && to_web_server.is_empty());
        let again = x.reuse.expect("it has come before");
        assert_eq!(
            again, reuse,
            "the relay owes nothing that the container waits for"
        );
        if again {
            assert!(to_container.is_empty() && from_container.is_empty());
            assert_eq!(self.container.owed(), 0);
        }
        assert_eq!(self.relay.0.owed(), 0);
        again
    }

    /// Moves some bytes everywhere and lets everybody react, until the relay gives up. Whether
    /// anything happened.
    fn step(&mut self, x: &mut Exchange) -> bool {
        if x.given_up {
            return false;
        }
        let mut moved = self.upload(x);
        for pipe in self.requests.iter_mut().chain(&mut self.responses) {
            moved |= pipe.pass(&mut self.cuts);
        }
        moved |= self.relay_request(x);
        moved |= self.relay_response(x);
        moved |= self.container_receives(x);
        moved |= self.web_server_receives(x);
        moved
    }

    /// The web server sends what is due.
    fn upload(&mut self, x: &mut Exchange) -> bool {
        let Some(credit) = x.web_server.credit() else {
            return false;
        };
        let rest = &x.upload[x.uploaded..];
        let len = rest.len().min(credit).min(x.piece);
        let data = Bytes::copy_from_slice(&rest[..len]);
        let packet = if len == 0 {
            assert!(rest.is_empty(), "credit 0 with {} bytes left", rest.len());
            x.web_server.end_packet().expect("complete")
        } else {
            x.uploaded += len;
            x.web_server.data_packet(data).expect("within the credit")
        };
        let [pipe, _] = &mut self.requests;
        let sent = self.web_server.encode_packet(packet, &mut pipe.sent);
        sent.expect("a machine gives what can be written");
        true
    }

    /// The relay takes what the web server sends, and passes on what the container may have.
    fn relay_request(&mut self, x: &mut Exchange) -> bool {
        let [from, to] = &mut self.requests;
        let came = self.relay.0.decode_packet(&mut from.arrived);
        let mut moved = false;
        if let Some(packet) = came.expect("written by the crate") {
            moved = true;
            match &mut x.relay {
                None => match self.idle[0].receive_packet(packet) {
                    IdleEvent::Request(request) => {
                        assert_eq!(request, x.request);
                        let usual = if self.learns {
                            PacketSize::DEFAULT
                        } else {
                            self.sizes[1]
                        };
                        let server = ServerExchange::for_request(&request, self.sizes[0]);
                        let client = ClientExchange::for_request(&request, usual);
                        let client = client.with_body_requests(self.most[1]);
                        let mut client = if self.learns {
                            client.with_packet_size_up_to(PacketSize::MAX)
                        } else {
                            client
                        };
                        let fits = request.payload().len() + 4 <= usual.bytes();
                        let packet = FromWebServer::from(request);
                        let before = to.sent.len();
                        match WebServerCodec::new(usual).encode_packet(packet, &mut to.sent) {
                            Ok(()) => assert!(fits),
                            Err(error) => {
                                check_encode_error(&error, usual);
                                assert!(!fits && to.sent.len() == before, "{error}");
                                x.given_up = true;
                                return true;
                            }
                        }
                        client.request_written();
                        let server = server.with_body_requests(self.most[0]);
                        x.relay = Some((server, client));
                    }
                    event => panic!("{event:?} instead of the request"),
                },
                Some((server, _)) => {
                    let event = server.receive_packet(packet).expect("keeps the rules");
                    assert!(printed(format_args!("{event:?}")));
                    match event {
                        BodyEvent::Data(data) => x.held.push_back(data),
                        BodyEvent::End => x.held_ended = true,
                        BodyEvent::StrayEmpty => panic!("nobody sends one"),
                    }
                }
            }
        }
        moved | self.pass_on(x)
    }

    /// Whether the relay has sent anything to the container, or asked the web server for it.
    fn pass_on(&mut self, x: &mut Exchange) -> bool {
        let Some((server, client)) = &mut x.relay else {
            return false;
        };
        let mut moved = false;
        while let Some(credit) = client.credit() {
            let packet = match x.held.front_mut() {
                Some(data) if credit > 0 => {
                    let part = data.split_to(credit.min(data.len()));
                    if data.is_empty() {
                        x.held.pop_front();
                    }
                    client.data_packet(part).expect("within the credit")
                }
                _ if credit == 0 || x.held_ended || server.is_body_complete() => {
                    assert!(x.held.is_empty(), "more than was announced");
                    client.end_packet().expect("complete")
                }
                _ => {
                    let Some(ask) = server.request_body_packet() else {
                        break;
                    };
                    let [pipe, _] = &mut self.responses;
                    let sent = self.relay.0.encode_packet(ask, &mut pipe.sent);
                    sent.expect("short");
                    return true;
                }
            };
            let [_, pipe] = &mut self.requests;
            let sent = self.relay.1.encode_packet(packet, &mut pipe.sent);
            sent.expect("a machine gives what can be written");
            moved = true;
        }
        moved
    }

    /// The relay passes on what the container sends.
    fn relay_response(&mut self, x: &mut Exchange) -> bool {
        let Some((server, client)) = &mut x.relay else {
            return false;
        };
        let [to, from] = &mut self.responses;
        let mut moved = false;
        let came = self.relay.1.decode_packet(&mut from.arrived);
        if let Some(packet) = came.expect("written by the crate") {
            moved = true;
            let event = client.receive(packet).expect("keeps the rules");
            assert!(printed(format_args!("{event:?}")));
            match event {
                ClientEvent::Head(head) => {
                    let fits = head.payload().len() + 4 <= self.sizes[0].bytes();
                    let packet = server.head_packet(head);
                    let before = to.sent.len();
                    if let Err(error) = self.relay.0.encode_packet(packet, &mut to.sent) {
                        check_encode_error(&error, self.sizes[0]);
                        assert!(!fits && to.sent.len() == before, "{error}");
                        x.given_up = true;
                        return true;
                    }
                    assert!(fits);
                }
                ClientEvent::Data(data) => {
                    for part in data.chunks(self.sizes[0].max_body_chunk()) {
                        let packet = server.chunk_packet(data.slice_ref(part)).expect("fits");
                        let sent = self.relay.0.encode_packet(packet, &mut to.sent);
                        sent.expect("a machine gives what can be written");
                    }
                }
                ClientEvent::Flush => {
                    let flush = ToWebServer::SendBodyChunk(Bytes::new());
                    let sent = self.relay.0.encode_packet(flush, &mut to.sent);
                    sent.expect("short");
                }
                ClientEvent::BodyRequested => {
                    // All that the container has shown of its packets.
                    assert_eq!(client.packet_size(), self.sizes[1]);
                    // Without a length there may be a body: the relay has not written the request.
                    let length = x.request.framing().length();
                    assert_eq!(client.body_left().is_some(), length.is_some());
                }
                ClientEvent::Ignored => panic!("nothing has no meaning here"),
                ClientEvent::End => {
                    x.answered = true;
                    x.reuse = Some(client.is_reusable());
                }
            }
        }
        if x.answered
            && let Some(end) = server.end_packet(true)
        {
            assert_eq!(end, ToWebServer::EndResponse { reuse: true });
            let sent = self.relay.0.encode_packet(end, &mut to.sent);
            sent.expect("short");
            self.idle[0].exchange_ended(server);
            x.relay = None;
            moved = true;
        }
        moved
    }

    fn container_receives(&mut self, x: &mut Exchange) -> bool {
        let [_, pipe] = &mut self.requests;
        let came = self.container.decode_packet(&mut pipe.arrived);
        let Some(packet) = came.expect("not longer than it takes") else {
            return false;
        };
        match &mut x.container {
            None => match self.idle[1].receive_packet(packet) {
                IdleEvent::Request(request) => {
                    assert_eq!(request.payload(), x.request.payload());
                    let container = ServerExchange::for_request(&request, self.sizes[1]);
                    assert_eq!(container.owed(), self.container.owed());
                    x.container = Some(container.with_body_requests(self.most[1]));
                }
                event => panic!("{event:?} instead of the request"),
            },
            Some(container) => {
                match container.receive_packet(packet).expect("keeps the rules") {
                    BodyEvent::Data(data) => x.arrived.extend_from_slice(&data),
                    BodyEvent::End => assert!(x.arrived == x.upload, "an early end"),
                    BodyEvent::StrayEmpty => panic!("nobody sends one"),
                }
                assert_eq!(container.owed(), self.container.owed());
            }
        }
        true
    }

    fn web_server_receives(&mut self, x: &mut Exchange) -> bool {
        let [pipe, _] = &mut self.responses;
        let came = self.web_server.decode_packet(&mut pipe.arrived);
        let Some(packet) = came.expect("written by the crate") else {
            return false;
        };
        match x.web_server.receive(packet).expect("keeps the rules") {
            ClientEvent::Head(head) => x.head = Some(head),
            ClientEvent::Data(data) => x.downloaded.extend_from_slice(&data),
            ClientEvent::Flush => x.flushes += 1,
            _ => {}
        }
        true
    }
}

/// What the container has sent.
#[derive(Default)]
struct Response {
    head: Option<SendHeaders>,
    data: Vec<u8>,
    flushes: usize,
}

/// Bytes that look like packets, and differ from place to place.
fn content(len: usize, seed: u8) -> Vec<u8> {
    let packets = b"\x12\x34\x00\x01\x0a\x41\x42\x00\x02\x05\x01\x02\x02\x00";
    let at = |n: usize| packets[n % packets.len()].wrapping_add(seed.wrapping_mul((n >> 8) as u8));
    (0..len).map(at).collect()
}
