//! Responses that a dying Tomcat cuts, and those that come in parts.

use super::{client, config, exchange, get};
use crate::support::tomcat::Tomcat;
use ajp::client::{ErrorKind, Retry};
use ajp::proto::Progress;
use http_body_util::BodyExt;
use std::time::{Duration, Instant};

/// Whatever was announced, and whether or not data is on its way: what was cut is an error.
#[tokio::test]
async fn a_killed_tomcat_is_an_error_and_never_a_short_success() {
    let mut tomcat = Tomcat::builder().start().await;
    let client = client(&tomcat, config());
    for (uri, least) in [
        ("/app/bytes?n=200000000&len=1", 100_000),
        ("/app/bytes?n=200000000", 100_000),
        // Quiet between its parts: nothing but the missing end tells.
        ("/app/slow?ms=60000&parts=3", 6),
    ] {
        let response = client.send(get(uri)).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut received = 0;
        while received < least {
            let frame = body.frame().await.unwrap().unwrap();
            received += frame.into_data().unwrap().len();
        }
        tomcat.kill_9();
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => received += frame.into_data().unwrap().len(),
                Some(Err(error)) => break error,
                None => panic!("{uri}: complete after {received} bytes"),
            }
        };
        let kinds = [ErrorKind::Closed, ErrorKind::Read];
        assert!(kinds.contains(&error.kind()), "{uri}: {error:?}");
        assert_eq!(error.progress(), Progress::Responding);
        assert_eq!(error.retry(), Retry::Never);
        assert!(body.frame().await.is_none(), "the error is said once");
        drop(body);
        let stats = client.pool().stats();
        assert_eq!((stats.in_use, stats.idle), (0, 0), "{uri}: {stats:?}");
        let nobody = exchange(&client, get("/app/hello")).await.unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::Connect);
        tomcat.restart().await;
        let (code, body) = exchange(&client, get("/app/hello")).await.unwrap();
        assert_eq!((code, &body[..]), (200, &b"Hello, AJP!\n"[..]));
    }
}

/// What Tomcat flushes is there before it has finished.
#[tokio::test]
async fn flushed_parts_arrive_one_by_one() {
    let tomcat = Tomcat::builder().start().await;
    let client = client(&tomcat, config());
    let response = client.send(get("/app/slow?ms=1000&parts=4")).await.unwrap();
    let mut body = response.into_body();
    let mut parts = Vec::new();
    while let Some(frame) = body.frame().await {
        let part = frame.unwrap().into_data().unwrap();
        parts.push((Instant::now(), part));
    }
    let texts: Vec<_> = parts.iter().map(|(_, text)| &text[..]).collect();
    assert_eq!(texts, [b"part 0\n", b"part 1\n", b"part 2\n", b"part 3\n"]);
    let between = parts[3].0 - parts[0].0;
    assert!(between > Duration::from_secs(2), "{between:?}");
    assert_eq!(client.pool().stats().idle, 1);
}
