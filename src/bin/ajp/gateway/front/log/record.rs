//! What is noted of one request.

mod line;

use super::text::masked;
use super::{LogFormat, Sink};
use crate::gateway::front::connection::{BROKEN_OFF, CLIENT_HAS_GONE, STOPS, State};
use crate::gateway::front::request_id::RequestId;
use ajp::client::Phases;
use http::header::{HOST, HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, Method, StatusCode, Uri, Version, request};
use line::{Line, Record};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What was asked for, by whom.
#[derive(Debug, Clone)]
pub(in crate::gateway::front) struct Asked {
    pub(in crate::gateway::front) method: Method,
    pub(in crate::gateway::front) uri: Uri,
    version: Version,
    pub(in crate::gateway::front) client: Option<IpAddr>,
    pub(in crate::gateway::front) id: RequestId,
}

impl Asked {
    pub(super) fn new(head: &request::Parts, client: IpAddr, id: RequestId) -> Self {
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            client: Some(client),
            id,
        }
    }

    /// The target of the request line as HTTP/1 has it: in absolute form only where the client
    /// wrote it so. The scheme and the authority of HTTP/2 are fields of their own, and other
    /// servers' logs have the path alone.
    fn target(&self) -> String {
        let is_absolute = self.uri.authority().is_some() && self.version < Version::HTTP_2;
        match self.uri.path_and_query() {
            Some(path) if !is_absolute => path.as_str().to_owned(),
            _ => self.uri.to_string(),
        }
    }
}

/// The host that the client asks for: the header, or the authority where HTTP/2 has it instead.
fn host_of(head: &request::Parts) -> String {
    let header = head.headers.get(HOST);
    let header = header.map(|value| ajp::mapping::text(value.as_bytes()).into_owned());
    header.unwrap_or_else(|| {
        let authority = head
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        host.to_owned()
    })
}

/// Who answered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::gateway::front) struct Served {
    pub(in crate::gateway::front) route: Option<Arc<str>>,
    pub(in crate::gateway::front) member: Option<Arc<str>>,
    pub(in crate::gateway::front) attempts: usize,
    /// Where the time went at the member.
    pub(in crate::gateway::front) phases: Phases,
}

/// How far a request has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::gateway::front) enum Stage {
    /// Its body is read from the client.
    Upload,
    /// A member is asked.
    Waiting,
    /// The answer goes to the client.
    Answer,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum End {
    /// All of the answer was given to the client's connection.
    Answered,
    /// The container broke off in the middle of the answer.
    Cut,
    /// The client has gone, or did not take all of the answer.
    Aborted,
    /// The gateway stopped, or its listener was taken away, and the time for what ran was over.
    Stopped,
    /// It was no request.
    Refused,
}

/// The entry of one request, written when it is dropped.
#[derive(Debug, Default)]
pub(in crate::gateway::front) struct Entry(Option<Box<Fields>>);

#[derive(Debug)]
struct Fields {
    asked: Asked,
    started: Instant,
    status: Option<StatusCode>,
    stage: Stage,
    end: End,
    why: Option<String>,
    /// What only a log wants to know, if there is one.
    noted: Option<Box<Noted>>,
}

#[derive(Debug)]
struct Noted {
    sink: Sink,
    at: SystemTime,
    host: String,
    referer: String,
    agent: String,
    sent: u64,
    served: Served,
    /// When the body had been read as far as it is read ahead.
    uploaded: Option<Instant>,
    /// When the head of the answer was there.
    answered: Option<Instant>,
    /// The connection that it came over.
    connection: Option<Arc<State>>,
}

impl Entry {
    pub(super) fn new(
        sink: Option<&Sink>,
        head: &request::Parts,
        asked: Asked,
        started: Instant,
    ) -> Self {
        let header = |name: &HeaderName| {
            let value = head.headers.get(name);
            value.map_or_else(String::new, |value| {
                ajp::mapping::text(value.as_bytes()).into_owned()
            })
        };
        let noted = sink.map(|sink| {
            Box::new(Noted {
                sink: sink.clone(),
                at: SystemTime::now(),
                host: host_of(head),
                referer: header(&REFERER),
                agent: header(&USER_AGENT),
                sent: 0,
                served: Served::default(),
                uploaded: None,
                answered: None,
                connection: None,
            })
        });
        Self(Some(Box::new(Fields {
            asked,
            started,
            status: None,
            stage: Stage::Upload,
            end: End::Answered,
            why: None,
            noted,
        })))
    }

    /// What was asked for.
    pub(in crate::gateway::front) fn asked(&self) -> Option<&Asked> {
        self.0.as_ref().map(|fields| &fields.asked)
    }

    /// The id of the request.
    pub(in crate::gateway::front) fn id(&self) -> &str {
        self.asked().map_or("", |asked| asked.id.as_str())
    }

    /// Tells the members the id of the request.
    pub(in crate::gateway::front) fn tell_id(&self, headers: &mut HeaderMap) {
        if let Some(asked) = self.asked() {
            asked.id.tell(headers);
        }
    }

    fn with(&mut self, change: impl FnOnce(&mut Fields)) {
        if let Some(fields) = &mut self.0 {
            change(fields);
        }
    }

    /// Notes what only a log wants to know.
    fn note(&mut self, change: impl FnOnce(&mut Noted)) {
        if let Some(noted) = self.0.as_mut().and_then(|fields| fields.noted.as_mut()) {
            change(noted);
        }
    }

    /// The head of the answer is there.
    pub(in crate::gateway::front) fn status(&mut self, status: StatusCode) {
        self.with(|fields| {
            fields.status = Some(status);
            fields.stage = Stage::Answer;
        });
        self.note(|noted| {
            noted.answered.get_or_insert_with(Instant::now);
        });
    }

    /// It came over this connection, which may be broken off.
    pub(in crate::gateway::front) fn came_over(&mut self, connection: &Arc<State>) {
        self.note(|noted| noted.connection = Some(Arc::clone(connection)));
    }

    /// A member is asked from here on.
    pub(in crate::gateway::front) fn waiting(&mut self) {
        self.with(|fields| fields.stage = Stage::Waiting);
        self.note(|noted| noted.uploaded = Some(Instant::now()));
    }

    /// Who answered, or was asked last.
    pub(in crate::gateway::front) fn served(&mut self, served: impl FnOnce() -> Served) {
        self.note(|noted| noted.served = served());
    }

    /// The client as it turned out to be.
    pub(in crate::gateway::front) fn client(&mut self, client: Option<IpAddr>) {
        self.with(|fields| fields.asked.client = client);
    }

    /// So many bytes of the answer went to the client.
    pub(in crate::gateway::front) fn sent(&mut self, bytes: usize) {
        self.note(|noted| noted.sent = noted.sent.saturating_add(bytes as u64));
    }

    /// Why it was not answered by a container.
    #[cold]
    pub(in crate::gateway::front) fn failed(&mut self, why: &str) {
        self.with(|fields| fields.why = Some(why.to_owned()));
    }

    /// The container broke off in the middle of the answer.
    #[cold]
    pub(in crate::gateway::front) fn cut(&mut self, why: &str) {
        self.with(|fields| {
            fields.end = End::Cut;
            fields.why = Some(why.to_owned());
        });
    }

    /// The gateway stops: what has no end by itself ends now.
    pub(in crate::gateway::front) fn stopped(&mut self) {
        self.with(|fields| {
            fields.end = End::Stopped;
            fields.why = Some(STOPS.to_owned());
        });
    }

    /// The client did not take all of the answer.
    #[cold]
    pub(in crate::gateway::front) fn aborted(&mut self) {
        self.with(|fields| fields.end = End::Aborted);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut fields) = self.0.take() else {
            return;
        };
        let Some(noted) = fields.noted.take() else {
            return;
        };
        if fields.status.is_none() {
            fields.end = End::Aborted;
        }
        let is_over = |state: &Arc<State>| state.is_over();
        if fields.end == End::Aborted && noted.connection.as_ref().is_some_and(is_over) {
            fields.end = End::Stopped;
            fields.why.get_or_insert_with(|| STOPS.to_owned());
        }
        let line = fields.record(&noted).line(noted.sink.format);
        noted.sink.write(line);
    }
}

impl Fields {
    fn record<'a>(&'a self, noted: &'a Noted) -> Record<'a> {
        let asked = &self.asked;
        let since = |from: Option<Instant>, to: Option<Instant>| {
            let (from, to) = (from?, to?);
            Some(millis(to.saturating_duration_since(from)))
        };
        let now = Some(Instant::now());
        let phases = &noted.served.phases;
        let is_served = noted.served.member.is_some() && noted.answered.is_some();
        let target = asked.target();
        Record {
            time: noted.at,
            client: asked.client,
            line: Line::Request {
                method: asked.method.as_str(),
                target: masked(&target).into_owned(),
                protocol: format!("{:?}", asked.version),
            },
            status: match (self.status, self.end) {
                (Some(status), _) => status.as_u16(),
                (None, End::Stopped) => BROKEN_OFF.as_u16(),
                (None, _) => CLIENT_HAS_GONE,
            },
            bytes: noted.sent,
            host: &noted.host,
            referer: masked(&noted.referer).into_owned(),
            agent: &noted.agent,
            route: noted.served.route.as_deref(),
            member: noted.served.member.as_deref(),
            attempts: noted.served.attempts,
            id: asked.id.as_str(),
            ms: millis(self.started.elapsed()),
            upload: since(Some(self.started), noted.uploaded),
            queue: is_served.then(|| millis(phases.acquire)),
            connect: phases.connect.map(millis),
            first: phases.first_packet.map(millis),
            body: since(noted.answered, now),
            end: self.end,
            stage: self.stage,
            why: self.why.as_deref(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What came over a connection and was no request.
pub(super) struct Refused<'a> {
    pub(super) client: IpAddr,
    pub(super) line: &'a str,
    pub(super) status: u16,
    pub(super) why: &'a str,
}

impl Refused<'_> {
    pub(super) fn line(&self, format: LogFormat) -> String {
        let record = Record {
            time: SystemTime::now(),
            client: Some(self.client),
            line: Line::Raw(masked(self.line).into_owned()),
            status: self.status,
            bytes: 0,
            host: "",
            referer: String::new(),
            agent: "",
            route: None,
            member: None,
            attempts: 0,
            id: "",
            ms: 0,
            upload: None,
            queue: None,
            connect: None,
            first: None,
            body: None,
            end: End::Refused,
            stage: Stage::Upload,
            why: Some(self.why),
        };
        record.line(format)
    }
}
