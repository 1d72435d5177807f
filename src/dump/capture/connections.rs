//! Which TCP connections are AJP, and their packets in the order of the capture.

use super::Event as Found;
use super::pcap::Frame;
use super::reassembly::{HalfConnection, Part};
use super::segment::{self, FrameContent, Segment};
use crate::dump::{Dump, guess_direction};
use crate::wire::Direction;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Most bytes of a connection to keep until it is known whether it is AJP.
const MAX_HELD: usize = 1 << 18;

/// Both ends of a connection, the smaller first.
type Key = [SocketAddr; 2];

pub(super) struct Connections {
    ports: Vec<u16>,
    open: HashMap<Key, Connection>,
    /// The time of the first frame.
    start: Option<Duration>,
    numbered: u32,
    fragments: u64,
    unknown_links: HashMap<u32, u64>,
}

struct Connection {
    /// By end.
    halves: [HalfConnection; 2],
    state: State,
    over: bool,
}

enum State {
    Undecided {
        held: Vec<Event>,
        len: usize,
    },
    Ajp {
        dump: Box<Dump>,
        number: u32,
        web_server: End,
    },
    Other,
}

/// Which of the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Second,
}

struct Event {
    from: End,
    time: Option<Duration>,
    part: Part,
}

impl Connections {
    pub(super) fn new(ports: &[u16]) -> Self {
        Self {
            ports: ports.to_vec(),
            open: HashMap::new(),
            start: None,
            numbered: 0,
            fragments: 0,
            unknown_links: HashMap::new(),
        }
    }

    pub(super) fn frame(&mut self, frame: &Frame, out: &mut VecDeque<Found>) {
        let time = frame.time.map(|time| {
            let start = *self.start.get_or_insert(time);
            time.saturating_sub(start)
        });
        match segment::parse(frame.link, &frame.data) {
            FrameContent::Tcp(segment) => self.segment(&segment, time, out),
            FrameContent::Fragment => {
                self.fragments += 1;
            }
            FrameContent::UnknownLink => {
                let count = self.unknown_links.entry(frame.link).or_default();
                *count += 1;
            }
            FrameContent::Other => {}
        }
    }

    fn segment(
        &mut self,
        segment: &Segment<'_>,
        time: Option<Duration>,
        out: &mut VecDeque<Found>,
    ) {
        let ports = [segment.from.port(), segment.to.port()];
        if !self.ports.is_empty() && !ports.iter().any(|port| self.ports.contains(port)) {
            return;
        }
        let (key, from) = if segment.from <= segment.to {
            ([segment.from, segment.to], End::First)
        } else {
            ([segment.to, segment.from], End::Second)
        };
        if segment.syn && segment.ack.is_none() {
            let old = self.open.get(&key);
            if old.is_some_and(|old| old.over || old.half(from).is_other_syn(segment.sequence)) {
                if let Some(mut old) = self.open.remove(&key) {
                    self.end(&key, &mut old, time, out);
                }
            }
        }
        let mut connection = self.open.remove(&key).unwrap_or_default();
        self.follow(&key, &mut connection, from, segment, time, out);
        self.open.insert(key, connection);
    }

    fn follow(
        &mut self,
        key: &Key,
        connection: &mut Connection,
        from: End,
        segment: &Segment<'_>,
        time: Option<Duration>,
        out: &mut VecDeque<Found>,
    ) {
        if connection.over {
            return;
        }
        let mut sequence = segment.sequence;
        if segment.syn {
            connection.half_mut(from).syn(sequence);
            sequence = sequence.wrapping_add(1);
        }
        // The acknowledgement first: it is older than the data it comes with.
        let mut parts = Vec::new();
        if let Some(ack) = segment.ack.filter(|_| !segment.syn) {
            connection
                .half_mut(from.other())
                .acknowledged(ack, &mut parts);
        }
        self.parts(key, connection, from.other(), parts, time, out);
        let mut parts = Vec::new();
        let half = connection.half_mut(from);
        half.data(sequence, segment.data, segment.fin, &mut parts);
        self.parts(key, connection, from, parts, time, out);
        if segment.rst {
            self.end(key, connection, time, out);
            if let State::Ajp {
                number, web_server, ..
            } = &connection.state
            {
                let text = format!("{} reset the connection", who(from, *web_server));
                out.push_back(Found::Closed {
                    number: *number,
                    time,
                    text,
                });
            }
        } else if connection.halves.iter().all(HalfConnection::is_closed) {
            self.end(key, connection, time, out);
        }
    }

    fn parts(
        &mut self,
        key: &Key,
        connection: &mut Connection,
        from: End,
        parts: Vec<Part>,
        time: Option<Duration>,
        out: &mut VecDeque<Found>,
    ) {
        for part in parts {
            let event = Event { from, time, part };
            let web_server = match &mut connection.state {
                State::Other => return,
                State::Ajp {
                    dump,
                    number,
                    web_server,
                } => {
                    show(dump, *number, *web_server, event, out);
                    continue;
                }
                State::Undecided { held, len } => {
                    let web_server = self.web_server(key, &event);
                    if let Part::Data(data) = &event.part {
                        *len += data.len();
                    }
                    held.push(event);
                    if web_server.is_none() && *len > MAX_HELD {
                        connection.state = State::Other;
                        return;
                    }
                    web_server
                }
            };
            if let Some(web_server) = web_server {
                self.begin(key, connection, web_server, out);
            }
        }
    }

    /// Which end is the web server, if this part of the connection tells.
    fn web_server(&self, key: &Key, event: &Event) -> Option<End> {
        let Part::Data(data) = &event.part else {
            return None;
        };
        let [first, second] = key.map(|end| self.ports.contains(&end.port()));
        match (first, second, guess_direction(data)) {
            (true, false, _) => Some(End::Second),
            (false, true, _) => Some(End::First),
            (_, _, Some(Direction::ToContainer)) => Some(event.from),
            (_, _, Some(Direction::ToWebServer)) => Some(event.from.other()),
            (_, _, None) => None,
        }
    }

    /// It is AJP: tells everything held back.
    fn begin(
        &mut self,
        key: &Key,
        connection: &mut Connection,
        web_server: End,
        out: &mut VecDeque<Found>,
    ) {
        self.numbered += 1;
        let from_start = connection.halves.iter().all(|half| half.from_start);
        let mut dump = if from_start {
            Dump::new()
        } else {
            Dump::midway()
        };
        let [first, second] = key;
        let (from, to) = match web_server {
            End::First => (first, second),
            End::Second => (second, first),
        };
        out.push_back(Found::Connection {
            number: self.numbered,
            web_server: *from,
            container: *to,
            from_start,
        });
        if let State::Undecided { held, .. } = &mut connection.state {
            for event in held.drain(..) {
                show(&mut dump, self.numbered, web_server, event, out);
            }
        }
        connection.state = State::Ajp {
            dump: Box::new(dump),
            number: self.numbered,
            web_server,
        };
    }

    fn end(
        &mut self,
        key: &Key,
        connection: &mut Connection,
        time: Option<Duration>,
        out: &mut VecDeque<Found>,
    ) {
        if std::mem::replace(&mut connection.over, true) {
            return;
        }
        for from in [End::First, End::Second] {
            let mut parts = Vec::new();
            connection.half_mut(from).end(&mut parts);
            self.parts(key, connection, from, parts, time, out);
        }
        if let State::Ajp { dump, number, .. } = &mut connection.state {
            for record in std::mem::take(&mut **dump).finish() {
                out.push_back(Found::Packet {
                    number: *number,
                    record,
                });
            }
        }
    }

    /// The end of the capture.
    pub(super) fn finish(mut self, out: &mut VecDeque<Found>) {
        let mut open: Vec<_> = self.open.drain().collect();
        open.sort_by_key(|(key, connection)| (connection.number(), *key));
        for (key, mut connection) in open {
            self.end(&key, &mut connection, None, out);
        }
        if self.fragments > 0 {
            let n = self.fragments;
            out.push_back(Found::Problem(format!("{n} IP fragments were left out")));
        }
        for (link, n) in &self.unknown_links {
            out.push_back(Found::Problem(format!(
                "{n} frames of link type {link} cannot be read; Ethernet, loopback, raw IP and Linux cooked can"
            )));
        }
        if self.numbered == 0 {
            let text = "no AJP connection found".to_owned();
            out.push_back(Found::Problem(text));
        }
    }
}

fn show(dump: &mut Dump, number: u32, web_server: End, event: Event, out: &mut VecDeque<Found>) {
    let direction = if event.from == web_server {
        Direction::ToContainer
    } else {
        Direction::ToWebServer
    };
    if let Some(time) = event.time {
        dump.at(time);
    }
    match event.part {
        Part::Data(data) => {
            for record in dump.feed(direction, &data) {
                out.push_back(Found::Packet { number, record });
            }
        }
        Part::Gap(missing) => {
            for record in dump.gap(direction, missing) {
                out.push_back(Found::Packet { number, record });
            }
        }
        Part::Closed => {
            let text = format!("{} closed", who(event.from, web_server));
            out.push_back(Found::Closed {
                number,
                time: event.time,
                text,
            });
        }
    }
}

fn who(end: End, web_server: End) -> &'static str {
    if end == web_server {
        "> the web server"
    } else {
        "< the container"
    }
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            halves: [HalfConnection::default(), HalfConnection::default()],
            state: State::Undecided {
                held: Vec::new(),
                len: 0,
            },
            over: false,
        }
    }
}

impl Connection {
    fn half(&self, end: End) -> &HalfConnection {
        let [first, second] = &self.halves;
        match end {
            End::First => first,
            End::Second => second,
        }
    }

    fn half_mut(&mut self, end: End) -> &mut HalfConnection {
        let [first, second] = &mut self.halves;
        match end {
            End::First => first,
            End::Second => second,
        }
    }

    /// In the order of their beginnings.
    fn number(&self) -> u32 {
        match &self.state {
            State::Ajp { number, .. } => *number,
            _ => u32::MAX,
        }
    }
}
