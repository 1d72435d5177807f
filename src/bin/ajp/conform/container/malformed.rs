//! Packets and heads that a container has to refuse.

use super::answer::End;
use super::packets::{CONTENT_LENGTH, Head, body, parts};
use super::{Container, PIECE, judged};
use crate::conform::check::{Step, Verdict, dangerous, differs, holds, wrong};
use crate::conform::connection::NoPacket;
use ajp::wire::ToWebServer;
use std::iter;

impl Container<'_> {
    pub(super) async fn closes(&self, bytes: &[u8]) -> Step {
        let mut connection = self.connection().await?;
        connection.send(bytes).await;
        Ok(match connection.next().await {
            Err(NoPacket::Closed) => holds("closed"),
            Ok(ToWebServer::SendHeaders(head)) if head.status() >= 400 => {
                differs(format!("answered with {}", head.status()))
            }
            Ok(ToWebServer::CPong) => dangerous("taken for a packet"),
            Ok(other) => wrong(format!("answered with {other}")),
            Err(NoPacket::Broken(error)) => {
                differs(format!("answered with something else: {error}"))
            }
            Err(NoPacket::TimedOut) => wrong("the connection stays open"),
        })
    }

    /// A packet that is to be refused.
    pub(super) async fn refused(&self, bytes: &[u8]) -> Step {
        let mut connection = self.connection().await?;
        connection.send(bytes).await;
        let answer = connection.answer(iter::empty()).await;
        Ok(judged(&answer, connection.is_closed().await))
    }

    pub(super) async fn refused_head(&self, change: impl FnOnce(&mut Head)) -> Step {
        let mut head = self.get_head();
        change(&mut head);
        self.refused(&head.bytes()).await
    }

    /// As [`Self::refused_head`], where it does no harm when it is overlooked and the connection
    /// stays in step.
    pub(super) async fn refused_or_overlooked(&self, change: impl FnOnce(&mut Head)) -> Step {
        let mut head = self.get_head();
        change(&mut head);
        let mut connection = self.connection().await?;
        connection.send(&head.bytes()).await;
        let answer = connection.answer(iter::empty()).await;
        let closed = connection.is_closed().await;
        let (verdict, seen) = judged(&answer, closed);
        if verdict != Verdict::Wrong || !answer.is_reusable() {
            return Ok((verdict, seen));
        }
        connection.send(&self.get_head().bytes()).await;
        let next = connection.answer(iter::empty()).await;
        Ok(match next.ends_well() {
            Ok(_) => differs(format!("{seen}: overlooked")),
            Err(_) => dangerous(format!("{seen}, then {}", next.shown())),
        })
    }

    /// As [`Self::refused_head`], where taking it lets requests be smuggled.
    pub(super) async fn smuggled(&self, change: impl FnOnce(&mut Head)) -> Step {
        let mut head = self.post_head();
        change(&mut head);
        let mut connection = self.connection().await?;
        connection.send(&head.bytes()).await;
        connection.send(&body(b"hello")).await;
        let answer = connection.answer(iter::empty()).await;
        Ok(match judged(&answer, connection.is_closed().await) {
            (Verdict::Wrong, seen) if answer.status() != 0 => dangerous(seen),
            other => other,
        })
    }

    pub(super) async fn length_and_encoding(&self) -> Step {
        let head = self
            .post_head()
            .with(CONTENT_LENGTH, "5")
            .with_text("Transfer-Encoding", "chunked");
        let mut connection = self.connection().await?;
        connection.send(&head.bytes()).await;
        connection.send(&body(b"hello")).await;
        let answer = connection.answer(iter::empty()).await;
        let closed = connection.is_closed().await;
        Ok(match judged(&answer, closed) {
            // One of the two is read, whatever the other says. It is the length when the packet that
            // nobody asked for was taken for the body: then at most its end is asked for.
            (Verdict::Wrong, seen) if answer.questions.len() < 2 => {
                differs(format!("{seen}: Content-Length is read alone"))
            }
            (Verdict::Wrong, seen) if answer.status() != 0 => dangerous(seen),
            other => other,
        })
    }

    pub(super) async fn unknown_encoding(&self) -> Step {
        let head = self
            .post_head()
            .with_text("Transfer-Encoding", "chunked, identity");
        let mut connection = self.connection().await?;
        connection.send(&head.bytes()).await;
        let answer = connection.answer(parts(b"hello", PIECE).into_iter()).await;
        let closed = connection.is_closed().await;
        Ok(match judged(&answer, closed) {
            (Verdict::Wrong, seen) if answer.status() != 0 => {
                differs(format!("{seen}: as one of unknown length"))
            }
            other => other,
        })
    }

    pub(super) async fn full_packet(&self) -> Step {
        let short = self.get_head().with_text("x-pad", "").bytes().len();
        let padding = vec![b'x'; 8192_usize.saturating_sub(short)];
        let answer = self
            .ask(&self.get_head().with_text("x-pad", padding))
            .await?;
        let seen = answer.ends_well()?;
        Ok(match answer.status() {
            400..=499 => wrong(seen),
            _ => holds(seen),
        })
    }

    pub(super) async fn many_headers(&self) -> Step {
        let mut head = self.get_head();
        for number in 0..120 {
            head = head.with_text(&format!("x-{number}"), "y");
        }
        let answer = self.ask(&head).await?;
        Ok(match (&answer.end, answer.status()) {
            (End::Done { .. }, 400) => holds(answer.shown()),
            (End::Done { .. }, _) => differs(answer.shown()),
            (End::Closed, 0) => {
                wrong("closed without an answer: web servers take that for a failed node")
            }
            _ => wrong(answer.shown()),
        })
    }
}
