//! HTTP/2 connections that ask for nothing.

use crate::raw::soon;
use crate::wire::{before, echo};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// GOAWAY (RFC 9113, section 6.8), as a frame's type.
const GOAWAY: u8 = 7;
/// PING (section 6.7).
const PING: u8 = 6;

/// A frame with its type, flags, stream and payload.
async fn frame(http: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    http.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    http.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], payload))
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_though_it_answers_pings() {
    let backend = echo().await;
    let gateway = before(&backend, "[limits]\nhead_timeout = \"1s\"").await;
    for answers in [true, false] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
        http.write_all(&hello).await.unwrap();
        let start = Instant::now();
        let (mut pings, mut goodbyes) = (0, 0);
        while let Some((kind, flags, payload)) = soon("a frame", frame(&mut http)).await {
            if kind == PING && flags == 0 {
                pings += 1;
                if answers {
                    let pong = [&[0, 0, 8, PING, 1, 0, 0, 0, 0], &payload[..]].concat();
                    let _ = http.write_all(&pong).await;
                }
            }
            goodbyes += u32::from(kind == GOAWAY);
        }
        assert!(goodbyes > 0, "answers: {answers}");
        assert!(pings > 0, "answers: {answers}");
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(900) && took < Duration::from_secs(5),
            "{took:?}"
        );
    }
}
