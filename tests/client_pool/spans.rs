//! The span of an exchange: what is in it, and what never is.
#![cfg(feature = "tracing")]

use crate::memory::{Container, SECOND, get, well};
use crate::raw::backend::token;
use crate::raw::packets::response;
use ajp::client::{PoolConfig, Timeouts};
use http_body_util::BodyExt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A log of everything on this thread.
fn listen() -> (Log, impl Drop) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .without_time()
        .with_ansi(false)
        .finish();
    (log, subscriber.set_default())
}

#[tokio::test(start_paused = true)]
async fn a_span_tells_the_phases_and_no_secrets() {
    let (log, _guard) = listen();
    let container = Container::new(|number, mut end| async move {
        while let Some(request) = end.request().await {
            sleep(SECOND / 10).await;
            if number > 0 {
                return end.silent().await;
            }
            end.write(&response(&token(&request), 1)).await;
        }
    });
    container.connecting_takes(SECOND / 2);
    let config = PoolConfig::default()
        .with_secret(ajp::Secret::new("geheim").unwrap())
        .with_timeouts(Timeouts::default().with_response_head(SECOND * 2));
    let client = container.client(config);
    let mut request = get("page?query=private");
    let headers = request.headers_mut();
    headers.insert("cookie", "JSESSIONID=hidden".parse().unwrap());
    headers.insert("authorization", "Basic hidden".parse().unwrap());
    let response = client.send(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let all = log.lines();
    let closed = |lines: &[String]| -> String {
        let spans = lines
            .iter()
            .filter(|line| line.contains("ajp::client::span: close"));
        spans.cloned().collect::<Vec<_>>().join("\n")
    };
    let span = closed(&all);
    for part in [
        "ajp.exchange{pool=\"memory\" peer=\"memory\" reused=false outcome=\"completed\" status=200 progress=Responding ",
        " acquire_us=0 connect_us=500000 write_us=0 first_packet_us=100000 body_us=0 total_us=600000 ",
        " bytes_in=",
        " bytes_out=",
    ] {
        assert!(span.contains(part), "{part} is not in {span}");
    }
    assert!(!span.contains("cping_us"), "{span}");

    // Inside the span of the caller, and the failure inside the exchange's.
    let outer = tracing::info_span!("outer");
    let lease = client
        .pool()
        .acquire_fresh(&ajp::client::RequestTimeouts::new())
        .await;
    let lease = lease.unwrap();
    let mut exchange = outer.in_scope(|| {
        lease.begin(false, |buffer, size| {
            let line = ajp::wire::RequestLine::default();
            ajp::wire::ForwardRequestWriter::new(buffer, size, &line)?.finish()
        })
    });
    exchange.as_mut().unwrap().next_event().await.unwrap_err();
    drop(exchange);
    let failed = log.lines();
    let span = closed(&failed);
    assert!(span.contains("outer:ajp.exchange{"), "{span}");
    assert!(span.contains("outcome=\"response_head_timeout\" progress=RequestSent"));
    let event = failed
        .iter()
        .find(|line| line.contains("AJP exchange failed"));
    assert!(event.unwrap().contains("ajp.exchange{"), "{failed:?}");

    for line in all.iter().chain(&failed) {
        for hidden in ["geheim", "hidden", "private", "JSESSIONID"] {
            assert!(!line.contains(hidden), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_connection_is_told() {
    let (log, _guard) = listen();
    let container = Container::well();
    let client = container.client(PoolConfig::new().with_name("shop").with_max_requests(1));
    well(&client, "x").await;
    let lines = log.lines().join("\n");
    assert!(
        lines.contains("AJP connection opened pool=\"shop\" peer=\"memory\""),
        "{lines}"
    );
    assert!(
        lines
            .contains("AJP connection closed pool=\"shop\" peer=\"memory\" cause=\"max_requests\""),
        "{lines}"
    );
}
