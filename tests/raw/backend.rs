//! A container that does what a script says, and a client of ours that talks to it.

use super::packets::response;
use super::{PATIENCE, soon};
use ajp::client::{
    Address, CPingMode, Client, ClientError, ErrorKind, Pool, PoolConfig, ResponseBody, Retry,
    Timeouts,
};
use ajp::proto::Progress;
use ajp::wire::{
    BodyPacket, CPONG, DecodeOptions, Direction, ForwardRequest, PacketSize, ToContainer,
    get_body_chunk, split_packet,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::error::Error as _;
use std::future::Future;
use std::io::ErrorKind as Io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One connection in the container, driven by hand.
pub(crate) struct Conn<S = TcpStream> {
    pub(crate) stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next payload; `None` when the client has closed.
    pub(crate) async fn payload(&mut self) -> Option<Bytes> {
        loop {
            let split = split_packet(
                &mut self.buffer,
                Direction::ToContainer,
                PacketSize::DEFAULT,
            );
            if let Some(payload) = split.unwrap() {
                return Some(payload);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), Io::ConnectionReset | Io::BrokenPipe) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next request; probes are answered on the way.
    pub(crate) async fn request(&mut self) -> Option<ForwardRequest> {
        loop {
            let payload = self.payload().await?;
            match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
                ToContainer::ForwardRequest(request) => return Some(request),
                ToContainer::CPing => self.write(&CPONG).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The rest of a request body, `None` when the client closes before its end.
    pub(crate) async fn body(&mut self, request: &ForwardRequest) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        let mut owed = request.framing().is_eager();
        loop {
            if request.framing().length() == Some(body.len() as u64) {
                return Some(body);
            }
            if !owed {
                self.write(&get_body_chunk(8186)).await;
            }
            owed = false;
            match BodyPacket::parse(&self.payload().await?).unwrap() {
                BodyPacket::Data(data) => body.extend(data),
                BodyPacket::End => return Some(body),
            }
        }
    }

    /// Writes; that the client may be gone is its right.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Answers every request with its own token, until the client closes.
    pub(crate) async fn serve_well(mut self) {
        while let Some(request) = self.request().await {
            let token = token(&request);
            if self.body(&request).await.is_none() {
                return;
            }
            self.write(&response(&token, 1)).await;
        }
    }

    /// Answers every further request wrongly, until the client closes: whoever uses this
    /// connection again is found out.
    pub(crate) async fn poison(mut self) {
        while self.payload().await.is_some() {
            self.write(&response("poison", 1)).await;
        }
    }

    /// Waits for the client to close.
    pub(crate) async fn silent(mut self) {
        while self.payload().await.is_some() {}
    }
}

impl Conn {
    /// Waits for bytes and then resets the connection by leaving them unread.
    pub(crate) async fn reset(self) {
        assert!(self.buffer.is_empty());
        let _ = self.stream.peek(&mut [0]).await;
    }
}

/// What a request asks to be answered with.
pub(crate) fn token(request: &ForwardRequest) -> String {
    String::from_utf8(request.req_uri()[1..].to_vec()).unwrap()
}

/// A container whose connections do what `script` says; it is given their number.
pub(crate) struct Backend {
    pub(crate) client: Client,
    url: String,
    accepted: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) async fn start<F>(
        config: PoolConfig,
        script: impl Fn(usize, Conn) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let url = address.to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Conn::new(stream)));
            }
        });
        Self {
            client: Client::for_own_requests(Pool::new(address, config)),
            url,
            accepted,
        }
    }

    /// The first connection answers its first request with these bytes and then poisons
    /// or closes; all others behave.
    pub(crate) async fn answering(bytes: Vec<u8>, then: Then) -> Self {
        Self::start(config(), move |number, mut conn| {
            let bytes = bytes.clone();
            async move {
                if number > 0 {
                    return conn.serve_well().await;
                }
                let request = conn.request().await.unwrap();
                if request.framing().is_eager() {
                    conn.payload().await;
                }
                conn.write(&bytes).await;
                match then {
                    Then::Poison => conn.poison().await,
                    Then::Close => {}
                }
            }
        })
        .await
    }

    /// Where the container is, for a gateway before it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that wait in the pool, after a check that none is in use.
    pub(crate) fn idle(&self) -> usize {
        let stats = self.client.pool().stats();
        assert_eq!(stats.in_use, 0, "{stats:?}");
        stats.idle
    }

    pub(crate) async fn get(&self, token: &str) -> Result<(u16, String), Failure> {
        let uri = format!("/{token}");
        self.send(Request::get(uri).body(Empty::<Bytes>::new()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, token: &str, body: Bytes) -> Result<(u16, String), Failure> {
        let uri = format!("/{token}");
        self.send(Request::post(uri).body(Full::new(body)).unwrap())
            .await
    }

    /// A whole exchange.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Result<(u16, String), Failure>
    where
        B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        let response = soon("a response", self.client.send(request)).await?;
        Ok(whole(response).await?)
    }

    /// A good exchange: the answer is the request's own.
    pub(crate) async fn well(&self, token: &str) {
        assert_eq!(self.get(token).await, Ok((200, token.into())));
    }
}

async fn whole(response: Response<ResponseBody>) -> Result<(u16, String), ClientError> {
    let status = response.status().as_u16();
    let body = soon("a body", response.into_body().collect())
        .await?
        .to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Poison,
    Close,
}

/// An error, as far as callers can act on it, and its cause in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) retry: Retry,
    pub(crate) progress: Progress,
    pub(crate) cause: String,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self {
            kind: error.kind(),
            retry: error.retry(),
            progress: error.progress(),
            cause: error.source().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// No probes, and limits that only a bug runs into.
pub(crate) fn config() -> PoolConfig {
    PoolConfig::default()
        .with_cping(CPingMode::NEVER)
        .with_timeouts(limits())
}

pub(crate) fn limits() -> Timeouts {
    Timeouts::default()
        .with_response_head(PATIENCE * 6)
        .with_between_packets(PATIENCE * 6)
        .with_write(PATIENCE * 6)
}

impl Backend {
    /// A client alone; its container is elsewhere.
    pub(crate) fn around(client: Client) -> Self {
        Self {
            client,
            url: String::new(),
            accepted: Arc::default(),
        }
    }

    /// As [`answering`](Self::answering), without waiting for an eager packet.
    pub(crate) async fn answering_head(bytes: Vec<u8>) -> Self {
        Self::start(config(), move |number, mut conn| {
            let bytes = bytes.clone();
            async move {
                if number > 0 {
                    return conn.serve_well().await;
                }
                conn.request().await.unwrap();
                conn.write(&bytes).await;
                conn.poison().await;
            }
        })
        .await
    }
}
