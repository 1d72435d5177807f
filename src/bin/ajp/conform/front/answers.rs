//! What a web server makes of answers, right and wrong.

use super::connection::{FromWebServer, head};
use super::reply::error_or;
use super::{FrontServer, finish};
use crate::conform::check::{Step, Verdict, dangerous, differs, holds, skipped, wrong};
use crate::conform::connection::deadline;
use ajp::wire::{END_RESPONSE_CLOSE, END_RESPONSE_REUSE, FLUSH, PacketSize, write_body_chunk};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

impl FrontServer<'_> {
    pub(super) async fn flush(&mut self) -> Step {
        let (to, limit) = (self.http, self.limit);
        let asked = self.asked("GET", "", b"");
        let (early, mut first) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            let Ok(mut stream) = TcpStream::connect(to).await else {
                return;
            };
            let _ = stream.write_all(&asked).await;
            let mut piece = [0; 4096];
            while let Ok(Ok(n @ 1..)) = timeout(limit, stream.read(&mut piece)).await {
                let _ = early
                    .send(String::from_utf8_lossy(piece.get(..n).unwrap_or_default()).into_owned());
            }
        });
        let stream = timeout(self.limit, self.listener.0.recv())
            .await
            .ok()
            .flatten();
        let Some(stream) = stream else {
            return Ok(skipped("nothing was forwarded"));
        };
        let mut connection = FromWebServer::new(stream, self.limit);
        if connection.request().await.is_err() {
            return Ok(skipped("no request came"));
        }
        let mut out = head(200, &[(b"Content-Type", b"text/event-stream")]);
        let _ = write_body_chunk(&mut out, b"data: one\n\n", PacketSize::DEFAULT);
        out.extend_from_slice(&FLUSH);
        connection.send(&out).await;
        let mut seen = String::new();
        let deadline = deadline(Duration::from_millis(800));
        while let Ok(Some(text)) = timeout_at(deadline, first.recv()).await {
            seen.push_str(&text);
            if seen.contains("data: one") {
                break;
            }
        }
        connection.send(&END_RESPONSE_CLOSE).await;
        let _ = timeout(Duration::from_secs(1), reader).await;
        Ok(if seen.contains("data: one") {
            holds("it comes at once")
        } else {
            differs("it comes with the end")
        })
    }

    pub(super) async fn data_for_head(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("HEAD", "", b"")).await?;
        connection
            .answer(200, &[], b"nobody wants this", false)
            .await;
        let reply = finish(reply).await;
        Ok(if reply.text().contains("nobody wants this") {
            dangerous("it is passed on, and read as the next answer")
        } else {
            holds(format!("status {}", reply.status()))
        })
    }

    pub(super) async fn data_for_204(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection
            .answer(204, &[], b"nobody wants this", false)
            .await;
        let reply = finish(reply).await;
        Ok(if reply.text().contains("nobody wants this") {
            wrong("it is passed on")
        } else {
            holds(format!("status {}", reply.status()))
        })
    }

    pub(super) async fn cut(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        let mut out = head(200, &[(b"Content-Type", b"text/plain")]);
        let _ = write_body_chunk(&mut out, &[b'c'; 8000], PacketSize::DEFAULT);
        connection.send(&out).await;
        let _ = connection.connection.stream.shutdown().await;
        drop(connection);
        let reply = finish(reply).await;
        let has_framing = reply
            .head()
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked")
            || reply
                .head()
                .to_ascii_lowercase()
                .contains("content-length:");
        Ok(match (reply.status(), reply.body()) {
            (500..=599, _) => holds(format!("status {}", reply.status())),
            (_, (_, false)) => holds("the client sees that it is cut off"),
            (_, (_, true)) if !has_framing => differs("no framing: the client cannot tell"),
            (status, (body, true)) => wrong(format!(
                "status {status}, {} bytes that look whole",
                body.len()
            )),
        })
    }

    /// A packet that is wrong, behind a head or in place of one.
    pub(super) async fn bad(&mut self, bytes: &[u8], after_head: bool, what: &str) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        if after_head {
            connection.send(&head(200, &[])).await;
        }
        connection.send(bytes).await;
        connection.send(&END_RESPONSE_REUSE).await;
        let reply = finish(reply).await;
        let seen = error_or(&reply, what);
        // Whatever it told the client, the connection must not be used again.
        let next = connection.payload(Duration::from_millis(200)).await;
        Ok(match (seen, next) {
            ((verdict, seen), Ok(_)) => (
                verdict.max(Verdict::Wrong),
                format!("{seen}; the connection is used again"),
            ),
            (seen, Err(_)) => seen,
        })
    }

    pub(super) async fn too_long(&mut self) -> Step {
        let mut bytes = vec![0x41, 0x42, 0x40, 0, 3, 0x3f, 0xfc];
        bytes.resize(16_388, b'l');
        self.bad(&bytes, true, "a packet of 16388 bytes").await
    }

    pub(super) async fn two_heads(&mut self) -> Step {
        // Another status of a good answer, to see which head is believed.
        let second = head(203, &[(b"X-Second", b"yes")]);
        self.bad(&second, true, "a second head").await
    }

    pub(super) async fn line_break(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        let value = b"a\r\nSet-Cookie: b=c";
        let mut packet = vec![
            4,
            0,
            200,
            0,
            2,
            b'O',
            b'K',
            0,
            0,
            1,
            0,
            3,
            b'x',
            b'-',
            b'a',
            0,
            0,
            u8::try_from(value.len()).unwrap_or(0),
        ];
        packet.extend_from_slice(value);
        packet.push(0);
        let len = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
        connection
            .send(&[&[0x41, 0x42], &len[..], &packet].concat())
            .await;
        connection.send(&END_RESPONSE_CLOSE).await;
        let reply = finish(reply).await;
        let splits = reply
            .head()
            .lines()
            .any(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        Ok(match (splits, reply.status()) {
            (true, _) => dangerous("it becomes a second header"),
            (false, 500..=599) => holds(format!("status {}", reply.status())),
            (false, status) => differs(format!("status {status}, and no second header")),
        })
    }
}
