//! Traces of AJP exchanges for OpenTelemetry, and numbers for any exporter of the `metrics`
//! facade.
//!
//! ```text
//! cargo run --example telemetry
//! ```
//!
//! The spans go to memory and are printed; `opentelemetry-otlp` in place of that sends them to a
//! collector. The visitor's trace goes on: its `traceparent` is the parent of the span, and the
//! container is told of it in the same header.

use ajp::client::{Address, Client, Pool, PoolConfig, RequestId};
use ajp::metrics::{MetricsObserver, record_pool};
use axum::{Router, http::HeaderMap, routing::get};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tokio::net::TcpListener;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the visitor's browser or proxy sent (W3C Trace Context).
const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let tracer = provider.tracer("ajp");
    tracing_subscriber::registry()
        .with(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with(tracing_opentelemetry::layer().with_tracer(tracer))
        .init();

    let config = PoolConfig::default()
        .with_name("shop")
        .with_observer(MetricsObserver);
    let client = Client::for_own_requests(Pool::new(Address::from(container().await?), config));

    let span = tracing::info_span!("GET /", otel.kind = "server");
    span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent()?))?;
    let request = http::Request::get("http://shop.example/")
        .header("traceparent", TRACE_PARENT)
        .extension(RequestId::new("8a4e-17")?)
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = client.send(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, BoxError>(String::from_utf8_lossy(&body).into_owned())
    };
    println!("container: {}", answer.instrument(span).await?);
    // Whenever the exporter of the metrics wants numbers. Without a recorder they go nowhere.
    record_pool(&client.pool().stats());

    provider.force_flush()?;
    for span in exporter.get_finished_spans()? {
        let id = span
            .attributes
            .iter()
            .find(|one| one.key.as_str() == "request_id");
        println!(
            "span {:?} of trace {}, parent {}, request {}",
            span.name,
            span.span_context.trace_id(),
            span.parent_span_id,
            id.map_or("-".into(), |id| id.value.to_string()),
        );
    }
    Ok(())
}

/// What `traceparent` says.
fn parent() -> Result<SpanContext, BoxError> {
    let mut parts = TRACE_PARENT.split('-').skip(1);
    let (trace, span) = (parts.next(), parts.next());
    Ok(SpanContext::new(
        TraceId::from_hex(trace.unwrap_or_default())?,
        SpanId::from_hex(span.unwrap_or_default())?,
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    ))
}

/// A container that says which trace it is part of.
async fn container() -> Result<std::net::SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route(
        "/",
        get(|headers: HeaderMap| async move {
            let parent = headers
                .get("traceparent")
                .and_then(|value| value.to_str().ok());
            parent.unwrap_or("no trace").to_owned()
        }),
    );
    tokio::spawn(
        ajp::server::serve(listener, app)
            .trusted_network()
            .into_future(),
    );
    Ok(address)
}
