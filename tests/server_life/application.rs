//! Applications that fail: the web server gets an answer, the operator the reason.

use crate::hall::{App, Body, Hall, settle, text};
use crate::raw::packets::{answers, refusal, request};
use crate::raw::site::Seen;
use ajp::server::{ServerConfig, ServerTimeouts, Trust};
use ajp::wire::get_body_chunk;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

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

/// The client of each request waits with its body until it is told to send it, and does not send
/// it. An answer that could read it waits for it, but no longer than anybody may.
#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_a_body_only_while_it_can_be_read() {
    let refusing = App::new(|request| async move {
        let seconds = request.uri().path()[1..].parse().unwrap();
        let body = request.into_body();
        tokio::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            drop(body);
        });
        let mut response = text(if seconds == 5 { "" } else { "no" });
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
        Ok(response)
    });
    let timeouts = ServerTimeouts::default().with_body(Duration::from_secs(30));
    let hall = Hall::open(open().with_timeouts(timeouts), refusing);
    for (uri, asked, after) in [
        ("/0", true, 0),
        ("/3", true, 3),
        ("/60", true, 30),
        ("/5", false, 0),
    ] {
        let mut guest = hall.connect();
        let headers = [("transfer-encoding", "chunked"), ("expect", "100-continue")];
        guest.send(&request("POST", uri, &headers)).await;
        let start = Instant::now();
        if asked {
            let mut question = [0; 7];
            guest.stream.read_exact(&mut question).await.unwrap();
            assert_eq!(question, get_body_chunk(8186), "{uri}");
        }
        let mut first = [0; 5];
        guest.stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first[4], 4, "{uri}: Send Headers");
        assert_eq!(start.elapsed().as_secs(), after, "{uri}");
        let rest = [&first[..], &guest.rest().await.0].concat();
        let answer = answers(&rest).remove(0);
        assert_eq!(answer.status, 401, "{uri}");
    }
}
