//! `ajp conform container`: a container, by what a web server could send it.

use super::check::{Check, Outcome, Seen, dangerous, differs, holds, skipped, wrong};
use super::packets::{Answer, CONTENT_LENGTH, End, Head, Line, Name, Next, body, packet, parts};
use ajp::client::Address;
use ajp::wire::{CPING, END_OF_BODY, ToWebServer};
use std::time::Duration;

/// Data of a body packet of the default size.
const PIECE: usize = 8186;

pub(super) struct Container<'a> {
    pub(super) address: &'a Address,
    pub(super) path: &'a str,
    /// A page that reads its body.
    pub(super) reading: &'a str,
    /// A page that answers with a status: `{}` stands for it.
    pub(super) statuses: Option<&'a str>,
    pub(super) secret: Option<&'a [u8]>,
    pub(super) limit: Duration,
}

/// `Err` is a verdict too: that of a step that went wrong.
type Result = std::result::Result<Seen, Seen>;

const fn check(
    id: &'static str,
    name: &'static str,
    section: &'static str,
    rule: &'static str,
) -> Check {
    Check {
        id,
        name,
        rule,
        section,
    }
}

impl Container<'_> {
    /// All checks, each on connections of its own.
    pub(super) async fn run(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        macro_rules! run {
            ($($id:literal $name:literal $section:literal $rule:literal => $call:expr;)*) => {
                $({
                    let (verdict, seen) = match $call.await { Ok(seen) | Err(seen) => seen };
                    outcomes.push(Outcome { check: check($id, $name, $section, $rule), verdict, seen });
                })*
            };
        }
        run! {
            "C01" "cping" "exchange: CPing and CPong" "CPing on an idle connection is answered with CPong" => self.cping();
            "C02" "cping-in-pieces" "packets: Packet header" "a packet may arrive byte by byte" => self.cping_in_pieces();
            "C03" "cping-again" "exchange: CPing and CPong" "a connection takes one CPing after the other" => self.cping_again();
            "C04" "wrong-magic" "packets: Packet header" "a wrong magic number closes the connection, without an answer" => self.closes(&[0x12, 0x33, 0, 1, 10]);
            "C05" "own-magic" "packets: Packet header" "the container's own magic number is wrong in its ear" => self.closes(&[0x41, 0x42, 0, 1, 10]);
            "C06" "other-protocol" "packets: Packet header" "HTTP is not answered as AJP" => self.closes(b"GET / HTTP/1.0\r\n\r\n");
            "C07" "unknown-type" "exchange: Errors" "an unknown packet type in idle closes the connection" => self.closes(&packet(&[0x0b]));
            "C08" "shutdown" "packets: The short ones" "SHUTDOWN from anybody does not stop the container" => self.shutdown();
            "C09" "announced-too-long" "packets: Packet size" "a length above the packet size is refused without reading on" => self.refused(&[0x12, 0x34, 0xff, 0xff]);
            "C10" "string-too-long" "packets: Strings" "a string longer than its packet is refused" => self.refused(&packet(&[&[2, 2, 0, 0x20], &b"HTTP/1.1\0"[..]].concat()));
            "C11" "no-terminator" "packets: Forward Request" "a request without its last byte FF is refused" => self.refused_head(|head| head.end = Vec::new());
            "C12" "trailing-byte" "packets: Forward Request" "bytes behind the last byte FF are refused" => self.refused_or_overlooked(|head| head.end = vec![0xff, 0]);
            "C13" "header-code-0" "codes: Request headers" "header code A000 is refused" => self.refused_head(|head| head.headers.push((Name::Code(0xa000), b"x".to_vec())));
            "C14" "header-code-15" "codes: Request headers" "header code A00F is refused" => self.refused_head(|head| head.headers.push((Name::Code(0xa00f), b"x".to_vec())));
            "C15" "null-header-name" "packets: Strings" "a header without a name is refused" => self.refused_or_overlooked(|head| head.headers.push((Name::Code(0xffff), b"x".to_vec())));
            "C16" "fewer-headers" "packets: Forward Request" "a number of headers that are not there is refused" => self.refused_head(|head| { head.header_count = Some(40); head.attributes.clear(); });
            "C17" "65535-headers" "packets: Forward Request" "65535 headers that are not there cost nothing and are refused" => self.refused_head(|head| { head.header_count = Some(u16::MAX); head.attributes.clear(); });
            "C18" "unknown-attribute-code" "codes: Attributes" "an attribute code that is not known is refused" => self.refused_head(|head| head.attributes.extend([0x0e, 0, 1, b'x', 0]));
            "C19" "unknown-method-code" "codes: Methods" "a method code that is not known is refused" => self.refused_head(|head| head.method = 0x1c);
            "C20" "no-stored-method" "codes: Attributes" "method code FF without its name is refused" => self.refused_head(|head| head.method = 0xff);
            "C21" "two-lengths" "framing: Requests" "Content-Length twice is refused" => self.smuggled(|head| { head.headers.push((CONTENT_LENGTH, b"5".to_vec())); head.headers.push((Name::Text(b"Content-Length".to_vec()), b"6".to_vec())); });
            "C22" "length-with-sign" "framing: Requests" "Content-Length with a sign is refused" => self.smuggled(|head| head.headers.push((CONTENT_LENGTH, b"+5".to_vec())));
            "C23" "length-and-encoding" "framing: Requests" "Content-Length beside Transfer-Encoding is refused" => self.length_and_encoding();
            "C24" "unknown-encoding" "framing: Requests" "Transfer-Encoding other than chunked is refused" => self.unknown_encoding();
            "C25" "line-break-in-value" "packets: What a string may hold" "a line break in a header value is refused" => self.refused_head(|head| head.headers.push((Name::Text(b"x-a".to_vec()), b"a\r\nx-b: c".to_vec())));
            "C26" "nul-in-value" "packets: What a string may hold" "a NUL in a header value is refused" => self.refused_head(|head| head.headers.push((Name::Text(b"x-a".to_vec()), b"a\0b".to_vec())));
            "C27" "get" "exchange: A request without a body" "a request without a body is answered: head, data, End Response" => self.get();
            "C28" "reuse" "reuse: Conditions" "a connection that is kept takes the next request" => self.reuse();
            "C29" "head" "exchange: HEAD, and statuses without a body" "the answer to HEAD has no data" => self.head();
            "C30" "no-length" "exchange: A request without a body" "a GET without a length is answered" => self.no_length();
            "C31" "post" "exchange: A body of known length" "a body with a length arrives as it is, and the connection is kept" => self.post(11);
            "C32" "long-post" "exchange: A body of known length" "a body of several packets is asked for packet by packet" => self.post(20_000);
            "C33" "chunked-post" "exchange: A body of unknown length" "a body of unknown length is asked for, and ends with an empty packet" => self.chunked();
            "C34" "question-fits" "packets: Packet size" "no more data is asked for than a packet of 8192 bytes holds" => self.question_fits();
            "C35" "waits-for-owed-packet" "reuse: Early end" "End Response with reuse comes after the packet that is owed" => self.waits();
            "C36" "end-of-body-without-length" "packets: Strings" "an end of body of four bytes counts as one of six" => self.short_end();
            "C37" "inner-length-too-long" "exchange: Errors" "a body packet whose own length is too long ends the exchange" => self.bad_body(&packet(&[0, 9, b'a', b'b', b'c']));
            "C38" "inner-length-too-short" "exchange: Errors" "a body packet whose own length is too short ends the exchange" => self.bad_body(&packet(&[0, 1, b'a', b'b', b'c', b'd', b'e']));
            "C39" "body-too-long" "exchange: A body of known length" "more data than Content-Length says is not taken for the body" => self.bad_body(&body(b"more than five bytes"));
            "C40" "body-too-short" "exchange: The end of a body" "an end of body below Content-Length is an error for the application" => self.short_body();
            "C41" "peer-gone" "exchange: Aborts" "a web server that goes in the middle of a body leaves nothing behind" => self.gone();
            "C42" "empty-packet-in-idle" "reuse: Empty packets that nobody asked for" "an empty packet after an exchange without a body does no harm" => self.empty_packet();
            "C43" "secret-missing" "security: Ghostcat" "without the secret: 403, and the connection ends" => self.without_secret();
            "C44" "secret-wrong" "security: Ghostcat" "with a wrong secret: 403, and the connection ends" => self.wrong_secret();
            "C45" "secret-twice" "security: Ghostcat" "a right and a wrong secret are refused" => self.two_secrets();
            "C46" "unknown-attribute" "security: Ghostcat" "a request attribute that is not allowed is refused or dropped" => self.unknown_attribute();
            "C47" "ghostcat" "security: Ghostcat" "attributes of an include do not serve files of the application" => self.ghostcat();
            "C48" "full-packet" "packets: Packet size" "a head of exactly 8192 bytes is taken" => self.full_packet();
            "C49" "101-headers" "packets: Forward Request" "more than 100 headers are refused with an answer, or taken" => self.many_headers();
            "C50" "stored-method" "codes: Attributes" "a method outside of the table is taken by its name" => self.stored_method();
            "C51" "null-strings" "packets: Strings" "a string that is null is none" => self.null_strings();
            "C52" "key-size-as-text" "codes: Attributes" "the key size is an integer, and some web servers write it as text" => self.key_size();
            "C53" "expect" "exchange: Expect: 100-continue" "Expect: 100-continue brings no head before the answer's" => self.expect();
            "C54" "statuses-without-body" "exchange: HEAD, and statuses without a body" "204, 205 and 304 have no data" => self.bodiless();
            "C55" "refusal-of-a-post" "reuse: Early end" "a refused POST is answered though its body was not read" => self.refused_post();
            "C56" "alive" "exchange: States of a connection" "after all of this the container answers as before" => self.get();
        }
        outcomes
    }

    async fn line(&self) -> std::result::Result<Line, Seen> {
        Line::open(self.address, self.limit).await.map_err(wrong)
    }

    fn get_head(&self) -> Head {
        Head::get(self.path, self.secret)
    }

    fn post_head(&self) -> Head {
        Head::post(self.reading, self.secret)
    }

    async fn ask(&self, head: &Head) -> std::result::Result<Answer, Seen> {
        let mut line = self.line().await?;
        line.send(&head.bytes()).await;
        Ok(line.answer(std::iter::empty()).await)
    }

    async fn cping(&self) -> Result {
        let mut line = self.line().await?;
        line.send(&CPING).await;
        Ok(match line.next().await {
            Next::Packet(ToWebServer::CPong) => holds("CPong"),
            Next::Closed => differs("closed: CPing is not known, probes must be off"),
            other => wrong(format!("{other:?}")),
        })
    }

    async fn cping_in_pieces(&self) -> Result {
        let mut line = self.line().await?;
        for byte in CPING {
            line.send(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(match line.next().await {
            Next::Packet(ToWebServer::CPong) => holds("CPong"),
            Next::Closed => differs("closed"),
            other => wrong(format!("{other:?}")),
        })
    }

    async fn cping_again(&self) -> Result {
        let mut line = self.line().await?;
        for number in 1..=3 {
            line.send(&CPING).await;
            match line.next().await {
                Next::Packet(ToWebServer::CPong) => {}
                Next::Closed if number == 1 => return Ok(skipped("CPing is not known")),
                other => return Ok(wrong(format!("{number}: {other:?}"))),
            }
        }
        Ok(holds("three answers"))
    }

    async fn closes(&self, bytes: &[u8]) -> Result {
        let mut line = self.line().await?;
        line.send(bytes).await;
        Ok(match line.next().await {
            Next::Closed => holds("closed"),
            Next::Packet(ToWebServer::SendHeaders(head)) if head.status() >= 400 => {
                differs(format!("answered with {}", head.status()))
            }
            Next::Packet(ToWebServer::CPong) => dangerous("taken for a packet"),
            Next::Packet(other) => wrong(format!("answered with {other:?}")),
            Next::Broken(error) => differs(format!("answered with something else: {error}")),
            Next::Silence => wrong("the connection stays open"),
        })
    }

    async fn shutdown(&self) -> Result {
        let mut line = self.line().await?;
        line.send(&packet(&[7])).await;
        let closed = line.is_closed().await;
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

    /// A packet that is to be refused.
    async fn refused(&self, bytes: &[u8]) -> Result {
        let mut line = self.line().await?;
        line.send(bytes).await;
        let answer = line.answer(std::iter::empty()).await;
        Ok(judged(&answer, line.is_closed().await))
    }

    async fn refused_head(&self, change: impl FnOnce(&mut Head)) -> Result {
        let mut head = self.get_head();
        change(&mut head);
        self.refused(&head.bytes()).await
    }

    /// As [`Self::refused_head`], where it does no harm when it is overlooked and the connection
    /// stays in step.
    async fn refused_or_overlooked(&self, change: impl FnOnce(&mut Head)) -> Result {
        let mut head = self.get_head();
        change(&mut head);
        let mut line = self.line().await?;
        line.send(&head.bytes()).await;
        let answer = line.answer(std::iter::empty()).await;
        let closed = line.is_closed().await;
        let (verdict, seen) = judged(&answer, closed);
        if verdict != super::check::Verdict::Wrong || !answer.is_reusable() {
            return Ok((verdict, seen));
        }
        line.send(&self.get_head().bytes()).await;
        let next = line.answer(std::iter::empty()).await;
        Ok(match next.ends_well() {
            Ok(_) => differs(format!("{seen}: overlooked")),
            Err(_) => dangerous(format!("{seen}, then {}", next.shown())),
        })
    }

    /// As [`Self::refused_head`], where taking it lets requests be smuggled.
    async fn smuggled(&self, change: impl FnOnce(&mut Head)) -> Result {
        let mut head = self.post_head();
        change(&mut head);
        let mut line = self.line().await?;
        line.send(&head.bytes()).await;
        line.send(&body(b"hello")).await;
        let answer = line.answer(std::iter::empty()).await;
        Ok(match judged(&answer, line.is_closed().await) {
            (super::check::Verdict::Wrong, seen) if answer.status() != 0 => dangerous(seen),
            other => other,
        })
    }

    async fn length_and_encoding(&self) -> Result {
        let head = self
            .post_head()
            .with(CONTENT_LENGTH, "5")
            .with_text("Transfer-Encoding", "chunked");
        let mut line = self.line().await?;
        line.send(&head.bytes()).await;
        line.send(&body(b"hello")).await;
        let answer = line.answer(std::iter::empty()).await;
        let closed = line.is_closed().await;
        Ok(match judged(&answer, closed) {
            // One of the two is read, whatever the other says. It is the length when the packet that
            // nobody asked for was taken for the body: then at most its end is asked for.
            (super::check::Verdict::Wrong, seen) if answer.questions.len() < 2 => {
                differs(format!("{seen}: Content-Length is read alone"))
            }
            (super::check::Verdict::Wrong, seen) if answer.status() != 0 => dangerous(seen),
            other => other,
        })
    }

    async fn unknown_encoding(&self) -> Result {
        let head = self
            .post_head()
            .with_text("Transfer-Encoding", "chunked, identity");
        let mut line = self.line().await?;
        line.send(&head.bytes()).await;
        let answer = line.answer(parts(b"hello", PIECE).into_iter()).await;
        let closed = line.is_closed().await;
        Ok(match judged(&answer, closed) {
            (super::check::Verdict::Wrong, seen) if answer.status() != 0 => {
                differs(format!("{seen}: as one of unknown length"))
            }
            other => other,
        })
    }

    async fn get(&self) -> Result {
        let answer = self.ask(&self.get_head()).await?;
        let seen = answer.ends_well()?;
        Ok(if answer.questions.is_empty() {
            holds(seen)
        } else {
            differs(format!("{seen}, asks for a body"))
        })
    }

    async fn reuse(&self) -> Result {
        let mut line = self.line().await?;
        for number in 1..=3 {
            line.send(&self.get_head().bytes()).await;
            let answer = line.answer(std::iter::empty()).await;
            answer.ends_well()?;
            if !answer.is_reusable() {
                return Ok(differs(format!(
                    "ends the connection after request {number}"
                )));
            }
        }
        Ok(holds("three requests"))
    }

    async fn head(&self) -> Result {
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

    async fn no_length(&self) -> Result {
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

    async fn post(&self, bytes: usize) -> Result {
        let data = vec![b'p'; bytes];
        let mut line = self.line().await?;
        let head = self.post_head().with(CONTENT_LENGTH, bytes.to_string());
        line.send(&head.bytes()).await;
        let mut packets = parts(&data, PIECE).into_iter();
        line.send(&packets.next().unwrap_or_default()).await;
        let answer = line.answer(packets).await;
        let seen = answer.ends_well()?;
        if !answer.is_reusable() {
            return Ok(differs(seen));
        }
        // Nothing may be left on the line.
        line.send(&self.get_head().bytes()).await;
        let next = line.answer(std::iter::empty()).await;
        Ok(if next.ends_well().is_ok() {
            holds(seen)
        } else {
            dangerous(format!("{seen}, then {}", next.shown()))
        })
    }

    async fn chunked(&self) -> Result {
        let data = vec![b'c'; 10_000];
        let mut line = self.line().await?;
        line.send(
            &self
                .post_head()
                .with_text("Transfer-Encoding", "chunked")
                .bytes(),
        )
        .await;
        let answer = line.answer(parts(&data, PIECE).into_iter()).await;
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

    async fn question_fits(&self) -> Result {
        let mut line = self.line().await?;
        line.send(
            &self
                .post_head()
                .with_text("Transfer-Encoding", "chunked")
                .bytes(),
        )
        .await;
        let answer = line.answer(parts(b"x", PIECE).into_iter()).await;
        Ok(match answer.questions.iter().max() {
            None => skipped("the page does not read its body"),
            Some(most) if usize::from(*most) <= PIECE => holds(format!("asks for {most}")),
            Some(most) => differs(format!(
                "asks for {most}, more than 8186: its packet size is larger"
            )),
        })
    }

    async fn waits(&self) -> Result {
        let mut line = self.line().await?;
        // A page that need not read it.
        let mut head = Head::post(self.path, self.secret);
        head = head.with(CONTENT_LENGTH, "5");
        line.send(&head.bytes()).await;
        let mut early = false;
        let first = line.next_within(Duration::from_millis(400)).await;
        let mut next = first;
        loop {
            match next {
                Next::Packet(ToWebServer::EndResponse { reuse: true }) => {
                    early = true;
                    break;
                }
                Next::Packet(ToWebServer::EndResponse { reuse: false }) | Next::Closed => {
                    return Ok(holds("ends the connection"));
                }
                Next::Packet(_) => next = line.next_within(Duration::from_millis(400)).await,
                Next::Broken(error) => return Ok(wrong(error)),
                Next::Silence => break,
            }
        }
        if early {
            return Ok(dangerous(
                "the connection is kept while a packet is owed, which is then read as a request",
            ));
        }
        line.send(&body(b"hello")).await;
        let answer = line.answer(std::iter::empty()).await;
        Ok(match answer.end {
            End::Done { .. } => holds("waits for the packet"),
            _ => wrong(answer.shown()),
        })
    }

    async fn short_end(&self) -> Result {
        let mut line = self.line().await?;
        line.send(
            &self
                .post_head()
                .with_text("Transfer-Encoding", "chunked")
                .bytes(),
        )
        .await;
        let end = [body(b"hello"), packet(&[])];
        let answer = line.answer(end.into_iter()).await;
        Ok(holds(answer.ends_well()?))
    }

    async fn bad_body(&self, bytes: &[u8]) -> Result {
        let mut line = self.line().await?;
        line.send(&self.post_head().with(CONTENT_LENGTH, "5").bytes())
            .await;
        line.send(bytes).await;
        let answer = line.answer(std::iter::empty()).await;
        let closed = line.is_closed().await;
        if answer.end == End::Closed {
            // Without an end the web server sees that the answer is not whole.
            return Ok(holds(answer.shown()));
        }
        Ok(match judged(&answer, closed) {
            (super::check::Verdict::Wrong, seen) if answer.is_reusable() => {
                // The page got it; is the line still in step?
                line.send(&self.get_head().bytes()).await;
                let next = line.answer(std::iter::empty()).await;
                match next.ends_well() {
                    Ok(_) => differs(format!("{seen}: taken as it is")),
                    Err(_) => dangerous(format!("{seen}, then {}", next.shown())),
                }
            }
            other => other,
        })
    }

    async fn short_body(&self) -> Result {
        let mut line = self.line().await?;
        line.send(&self.post_head().with(CONTENT_LENGTH, "50").bytes())
            .await;
        line.send(&body(b"hello")).await;
        let answer = line.answer([END_OF_BODY.to_vec()].into_iter()).await;
        if answer.questions.is_empty() && answer.status() < 400 && answer.status() != 0 {
            return Ok(skipped("the page does not read its body"));
        }
        let closed = line.is_closed().await;
        if answer.end == End::Closed {
            // Without an end the web server sees that the answer is not whole.
            return Ok(holds(answer.shown()));
        }
        Ok(match judged(&answer, closed) {
            (super::check::Verdict::Wrong, seen) if answer.status() != 0 => {
                wrong(format!("{seen}: a truncated body looks whole"))
            }
            other => other,
        })
    }

    async fn gone(&self) -> Result {
        for _ in 0..5 {
            let mut line = self.line().await?;
            line.send(&self.post_head().with(CONTENT_LENGTH, "50000").bytes())
                .await;
            line.send(&body(&[b'g'; 1000])).await;
        }
        self.get().await
    }

    async fn empty_packet(&self) -> Result {
        let mut line = self.line().await?;
        line.send(&self.get_head().bytes()).await;
        let answer = line.answer(std::iter::empty()).await;
        answer.ends_well()?;
        line.send(&packet(&[])).await;
        line.send(&CPING).await;
        Ok(match line.next().await {
            Next::Packet(ToWebServer::CPong) => holds("tolerated"),
            Next::Closed => differs("the connection is closed"),
            Next::Packet(ToWebServer::SendHeaders(head)) => {
                differs(format!("answered with {}", head.status()))
            }
            other => wrong(format!("{other:?}")),
        })
    }

    async fn without_secret(&self) -> Result {
        let answer = self.ask(&Head::get(self.path, None)).await?;
        Ok(match (self.secret, answer.status()) {
            (Some(_), 403) if !answer.is_reusable() => holds(answer.shown()),
            (Some(_), 403) => differs(answer.shown()),
            (Some(_), _) => dangerous(format!("{}: the secret is not asked for", answer.shown())),
            (None, 403) => skipped("it wants a secret and none was given"),
            (None, _) => differs("no secret is wanted: only its network keeps others out"),
        })
    }

    async fn wrong_secret(&self) -> Result {
        if self.secret.is_none() {
            return Ok(skipped("no secret was given"));
        }
        let answer = self
            .ask(&Head::get(self.path, Some(b"not-this-one")))
            .await?;
        Ok(match answer.status() {
            403 if !answer.is_reusable() => holds(answer.shown()),
            403 => differs(answer.shown()),
            _ => dangerous(format!("{}: any secret will do", answer.shown())),
        })
    }

    async fn two_secrets(&self) -> Result {
        let Some(secret) = self.secret else {
            return Ok(skipped("no secret was given"));
        };
        let one = Head::get(self.path, Some(b"not-this-one")).with_attribute(0x0c, secret);
        let other = Head::get(self.path, Some(secret)).with_attribute(0x0c, b"not-this-one");
        for head in [one, other] {
            let answer = self.ask(&head).await?;
            if !(400..=599).contains(&answer.status()) && answer.end != End::Closed {
                return Ok(dangerous(format!(
                    "{}: one of them is enough",
                    answer.shown()
                )));
            }
        }
        Ok(holds("refused, in either order"))
    }

    async fn unknown_attribute(&self) -> Result {
        let answer = self
            .ask(&self.get_head().with_named("ajp.conform", "x"))
            .await?;
        let seen = answer.ends_well()?;
        Ok(match answer.status() {
            403 => holds(seen),
            _ => differs(format!("{seen}: dropped or accepted")),
        })
    }

    async fn ghostcat(&self) -> Result {
        let mut found = Vec::new();
        for prefix in ["javax", "jakarta"] {
            let head = self
                .get_head()
                .with_named(&format!("{prefix}.servlet.include.request_uri"), "/")
                .with_named(
                    &format!("{prefix}.servlet.include.path_info"),
                    "/WEB-INF/web.xml",
                )
                .with_named(&format!("{prefix}.servlet.include.servlet_path"), "/");
            let answer = self.ask(&head).await?;
            if String::from_utf8_lossy(&answer.data).contains("<web-app") {
                return Ok(dangerous("WEB-INF/web.xml was served (CVE-2020-1938)"));
            }
            found.push(answer.status());
        }
        Ok(if found.iter().all(|status| *status == 403) {
            holds("403")
        } else {
            differs(format!("status {found:?}, nothing was served"))
        })
    }

    async fn full_packet(&self) -> Result {
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

    async fn many_headers(&self) -> Result {
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

    async fn stored_method(&self) -> Result {
        let mut head = self.get_head().with_attribute(0x0d, b"PATCH");
        head.method = 0xff;
        let answer = self.ask(&head).await?;
        Ok(holds(answer.ends_well()?))
    }

    async fn null_strings(&self) -> Result {
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

    async fn key_size(&self) -> Result {
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

    async fn expect(&self) -> Result {
        let mut line = self.line().await?;
        let head = self
            .post_head()
            .with(CONTENT_LENGTH, "5")
            .with_text("Expect", "100-continue");
        line.send(&head.bytes()).await;
        line.send(&body(b"hello")).await;
        let answer = line.answer(std::iter::empty()).await;
        let seen = answer.ends_well()?;
        Ok(if (100..200).contains(&answer.status()) {
            wrong(seen)
        } else {
            holds(seen)
        })
    }

    async fn bodiless(&self) -> Result {
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

    async fn refused_post(&self) -> Result {
        let mut line = self.line().await?;
        // A method code that does not exist, and a body behind it.
        let mut head = self.post_head().with(CONTENT_LENGTH, "8000");
        head.method = 0x1c;
        line.send(&head.bytes()).await;
        line.send(&body(&[b'x'; 8000])).await;
        let answer = line.answer(std::iter::empty()).await;
        Ok(match (&answer.end, answer.status()) {
            (End::Done { .. }, 400..=599) => holds(answer.shown()),
            (End::Closed, 0) => differs("closed without an answer"),
            (_, 400..=599) => differs(answer.shown()),
            _ => wrong(answer.shown()),
        })
    }
}

/// Whether something was refused as it should be.
fn judged(answer: &Answer, closed: bool) -> Seen {
    let seen = answer.shown();
    match (&answer.end, answer.status()) {
        (End::Done { reuse: false }, 400) if closed => holds(seen),
        (End::Done { reuse: false }, 400..=599) | (End::Closed, _) => differs(seen),
        (End::Done { reuse: true }, 400..=599) => {
            differs(format!("{seen}, and the connection goes on"))
        }
        (End::Silence, 0) => wrong("no answer, and the connection stays open"),
        _ => wrong(seen),
    }
}
