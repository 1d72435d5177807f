//! The clients that the benches compare, and what they ask for.

use super::{Protocol, drain};
use ajp::client::{Address, Client, Pool, PoolConfig};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    path: &'static str,
    pub(crate) upload: usize,
    pub(crate) download: usize,
}

pub(crate) const CASES: [Case; 4] = [
    Case {
        name: "get",
        path: "/small",
        upload: 0,
        download: 13,
    },
    Case {
        name: "post-10k",
        path: "/small",
        upload: 10 << 10,
        download: 13,
    },
    Case {
        name: "get-100k",
        path: "/100k",
        upload: 0,
        download: 100 << 10,
    },
    Case {
        name: "get-10m",
        path: "/10m",
        upload: 0,
        download: 10 << 20,
    },
];

/// Answered after a while, so that all callers need a connection of their own.
pub(crate) const WAIT: Case = Case {
    name: "wait",
    path: "/wait",
    upload: 0,
    download: 13,
};

#[derive(Clone)]
pub(crate) enum AnyClient {
    Ajp(Client),
    Http1(Box<Hyper>, String),
}

type Hyper = legacy::Client<HttpConnector, Full<Bytes>>;

impl AnyClient {
    pub(crate) fn new(protocol: Protocol, address: &str) -> Self {
        match protocol {
            Protocol::Ajp(size) => {
                let config = PoolConfig::default()
                    .packet_size(size)
                    .max_connections(10_000)
                    .max_idle(10_000);
                let address: Address = address.parse().unwrap();
                Self::Ajp(Client::new(Pool::new(address, config)))
            }
            Protocol::Http1 => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
                Self::Http1(Box::new(client), format!("http://{address}"))
            }
        }
    }

    /// So many requests, from so many callers at the same time.
    pub(crate) async fn run(&self, case: Case, count: u64, callers: u64) {
        let upload = Bytes::from(vec![b'u'; case.upload]);
        let callers: Vec<_> = (0..callers)
            .map(|caller| {
                let share = count / callers + u64::from(caller < count % callers);
                let (client, upload) = (self.clone(), upload.clone());
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
    }

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

    pub(crate) async fn response(&self, path: &str) -> Bytes {
        let upload = Bytes::new();
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
