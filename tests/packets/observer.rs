//! The client machine and the server machine of `ajp::proto`, watching a conversation that
//! two other programs had. Each packet goes to both: one must have allowed it to be sent, the
//! other must accept it. Any disagreement panics.

use ajp::proto::{
    BodyEvent, ClientEvent, ClientExchange, Finish, Idle, IdleEvent, Progress, ServerExchange,
};
use ajp::wire::{
    BodyFraming, BodyPacket, DecodeOptions, ForwardRequest, PacketSize, SendHeaders, ToWebServer,
    get_body_chunk,
};
use bytes::Bytes;

/// One packet, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    CPing,
    Request(ForwardRequest),
    Body(BodyPacket),
    CPong,
    Head(SendHeaders),
    Chunk(Bytes),
    Ask(u16),
    End { reuse: bool },
}

#[derive(Debug)]
struct Exchange {
    client: ClientExchange,
    server: ServerExchange,
    /// The container asked although the body was complete; our server would not have.
    surplus: bool,
}

/// One connection. An exchange stays after its end, until the next request replaces it.
#[derive(Debug)]
pub(crate) struct Observer {
    size: PacketSize,
    idle: Idle,
    exchange: Option<Exchange>,
    probes_open: usize,
    /// Asks beyond the announced end of a request body.
    pub(crate) surplus_asks: usize,
    /// Requests that followed another one on this connection.
    pub(crate) reused: usize,
    /// Flushes, and data that a response without body may not have.
    pub(crate) flushes: usize,
    pub(crate) ignored: usize,
}

impl Observer {
    pub(crate) fn new(size: PacketSize) -> Self {
        Self {
            size,
            idle: Idle::new(),
            exchange: None,
            probes_open: 0,
            surplus_asks: 0,
            reused: 0,
            flushes: 0,
            ignored: 0,
        }
    }

    /// In the middle of an exchange whose request was not recorded.
    pub(crate) fn within_exchange(size: PacketSize, framing: BodyFraming) -> Self {
        let mut observer = Self::new(size);
        observer.begin(framing, false);
        observer
    }

    fn begin(&mut self, framing: BodyFraming, head_request: bool) {
        let mut client = ClientExchange::new(framing, head_request, self.size);
        client.request_written();
        self.exchange = Some(Exchange {
            client,
            server: ServerExchange::new(framing, head_request, self.size),
            surplus: false,
        });
    }

    /// A packet from the web server. It is a body packet exactly while one is owed.
    pub(crate) fn web_server_sent(&mut self, payload: &Bytes) -> Packet {
        if let Some(exchange) = &mut self.exchange {
            if !exchange.client.is_ended() || exchange.client.credit().is_some() {
                return Packet::Body(exchange.body(payload));
            }
        }
        match self
            .idle
            .receive(payload.clone(), &DecodeOptions::default())
        {
            IdleEvent::CPing => {
                self.probes_open += 1;
                Packet::CPing
            }
            IdleEvent::Request(request) => {
                if let Some(before) = &self.exchange {
                    assert!(before.client.is_reusable(), "reused against the machine");
                    self.idle.exchange_ended(&before.server);
                    self.reused += 1;
                }
                self.begin(request.framing(), request.method() == b"HEAD");
                Packet::Request(request)
            }
            other => panic!("on an idle connection: {other:?}"),
        }
    }

    /// A packet from the container.
    pub(crate) fn container_sent(&mut self, payload: &Bytes) -> Packet {
        let packet = ToWebServer::parse(payload.clone()).unwrap();
        if packet == ToWebServer::CPong {
            self.probes_open = self.probes_open.checked_sub(1).expect("an unasked CPong");
            return Packet::CPong;
        }
        let exchange = self.exchange.as_mut().expect("an answer to no request");
        match packet {
            ToWebServer::SendHeaders(head) => exchange.head(head),
            ToWebServer::SendBodyChunk(data) => match exchange.chunk(&data) {
                ClientEvent::Data(same) if same == data => Packet::Chunk(data),
                ClientEvent::Flush if data.is_empty() => {
                    self.flushes += 1;
                    Packet::Chunk(data)
                }
                ClientEvent::Ignored if !exchange.client.response_has_body() => {
                    self.ignored += 1;
                    Packet::Chunk(data)
                }
                other => panic!("a chunk of {} bytes gave {other:?}", data.len()),
            },
            ToWebServer::GetBodyChunk { requested } => {
                exchange.ask(requested);
                self.surplus_asks += usize::from(exchange.surplus);
                Packet::Ask(requested)
            }
            ToWebServer::EndResponse { reuse } => exchange.end(reuse),
            ToWebServer::CPong => unreachable!(),
        }
    }

    /// Progress of the exchange and whether it ended, if there was one.
    pub(crate) fn state(&self) -> Option<(Progress, bool)> {
        let client = &self.exchange.as_ref()?.client;
        Some((client.progress(), client.is_ended()))
    }

    pub(crate) fn is_reusable(&self) -> bool {
        self.exchange
            .as_ref()
            .is_some_and(|exchange| exchange.client.is_reusable())
    }

    /// Response bytes that Content-Length still promises.
    pub(crate) fn response_left(&self) -> Option<u64> {
        self.exchange.as_ref()?.client.response_left()
    }

    /// The largest body packet that is due now.
    pub(crate) fn credit(&self) -> Option<usize> {
        self.exchange.as_ref()?.client.credit()
    }
}

impl Exchange {
    fn body(&mut self, payload: &Bytes) -> BodyPacket {
        let body = BodyPacket::parse(payload).unwrap();
        assert!(self.client.credit().is_some(), "no body packet was due");
        match &body {
            BodyPacket::Data(data) => drop(self.client.send_data(data.len()).unwrap()),
            BodyPacket::End => drop(self.client.send_end().unwrap()),
        }
        if std::mem::take(&mut self.surplus) {
            assert_eq!(body, BodyPacket::End, "data after the end of the body");
            return body;
        }
        let event = match &body {
            BodyPacket::Data(data) => BodyEvent::Data(data.clone()),
            BodyPacket::End => BodyEvent::End,
        };
        assert_eq!(self.server.receive(payload), Ok(event));
        body
    }

    fn head(&mut self, head: SendHeaders) -> Packet {
        let event = self.client.receive(ToWebServer::SendHeaders(head.clone()));
        assert_eq!(event, Ok(ClientEvent::Head(head.clone())));
        assert!(!self.server.is_responding());
        self.server
            .headers_sent(head.status(), head.content_length());
        assert_eq!(
            self.server.response_has_body(),
            self.client.response_has_body()
        );
        assert_eq!(self.server.response_left(), self.client.response_left());
        Packet::Head(head)
    }

    fn chunk(&mut self, data: &Bytes) -> ClientEvent {
        if !data.is_empty() {
            self.server.send_chunk(data.len()).unwrap();
        }
        let packet = ToWebServer::SendBodyChunk(data.clone());
        let event = self.client.receive(packet).unwrap();
        assert_eq!(self.server.response_left(), self.client.response_left());
        event
    }

    fn ask(&mut self, requested: u16) {
        let event = self.client.receive(ToWebServer::GetBodyChunk { requested });
        assert_eq!(event, Ok(ClientEvent::BodyRequested));
        if let Some(ask) = self.server.request_body() {
            assert_eq!(ask, get_body_chunk(requested));
        } else {
            assert!(self.server.is_body_complete() && !self.server.is_owed());
            assert_eq!(self.client.credit(), Some(0));
            self.surplus = true;
        }
    }

    fn end(&mut self, reuse: bool) -> Packet {
        let event = self.client.receive(ToWebServer::EndResponse { reuse });
        assert_eq!(event, Ok(ClientEvent::End));
        // With nothing owed the server machine offers to go on; a container may decline.
        assert_eq!(self.server.finish(), Finish::End { reuse: true });
        assert_eq!(self.client.credit(), None, "an ask was left unanswered");
        assert_eq!(self.client.is_reusable(), reuse);
        Packet::End { reuse }
    }
}
