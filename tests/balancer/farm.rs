//! Containers in memory, each in its mood, and a balancer over them.

use super::packets::{chunk, head, response};
use ajp::balancer::{
    Balancer, BalancerConfig, BalancerError, Discovered, Member, MemberSnapshot, Served,
};
use ajp::client::{Connect, Connecting, Pool, PoolConfig, Transport};
use ajp::wire::{
    AttributeCode, BodyFraming, BodyPacket, CPONG, DecodeOptions, Direction, ForwardRequest,
    PacketSize, ToContainer, get_body_chunk, split_packet,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::sleep;

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers everything.
    Well,
    /// Killed: connections break, new ones are refused.
    Dead,
    /// Packets get lost: nothing is answered, not even a connection attempt.
    Lost,
    /// Answers CPing; closes when a request has come.
    Chokes,
    /// As `Chokes`, and takes 100 ms to answer CPing.
    ChokesSlowly,
    /// As `Chokes`, after it has taken the request body.
    ChokesOnBody,
    /// Answers CPing and requests with bytes that are no packets.
    Babbles,
    /// Answers CPing; requests wait for it to be well.
    Silent,
    /// Answers with this status.
    Status(u16),
    /// Answers half a body and closes.
    BreaksOff,
    /// Answers the head and waits for a change of mood.
    Stalls,
    /// Answers 403 and closes, as Tomcat does when the secret is wrong.
    Refuses,
    /// Answers, and begins the session `new` with its name as route.
    NewSession,
    /// Answers the head before it asks for the request body.
    AnswersEarly,
    /// Is 20 ms away, takes 100 ms for a request and ends the connection with it.
    FarAndSlow,
    /// Takes 3 s to answer CPing, and nothing to answer requests: all its threads are at work.
    Busy,
}

/// A request that a container has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) uri: String,
    pub(crate) body: Vec<u8>,
    pub(crate) route: Option<String>,
    pub(crate) activation: Option<String>,
}

pub(crate) struct Container {
    name: String,
    mood: watch::Sender<Mood>,
    seen: Mutex<Vec<Seen>>,
    connects: AtomicUsize,
    pings: AtomicUsize,
}

impl Container {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            mood: watch::Sender::new(Mood::Well),
            seen: Mutex::default(),
            connects: AtomicUsize::new(0),
            pings: AtomicUsize::new(0),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    fn mood(&self) -> Mood {
        *self.mood.borrow()
    }

    /// Requests read since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Connections attempted so far.
    pub(crate) fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }

    /// Probes answered so far.
    pub(crate) fn pings(&self) -> usize {
        self.pings.load(Ordering::SeqCst)
    }

    fn open(self: Arc<Self>) -> Transport {
        let (ours, theirs) = duplex(64 * 1024);
        tokio::spawn(self.serve(theirs));
        Transport::new(ours)
    }

    /// Serves one connection until it closes or the container dies.
    async fn serve(self: Arc<Self>, io: DuplexStream) {
        let mut mood = self.mood.subscribe();
        let mut conn = Conn {
            io,
            buffer: BytesMut::new(),
        };
        tokio::select! {
            _ = self.converse(&mut conn) => {}
            _ = mood.wait_for(|mood| *mood == Mood::Dead) => {}
        }
    }

    async fn converse(&self, conn: &mut Conn) -> Option<()> {
        loop {
            let payload = conn.payload().await?;
            if self.mood() == Mood::Lost {
                std::future::pending::<()>().await;
            }
            match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
                ToContainer::CPing => {
                    match self.mood() {
                        Mood::Busy => sleep(Duration::from_secs(3)).await,
                        Mood::ChokesSlowly => sleep(Duration::from_millis(100)).await,
                        _ => {}
                    }
                    self.pings.fetch_add(1, Ordering::SeqCst);
                    conn.write(&CPONG).await?;
                }
                ToContainer::ForwardRequest(request) => self.answer(conn, &request).await?,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn answer(&self, conn: &mut Conn, request: &ForwardRequest) -> Option<()> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut seen = Seen {
            uri: text(request.req_uri()),
            body: Vec::new(),
            route: None,
            activation: None,
        };
        seen.route = request.attribute(AttributeCode::Route).map(text);
        seen.activation = request.req_attribute(b"JK_LB_ACTIVATION").map(text);
        let mood = self.mood();
        if mood == Mood::AnswersEarly {
            conn.write(&head(200, &[])).await?;
        }
        if !matches!(mood, Mood::Chokes | Mood::ChokesSlowly) {
            seen.body = conn.body(request).await?;
        }
        self.seen.lock().unwrap().push(seen);
        match mood {
            Mood::Well | Mood::Busy => conn.write(&response(&self.name, 1)).await,
            Mood::Refuses => {
                let mut answer = head(403, &[]);
                answer.extend([0x41, 0x42, 0, 2, 5, 0]);
                conn.write(&answer).await?;
                None
            }
            Mood::NewSession => {
                let cookie = format!("JSESSIONID=new.{}; Path=/app; HttpOnly", self.name);
                let mut answer = head(200, &[("set-cookie", &cookie)]);
                answer.extend(chunk(self.name.as_bytes()));
                answer.extend([0x41, 0x42, 0, 2, 5, 1]);
                conn.write(&answer).await
            }
            Mood::Status(status) => {
                let length = self.name.len().to_string();
                let mut answer = head(status, &[("content-length", &length)]);
                answer.extend(chunk(self.name.as_bytes()));
                answer.extend([0x41, 0x42, 0, 2, 5, 1]);
                conn.write(&answer).await
            }
            Mood::Chokes | Mood::ChokesSlowly | Mood::ChokesOnBody | Mood::Dead | Mood::Lost => {
                None
            }
            Mood::Babbles => {
                conn.write(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                None
            }
            Mood::Silent => {
                let mut changes = self.mood.subscribe();
                changes.wait_for(|mood| *mood == Mood::Well).await.ok()?;
                conn.write(&response(&self.name, 1)).await
            }
            Mood::AnswersEarly => {
                let mut rest = chunk(self.name.as_bytes());
                rest.extend([0x41, 0x42, 0, 2, 5, 1]);
                conn.write(&rest).await
            }
            Mood::FarAndSlow => {
                sleep(Duration::from_millis(100)).await;
                let mut answer = response(&self.name, 1);
                if let Some(reuse) = answer.last_mut() {
                    *reuse = 0;
                }
                conn.write(&answer).await?;
                None
            }
            Mood::BreaksOff => {
                let mut answer = head(200, &[("content-length", "10")]);
                answer.extend(chunk(b"half"));
                conn.write(&answer).await?;
                None
            }
            Mood::Stalls => {
                let length = self.name.len().to_string();
                conn.write(&head(200, &[("content-length", &length)]))
                    .await?;
                let mut changes = self.mood.subscribe();
                changes.wait_for(|now| *now != mood).await.ok()?;
                let mut rest = chunk(self.name.as_bytes());
                rest.extend([0x41, 0x42, 0, 2, 5, 1]);
                conn.write(&rest).await
            }
        }
    }
}

struct Conn {
    io: DuplexStream,
    buffer: BytesMut,
}

impl Conn {
    async fn payload(&mut self) -> Option<Bytes> {
        loop {
            let size = PacketSize::DEFAULT;
            // As Tomcat, it closes when a packet is longer than its packet size.
            let packet = split_packet(&mut self.buffer, Direction::ToContainer, size);
            if let Some(payload) = packet.ok()? {
                return Some(payload);
            }
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn body(&mut self, request: &ForwardRequest) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        let mut owed = request.framing().is_eager();
        loop {
            match request.framing() {
                BodyFraming::Absent => return Some(body),
                BodyFraming::Length(n) if n == body.len() as u64 => return Some(body),
                BodyFraming::Length(_) | BodyFraming::Chunked => {}
            }
            if !owed {
                self.write(&get_body_chunk(8186)).await?;
            }
            owed = false;
            match BodyPacket::parse(&self.payload().await?).unwrap() {
                BodyPacket::Data(data) => body.extend(data),
                BodyPacket::End => return Some(body),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.io.write_all(bytes).await.ok()
    }
}

struct Dial(Arc<Container>);

impl Connect for Dial {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            self.0.connects.fetch_add(1, Ordering::SeqCst);
            match self.0.mood() {
                Mood::Dead => Err(io::ErrorKind::ConnectionRefused.into()),
                Mood::Lost => std::future::pending().await,
                Mood::FarAndSlow => {
                    sleep(Duration::from_millis(20)).await;
                    Ok(Arc::clone(&self.0).open())
                }
                _ => Ok(Arc::clone(&self.0).open()),
            }
        })
    }

    fn describe(&self) -> String {
        format!("ajp://{}", self.0.name)
    }
}

pub(crate) struct Farm {
    pub(crate) balancer: Balancer,
    pub(crate) containers: Vec<Arc<Container>>,
    pub(crate) pool: PoolConfig,
}

impl Farm {
    /// Members `a`, `b` and so on, each with its name as route.
    pub(crate) fn new(count: usize, config: BalancerConfig) -> Self {
        Self::with_pools(count, config, PoolConfig::default())
    }

    pub(crate) fn with_pools(count: usize, config: BalancerConfig, pool: PoolConfig) -> Self {
        let mut farm = Self {
            balancer: Balancer::new(config.with_own_requests(true)),
            containers: Vec::new(),
            pool,
        };
        for n in 0..count {
            let name = ["a", "b", "c", "d", "e"][n];
            farm.add(Member::new(name).with_route(name));
        }
        farm
    }

    pub(crate) fn add(&mut self, member: Member) {
        let container = Container::new(member.name());
        let pool = Pool::new(Dial(Arc::clone(&container)), self.pool.clone());
        self.containers.push(container);
        self.balancer.add(member, pool).unwrap();
    }

    /// A member as a discovery tells it: of the container of this name that is there, or of a
    /// new one.
    pub(crate) fn discovered(&mut self, member: Member) -> Discovered {
        let mut known = self.containers.iter();
        let known = known.rfind(|container| container.name == member.name());
        let container = known.map_or_else(|| Container::new(member.name()), Arc::clone);
        let pool = Pool::new(Dial(Arc::clone(&container)), self.pool.clone());
        self.containers.push(container);
        self.containers
            .dedup_by(|one, other| Arc::ptr_eq(one, other));
        Discovered { member, pool }
    }

    pub(crate) fn of(&self, name: &str) -> &Arc<Container> {
        let mut all = self.containers.iter();
        all.rfind(|container| container.name == name).unwrap()
    }

    pub(crate) fn member(&self, name: &str) -> MemberSnapshot {
        let members = self.balancer.snapshot().members;
        members.into_iter().find(|m| m.name == name).unwrap()
    }

    /// A whole exchange: status, body, and who served it.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Result<Answer, BalancerError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let response = self.balancer.send(request).await?;
        Ok(whole(response).await)
    }

    pub(crate) async fn get(&self, uri: &str) -> Result<Answer, BalancerError> {
        self.send(get(uri)).await
    }

    /// Who answers a few requests, sorted, each once.
    pub(crate) async fn serving(&self) -> String {
        let mut names = Vec::new();
        for _ in 0..12 {
            names.push(self.get("/").await.unwrap().body);
        }
        names.sort();
        names.dedup();
        names.concat()
    }

    /// Nobody is busy, and no connection is in use.
    pub(crate) fn is_quiet(&self) {
        for member in self.balancer.snapshot().members {
            assert_eq!(member.busy, 0, "{member:?}");
            assert_eq!(member.pool.unwrap().in_use, 0, "{member:?}");
        }
    }
}

pub(crate) fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) served: Served,
    pub(crate) cookies: Vec<String>,
}

pub(crate) async fn whole(response: Response<ajp::balancer::BalancedBody>) -> Answer {
    let (parts, body) = response.into_parts();
    let served = body.served();
    let cookies = parts.headers.get_all("set-cookie").iter();
    let cookies = cookies.map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        body: String::from_utf8(body.to_vec()).unwrap(),
        served,
        cookies: cookies.collect(),
    }
}
