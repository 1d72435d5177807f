//! A record as a line of the log, in each of its formats.

use super::{End, Stage};
use crate::gateway::front::log::LogFormat;
use crate::gateway::front::log::text::{clf_time, escaped, iso_time, tame_json};
use serde::Serialize;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

/// A record as it is written. Times are in milliseconds.
pub(super) struct Record<'a> {
    pub(super) time: SystemTime,
    pub(super) client: Option<IpAddr>,
    pub(super) line: Line<'a>,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) host: &'a str,
    pub(super) referer: String,
    pub(super) agent: &'a str,
    pub(super) route: Option<&'a str>,
    pub(super) member: Option<&'a str>,
    pub(super) attempts: usize,
    pub(super) id: &'a str,
    pub(super) ms: u64,
    pub(super) upload: Option<u64>,
    pub(super) queue: Option<u64>,
    pub(super) connect: Option<u64>,
    pub(super) first: Option<u64>,
    pub(super) body: Option<u64>,
    pub(super) end: End,
    pub(super) stage: Stage,
    pub(super) why: Option<&'a str>,
}

/// The request line.
pub(super) enum Line<'a> {
    Request {
        method: &'a str,
        target: String,
        protocol: String,
    },
    /// As it came.
    Raw(String),
}

/// The same with names, for programs.
#[derive(Serialize)]
struct Json<'a> {
    time: String,
    client: Option<String>,
    method: Option<&'a str>,
    target: &'a str,
    protocol: Option<&'a str>,
    status: u16,
    bytes: u64,
    host: Option<&'a str>,
    referer: Option<&'a str>,
    user_agent: Option<&'a str>,
    route: Option<&'a str>,
    member: Option<&'a str>,
    attempts: usize,
    request_id: Option<&'a str>,
    ms: u64,
    upload_ms: Option<u64>,
    queue_ms: Option<u64>,
    connect_ms: Option<u64>,
    first_packet_ms: Option<u64>,
    body_ms: Option<u64>,
    end: End,
    stage: Stage,
    why: Option<&'a str>,
}

impl Record<'_> {
    /// The record with its line break.
    pub(super) fn line(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Combined => self.combined(),
            LogFormat::Json => self.json(),
        }
    }

    fn combined(&self) -> String {
        let or_dash = |text: &str| match text {
            "" => "-".to_owned(),
            text => escaped(text),
        };
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        let client = self.client.map(|client| client.to_canonical().to_string());
        let request = match &self.line {
            Line::Raw(line) => line.clone(),
            Line::Request {
                method,
                target,
                protocol,
            } => format!("{method} {target} {protocol}"),
        };
        let mut line = format!(
            "{} - - [{}] \"{}\" {} {} \"{}\" \"{}\" route={} member={} attempts={} ms={} id={} \
             upload={} queue={} connect={} first={} body={}",
            client.as_deref().unwrap_or("-"),
            clf_time(self.time),
            or_dash(&request),
            self.status,
            number(Some(self.bytes).filter(|bytes| *bytes > 0)),
            or_dash(&self.referer),
            or_dash(self.agent),
            or_dash(self.route.unwrap_or_default()),
            or_dash(self.member.unwrap_or_default()),
            self.attempts,
            self.ms,
            or_dash(self.id),
            number(self.upload),
            number(self.queue),
            number(self.connect),
            number(self.first),
            number(self.body),
        );
        let end = match (self.end, self.stage) {
            (End::Answered, _) => "",
            (End::Cut, _) => " end=cut",
            (End::Aborted, Stage::Upload) => " end=aborted stage=upload",
            (End::Aborted, Stage::Waiting) => " end=aborted stage=waiting",
            (End::Aborted, Stage::Answer) => " end=aborted stage=answer",
            (End::Stopped, Stage::Upload) => " end=stopped stage=upload",
            (End::Stopped, Stage::Waiting) => " end=stopped stage=waiting",
            (End::Stopped, Stage::Answer) => " end=stopped stage=answer",
            (End::Refused, _) => " end=refused",
        };
        line.push_str(end);
        if let Some(why) = self.why {
            // Writing to a string cannot fail.
            let _ = write!(line, " why=\"{}\"", escaped(why));
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let some = |text: &'_ str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let (host, referer, agent, id) = (
            some(self.host),
            some(&self.referer),
            some(self.agent),
            some(self.id),
        );
        let (method, target, protocol) = match &self.line {
            Line::Raw(line) => (None, line, None),
            Line::Request {
                method,
                target,
                protocol,
            } => (Some(*method), target, Some(protocol.as_str())),
        };
        let json = Json {
            time: iso_time(self.time),
            client: self.client.map(|client| client.to_canonical().to_string()),
            method,
            target,
            protocol,
            status: self.status,
            bytes: self.bytes,
            host: host.as_deref(),
            referer: referer.as_deref(),
            user_agent: agent.as_deref(),
            route: self.route,
            member: self.member,
            attempts: self.attempts,
            request_id: id.as_deref(),
            ms: self.ms,
            upload_ms: self.upload,
            queue_ms: self.queue,
            connect_ms: self.connect,
            first_packet_ms: self.first,
            body_ms: self.body,
            end: self.end,
            stage: self.stage,
            why: self.why,
        };
        // Texts and numbers can always be written.
        let mut line = tame_json(serde_json::to_string(&json).unwrap_or_default());
        line.push('\n');
        line
    }
}
