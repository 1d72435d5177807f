//! Client and server over loopback, each in a process of its own: this crate's against
//! hyper's with HTTP/1.1, on the same requests.
//!
//! After criterion's times a table tells the CPU time of both processes per request, from
//! rounds that take turns.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark of our own data"
)]

mod servers;

use ajp::client::{Address, Client, Pool, PoolConfig};
use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioExecutor;
use servers::{PROTOCOLS, Protocol, Server, drain, own_cpu, runtime};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Requests that run at the same time, each on a connection of its own.
const CALLERS: u64 = 16;

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    path: &'static str,
    upload: usize,
    download: usize,
    /// Requests of one round of the CPU table.
    requests: u64,
}

const CASES: [Case; 4] = [
    Case {
        name: "get",
        path: "/small",
        upload: 0,
        download: 13,
        requests: 20_000,
    },
    Case {
        name: "post-10k",
        path: "/small",
        upload: 10 << 10,
        download: 13,
        requests: 10_000,
    },
    Case {
        name: "get-100k",
        path: "/100k",
        upload: 0,
        download: 100 << 10,
        requests: 5_000,
    },
    Case {
        name: "get-10m",
        path: "/10m",
        upload: 0,
        download: 10 << 20,
        requests: 50,
    },
];

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    let pairs = PROTOCOLS.map(|(name, protocol)| Pair::start(name, protocol));
    let mut criterion = Criterion::default().configure_from_args();
    time(&mut criterion, &pairs);
    criterion.final_summary();
    // `cargo test --benches` and a choice of ids do without.
    if std::env::args().any(|arg| arg == "--bench") {
        cpu_table(&pairs);
    }
}

fn time(criterion: &mut Criterion, pairs: &[Pair]) {
    for case in CASES {
        let mut group = criterion.benchmark_group(format!("end_to_end/{}", case.name));
        group
            .sample_size(20)
            .sampling_mode(SamplingMode::Flat)
            .throughput(Throughput::Bytes((case.upload + case.download) as u64));
        for pair in pairs {
            group.bench_function(pair.name, |b| b.iter_custom(|count| pair.run(case, count)));
        }
    }
}

/// CPU time of client and server per request: medians of rounds that take turns.
fn cpu_table(pairs: &[Pair]) {
    const ROUNDS: usize = 9;
    println!("\nCPU time per request, client + server, median of {ROUNDS} rounds in turns");
    for case in CASES {
        let mut rounds = vec![Vec::new(); pairs.len()];
        for _ in 0..ROUNDS {
            for (pair, times) in pairs.iter().zip(&mut rounds) {
                let before = pair.cpu();
                pair.run(case, case.requests);
                let spent = pair.cpu().saturating_sub(before);
                times.push(spent.as_secs_f64() * 1e6 / case.requests as f64);
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let medians: Vec<f64> = rounds.iter_mut().map(median).collect();
        let hyper = *medians.last().unwrap();
        for (pair, time) in pairs.iter().zip(&medians) {
            println!(
                "{:10} {:10} {time:10.1} us   {:5.2} of hyper's requests per CPU second",
                case.name,
                pair.name,
                hyper / time
            );
        }
    }
}

/// A client in this process and a server in another.
struct Pair {
    name: &'static str,
    runtime: Runtime,
    client: AnyClient,
    /// Last, so that the client is gone before it.
    _server: Server,
}

#[derive(Clone)]
enum AnyClient {
    Ajp(Client),
    Http1(Box<Hyper>, String),
}

type Hyper = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    Full<Bytes>,
>;

impl Pair {
    fn start(name: &'static str, protocol: Protocol) -> Self {
        let server = Server::start(name);
        let address = &server.address;
        let client = match protocol {
            Protocol::Ajp(size) => {
                let config = PoolConfig::default().packet_size(size);
                let address: Address = address.parse().unwrap();
                AnyClient::Ajp(Client::new(Pool::new(address, config)))
            }
            Protocol::Http1 => {
                let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
                connector.set_nodelay(true);
                let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                    .build(connector);
                AnyClient::Http1(Box::new(client), format!("http://{address}"))
            }
        };
        Self {
            name,
            runtime: runtime(),
            client,
            _server: server,
        }
    }

    /// The time that so many requests take.
    fn run(&self, case: Case, count: u64) -> Duration {
        self.runtime.block_on(async {
            let upload = Bytes::from(vec![b'u'; case.upload]);
            let start = Instant::now();
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let share = count / CALLERS + u64::from(caller < count % CALLERS);
                    let (client, upload) = (self.client.clone(), upload.clone());
                    tokio::spawn(async move {
                        for _ in 0..share {
                            let received = client.call(case.path, upload.clone()).await;
                            assert_eq!(received, case.download);
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
            start.elapsed()
        })
    }

    /// CPU time of both processes so far.
    fn cpu(&self) -> Duration {
        let server = self.runtime.block_on(async {
            let body = self.client.response("/cpu", Bytes::new()).await;
            String::from_utf8(body.to_vec()).unwrap()
        });
        own_cpu() + Duration::from_nanos(server.parse().unwrap())
    }
}

impl AnyClient {
    /// Bytes of the response's body.
    async fn call(&self, path: &str, upload: Bytes) -> usize {
        match self {
            Self::Ajp(client) => {
                let response = client.send(request("", path, upload)).await.unwrap();
                drain(response.into_body()).await
            }
            Self::Http1(client, base) => {
                let response = client.request(request(base, path, upload)).await.unwrap();
                drain(response.into_body()).await
            }
        }
    }

    async fn response(&self, path: &str, upload: Bytes) -> Bytes {
        match self {
            Self::Ajp(client) => {
                let response = client.send(request("", path, upload)).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            }
            Self::Http1(client, base) => {
                let response = client.request(request(base, path, upload)).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            }
        }
    }
}

fn request(base: &str, path: &str, upload: Bytes) -> Request<Full<Bytes>> {
    let method = if upload.is_empty() { "GET" } else { "POST" };
    Request::builder()
        .method(method)
        .uri(format!("{base}{path}"))
        .header("host", "www.shop.example")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        )
        .header(
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        )
        .header("accept-encoding", "gzip, deflate, br")
        .header("accept-language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7")
        .header("referer", "http://www.shop.example/app/start?page=1")
        .header(
            "cookie",
            "theme=dark; JSESSIONID=0123456789ABCDEF0123456789ABCDEF.jvm1",
        )
        .body(Full::new(upload))
        .unwrap()
}
