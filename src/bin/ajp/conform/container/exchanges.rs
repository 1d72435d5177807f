//! Probes, and requests without a body.

use super::Container;
use super::answer::End;
use super::packets::{Head, Name, packet};
use crate::conform::check::{Step, dangerous, differs, holds, skipped, wrong};
use crate::conform::connection::{NoPacket, shown};
use ajp::wire::{CPING, ToWebServer};
use std::iter;
use std::time::Duration;

impl Container<'_> {
    pub(super) async fn cping(&self) -> Step {
        let mut connection = self.connection().await?;
        connection.send(&CPING).await;
        Ok(match connection.next().await {
            Ok(ToWebServer::CPong) => holds("CPong"),
            Err(NoPacket::Closed) => differs("closed: CPing is not known, probes must be off"),
            other => wrong(shown(&other)),
        })
    }

    pub(super) async fn cping_in_pieces(&self) -> Step {
        let mut connection = self.connection().await?;
        for byte in CPING {
            connection.send(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(match connection.next().await {
            Ok(ToWebServer::CPong) => holds("CPong"),
            Err(NoPacket::Closed) => differs("closed"),
            other => wrong(shown(&other)),
        })
    }

    pub(super) async fn cping_again(&self) -> Step {
        let mut connection = self.connection().await?;
        for number in 1..=3 {
            connection.send(&CPING).await;
            match connection.next().await {
                Ok(ToWebServer::CPong) => {}
                Err(NoPacket::Closed) if number == 1 => return Ok(skipped("CPing is not known")),
                other => return Ok(wrong(format!("{number}: {}", shown(&other)))),
            }
        }
        Ok(holds("three answers"))
    }

    pub(super) async fn shutdown(&self) -> Step {
        if self.ask(&self.get_head()).await?.head.is_none() {
            return Ok(skipped("the page is not answered, before it"));
        }
        let mut connection = self.connection().await?;
        connection.send(&packet(&[7])).await;
        let closed = connection.is_closed().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let alive = self
            .ask(&self.get_head())
            .await
            .is_ok_and(|answer| answer.head.is_some());
        Ok(match (alive, closed) {
            (true, true) => holds("closed, and it goes on"),
            (true, false) => differs("the connection stays open, and it goes on"),
            (false, _) => dangerous("the container is gone"),
        })
    }

    pub(super) async fn get(&self) -> Step {
        let answer = self.ask(&self.get_head()).await?;
        let seen = answer.ends_well()?;
        Ok(if answer.questions.is_empty() {
            holds(seen)
        } else {
            differs(format!("{seen}, asks for a body"))
        })
    }

    pub(super) async fn reuse(&self) -> Step {
        let mut connection = self.connection().await?;
        for number in 1..=3 {
            connection.send(&self.get_head().bytes()).await;
            let answer = connection.answer(iter::empty()).await;
            answer.ends_well()?;
            if !answer.is_reusable() {
                return Ok(differs(format!(
                    "ends the connection after request {number}"
                )));
            }
        }
        Ok(holds("three requests"))
    }

    pub(super) async fn head(&self) -> Step {
        let mut head = self.get_head();
        head.method = 3;
        let answer = self.ask(&head).await?;
        let seen = answer.ends_well()?;
        Ok(match answer.data.len() {
            0 => holds(seen),
            bytes => differs(format!(
                "{bytes} bytes of data, which a web server has to drop"
            )),
        })
    }

    pub(super) async fn no_length(&self) -> Step {
        let mut head = self.get_head();
        head.headers
            .retain(|(name, _)| matches!(name, Name::Code(0xa00b)));
        let answer = self.ask(&head).await?;
        let seen = answer.ends_well()?;
        Ok(if answer.questions.is_empty() {
            holds(seen)
        } else {
            differs(format!("{seen}, after asking for a body"))
        })
    }

    pub(super) async fn empty_packet(&self) -> Step {
        let mut connection = self.connection().await?;
        connection.send(&self.get_head().bytes()).await;
        let answer = connection.answer(iter::empty()).await;
        answer.ends_well()?;
        connection.send(&packet(&[])).await;
        connection.send(&CPING).await;
        Ok(match connection.next().await {
            Ok(ToWebServer::CPong) => holds("tolerated"),
            Err(NoPacket::Closed) => differs("the connection is closed"),
            Ok(ToWebServer::SendHeaders(head)) => {
                differs(format!("answered with {}", head.status()))
            }
            other => wrong(shown(&other)),
        })
    }

    pub(super) async fn stored_method(&self) -> Step {
        let mut head = self.get_head().with_attribute(0x0d, b"PATCH");
        head.method = 0xff;
        let answer = self.ask(&head).await?;
        Ok(holds(answer.ends_well()?))
    }

    pub(super) async fn null_strings(&self) -> Step {
        let mut head = self.get_head();
        // A query that is null.
        head.attributes.extend([3, 0xff, 0xff]);
        let answer = self.ask(&head).await?;
        let seen = answer.ends_well()?;
        Ok(if answer.status() == 400 {
            differs(seen)
        } else {
            holds(seen)
        })
    }

    pub(super) async fn key_size(&self) -> Step {
        let mut as_text = self.get_head().with_attribute(0x0b, b"256");
        as_text.end = vec![0xff];
        let answer = self.ask(&as_text).await?;
        Ok(match (&answer.end, answer.status()) {
            (End::Done { .. }, 200..=399 | 404) => {
                holds(format!("text is taken too: {}", answer.shown()))
            }
            _ => differs(format!("text is refused: {}", answer.shown())),
        })
    }

    pub(super) async fn bodiless(&self) -> Step {
        let Some(template) = self.statuses else {
            return Ok(skipped("--status-path names no page for it"));
        };
        for status in [204, 205, 304] {
            let head = Head::get(&template.replace("{}", &status.to_string()), self.secret);
            let answer = self.ask(&head).await?;
            answer.ends_well()?;
            if answer.status() != status {
                return Ok(skipped(format!(
                    "{template} answers {} for {status}",
                    answer.status()
                )));
            }
            if !answer.data.is_empty() {
                return Ok(differs(format!(
                    "{status} with {} bytes",
                    answer.data.len()
                )));
            }
        }
        Ok(holds("no data"))
    }
}
