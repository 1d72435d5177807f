//! What each side makes of a stream of bytes: one verdict per message, until one refuses.

use crate::facts;
use crate::peer::Connection;
use crate::support::tomcat::SECRET;
use ajp::proto::{BodyEvent, Idle, IdleEvent, ServerExchange};
use ajp::wire::{
    Attribute, AttributeCode, DecodeError, DecodeOptions, Direction, ForwardRequest, PacketSize,
    split_packet,
};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use std::net::SocketAddr;

const SIZE: PacketSize = PacketSize::DEFAULT;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A request with these facts.
    Accepted(Value),
    /// `CPing`, answered.
    Pong,
    /// Refused, and how.
    Refused(String),
}

/// What our side says, as a server with the secret and a service that reads every body.
pub(crate) fn ours(stream: &[u8]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut buffer = BytesMut::from(stream);
    let mut idle = Idle::new();
    while !buffer.is_empty() {
        match message(&mut buffer, &mut idle) {
            Ok(verdict) => verdicts.push(verdict),
            Err(reason) => {
                verdicts.push(Verdict::Refused(reason));
                break;
            }
        }
    }
    verdicts
}

fn message(buffer: &mut BytesMut, idle: &mut Idle) -> Result<Verdict, String> {
    let request = match idle.receive(payload(buffer)?, &DecodeOptions::default()) {
        IdleEvent::Request(request) => request,
        IdleEvent::CPing => return Ok(Verdict::Pong),
        IdleEvent::BadRequest(error) => {
            return Err(format!("{} {}", error.field(), rule(error)));
        }
        IdleEvent::Close(error) => return Err(error.to_string()),
        IdleEvent::StrayEmpty => return Err("an empty packet".to_owned()),
    };
    if !knows_the_secret(&request) {
        return Err("secret".to_owned());
    }
    let mut body = Vec::new();
    let head = request.method() == b"HEAD";
    let mut exchange = ServerExchange::new(request.framing(), head, SIZE);
    while !exchange.is_body_complete() {
        exchange.request_body();
        match exchange.receive(&payload(buffer)?) {
            Ok(BodyEvent::Data(data)) => body.extend_from_slice(&data),
            Ok(_) => {}
            Err(error) => return Err(format!("body: {error}")),
        }
    }
    idle.exchange_ended(&exchange);
    Ok(Verdict::Accepted(facts::of(&request, &body)))
}

/// The name of the rule alone.
fn rule(error: DecodeError) -> String {
    let rule = format!("{:?}", error.rule());
    let end = rule
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(rule.len());
    rule[..end].to_owned()
}

fn payload(buffer: &mut BytesMut) -> Result<Bytes, String> {
    match split_packet(buffer, Direction::ToContainer, SIZE) {
        Ok(Some(payload)) => Ok(payload),
        Ok(None) => Err("incomplete".to_owned()),
        Err(error) => Err(format!("{:?}", error.field())),
    }
}

fn knows_the_secret(request: &ForwardRequest) -> bool {
    let mut all = request
        .attributes()
        .filter_map(|attribute| match attribute {
            Attribute::Coded {
                code: AttributeCode::Secret,
                value,
            } => Some(value == Some(SECRET.as_bytes())),
            _ => None,
        });
    all.next()
        .is_some_and(|first| all.fold(first, |all, one| all & one))
}

/// What Tomcat says, on a connection of its own.
pub(crate) fn theirs(to: SocketAddr, stream: &[u8]) -> Vec<Verdict> {
    let mut connection = Connection::open(to, SIZE);
    connection.send(stream);
    connection.finish();
    let mut verdicts = Vec::new();
    while let Some(answer) = connection.answer(std::iter::empty()) {
        match answer.facts {
            Some(facts) => verdicts.push(Verdict::Accepted(facts)),
            None if answer.status == 0 => verdicts.push(Verdict::Pong),
            None => {
                verdicts.push(Verdict::Refused(answer.status.to_string()));
                break;
            }
        }
    }
    verdicts
}

/// How the two agree, in words.
pub(crate) fn compare(ours: &[Verdict], theirs: &[Verdict]) -> String {
    use Verdict::{Accepted, Pong, Refused};
    let reason = |verdict: Option<&Verdict>| match verdict {
        Some(Refused(reason)) => reason.clone(),
        None => "close".to_owned(),
        other => panic!("{other:?}"),
    };
    for n in 0..ours.len().max(theirs.len()) {
        match (ours.get(n), theirs.get(n)) {
            (Some(Pong), Some(Pong)) => {}
            (Some(Accepted(our)), Some(Accepted(their))) => {
                let keys = facts::differences(their, our);
                if !keys.is_empty() {
                    return format!("DIFFERENT {}", keys.join(" "));
                }
            }
            (our @ (None | Some(Refused(_))), their @ (None | Some(Refused(_)))) => {
                return format!("neither: {} | {}", reason(our), reason(their));
            }
            (Some(_), their @ (None | Some(Refused(_)))) => {
                return format!("only ours | {}", reason(their));
            }
            (our @ (None | Some(Refused(_))), Some(_)) => {
                return format!("only Tomcat: {}", reason(our));
            }
            (our, their) => panic!("{our:?} {their:?}"),
        }
    }
    "both".to_owned()
}

/// The facts that differ between the first requests of two streams.
pub(crate) fn changed(before: &[Verdict], after: &[Verdict]) -> Vec<String> {
    match (before.first(), after.first()) {
        (Some(Verdict::Accepted(before)), Some(Verdict::Accepted(after))) => {
            facts::differences(before, after)
        }
        other => panic!("{other:?}"),
    }
}
