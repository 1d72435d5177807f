//! The servers that the benches put behind what they measure, each in a process of its own.

pub(crate) mod client;
pub(crate) mod copy;
pub(crate) mod data;
pub(crate) mod pair;
pub(crate) mod relay;

use ajp::server::{ServerConfig, Trust};
use ajp::wire::{DecodeOptions, PacketSize};
use bytes::Bytes;
use data::Data;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use std::convert::Infallible;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Set in a server's process: which protocol it speaks.
pub(crate) const SERVE: &str = "AJP_BENCH_SERVE";

/// Set in a server's process: how many workers it has; one thread without.
const WORKERS: &str = "AJP_BENCH_WORKERS";

/// Set in a server's process: at how many addresses it listens; one without.
const ADDRESSES: &str = "AJP_BENCH_ADDRESSES";

/// An application in axum over AJP, and the same over HTTP.
pub(crate) const AXUM_AJP: &str = "axum-ajp";
pub(crate) const AXUM_HTTP: &str = "axum-http";

/// Paths of answers of any length: the length follows.
pub(crate) const MANY: &str = "/many/";

/// Headers of a request; both protocols' default is 100, and AJP adds one.
const MOST_HEADERS: u16 = 128;

/// What an application gives at a time of a body of many frames.
pub(crate) const FRAME: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// With so many body packets asked for at a time.
    Ajp(PacketSize, u16),
    Http1,
}

/// What larger answers are parts of.
static LARGE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b'd'; 10 << 20]));

/// Names of the protocols, as the environment and the tables have them.
pub(crate) const PROTOCOLS: [(&str, Protocol); 3] = [
    ("ajp", Protocol::Ajp(PacketSize::DEFAULT, 1)),
    ("ajp-65536", Protocol::Ajp(PacketSize::MAX, 1)),
    ("hyper", Protocol::Http1),
];

/// Where a container may ask for body ahead.
pub(crate) const AHEAD: [(&str, Protocol); 2] = [
    ("ajp-ahead", Protocol::Ajp(PacketSize::DEFAULT, 32)),
    ("ajp-65536-ahead", Protocol::Ajp(PacketSize::MAX, 16)),
];

pub(crate) fn protocol(name: &str) -> Protocol {
    let mut all = PROTOCOLS.iter().chain(&AHEAD);
    all.find(|(known, _)| *known == name).unwrap().1
}

/// A server's process. It ends with this value.
pub(crate) struct Server {
    pub(crate) address: String,
    child: Child,
}

impl Server {
    /// Starts this program once more, as a server with so many workers.
    pub(crate) fn start(name: &str, workers: usize) -> Self {
        Self::start_before(name, workers, "")
    }

    /// As [`start`](Self::start), one that has a server behind it.
    pub(crate) fn start_before(name: &str, workers: usize, to: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env(SERVE, name)
            .env(WORKERS, workers.to_string())
            .env(relay::TO, to);
        Self::of(command)
    }

    /// As [`start`](Self::start), with one thread, at so many addresses ([`member_address`]).
    pub(crate) fn start_with_addresses(name: &str, count: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(SERVE, name).env(ADDRESSES, count.to_string());
        Self::of(command)
    }

    /// As [`start`](Self::start), with one thread, by a command that runs this program.
    pub(crate) fn start_by(mut command: Command, name: &str) -> Self {
        command.env(SERVE, name);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            address: address.trim().to_owned(),
            child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// In a process that was started as a server: runs it to its end.
pub(crate) fn serve_if_asked() -> bool {
    let Ok(name) = std::env::var(SERVE) else {
        return false;
    };
    let workers = std::env::var(WORKERS).map_or(0, |workers| workers.parse().unwrap());
    let runtime = runtime(workers);
    if name == copy::NAME {
        runtime.block_on(copy::serve());
    } else if relay::NAMES.contains(&&*name) {
        runtime.block_on(relay::serve(&name));
    } else if [AXUM_AJP, AXUM_HTTP].contains(&&*name) {
        runtime.block_on(serve_axum(&name));
    } else {
        runtime.block_on(serve(protocol(&name)));
    }
    // The process ends; connections are not taken apart first.
    std::mem::forget(runtime);
    true
}

/// Bytes of a body, which is dropped as it comes.
pub(crate) async fn drain<B: Body<Data = Bytes, Error: Debug> + Unpin>(mut body: B) -> usize {
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        len += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    len
}

/// A runtime with so many workers, or one of this thread if 0.
pub(crate) fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .worker_threads(workers.max(1))
        .enable_all()
        .build()
        .unwrap()
}

/// Ends when the process that has started this one is gone, or wants it to end.
pub(crate) async fn parent_gone() {
    let read = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(read).await;
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

/// The address of a member: each has one of its own on this machine, with the same port.
pub(crate) fn member_address(first: &str, member: usize) -> SocketAddr {
    let first: SocketAddr = first.parse().unwrap();
    let part = |number: usize| u8::try_from(number).expect("fewer than 64 000 members");
    let (high, low) = (part(member / 250), part(member % 250));
    SocketAddr::from((Ipv4Addr::new(127, 0, high, low + 1), first.port()))
}

/// Serves at the address that is printed, and at those of more members where it is asked to.
async fn serve(protocol: Protocol) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = std::env::var(ADDRESSES).map_or(1, |count| count.parse().unwrap());
    for member in 1..count {
        let member = member_address(&address, member);
        let listener = TcpListener::bind(member).await.unwrap();
        tokio::spawn(serve_at(listener, protocol));
    }
    println!("{address}");
    tokio::select! {
        () = serve_at(listener, protocol) => {}
        () = parent_gone() => {}
    }
}

/// What Tomcat's servlet says too.
async fn serve_axum(name: &str) {
    let hello = axum::routing::get(|| async { "Hello, AJP!\n" });
    let app = axum::Router::new().route("/app/hello", hello);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    if name == AXUM_HTTP {
        let listener = axum::serve::ListenerExt::tap_io(listener, |tcp| {
            tcp.set_nodelay(true).unwrap();
        });
        tokio::select! {
            served = std::future::IntoFuture::into_future(axum::serve(listener, app)) => served.unwrap(),
            () = parent_gone() => {}
        }
    } else {
        let server = ajp::server::serve(listener, app).trusted_network();
        tokio::select! {
            () = std::future::IntoFuture::into_future(server) => {}
            () = parent_gone() => {}
        }
    }
}

async fn serve_at(listener: TcpListener, protocol: Protocol) {
    let small = Bytes::from_static(b"Hello, world!");
    let large = LARGE.clone();
    let app = tower::service_fn(move |request: Request<_>| {
        let (small, large) = (small.clone(), large.clone());
        answer(request, small, large)
    });
    match protocol {
        Protocol::Ajp(size, ahead) => {
            let config = ServerConfig::new(Trust::TrustedNetwork)
                .with_packet_size(size)
                .with_body_requests(ahead)
                .with_decode_options(DecodeOptions::default().with_max_headers(MOST_HEADERS));
            let server = ajp::server::serve(listener, app).with_config(config);
            std::future::IntoFuture::into_future(server).await;
        }
        Protocol::Http1 => {
            let small = Bytes::from_static(b"Hello, world!");
            let large = LARGE.clone();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (small, large) = (small.clone(), large.clone());
                tokio::spawn(async move {
                    let app = hyper::service::service_fn(move |request| {
                        answer(request, small.clone(), large.clone())
                    });
                    hyper::server::conn::http1::Builder::new()
                        .max_headers(MOST_HEADERS.into())
                        .serve_connection(TokioIo::new(stream), app)
                        .await
                });
            }
        }
    }
}

async fn answer<B>(
    request: Request<B>,
    small: Bytes,
    large: Bytes,
) -> Result<Response<Data>, Infallible>
where
    B: Body<Data = Bytes, Error: Debug> + Unpin,
{
    let (parts, body) = request.into_parts();
    drain(body).await;
    let data = match parts.uri.path() {
        "/small" => small,
        "/100k" => large.slice(..100 << 10),
        "/10m" => large,
        path if path.starts_with(MANY) => {
            let len = path[MANY.len()..].parse().unwrap();
            return Ok(Response::new(Data::new(large.slice(..FRAME), len)));
        }
        "/wait" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            small
        }
        "/cpu" => own_cpu().as_nanos().to_string().into(),
        _ => {
            let mut response = Response::new(Bytes::new().into());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let response = Response::builder()
        .header("content-type", "text/plain")
        .header("cache-control", "no-store");
    Ok(response.body(data.into()).unwrap())
}
