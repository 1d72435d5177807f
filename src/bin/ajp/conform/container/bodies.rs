//! Requests with a body.

use super::answer::End;
use super::packets::{CONTENT_LENGTH, Head, body, packet, parts};
use super::{Container, PIECE, judged};
use crate::conform::check::{Step, Verdict, dangerous, differs, holds, skipped, wrong};
use crate::conform::connection::{Connection, NoPacket};
use ajp::client::Transport;
use ajp::wire::{END_OF_BODY, ToWebServer};
use std::iter;
use std::time::Duration;

impl Container<'_> {
    pub(super) async fn post(&self, bytes: usize) -> Step {
        let data: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
        let mut connection = self.connection().await?;
        let head = self.post_head().with(CONTENT_LENGTH, bytes.to_string());
        connection.send(&head.bytes()).await;
        let mut packets = parts(&data, PIECE).into_iter();
        connection.send(&packets.next().unwrap_or_default()).await;
        let answer = connection.answer(packets).await;
        let seen = answer.ends_well()?;
        // A page that sends the body back shows what arrived.
        let seen = if answer.data == data {
            format!("{seen}, and the page sends it back")
        } else if answer.data.starts_with(b"abcde") {
            return Ok(wrong(format!("{seen}: the page sends other bytes back")));
        } else {
            seen
        };
        if !answer.is_reusable() {
            return Ok(differs(seen));
        }
        // Nothing may be left on the connection.
        connection.send(&self.get_head().bytes()).await;
        let next = connection.answer(iter::empty()).await;
        Ok(if next.ends_well().is_ok() {
            holds(seen)
        } else {
            dangerous(format!("{seen}, then {}", next.shown()))
        })
    }

    /// A POST that announces no length, so that each packet of its body is asked for.
    async fn post_of_unknown_length(&self) -> Step<Connection<Transport>> {
        let mut connection = self.connection().await?;
        let head = self.post_head().with_text("Transfer-Encoding", "chunked");
        connection.send(&head.bytes()).await;
        Ok(connection)
    }

    pub(super) async fn chunked(&self) -> Step {
        let data = vec![b'c'; 10_000];
        let mut connection = self.post_of_unknown_length().await?;
        let answer = connection.answer(parts(&data, PIECE).into_iter()).await;
        let seen = answer.ends_well()?;
        Ok(match answer.questions.len() {
            0 => skipped(format!("{seen}: the page does not read its body")),
            // Two packets and the end.
            1..=2 => wrong(format!(
                "{seen}, asked only {} times",
                answer.questions.len()
            )),
            _ => holds(seen),
        })
    }

    pub(super) async fn question_fits(&self) -> Step {
        let mut connection = self.post_of_unknown_length().await?;
        let answer = connection.answer(parts(b"x", PIECE).into_iter()).await;
        Ok(match answer.questions.iter().max() {
            None => skipped("the page does not read its body"),
            Some(most) if usize::from(*most) <= PIECE => holds(format!("asks for {most}")),
            Some(most) => differs(format!(
                "asks for {most}, more than 8186: its packet size is larger"
            )),
        })
    }

    pub(super) async fn waits(&self) -> Step {
        let mut connection = self.connection().await?;
        // A page that need not read it.
        let mut head = Head::post(self.path, self.secret);
        head = head.with(CONTENT_LENGTH, "5");
        connection.send(&head.bytes()).await;
        let mut early = false;
        let first = connection.next_within(Duration::from_millis(400)).await;
        let mut next = first;
        loop {
            match next {
                Ok(ToWebServer::EndResponse { reuse: true }) => {
                    early = true;
                    break;
                }
                Ok(ToWebServer::EndResponse { reuse: false }) | Err(NoPacket::Closed) => {
                    return Ok(holds("ends the connection"));
                }
                Ok(_) => next = connection.next_within(Duration::from_millis(400)).await,
                Err(NoPacket::Broken(error)) => return Ok(wrong(error)),
                Err(NoPacket::TimedOut) => break,
            }
        }
        if early {
            return Ok(dangerous(
                "the connection is kept while a packet is owed, which is then read as a request",
            ));
        }
        connection.send(&body(b"hello")).await;
        let answer = connection.answer(iter::empty()).await;
        Ok(match answer.end {
            End::Done { .. } => holds("waits for the packet"),
            _ => wrong(answer.shown()),
        })
    }

    pub(super) async fn short_end(&self) -> Step {
        let mut connection = self.post_of_unknown_length().await?;
        let end = [body(b"hello"), packet(&[])];
        let answer = connection.answer(end.into_iter()).await;
        Ok(holds(answer.ends_well()?))
    }

    pub(super) async fn bad_body(&self, bytes: &[u8]) -> Step {
        let mut connection = self.connection().await?;
        connection
            .send(&self.post_head().with(CONTENT_LENGTH, "5").bytes())
            .await;
        connection.send(bytes).await;
        let answer = connection.answer(iter::empty()).await;
        let closed = connection.is_closed().await;
        if answer.end == End::Closed {
            // Without an end the web server sees that the answer is not whole.
            return Ok(holds(answer.shown()));
        }
        Ok(match judged(&answer, closed) {
            (Verdict::Wrong, seen) if answer.is_reusable() => {
                // The page got it; is the connection still in step?
                connection.send(&self.get_head().bytes()).await;
                let next = connection.answer(iter::empty()).await;
                match next.ends_well() {
                    Ok(_) => differs(format!("{seen}: taken as it is")),
                    Err(_) => dangerous(format!("{seen}, then {}", next.shown())),
                }
            }
            other => other,
        })
    }

    pub(super) async fn short_body(&self) -> Step {
        let mut connection = self.connection().await?;
        connection
            .send(&self.post_head().with(CONTENT_LENGTH, "50").bytes())
            .await;
        connection.send(&body(b"hello")).await;
        let answer = connection.answer([END_OF_BODY.to_vec()].into_iter()).await;
        if answer.questions.is_empty() && answer.status() < 400 && answer.status() != 0 {
            return Ok(skipped("the page does not read its body"));
        }
        let closed = connection.is_closed().await;
        if answer.end == End::Closed {
            // Without an end the web server sees that the answer is not whole.
            return Ok(holds(answer.shown()));
        }
        Ok(match judged(&answer, closed) {
            (Verdict::Wrong, seen) if answer.status() != 0 => {
                wrong(format!("{seen}: a truncated body looks whole"))
            }
            other => other,
        })
    }

    pub(super) async fn gone(&self) -> Step {
        for _ in 0..5 {
            let mut connection = self.connection().await?;
            connection
                .send(&self.post_head().with(CONTENT_LENGTH, "50000").bytes())
                .await;
            connection.send(&body(&[b'g'; 1000])).await;
        }
        self.get().await
    }

    pub(super) async fn expect(&self) -> Step {
        let mut connection = self.connection().await?;
        let head = self
            .post_head()
            .with(CONTENT_LENGTH, "5")
            .with_text("Expect", "100-continue");
        connection.send(&head.bytes()).await;
        connection.send(&body(b"hello")).await;
        let answer = connection.answer(iter::empty()).await;
        let seen = answer.ends_well()?;
        Ok(if (100..200).contains(&answer.status()) {
            wrong(seen)
        } else {
            holds(seen)
        })
    }

    pub(super) async fn refused_post(&self) -> Step {
        let mut connection = self.connection().await?;
        // A method code that does not exist, and a body behind it.
        let mut head = self.post_head().with(CONTENT_LENGTH, "8000");
        head.method = 0x1c;
        connection.send(&head.bytes()).await;
        connection.send(&body(&[b'x'; 8000])).await;
        let answer = connection.answer(iter::empty()).await;
        Ok(match (&answer.end, answer.status()) {
            (End::Done { .. }, 400..=599) => holds(answer.shown()),
            (End::Closed, 0) => differs("closed without an answer"),
            (_, 400..=599) => differs(answer.shown()),
            _ => wrong(answer.shown()),
        })
    }
}
