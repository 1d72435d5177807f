//! Applications that fail: the web server gets an answer, the operator the reason.

use crate::hall::{App, Body, Hall, settle, text};
use crate::raw::packets::{answers, refusal, request};
use crate::raw::site::Seen;
use ajp::server::{RequestClaims, ServerConfig, ServerTimeouts, Trust};
use ajp::wire::{ForwardRequestWriter, PacketSize, RequestLine, get_body_chunk};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Response};
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

fn part_of(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn part() -> Frame<Bytes> {
    part_of("part")
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

/// An application streams on behind its `Content-Length`, or never says that it is done: the web
/// server has all that it was promised, and its worker and the connection wait for nothing more.
#[tokio::test(start_paused = true)]
async fn an_answer_of_which_all_promised_bytes_are_out_is_over() {
    let app = App::new(|request| async move {
        let part = stream::iter([Piece::Ok(part())]);
        let body = match request.uri().path() {
            "/waits" => StreamBody::new(part.chain(stream::pending())).boxed_unsync(),
            "/breaks" => streamed(vec![Ok(part_of("part")), Err("too late".into())]),
            "/in_pieces" => {
                let pieces = ["p", "", "a", "rt"].map(|piece| Piece::Ok(part_of(piece)));
                StreamBody::new(stream::iter(pieces).chain(stream::pending())).boxed_unsync()
            }
            "/empty" => StreamBody::new(stream::pending()).boxed_unsync(),
            "/trailers" => streamed(vec![
                Ok(part_of("part")),
                Ok(Frame::trailers(HeaderMap::new())),
            ]),
            "/longer" => streamed(vec![Ok(part_of("part")), Ok(part_of("s"))]),
            _ => return Ok(text("fine")),
        };
        let length = if request.uri().path() == "/empty" {
            0
        } else {
            4
        };
        let response = Response::builder().header("content-length", length);
        Ok(response.body(body).unwrap())
    });
    let hall = Hall::open(open(), app);
    let mut guest = hall.connect();
    let start = Instant::now();
    for (uri, body) in [
        ("/waits", "part"),
        ("/breaks", "part"),
        ("/in_pieces", "part"),
        ("/empty", ""),
        ("/trailers", "part"),
        ("/", "fine"),
    ] {
        guest.send(&request("GET", uri, &[])).await;
        let answer = guest.answer().await;
        assert_eq!(
            (answer.status, &answer.body[..], answer.reuse),
            (200, body.as_bytes(), Some(true)),
            "{uri}"
        );
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    // What is there beside it is not cut off in silence.
    guest.send(&request("GET", "/longer", &[])).await;
    let all = answers(&guest.rest().await.0);
    assert_eq!((&all[0].body[..], all[0].reuse), (&b"part"[..], None));
    settle().await;
    let [Seen::Other(seen)] = &hall.errors()[..] else {
        panic!("one error");
    };
    assert!(seen.contains("longer than its Content-Length"), "{seen}");
}

/// Nothing has left when it is found out, so the web server need not see a response cut off.
#[tokio::test(start_paused = true)]
async fn a_length_that_is_not_that_of_the_body_is_a_500() {
    let app = App::new(|request| async move {
        let mut response = text("four");
        let length = request.uri().path()[1..].try_into().unwrap();
        response.headers_mut().insert("content-length", length);
        Ok(response)
    });
    let hall = Hall::open(open(), app);
    for length in ["3", "5", "0"] {
        let mut guest = hall.connect();
        guest
            .send(&request("GET", &format!("/{length}"), &[]))
            .await;
        let answer = guest.rest().await.0;
        assert_eq!(
            answer,
            refusal(500, "the response head cannot be sent over AJP")
        );
        drop(guest);
        settle().await;
        let [Seen::Other(seen)] = &hall.errors()[..] else {
            panic!("{length}: one error");
        };
        assert!(seen.contains("NotBodyLength"), "{seen}");
    }
    // Where there is no body, the length is that of another one.
    let mut guest = hall.connect();
    guest.send(&request("HEAD", "/5", &[])).await;
    assert_eq!(guest.answer().await.reuse, Some(true));
}

/// The application reads the body elsewhere, and is told who has failed.
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_says_why() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = App::new(move |request| {
        let tell = tell.clone();
        async move {
            let stays = request.uri().path() != "/answers";
            tokio::spawn(async move {
                let error = request.into_body().collect().await.unwrap_err();
                tell.send((error.to_string(), error.is_too_large()))
                    .unwrap();
            });
            if stays {
                std::future::pending::<()>().await;
            }
            Ok(text("no"))
        }
    });
    let timeouts = ServerTimeouts::default().with_body(Duration::from_secs(30));
    let hall = Hall::open(open().with_timeouts(timeouts).with_max_body(5), app);
    let length = ("content-length", "5");
    let chunked = ("transfer-encoding", "chunked");
    let short = b"\x12\x34\0\0".to_vec();
    let long = [&b"\x12\x34\0\x08\0\x06"[..], b"longer"].concat();
    for (uri, header, body, reason) in [
        ("/", length, Some(vec![]), "did not go on in time"),
        ("/", length, Some(short), "broke the protocol"),
        ("/", length, None, "went away"),
        ("/", chunked, Some(long), "larger than this server allows"),
        ("/answers", length, Some(vec![]), "the response ended"),
    ] {
        let mut guest = hall.connect();
        guest.send(&request("POST", uri, &[header])).await;
        if header == chunked {
            let mut question = [0; 7];
            guest.stream.read_exact(&mut question).await.unwrap();
        }
        match body {
            Some(body) => guest.send(&body).await,
            None => drop(guest.stream),
        }
        let (seen, is_too_large) = told.recv().await.unwrap();
        assert!(seen.contains(reason), "{seen}");
        assert_eq!(is_too_large, reason.starts_with("larger"), "{seen}");
    }
}

/// As httpd names a visitor of its own network, with the interface that it came over.
#[tokio::test(start_paused = true)]
async fn a_visitor_with_a_link_local_address_has_one() {
    let app = App::new(|request| async move {
        let claims: &RequestClaims = request.extensions().get().unwrap();
        Ok(text(format!("{:?}", claims.remote_socket_addr())))
    });
    let hall = Hall::open(open(), app);
    let mut guest = hall.connect();
    let line = RequestLine {
        remote_addr: Some(b"fe80::1%eth0"),
        ..RequestLine::default()
    };
    let mut packet = BytesMut::new();
    let writer = ForwardRequestWriter::new(&mut packet, PacketSize::DEFAULT, &line);
    writer.unwrap().finish().unwrap();
    guest.send(&packet).await;
    assert_eq!(guest.answer().await.body, "Some([fe80::1]:0)");
}
