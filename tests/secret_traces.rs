//! A secret is sent, and otherwise seen nowhere: not in what is logged, not in an error, not in
//! any `Debug` or `Display` on the way, however it goes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(
    feature = "client",
    feature = "server",
    feature = "retry",
    feature = "tracing"
))]

#[allow(unused_imports, reason = "other binaries use the rest")]
mod raw;

use ajp::Secret;
use ajp::client::RequestFacts;
use ajp::client::{Address, Client, Pool, PoolConfig, ReplayBody, RetryPolicy};
use ajp::dump::Dump;
use ajp::mapping::{TlsFacts, write_forward_request};
use ajp::proto::{BodyEvent, ClientEvent, Idle};
use ajp::server::RequestClaims;
use ajp::server::{AttributePolicy, RequestBody, ServerConfig, Trust, serve};
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, DecodeOptions, Direction, ForwardRequest, PacketSize,
    ToWebServer,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use raw::backend::{Backend, config, limits};
use raw::packets::{chunk, head, request_with};
use std::convert::Infallible;
use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

const SECRET: &str = "Tr4ce-Me-N0t";

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

/// All that was logged, printed and reported.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<String>>);

impl io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seen {
    fn debug(&self, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{value:?}\n{value:#?}").unwrap();
    }

    fn error(&self, error: &(dyn Error + 'static)) {
        self.debug(&error);
        let mut next = Some(error);
        while let Some(error) = next {
            writeln!(self.0.lock().unwrap(), "{error}\n{error:#}").unwrap();
            next = error.source();
        }
    }

    /// Nothing of it, as text, as numbers or as hexadecimal.
    fn check(&self, expected: &[&str]) {
        let seen = self.0.lock().unwrap();
        for word in expected {
            assert!(seen.contains(word), "not even {word:?} was seen:\n{seen}");
        }
        let part = &SECRET[..8];
        let numbers: Vec<_> = part.bytes().map(|b| b.to_string()).collect();
        let hex = |separator: &str| {
            let digits: Vec<_> = part.bytes().map(|b| format!("{b:02x}")).collect();
            digits.join(separator)
        };
        for form in [
            part.to_owned(),
            numbers.join(", "),
            numbers.join(",\n    "),
            hex(""),
            hex(" "),
        ] {
            let found = seen.to_lowercase().find(&form.to_lowercase());
            let around = found.map(|at| &seen[at.saturating_sub(300)..(at + 100).min(seen.len())]);
            assert_eq!(around, None, "the secret was seen");
        }
    }
}

/// Everything the library logs, from now on and in this process.
fn logs() -> Seen {
    static LOGS: OnceLock<Seen> = OnceLock::new();
    let start = || {
        let seen = Seen::default();
        let sink = seen.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || sink.clone())
            .with_ansi(false)
            .init();
        seen
    };
    LOGS.get_or_init(start).clone()
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("/x")
        .header("host", "a")
        .body(Empty::new())
        .unwrap()
}

async fn outcome(seen: &Seen, client: &Client, request: Request<Empty<Bytes>>) -> Option<u16> {
    seen.debug(&request);
    match client.try_send(request).await {
        Ok(response) => {
            seen.debug(&response);
            let status = response.status().as_u16();
            match response.into_body().collect().await {
                Ok(_) => {}
                Err(error) => seen.error(&error),
            }
            seen.debug(client);
            Some(status)
        }
        Err(error) => {
            seen.error(&error);
            seen.error(&error.into_error());
            None
        }
    }
}

/// A container of ours; what it reports and what its application is given is noted.
async fn container(seen: &Seen, config: ServerConfig) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    seen.debug(&config);
    let (note, report) = (seen.clone(), seen.clone());
    let app = tower::service_fn(move |request: Request<RequestBody>| {
        note.debug(&request);
        note.debug(&request.extensions().get::<RequestClaims>());
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
            "ok",
        ))))
    });
    let server = serve(listener, app)
        .with_config(config)
        .on_error(move |peer, error| {
            report.debug(peer);
            report.error(error);
        });
    seen.debug(&server);
    tokio::spawn(server.into_future());
    address
}

#[tokio::test]
async fn on_no_path_of_client_and_server() {
    let seen = logs();
    let trust = Trust::Secrets(vec![Secret::new("another").unwrap(), secret()]);
    seen.debug(&trust);
    let address = container(&seen, ServerConfig::new(trust)).await;
    let pool = |config: PoolConfig| {
        seen.debug(&config);
        Pool::new(address.clone(), config)
    };

    // Right, wrong in both directions, by request, and beside an attribute that is refused.
    let right = Client::for_own_requests(pool(config().with_secret(secret())));
    assert_eq!(outcome(&seen, &right, get()).await, Some(200));
    let wrong = Secret::new(format!("{SECRET}!")).unwrap();
    let wrong = Client::for_own_requests(pool(config().with_secret(wrong)));
    assert_eq!(outcome(&seen, &wrong, get()).await, Some(403));
    let mut request = get();
    let facts = RequestFacts::own_request().with_secret(secret());
    seen.debug(&facts);
    request.extensions_mut().insert(facts.clone());
    assert_eq!(outcome(&seen, &wrong, request).await, Some(200));
    let mut request = get();
    let refused = facts.with_attribute("SOME_PASSWORD", SECRET);
    let refused = refused.with_tls_facts(TlsFacts::new().with_session_id(SECRET));
    seen.debug(&refused);
    request.extensions_mut().insert(refused);
    assert_eq!(outcome(&seen, &wrong, request).await, Some(403));
    let elsewhere = container(
        &seen,
        ServerConfig::new(Trust::Secrets(vec![wrong_secret()])),
    );
    let elsewhere = Pool::new(elsewhere.await, config().with_secret(secret()));
    assert_eq!(
        outcome(&seen, &Client::for_own_requests(elsewhere), get()).await,
        Some(403)
    );

    // No room for it.
    let long = Secret::new(format!("{SECRET}{}", "x".repeat(4000))).unwrap();
    let full = Client::for_own_requests(pool(config().with_secret(long)));
    let mut request = get();
    let value = http::HeaderValue::try_from("h".repeat(5000)).unwrap();
    request.headers_mut().insert("x-big", value);
    assert_eq!(outcome(&seen, &full, request).await, None);

    // Half-way: queued, but not sent.
    let lease = right.pool().acquire().await.unwrap();
    seen.debug(&lease);
    let (parts, ()) = Request::get("/x").body(()).unwrap().into_parts();
    let exchange = lease.begin(false, |buffer, size| {
        let facts = RequestFacts::own_request();
        let framing = BodyFraming::Length(0);
        let written = write_forward_request(buffer, size, &parts, &facts, framing, Some(&secret()));
        seen.debug(&buffer.len());
        written
    });
    seen.debug(&exchange.unwrap());
    let retrying = ServiceBuilder::new()
        .map_request(|request: Request<Empty<Bytes>>| request.map(|b| ReplayBody::new(b, 1)))
        .retry(RetryPolicy::new().with_pause(Duration::ZERO))
        .service(Client::for_own_requests(Pool::new(
            Address::unix("/nonexistent/ajp"),
            config().with_secret(secret()),
        )));
    seen.debug(&retrying);
    seen.error(&retrying.oneshot(get()).await.unwrap_err());
    seen.check(&[
        "Secret([redacted])",
        "AJP request refused",
        "403",
        "does not fit",
    ]);
}

fn wrong_secret() -> Secret {
    Secret::new("not the one").unwrap()
}

/// A container that sends it back, in and out of the protocol, closes, or falls silent.
#[tokio::test]
async fn not_through_a_hostile_container() {
    let seen = logs();
    let spiteful: [Vec<u8>; 9] = [
        SECRET.into(),
        [0x41, 0x42, 0, 12]
            .into_iter()
            .chain(SECRET.bytes())
            .collect(),
        chunk(SECRET.as_bytes()),
        [
            head(200, &[("content-length", "3")]),
            chunk(SECRET.as_bytes()),
        ]
        .concat(),
        [
            head(200, &[("content-length", "90")]),
            chunk(SECRET.as_bytes()),
        ]
        .concat(),
        [
            head(200, &[("set-cookie", SECRET)]),
            head(200, &[("authorization", SECRET)]),
        ]
        .concat(),
        head(200, &[]),
        vec![],
        vec![0x41],
    ];
    for bytes in spiteful {
        for close in [true, false] {
            let bytes = bytes.clone();
            let short = limits()
                .with_response_head(Duration::from_millis(20))
                .with_between_packets(Duration::from_millis(20));
            let backend = Backend::start(
                config().with_secret(secret()).with_timeouts(short),
                move |_, mut conn| {
                    let bytes = bytes.clone();
                    async move {
                        conn.request().await;
                        conn.write(&bytes).await;
                        if !close {
                            conn.silent().await;
                        }
                    }
                },
            )
            .await;
            match backend.client.send(get()).await {
                // What the container sends is the caller's to print.
                Ok(response) => match response.into_body().collect().await {
                    Ok(body) => panic!("{body:?}"),
                    Err(error) => seen.error(&error),
                },
                Err(error) => seen.error(&error),
            }
        }
    }
    seen.check(&["the container broke the protocol", "AJP exchange failed"]);
}

/// Requests that are malformed around it, and connections that break in the middle of it.
#[tokio::test]
async fn not_through_a_bad_web_server() {
    let seen = logs();
    let trust = Trust::Secrets(vec![secret()]);
    let policy = AttributePolicy::default().accept("X");
    let config = ServerConfig::new(trust).with_attributes(policy);
    let address = container(&seen, config.clone()).await;
    let coded = |value: &'static str| Attribute::Coded {
        code: AttributeCode::Secret,
        value: Some(value.as_bytes()),
    };
    let whole = |extra: &[Attribute<'_>], headers: &[(&str, &str)]| {
        let attributes = [&[coded(SECRET)], extra].concat();
        request_with("GET", "/x", headers, &attributes)
    };
    let good = whole(&[], &[]);
    let mut broken = good.clone();
    let at = broken.len() - 2;
    broken[at] = b'!'; // The NUL behind it.
    let mut control = good.clone();
    let place = good
        .windows(SECRET.len())
        .position(|part| part == SECRET.as_bytes());
    control[place.unwrap() + 3] = 0x07;
    let mut bad_magic = good.clone();
    bad_magic[0] = 0x99;
    let mut cases = vec![
        whole(&[], &[("host", SECRET), ("host", SECRET)]),
        whole(
            &[Attribute::Named {
                name: b"Y_TOKEN",
                value: Some(SECRET.as_bytes()),
            }],
            &[],
        ),
        broken,
        control,
        bad_magic,
        // A body that was not asked for.
        [good.clone(), raw::packets::body(SECRET.as_bytes())].concat(),
        [SECRET.as_bytes(); 100].concat(),
    ];
    cases.extend([20, place.unwrap() + 4, good.len() - 1].map(|len| good[..len].to_vec()));
    for bytes in cases {
        let authority = address.to_string();
        let tcp = tokio::net::TcpStream::connect(authority.trim_start_matches("ajp://"));
        let mut tcp = tcp.await.unwrap();
        tcp.write_all(&bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = raw::soon(
            "an end",
            tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut answer),
        )
        .await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(SECRET), "{answer}");
    }

    // A connection with half of it in its buffer.
    let (mut theirs, ours) = tokio::io::duplex(8192);
    let mut connection = ajp::server::Connection::new(ours, Arc::new(config));
    theirs.write_all(&good[..good.len() - 1]).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(20), connection.next_request());
    assert!(waiting.await.is_err());
    seen.debug(&connection);
    theirs.write_all(&good[good.len() - 1..]).await.unwrap();
    let request = connection.next_request().await.unwrap();
    seen.debug(&request);
    seen.debug(&connection);
    seen.check(&["Buffered", "AJP request refused", "invalid AJP packet"]);
}

/// The packets, events and recordings that hold it.
#[test]
fn not_in_what_is_decoded() {
    let seen = Seen::default();
    let (parts, ()) = Request::get(format!("/x;jsessionid={SECRET}?token={SECRET}&a=1"))
        .header("authorization", SECRET)
        .header("cookie", SECRET)
        .header("x-api-key", SECRET)
        .body(())
        .unwrap()
        .into_parts();
    let tls = TlsFacts::new().with_session_id(SECRET);
    let facts = RequestFacts::own_request()
        .with_attribute("MY_SECRET", SECRET)
        .with_tls_facts(tls);
    let mut buffer = BytesMut::new();
    let size = PacketSize::DEFAULT;
    let framing = BodyFraming::Length(20);
    let secret = secret();
    write_forward_request(&mut buffer, size, &parts, &facts, framing, Some(&secret)).unwrap();
    let packet = buffer.freeze();
    let payload = packet.slice(4..);
    let request = ForwardRequest::parse(payload.clone()).unwrap();
    seen.debug(&request);
    seen.debug(&(request.to_string(), format!("{request:#}")));
    seen.debug(&Idle::new().receive(payload, &DecodeOptions::default()));
    for attribute in request.attributes() {
        seen.debug(&attribute);
    }

    let body = format!("password={SECRET}");
    seen.debug(&BodyEvent::Data(body.clone().into()));
    seen.debug(&ClientEvent::Data(body.clone().into()));
    let answer = head(200, &[("set-cookie", SECRET)]);
    let answer = ToWebServer::parse(Bytes::from(answer).slice(4..)).unwrap();
    seen.debug(&answer);
    if let ToWebServer::SendHeaders(head) = answer {
        seen.debug(&ClientEvent::Head(head));
    }
    let mut dump = Dump::new();
    let mut recorded = packet.to_vec();
    recorded.extend(raw::packets::body(body.as_bytes()));
    for record in dump.feed(Direction::ToContainer, &recorded) {
        seen.debug(&record);
        seen.debug(&(
            record.to_string(),
            format!("{record:#}"),
            record.hex().to_string(),
        ));
    }
    seen.debug(&dump);
    seen.check(&["redacted", "ForwardRequest"]);
}

/// Where it comes from is no place to show it either.
#[test]
fn not_when_it_is_read() {
    let seen = Seen::default();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    let read = Secret::from_file(file.path()).unwrap();
    assert!(read == secret());
    seen.debug(&read);
    for bad in [
        format!("{SECRET}\0"),
        format!("\n{SECRET}\n\n"),
        SECRET.repeat(400),
    ] {
        std::fs::write(file.path(), &bad).unwrap();
        seen.error(&Secret::from_file(file.path()).unwrap_err());
        seen.error(&Secret::new(&bad).unwrap_err());
    }
    seen.error(&Secret::from_env("AJP_TEST_NO_SUCH_VARIABLE").unwrap_err());
    for address in [
        format!("ajp://{SECRET}@tomcat"),
        format!("ajp://tomcat?secret={SECRET}"),
    ] {
        seen.error(&address.parse::<Address>().unwrap_err());
    }
    seen.check(&["[redacted]", "control bytes", "longer than", "is not set"]);
}

/// The environment is the process's, so it is another one.
#[test]
fn from_the_environment() {
    const VARIABLE: &str = "AJP_TEST_SECRET_OF_CHILD";
    if std::env::var_os(VARIABLE).is_some() {
        let read = Secret::from_env(VARIABLE).unwrap();
        assert!(read == secret());
        println!("{read:?}");
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["from_the_environment", "--exact", "--nocapture"])
        .env(VARIABLE, SECRET)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("Secret([redacted])") && !text.contains(SECRET),
        "{text}"
    );
}
