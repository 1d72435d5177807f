//! Which connections a web server uses again.

use super::connection::{FromWebServer, head};
use super::reply::http;
use super::{FrontServer, finish};
use crate::conform::check::{Step, dangerous, differs, holds, wrong};
use crate::conform::connection::NoPacket;
use ajp::wire::{END_RESPONSE_REUSE, PacketSize, write_body_chunk};
use std::time::Duration;
use tokio::time::timeout;

impl FrontServer<'_> {
    pub(super) async fn reuse(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection.answer(200, &[], b"one", true).await;
        finish(reply).await;
        let (to, limit) = (self.http, self.limit);
        let again = tokio::spawn(http(to, self.asked("GET", "", b""), limit));
        let got = connection.request().await;
        connection.answer(200, &[], b"two", false).await;
        let reply = again.await.unwrap_or_default();
        Ok(match got {
            Ok(_) if reply.status() == 200 && reply.body().0 == b"two" => holds("used again"),
            Ok(_) => wrong(format!("used again, status {}", reply.status())),
            Err(NoPacket::Closed) => differs("closed: each request has a connection of its own"),
            Err(NoPacket::TimedOut) => differs("kept and not used"),
            Err(NoPacket::Broken(error)) => wrong(error),
        })
    }

    pub(super) async fn no_reuse(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection.answer(200, &[], b"one", false).await;
        finish(reply).await;
        let again = tokio::spawn(http(
            self.http,
            self.asked("GET", "", b""),
            Duration::from_millis(600),
        ));
        let got = connection.payload(Duration::from_millis(500)).await;
        again.abort();
        Ok(match got {
            Ok(_) => wrong("used again"),
            Err(NoPacket::Closed) => holds("closed"),
            Err(_) => differs("not closed, and not used"),
        })
    }

    pub(super) async fn early_answer(&mut self) -> Step {
        let data = vec![b'e'; 100_000];
        let asked = self.asked("POST", "Content-Length: 100000\r\n", &data);
        let (reply, mut connection, _) = self.forwarded(asked).await?;
        // As a container that keeps the rules: the owed packet is taken first.
        if connection.body().await.is_err() {
            return Ok(wrong("no first packet"));
        }
        connection.answer(413, &[], b"too much", true).await;
        let next = connection.payload(Duration::from_millis(500)).await;
        let reply = finish(reply).await;
        Ok(match (reply.status(), next) {
            (_, Ok(payload)) if payload.first() != Some(&2) && payload.first() != Some(&10) => {
                dangerous("a body packet follows the end of the answer")
            }
            (413, _) => holds("the client gets it"),
            (0, _) => differs("the client's connection is closed before it can read the answer"),
            (status, _) => wrong(format!("the client gets {status}")),
        })
    }

    pub(super) async fn idle_bytes(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection.answer(200, &[], b"one", true).await;
        finish(reply).await;
        let mut poison = head(200, &[]);
        let _ = write_body_chunk(&mut poison, b"poison", PacketSize::DEFAULT);
        poison.extend_from_slice(&END_RESPONSE_REUSE);
        connection.send(&poison).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (to, limit) = (self.http, self.limit);
        let again = tokio::spawn(http(to, self.asked("GET", "", b""), limit));
        // It may come on a new connection.
        let fresh = timeout(Duration::from_millis(800), self.listener.0.recv())
            .await
            .ok()
            .flatten();
        if let Some(stream) = fresh {
            let mut fresh = FromWebServer::new(stream, self.limit);
            if fresh.request().await.is_ok() {
                fresh.answer(200, &[], b"two", false).await;
            }
        }
        let reply = again.await.unwrap_or_default();
        Ok(match reply.body().0 {
            body if body == b"poison" => dangerous("they become the answer to the next request"),
            body if body == b"two" => holds("the next request has another connection"),
            _ => differs(format!("the next request gets {}", reply.status())),
        })
    }

    pub(super) async fn stale(&mut self) -> Step {
        let (reply, mut connection, _) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection.answer(200, &[], b"one", true).await;
        finish(reply).await;
        drop(connection);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (reply, connection) = self.ask(self.asked("GET", "", b"")).await;
        if let Some(mut connection) = connection {
            if connection.request().await.is_ok() {
                connection.answer(200, &[], b"two", false).await;
            }
        }
        let reply = finish(reply).await;
        Ok(if reply.status() == 200 && reply.body().0 == b"two" {
            holds("on another connection")
        } else {
            wrong(format!("status {}", reply.status()))
        })
    }
}
