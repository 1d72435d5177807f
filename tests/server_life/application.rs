//! Applications that fail: the web server gets an answer, the operator the reason.

use crate::hall::{App, Body, Hall, settle, text};
use crate::raw::packets::{answers, refusal, request};
use crate::raw::site::Seen;
use ajp::server::{ServerConfig, Trust};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

type Piece = Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

fn open() -> ServerConfig {
    ServerConfig::new(Trust::TrustedNetwork)
}

fn streamed(pieces: Vec<Piece>) -> Body {
    StreamBody::new(stream::iter(pieces)).boxed_unsync()
}

fn part() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(b"part"))
}

fn app() -> App {
    App::new(|request| async move {
        Ok(match request.uri().path() {
            "/error" => return Err("no database".into()),
            "/panic" => panic!("on purpose"),
            "/later" => {
                tokio::task::yield_now().await;
                panic!("on purpose")
            }
            "/interim" => Response::builder()
                .status(103)
                .body(streamed(vec![]))
                .unwrap(),
            "/huge" => {
                let mut response = text("huge");
                let value = "h".repeat(9000).try_into().unwrap();
                response.headers_mut().insert("x-huge", value);
                response
            }
            "/breaks" => Response::new(streamed(vec![Ok(part()), Err("broken".into())])),
            "/panics" => {
                let pieces = stream::iter([Piece::Ok(part())])
                    .chain(stream::once(async { panic!("on purpose") }));
                Response::new(StreamBody::new(pieces).boxed_unsync())
            }
            _ => text("fine"),
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_head_is_a_500() {
    let hall = Hall::open(open(), app());
    let mut bystander = hall.connect();
    for (uri, reason, error) in [
        (
            "/error",
            "the application failed",
            "Application(\"no database\")",
        ),
        ("/panic", "the application failed", "Panicked"),
        ("/later", "the application failed", "Panicked"),
        (
            "/interim",
            "the application failed",
            "Application(\"it answered with status 103, which AJP cannot carry\")",
        ),
        (
            "/huge",
            "the response head cannot be sent over AJP",
            "ResponseHead(",
        ),
    ] {
        let mut guest = hall.connect();
        guest.send(&request("GET", uri, &[])).await;
        assert_eq!(guest.rest().await.0, refusal(500, reason), "{uri}");
        drop(guest);
        settle().await;
        let [Seen::Other(seen)] = &hall.errors()[..] else {
            panic!("{uri}: one error");
        };
        assert!(seen.starts_with(error), "{uri}: {seen}");
        bystander.send(&request("GET", "/", &[])).await;
        assert_eq!(bystander.answer().await.body, "fine");
    }
    assert_eq!(hall.stats().failed, 5);
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_head_has_no_end() {
    let hall = Hall::open(open(), app());
    for (uri, error) in [("/breaks", "Aborted("), ("/panics", "Panicked")] {
        let mut guest = hall.connect();
        guest.send(&request("GET", uri, &[])).await;
        let all = answers(&guest.rest().await.0);
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].status, &all[0].body[..], all[0].reuse),
            (200, &b"part"[..], None)
        );
        settle().await;
        let [Seen::Other(seen)] = &hall.errors()[..] else {
            panic!("{uri}: one error");
        };
        assert!(seen.starts_with(error), "{uri}: {seen}");
    }
}
