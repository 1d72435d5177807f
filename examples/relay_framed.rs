//! A relay between a web server and a container: `cargo run --example relay_framed --
//! 127.0.0.1:8010 127.0.0.1:8009`. It adds the secret of the container (environment variable
//! `AJP_SECRET`), which the web server need not know, and prints each request.
//!
//! The codecs cut the streams into packets; the two state machines know which packet may come
//! next. `relay_blocking` is the same without tokio.

use ajp::proto::{BodyEvent, ClientEvent, ClientExchange, Idle, IdleEvent, ServerExchange};
use ajp::wire::{
    Attribute, AttributeCode, ContainerCodec, EncodeError, ForwardRequest, PacketSize, ToWebServer,
    WebServerCodec,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::Framed;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Web = Framed<TcpStream, ContainerCodec>;
type Container = Framed<TcpStream, WebServerCodec>;
const SIZE: PacketSize = PacketSize::DEFAULT;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let listener = TcpListener::bind(args.next().unwrap_or("127.0.0.1:8010".into())).await?;
    let to = args.next().unwrap_or("127.0.0.1:8009".into());
    println!("ajp://{} relays to {to}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let to = to.clone();
        tokio::spawn(async move {
            let web = Framed::new(stream, ContainerCodec::new(SIZE));
            if let Err(error) = connection(web, &to).await {
                eprintln!("closed: {error}");
            }
        });
    }
}

/// All requests of one connection, over one connection to the container.
async fn connection(mut web: Web, to: &str) -> Result<(), Error> {
    let stream = TcpStream::connect(to).await?;
    let mut container = Framed::new(stream, WebServerCodec::new(SIZE));
    let mut idle = Idle::new();
    while let Some(packet) = web.next().await {
        match idle.receive_packet(packet?) {
            IdleEvent::Request(request) => {
                println!("{request}");
                let exchange = exchange(&mut web, &mut container, &request).await?;
                let Some(exchange) = exchange else { break };
                idle.exchange_ended(&exchange);
            }
            IdleEvent::CPing => web.send(ToWebServer::CPong).await?,
            IdleEvent::StrayEmpty => {}
            IdleEvent::BadRequest(error) => return Err(error.into()),
            IdleEvent::Close(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// One request and its response; `None` when the connections cannot be used again.
async fn exchange(
    web: &mut Web,
    container: &mut Container,
    request: &ForwardRequest,
) -> Result<Option<ServerExchange>, Error> {
    // To the web server this is the container, to the container the web server.
    let mut front = ServerExchange::for_request(request, SIZE);
    let mut back = ClientExchange::for_request(request, SIZE);
    container.send(with_secret(request)?.into()).await?;
    back.request_written();
    let mut body = Bytes::new();
    loop {
        // A body packet is due: of what has come, or the end, or else it is asked for.
        if let Some(most) = back.credit() {
            if !body.is_empty() {
                let part = body.split_to(body.len().min(most));
                container.send(back.data_packet(part)?).await?;
            } else if front.is_body_complete() {
                container.send(back.end_packet()?).await?;
            } else if let Some(ask) = front.request_body_packet() {
                web.send(ask).await?;
            }
        }
        tokio::select! {
            packet = web.next() => {
                let packet = packet.ok_or("the web server closed")??;
                if let BodyEvent::Data(data) = front.receive_packet(packet)? {
                    body = data;
                }
            }
            packet = container.next() => {
                match back.receive(packet.ok_or("the container closed")??)? {
                    ClientEvent::Head(head) => web.send(front.head_packet(head)).await?,
                    ClientEvent::Data(data) => web.send(front.chunk_packet(data)?).await?,
                    ClientEvent::Flush => web.send(ToWebServer::SendBodyChunk(Bytes::new())).await?,
                    ClientEvent::BodyRequested | ClientEvent::Ignored => {}
                    ClientEvent::End => break,
                }
            }
        }
    }
    loop {
        if let Some(end) = front.end_packet(back.is_reusable()) {
            let reuse = end == ToWebServer::EndResponse { reuse: true };
            web.send(end).await?;
            return Ok(reuse.then_some(front));
        }
        // A body packet that nobody wants any more is still on its way.
        let packet = web.next().await.ok_or("the web server closed")??;
        front.receive_packet(packet)?;
    }
}

/// The request as it came, but for the secret.
fn with_secret(request: &ForwardRequest) -> Result<ForwardRequest, EncodeError> {
    let Ok(secret) = std::env::var("AJP_SECRET") else {
        return Ok(request.clone());
    };
    ForwardRequest::build(SIZE, &request.line(), |writer| {
        for header in request.headers() {
            writer.header(header.name, header.value)?;
        }
        let coded = |code, value| Attribute::Coded { code, value };
        writer.attribute(coded(AttributeCode::Secret, Some(secret.as_bytes())))?;
        for attribute in request.attributes() {
            match attribute {
                // The method is written with the line.
                Attribute::Coded {
                    code: AttributeCode::Secret | AttributeCode::StoredMethod,
                    ..
                } => {}
                other => writer.attribute(other)?,
            }
        }
        Ok(())
    })
}
