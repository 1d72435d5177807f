//! A relay between a web server and a container with blocking sockets and a thread for each
//! connection, of nothing but the codec and the state machines, without any feature:
//! `cargo run --example relay_blocking -- 127.0.0.1:8010 127.0.0.1:8009`. It prints each request.

use ajp::proto::{BodyEvent, ClientEvent, ClientExchange, Idle, IdleEvent, ServerExchange};
use ajp::wire::{
    ContainerCodec, ForwardRequest, FromWebServer, PacketSize, ToWebServer, WebServerCodec,
};
use bytes::{Bytes, BytesMut};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

type Error = Box<dyn std::error::Error>;
type Exchanged = Result<Option<ServerExchange>, Error>;
const SIZE: PacketSize = PacketSize::DEFAULT;

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let listener = TcpListener::bind(args.next().unwrap_or("127.0.0.1:8010".into()))?;
    let to = args.next().unwrap_or("127.0.0.1:8009".into());
    println!("ajp://{} relays to {to}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, to) = (stream?, to.clone());
        std::thread::spawn(move || {
            let web = Peer(stream, BytesMut::new(), ContainerCodec::new(SIZE));
            if let Err(error) = connection(web, &to) {
                eprintln!("closed: {error}");
            }
        });
    }
    Ok(())
}

/// All requests of one connection, over one connection to the container.
fn connection(mut web: Web, to: &str) -> Result<(), Error> {
    let stream = TcpStream::connect(to)?;
    let mut container = Peer(stream, BytesMut::new(), WebServerCodec::new(SIZE));
    let mut idle = Idle::new();
    while let Some(packet) = web.read()? {
        match idle.receive_packet(packet) {
            IdleEvent::Request(request) => {
                println!("{request}");
                let exchange = exchange(&mut web, &mut container, request)?;
                let Some(exchange) = exchange else { break };
                idle.exchange_ended(&exchange);
            }
            IdleEvent::CPing => web.write(ToWebServer::CPong)?,
            IdleEvent::StrayEmpty => {}
            IdleEvent::BadRequest(error) => return Err(error.into()),
            IdleEvent::Close(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// One request and its response; `None` when the connections cannot be used again.
fn exchange(web: &mut Web, container: &mut Container, request: ForwardRequest) -> Exchanged {
    // To the web server this is the container, to the container the web server.
    let mut front = ServerExchange::for_request(&request, SIZE);
    let mut back = ClientExchange::for_request(&request, SIZE);
    container.write(request.into())?;
    back.request_written();
    let mut body = Bytes::new();
    loop {
        // A body packet is due: of what has come, or the end, or else it is asked for.
        if let Some(most) = back.credit() {
            if !body.is_empty() {
                container.write(back.data_packet(body.split_to(body.len().min(most)))?)?;
            } else if front.is_body_complete() {
                container.write(back.end_packet()?)?;
            } else if let Some(ask) = front.request_body_packet() {
                web.write(ask)?;
            }
        }
        // Without a body packet the container may wait for ever, so it is waited for first.
        if back.credit().is_some() && front.is_owed() {
            let packet = web.read()?.ok_or("the web server closed")?;
            if let BodyEvent::Data(data) = front.receive_packet(packet)? {
                body = data;
            }
            continue;
        }
        match back.receive(container.read()?.ok_or("the container closed")?)? {
            ClientEvent::Head(head) => web.write(front.head_packet(head))?,
            ClientEvent::Data(data) => web.write(front.chunk_packet(data)?)?,
            ClientEvent::Flush => web.write(ToWebServer::SendBodyChunk(Bytes::new()))?,
            ClientEvent::BodyRequested | ClientEvent::Ignored => {}
            ClientEvent::End => break,
        }
    }
    let end = loop {
        if let Some(end) = front.end_packet(back.is_reusable()) {
            break end;
        }
        // A body packet that nobody wants any more is still on its way.
        front.receive_packet(web.read()?.ok_or("the web server closed")?)?;
    };
    let reuse = end == ToWebServer::EndResponse { reuse: true };
    web.write(end)?;
    Ok(reuse.then_some(front))
}

/// A stream, what was read of it, and how to read and write packets.
struct Peer<C>(TcpStream, BytesMut, C);
type Web = Peer<ContainerCodec>;
type Container = Peer<WebServerCodec>;

impl<C> Peer<C> {
    /// The next packet; `None` when the peer closed between two.
    fn next<T>(
        &mut self,
        decode: impl Fn(&mut C, &mut BytesMut) -> Result<Option<T>, ajp::wire::DecodeError>,
    ) -> Result<Option<T>, Error> {
        let mut chunk = [0; 8192];
        loop {
            if let Some(packet) = decode(&mut self.2, &mut self.1)? {
                return Ok(Some(packet));
            }
            match self.0.read(&mut chunk)? {
                0 if self.1.is_empty() => return Ok(None),
                0 => return Err("closed within a packet".into()),
                n => self.1.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
        }
    }
}

impl Web {
    fn read(&mut self) -> Result<Option<FromWebServer>, Error> {
        self.next(ContainerCodec::decode_packet)
    }

    fn write(&mut self, packet: ToWebServer) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        self.2.encode_packet(packet, &mut buffer)?;
        Ok(self.0.write_all(&buffer)?)
    }
}

impl Container {
    fn read(&mut self) -> Result<Option<ToWebServer>, Error> {
        self.next(WebServerCodec::decode_packet)
    }

    fn write(&mut self, packet: FromWebServer) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        self.2.encode_packet(packet, &mut buffer)?;
        Ok(self.0.write_all(&buffer)?)
    }
}
