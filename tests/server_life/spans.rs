//! What is told to `tracing`, and what is not.

use crate::hall::{App, Hall, settle, text};
use crate::raw::packets::{body, request_with};
use ajp::Secret;
use ajp::server::{ServerConfig, Trust};
use ajp::wire::{Attribute, AttributeCode};
use http_body_util::BodyExt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Writes down everything that a subscriber can see.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut notes = self.0.lock().unwrap();
        write!(notes, "open {}", attributes.metadata().name()).unwrap();
        attributes.record(&mut Fields(&mut notes));
        notes.push('\n');
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut notes = self.0.lock().unwrap();
        write!(notes, "record {}", context.span(id).unwrap().name()).unwrap();
        values.record(&mut Fields(&mut notes));
        notes.push('\n');
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut notes = self.0.lock().unwrap();
        for span in context.event_scope(event).into_iter().flatten() {
            write!(notes, "{} < ", span.name()).unwrap();
        }
        event.record(&mut Fields(&mut notes));
        notes.push('\n');
    }
}

#[tokio::test(start_paused = true)]
async fn spans_name_what_happened_and_no_secret() {
    let notes = Notes::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(notes.clone()));
    let secret = Secret::new("s3cr3t").unwrap();
    let app = App::new(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        tracing::info!(length = body.len(), "in the application");
        let mut response = text("answer-body");
        let cookie = "hush-cookie".parse().unwrap();
        response.headers_mut().insert("set-cookie", cookie);
        Ok(response)
    });
    let hall = Hall::open(ServerConfig::new(Trust::Secrets(vec![secret])), app);
    let coded = |code, value: &'static str| Attribute::Coded {
        code,
        value: Some(value.as_bytes()),
    };
    let attributes = [
        coded(AttributeCode::Secret, "s3cr3t"),
        coded(AttributeCode::QueryString, "token=hush-query"),
        coded(AttributeCode::SslSession, "hush-session"),
        coded(AttributeCode::RemoteUser, "hush-user"),
    ];
    let headers = [
        ("content-length", "9"),
        ("cookie", "hush-cookie"),
        ("authorization", "hush-authorization"),
    ];
    let mut guest = hall.connect_as("front");
    let head = request_with(
        "POST",
        "/shop/cart;jsessionid=hush-id",
        &headers,
        &attributes,
    );
    guest.send(&head).await;
    guest.send(&body(b"hush-body")).await;
    assert_eq!(guest.answer().await.status, 200);
    settle().await;
    let wrong = [coded(AttributeCode::Secret, "hush-wrong")];
    guest.send(&request_with("GET", "/", &[], &wrong)).await;
    guest.rest().await;
    drop(guest);
    settle().await;

    let notes = notes.0.lock().unwrap();
    for expected in [
        "open ajp.connection peer=\"front\"\n",
        "open ajp.exchange method=POST path=/shop/cart\n",
        "ajp.exchange < ajp.connection <  message=in the application length=9\n",
        "record ajp.exchange status=200\n",
        "record ajp.exchange reuse=true\n",
        &format!("record ajp.exchange bytes_in={}\n", head.len() + 15),
        "record ajp.exchange duration_us=",
        "ajp.exchange < ajp.connection <  message=AJP exchange ended\n",
        "ajp.connection <  message=AJP request refused error=request refused with 403: secret missing or wrong\n",
    ] {
        assert!(notes.contains(expected), "{expected} is not in\n{notes}");
    }
    for hushed in ["hush", "s3cr3t", "answer-body"] {
        assert!(!notes.contains(hushed), "{hushed} is in\n{notes}");
    }
}
