//! The clients that the benches compare, and what they ask for.

use super::data::Data;
use super::{FRAME, MANY, Protocol, drain};
use ajp::client::{Address, Client, Pool, PoolConfig};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) upload: usize,
    pub(crate) download: usize,
    /// Headers of the request.
    pub(crate) headers: usize,
}

pub(crate) const CASES: [Case; 4] = [
    Case {
        name: "get",
        path: "/small",
        upload: 0,
        download: 13,
        headers: BROWSER.len(),
    },
    Case {
        name: "post-10k",
        path: "/small",
        upload: 10 << 10,
        download: 13,
        headers: BROWSER.len(),
    },
    Case {
        name: "get-100k",
        path: "/100k",
        upload: 0,
        download: 100 << 10,
        headers: BROWSER.len(),
    },
    Case {
        name: "get-10m",
        path: "/10m",
        upload: 0,
        download: 10 << 20,
        headers: BROWSER.len(),
    },
];

/// Answered after a while, so that all callers need a connection of their own.
pub(crate) const WAIT: Case = Case {
    name: "wait",
    path: "/wait",
    upload: 0,
    download: 13,
    headers: BROWSER.len(),
};

#[derive(Clone)]
pub(crate) enum AnyClient {
    Ajp(Client),
    Http1(Box<Hyper>, String),
}

type Hyper = legacy::Client<HttpConnector, Data>;

impl AnyClient {
    pub(crate) fn new(protocol: Protocol, address: &str) -> Self {
        match protocol {
            Protocol::Ajp(size, ahead) => {
                let config = PoolConfig::default()
                    .with_packet_size(size)
                    .with_body_requests(ahead)
                    .with_max_connections(10_000)
                    .with_max_idle(10_000);
                let address: Address = address.parse().unwrap();
                Self::Ajp(Client::for_own_requests(Pool::new(address, config)))
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
                        let upload = upload.clone().into();
                        let received = client.call(case.path, case.headers, upload).await;
                        assert_eq!(received, case.download);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    }

    /// Receives so many bytes.
    pub(crate) async fn download(&self, len: u64) {
        let path = format!("{MANY}{len}");
        let received = self.call(&path, 0, Bytes::new().into()).await;
        assert_eq!(received as u64, len);
    }

    /// Sends so many bytes.
    pub(crate) async fn upload(&self, len: u64) {
        let body = Data::new(Bytes::from(vec![b'u'; FRAME]), len);
        self.call("/small", 0, body).await;
    }

    /// Bytes of the response's body.
    pub(crate) async fn call(&self, path: &str, headers: usize, upload: Data) -> usize {
        match self {
            Self::Ajp(client) => {
                let request = request("", path, headers, upload);
                let response = client.send(request).await.unwrap();
                drain(response.into_body()).await
            }
            Self::Http1(client, base) => {
                let request = request(base, path, headers, upload);
                let response = client.request(request).await.unwrap();
                drain(response.into_body()).await
            }
        }
    }

    pub(crate) async fn response(&self, path: &str) -> Bytes {
        let upload = Bytes::new().into();
        match self {
            Self::Ajp(client) => {
                let response = client.send(request("", path, 0, upload)).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            }
            Self::Http1(client, base) => {
                let request = request(base, path, 0, upload);
                let response = client.request(request).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            }
        }
    }
}

/// A browser's request with so many of its headers, or more.
fn request(base: &str, path: &str, headers: usize, upload: Data) -> Request<Data> {
    let method = if upload.is_end_stream() {
        "GET"
    } else {
        "POST"
    };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}"));
    for (name, value) in BROWSER.iter().take(headers) {
        request = request.header(*name, *value);
    }
    let more = headers.saturating_sub(BROWSER.len());
    for (i, value) in MORE.iter().cycle().take(more).enumerate() {
        let name = HeaderName::try_from(format!("x-fact-{i}")).unwrap();
        request = request.header(name, HeaderValue::from_static(value));
    }
    request.body(upload).unwrap()
}

/// What a browser says.
const BROWSER: [(&str, &str); 7] = [
    ("host", "www.shop.example"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("referer", "http://www.shop.example/app/start?page=1"),
    (
        "cookie",
        "theme=dark; JSESSIONID=0123456789ABCDEF0123456789ABCDEF.jvm1",
    ),
];

/// Values of further headers.
const MORE: [&str; 4] = [
    "1",
    "text/plain",
    "a rather usual value; q=0.5",
    "2026-01-01T00:00:00Z",
];
