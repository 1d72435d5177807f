//! How a web server forwards requests.

use super::{FrontServer, finish, header};
use crate::conform::check::{Step, dangerous, differs, holds, wrong};
use crate::conform::connection::{NoPacket, shown};
use ajp::server::{AttributeAction, AttributePolicy};
use ajp::wire::{Attribute, BodyPacket, ForwardRequest, get_body_chunk};
use std::time::Duration;

impl FrontServer<'_> {
    pub(super) async fn get(&mut self) -> Step {
        let (reply, mut connection, request) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection
            .answer(200, &[(b"Content-Type", b"text/plain")], b"Hello", false)
            .await;
        let reply = finish(reply).await;
        let (body, whole) = reply.body();
        Ok(if reply.status() == 200 && body == b"Hello" && whole {
            holds(format!("{} headers", request.headers().count()))
        } else {
            wrong(format!("status {}, {} bytes", reply.status(), body.len()))
        })
    }

    pub(super) async fn length_0(&mut self) -> Step {
        let (reply, mut connection, request) = self.forwarded(self.asked("GET", "", b"")).await?;
        let stray = connection.payload(Duration::from_millis(200)).await;
        connection.answer(200, &[], b"", false).await;
        finish(reply).await;
        if let Ok(payload) = stray {
            return Ok(wrong(format!(
                "a packet of {} bytes follows unasked",
                payload.len()
            )));
        }
        if connection.unasked > 0 {
            return Ok(differs("an empty packet follows unasked"));
        }
        Ok(match header(&request, "content-length") {
            Some(length) if length == "0" => holds("Content-Length: 0"),
            None => differs("no length: Tomcat takes it for unknown, Undertow for none"),
            Some(length) => wrong(format!("Content-Length: {length}")),
        })
    }

    pub(super) async fn post(&mut self) -> Step {
        let asked = self.asked("POST", "Content-Length: 11\r\n", b"hello world");
        let (reply, mut connection, request) = self.forwarded(asked).await?;
        let length = header(&request, "content-length");
        let data = match connection.body().await {
            Ok(BodyPacket::Data(data)) => data,
            Ok(_) => return Ok(wrong("the first packet is an end of body")),
            Err(NoPacket::TimedOut) => {
                return Ok(wrong("no packet comes unasked: Tomcat waits for it"));
            }
            Err(NoPacket::Broken(error)) => {
                return Ok(wrong(format!("the body packet cannot be read: {error}")));
            }
            Err(none) => return Ok(wrong(none.to_string())),
        };
        connection.answer(200, &[], b"ok", false).await;
        let reply = finish(reply).await;
        Ok(if length.as_deref() != Some("11") {
            wrong(format!(
                "Content-Length is {}",
                length.as_deref().unwrap_or("missing")
            ))
        } else if data.as_ref() != b"hello world" {
            wrong(format!(
                "{} bytes, and not those that were sent",
                data.len()
            ))
        } else {
            holds(format!("11 bytes, status {}", reply.status()))
        })
    }

    pub(super) async fn long_post(&mut self) -> Step {
        let data: Vec<u8> = (0..20_000_u32)
            .map(|n| b'a'.saturating_add(u8::try_from(n % 26).unwrap_or(0)))
            .collect();
        let asked = self.asked("POST", "Content-Length: 20000\r\n", &data);
        let (reply, mut connection, _) = self.forwarded(asked).await?;
        let mut got = Vec::new();
        let mut longest = 0;
        let mut more_than_asked = false;
        match connection.body().await {
            Ok(BodyPacket::Data(data)) => got.extend_from_slice(&data),
            other => return Ok(wrong(format!("first packet: {}", shown(&other)))),
        }
        while got.len() < data.len() {
            // Less than would fit, to see whether it is kept to.
            connection.send(&get_body_chunk(4000)).await;
            match connection.body().await {
                Ok(BodyPacket::Data(data)) => {
                    longest = longest.max(data.len());
                    more_than_asked |= data.len() > 4000;
                    got.extend_from_slice(&data);
                }
                other => {
                    let (bytes, other) = (got.len(), shown(&other));
                    return Ok(wrong(format!("after {bytes} bytes: {other}")));
                }
            }
        }
        connection.answer(200, &[], b"ok", false).await;
        finish(reply).await;
        Ok(if got != data {
            wrong("other bytes than were sent")
        } else if more_than_asked {
            differs(format!("up to {longest} bytes when 4000 are asked for"))
        } else {
            holds(format!("up to {longest} bytes when 4000 are asked for"))
        })
    }

    pub(super) async fn after_the_end(&mut self) -> Step {
        let asked = self.asked("POST", "Content-Length: 3\r\n", b"abc");
        let (reply, mut connection, _) = self.forwarded(asked).await?;
        let _ = connection.body().await;
        connection.send(&get_body_chunk(8186)).await;
        let end = connection.body().await;
        connection.answer(200, &[], b"ok", false).await;
        finish(reply).await;
        Ok(match end {
            Ok(BodyPacket::End) => holds("an end of body"),
            other => wrong(shown(&other)),
        })
    }

    pub(super) async fn chunked_post(&mut self) -> Step {
        let asked = self.asked(
            "POST",
            "Transfer-Encoding: chunked\r\n",
            b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        );
        let (reply, mut connection, request) = self.forwarded(asked).await?;
        let length = header(&request, "content-length");
        let encoding = header(&request, "transfer-encoding");
        let unasked = connection
            .body_within(Duration::from_millis(300))
            .await
            .ok();
        let mut got = Vec::new();
        if let Some(BodyPacket::Data(data)) = &unasked {
            got.extend_from_slice(data);
        }
        for _ in 0..20 {
            connection.send(&get_body_chunk(8186)).await;
            match connection.body().await {
                Ok(BodyPacket::Data(data)) => got.extend_from_slice(&data),
                Ok(_) => break,
                Err(none) => return Ok(wrong(format!("after {} bytes: {none}", got.len()))),
            }
        }
        connection.answer(200, &[], b"ok", false).await;
        finish(reply).await;
        if got != b"hello world" {
            return Ok(wrong(format!(
                "{} bytes, and not those that were sent",
                got.len()
            )));
        }
        Ok(match (length, encoding, unasked.is_some()) {
            (None, Some(_), false) => holds("announced as chunked"),
            (Some(_), None, true) => differs("collected first, and sent with a length"),
            (None, None, false) => differs("announced by nothing: Undertow takes it for no body"),
            (Some(_), Some(_), _) => dangerous("Content-Length and Transfer-Encoding"),
            (length, encoding, unasked) => wrong(format!(
                "Content-Length {}, Transfer-Encoding {}, {} packet unasked",
                length.as_deref().unwrap_or("missing"),
                encoding.as_deref().unwrap_or("missing"),
                if unasked { "a" } else { "no" },
            )),
        })
    }

    /// A request that is to be refused, or to lose what is wrong with it.
    pub(super) async fn doubtful(
        &mut self,
        headers: &str,
        body: &[u8],
    ) -> Step<Box<ForwardRequest>> {
        let asked = self.asked("POST", headers, body);
        let (reply, connection) = self.ask(asked).await;
        let Some(mut connection) = connection else {
            let reply = finish(reply).await;
            return Err(match reply.status() {
                400..=599 => holds(format!("refused with {}", reply.status())),
                0 => holds("refused by closing"),
                status => wrong(format!("status {status}, and nothing was forwarded")),
            });
        };
        let got = connection.request().await;
        connection.answer(200, &[], b"", false).await;
        finish(reply).await;
        match got {
            Ok(request) => Ok(request),
            Err(NoPacket::Closed) => Err(holds("connected, and refused before anything was sent")),
            Err(NoPacket::Broken(error)) => Err(dangerous(format!(
                "forwarded so that it cannot be read: {error}"
            ))),
            Err(NoPacket::TimedOut) => Err(wrong("connected, and sent nothing")),
        }
    }

    pub(super) async fn length_and_encoding(&mut self) -> Step {
        let request = self
            .doubtful(
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                b"3\r\nabc\r\n0\r\n\r\n",
            )
            .await?;
        let (length, encoding) = (
            header(&request, "content-length"),
            header(&request, "transfer-encoding"),
        );
        Ok(match (length.is_some(), encoding.is_some()) {
            (true, true) => dangerous("both are forwarded"),
            (false, true) => holds("forwarded as chunked alone"),
            (true, false) => differs("collected, and forwarded with a length"),
            (false, false) => wrong("forwarded with neither"),
        })
    }

    pub(super) async fn unknown_encoding(&mut self) -> Step {
        let request = self
            .doubtful(
                "Transfer-Encoding: chunked, identity\r\n",
                b"3\r\nabc\r\n0\r\n\r\n",
            )
            .await?;
        Ok(match header(&request, "transfer-encoding") {
            Some(value) if !value.eq_ignore_ascii_case("chunked") => {
                dangerous(format!("forwarded as it is: {value}"))
            }
            _ => differs("forwarded, without what is wrong with it"),
        })
    }

    pub(super) async fn two_lengths(&mut self) -> Step {
        let request = self
            .doubtful("Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd")
            .await?;
        let count = request
            .headers()
            .filter(|header| header.name.eq_ignore_ascii_case(b"content-length"))
            .count();
        Ok(if count > 1 {
            dangerous("both are forwarded")
        } else {
            wrong("one of them is forwarded")
        })
    }

    pub(super) async fn head_too_large(&mut self) -> Step {
        let long = "x".repeat(4_000);
        let header = |number| format!("X-Long-{number}: {long}\r\n");
        let headers = [header(0), header(1), header(2)].concat();
        let (reply, connection) = self.ask(self.asked("GET", &headers, b"")).await;
        let Some(mut connection) = connection else {
            let status = finish(reply).await.status();
            return Ok(if (400..500).contains(&status) {
                holds(format!("status {status}"))
            } else {
                differs(format!("status {status}"))
            });
        };
        let got = connection.request().await;
        if got.is_ok() {
            connection.answer(200, &[], b"", false).await;
        } else {
            drop(connection);
        }
        let status = finish(reply).await.status();
        Ok(match got {
            Ok(_) => wrong("headers of 12000 bytes came in a packet of 8192: some are missing"),
            Err(NoPacket::Broken(error)) => {
                wrong(format!("a packet that is too long is sent: {error}"))
            }
            Err(NoPacket::Closed | NoPacket::TimedOut) if (400..500).contains(&status) => {
                holds(format!("status {status}"))
            }
            Err(NoPacket::Closed | NoPacket::TimedOut) => differs(format!("status {status}")),
        })
    }

    pub(super) async fn attributes(&mut self) -> Step {
        let (reply, mut connection, request) = self.forwarded(self.asked("GET", "", b"")).await?;
        connection.answer(200, &[], b"", false).await;
        finish(reply).await;
        // What our server takes without being told is what every container takes.
        let policy = AttributePolicy::default();
        let names = request
            .attributes()
            .filter_map(|attribute| match attribute {
                Attribute::Named { name, .. } => Some(name),
                _ => None,
            });
        let unknown: Vec<_> = names
            .filter(|name| policy.action(name) != AttributeAction::Accept)
            .map(String::from_utf8_lossy)
            .collect();
        Ok(if unknown.is_empty() {
            holds("none that Tomcat would refuse")
        } else {
            differs(format!("Tomcat refuses {}", unknown.join(", ")))
        })
    }
}
