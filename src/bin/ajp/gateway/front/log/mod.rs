//! The access log: one record for each request, however it ends, and for what comes over a
//! connection without becoming a request.
//!
//! - [`record`]: what is noted of a request, in both formats.
//! - [`sent`]: the body of an answer, whose end completes the record.
//! - [`writer`]: the thread that writes the lines.
//! - [`text`]: what may stand in a log: no session, no password, no line break.
//!
//! The combined format has, after what httpd's has, who answered, the time in milliseconds, the
//! request's id and where the time went; then how it ended if it did not end well:
//!
//! ```text
//! 192.0.2.10 - - [06/Nov/2026:08:49:37 +0000] "GET /cart HTTP/1.1" 200 2326 "-" "curl/8.5.0" route=jvm1 member=ajp://127.0.0.1:8009 attempts=1 ms=12 id=0a..f1 upload=0 queue=0 connect=- first=10 body=1
//! ```

mod record;
mod sent;
pub(in crate::gateway) mod text;
pub(in crate::gateway) mod writer;

pub(super) use record::{Entry, Served};
pub(super) use sent::Sent;

use super::request_id::RequestId;
use http::request;
use record::{Asked, Refused};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use writer::{Lines, Target, Writer};

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// httpd's, with more at its end.
    #[default]
    Combined,
    /// An object on each line.
    Json,
}

/// Where requests are noted. Cloning gives another handle; [`none`](Self::none) is one that
/// notes nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessLog(Option<Sink>);

/// The way to the file.
#[derive(Debug, Clone)]
struct Sink {
    lines: Lines,
    format: LogFormat,
}

impl Sink {
    fn write(&self, line: String) {
        if !self.lines.write(line) {
            LOST.note();
        }
    }
}

static HAS_BEEN_OPENED: AtomicBool = AtomicBool::new(false);

impl AccessLog {
    /// No log.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Whether there is or was a log: only then it is measured where the time of requests goes.
    pub(crate) fn has_been_opened() -> bool {
        HAS_BEEN_OPENED.load(Ordering::Relaxed)
    }

    /// A log at this path; `-` is standard output.
    pub(crate) fn open(path: &Path, format: LogFormat) -> io::Result<(Self, Writer)> {
        let (lines, writer) = Lines::to(Target::of(path))?;
        HAS_BEEN_OPENED.store(true, Ordering::Relaxed);
        let sink = Sink { lines, format };
        Ok((Self(Some(sink)), writer))
    }

    /// Begins the entry of a request that has come at this time.
    pub(super) fn entry(
        &self,
        head: &request::Parts,
        client: IpAddr,
        id: RequestId,
        began: Instant,
    ) -> Entry {
        Entry::new(self.0.as_ref(), head, Asked::new(head, client, id), began)
    }

    /// Notes what came over a connection and was no request: the line that it began with, the
    /// status that it was answered with, or would have been, and why.
    pub(super) fn refused(&self, client: IpAddr, line: &str, status: u16, why: &str) {
        if let Some(sink) = &self.0 {
            let refused = Refused {
                client,
                line,
                status,
                why,
            };
            sink.write(refused.line(sink.format));
        }
    }
}

/// Lines that were dropped; said once in a while.
struct Lost(Mutex<Option<Instant>>);

static LOST: Lost = Lost(Mutex::new(None));

impl Lost {
    fn note(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed().as_secs() >= 10) {
            *last = Some(Instant::now());
            tracing::error!("access log: the disk is too slow, lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::front::connection::{Listener, State};
    use ajp::client::Phases;
    use http::{Request, StatusCode};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::{mpsc, watch};

    fn finished(writer: Writer, millis: u64) -> bool {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(writer.finish(Duration::from_millis(millis)))
    }

    #[test]
    fn no_text_moves_the_reader_of_a_log() {
        let odd = "a\u{7f}\u{85}\u{9b}2J\u{2028}\u{2029}\u{202e}b";
        let note = |log: &AccessLog| log.refused(IpAddr::from([192, 0, 2, 1]), odd, 400, odd);
        for format in [LogFormat::Combined, LogFormat::Json] {
            let lines = logged(format, note);
            assert_eq!(lines.len(), 1);
            let is_odd = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
            assert!(!lines[0].contains(is_odd), "{:?}", lines[0]);
        }
        let lines = logged(LogFormat::Json, note);
        let record: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(
            (&record["target"], &record["why"]),
            (&json!(odd), &json!(odd))
        );
    }

    /// The lines of a log in this format.
    fn logged(format: LogFormat, write: impl FnOnce(&AccessLog)) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (log, writer) = AccessLog::open(file.path(), format).unwrap();
        write(&log);
        assert!(finished(writer, 60_000));
        let text = std::fs::read_to_string(file.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// A request that was answered with 404, one whose client had gone, and none.
    fn three(log: &AccessLog) {
        let client = IpAddr::from([192, 0, 2, 1]);
        let request = Request::get("/a;jsessionid=1.a?b=c")
            .header("host", "shop.example")
            .header("user-agent", "x\" 200 \u{e4}")
            .header("referer", "http://a/\\")
            .body(())
            .unwrap();
        let (head, ()) = request.into_parts();
        let mut entry = log.entry(
            &head,
            client,
            RequestId::Given("0a1b".into()),
            Instant::now(),
        );
        entry.waiting();
        let mut phases = Phases::default();
        phases.connect = Some(Duration::from_millis(7));
        let served = Served {
            route: Some("jvm1".into()),
            member: Some("ajp://127.0.0.1:8009".into()),
            attempts: 2,
            phases,
        };
        entry.status(StatusCode::NOT_FOUND);
        entry.served(|| served);
        entry.sent(5);
        drop(entry);
        let mut gone = log.entry(
            &head,
            client,
            RequestId::Given("0a1c".into()),
            Instant::now(),
        );
        gone.waiting();
        drop(gone);
        log.refused(client, "GET /\u{7} HTTP/9", 400, "invalid version");
    }

    #[test]
    fn a_line_for_each_request_however_it_ends() {
        let lines = logged(LogFormat::Combined, three);
        assert_eq!(lines.len(), 3);
        let starts = "] \"GET /a;jsessionid=*?b=c HTTP/1.1\" 404 5 \"http://a/\\\\\" \"x\\\" 200 \u{e4}\" \
            route=jvm1 member=ajp://127.0.0.1:8009 attempts=2 ms=";
        assert!(lines[0].starts_with("192.0.2.1 - - ["), "{}", lines[0]);
        assert!(lines[0].contains(starts), "{}", lines[0]);
        let ends = " id=0a1b upload=0 queue=0 connect=7 first=- body=0";
        assert!(lines[0].ends_with(ends), "{}", lines[0]);
        assert!(lines[1].contains("\" 499 - \""), "{}", lines[1]);
        assert!(
            lines[1].ends_with(" end=aborted stage=waiting"),
            "{}",
            lines[1]
        );
        let refused = "] \"GET /\\x07 HTTP/9\" 400 - \"-\" \"-\" route=- member=- attempts=0 ms=0 \
            id=- upload=- queue=- connect=- first=- body=- end=refused why=\"invalid version\"";
        assert!(lines[2].ends_with(refused), "{}", lines[2]);
    }

    /// Before the head of the answer and behind it, by the end of the listener and before that.
    #[test]
    fn what_a_stop_breaks_off_is_told_as_such() {
        let lines = logged(LogFormat::Combined, |log| {
            let (_stop, stopping) = watch::channel(false);
            let (running, _ended) = mpsc::channel(1);
            let listener = Listener::new(stopping, running);
            let state = Arc::new(State::new(listener.clone()));
            let (head, ()) = Request::get("/a").body(()).unwrap().into_parts();
            let entry = || {
                let id = RequestId::Given("0a1b".into());
                let mut entry = log.entry(&head, [192, 0, 2, 1].into(), id, Instant::now());
                entry.came_over(&state);
                entry.waiting();
                entry
            };
            let answered = || {
                let mut entry = entry();
                entry.status(StatusCode::OK);
                entry.aborted();
                entry
            };
            drop((entry(), answered()));
            let running = (entry(), answered());
            listener
                .is_over
                .store(true, std::sync::atomic::Ordering::Release);
            drop(running);
        });
        for (line, status, end) in [
            (&lines[0], "499", " end=aborted stage=waiting"),
            (&lines[1], "200", " end=aborted stage=answer"),
            (
                &lines[2],
                "503",
                " end=stopped stage=waiting why=\"the gateway stops\"",
            ),
            (
                &lines[3],
                "200",
                " end=stopped stage=answer why=\"the gateway stops\"",
            ),
        ] {
            assert!(line.contains(&format!("\" {status} - \"")), "{line}");
            assert!(line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn the_same_as_json() {
        let lines = logged(LogFormat::Json, three);
        let records: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [answered, gone, refused] = &records[..] else {
            panic!("{lines:?}");
        };
        for (key, value) in [
            ("client", json!("192.0.2.1")),
            ("method", json!("GET")),
            ("target", json!("/a;jsessionid=*?b=c")),
            ("protocol", json!("HTTP/1.1")),
            ("status", json!(404)),
            ("bytes", json!(5)),
            ("host", json!("shop.example")),
            ("member", json!("ajp://127.0.0.1:8009")),
            ("attempts", json!(2)),
            ("request_id", json!("0a1b")),
            ("connect_ms", json!(7)),
            ("first_packet_ms", Value::Null),
            ("end", json!("answered")),
        ] {
            assert_eq!(answered[key], value, "{key}");
        }
        assert_eq!(
            (&gone["end"], &gone["stage"]),
            (&json!("aborted"), &json!("waiting"))
        );
        assert_eq!(
            (&refused["end"], &refused["method"]),
            (&json!("refused"), &Value::Null)
        );
        assert_eq!(refused["target"], "GET /\u{7} HTTP/9");
        let time = answered["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }
}
