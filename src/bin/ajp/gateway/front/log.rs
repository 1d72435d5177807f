//! The access log: the combined format, then `route`, `member`, `attempts` and `ms`, and
//! `end=cut` or `end=aborted` where the container or the client broke off.
//!
//! ```text
//! 192.0.2.10 - - [06/Nov/2026:08:49:37 +0000] "GET /cart HTTP/1.1" 200 2326 "-" "curl/8.5.0" route=jvm1 member=ajp://127.0.0.1:8009 attempts=1 ms=12
//! ```

use bytes::Bytes;
use http::header::{REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

/// Lines that may wait for the disk; more are dropped.
const MOST_WAITING: usize = 10_000;

/// Where requests are noted. Cloning gives another handle; [`none`](Self::none) is one that
/// notes nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessLog(Option<SyncSender<Note>>);

/// Writes the lines, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Writer {
    notes: SyncSender<Note>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Note {
    Line(String),
    /// The file may have been renamed.
    Reopen,
    End,
}

impl AccessLog {
    /// No log.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// A log at this path; `-` is standard output.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Writer)> {
        let out = open(path)?;
        let path = path.to_owned();
        let (sender, notes) = sync_channel(MOST_WAITING);
        let thread = std::thread::Builder::new().name("access log".into());
        let thread = thread.spawn(move || write(&notes, &path, BufWriter::new(out)))?;
        let writer = Writer {
            notes: sender.clone(),
            thread,
        };
        Ok((Self(Some(sender)), writer))
    }

    /// Begins the entry of a request.
    pub(crate) fn entry<B>(&self, request: &Request<B>, client: Option<IpAddr>) -> Entry {
        let Self(Some(log)) = self else {
            return Entry(None);
        };
        let headers = request.headers();
        Entry(Some(Box::new(Fields {
            log: log.clone(),
            client,
            at: SystemTime::now(),
            started: Instant::now(),
            line: format!(
                "{} {} {:?}",
                request.method(),
                request.uri(),
                request.version()
            ),
            referer: header(headers, &REFERER),
            agent: header(headers, &USER_AGENT),
            status: StatusCode::OK,
            bytes: 0,
            served: Served::default(),
            end: End::Complete,
        })))
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    Ok(if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::options().append(true).create(true).open(path)?)
    })
}

impl Writer {
    /// Goes on in the file that has the name now, after what was noted before.
    pub(crate) fn reopen(&self) {
        // Fails when the writer has panicked, which was reported.
        let _ = self.notes.send(Note::Reopen);
    }

    /// Ends when all is written that was noted before.
    pub(crate) fn finish(self) {
        // Fails when the writer has panicked, which was reported.
        let _ = self.notes.send(Note::End);
        let _ = self.thread.join();
    }
}

fn write(notes: &Receiver<Note>, path: &Path, mut out: BufWriter<Box<dyn Write + Send>>) {
    let mut failed = false;
    // Told once for each time that the disk fills up.
    let mut told = |result: io::Result<()>| match result {
        Ok(()) => failed = false,
        Err(error) if !failed => {
            tracing::error!("access log: {error}");
            failed = true;
        }
        Err(_) => {}
    };
    while let Ok(first) = notes.recv() {
        let mut result = Ok(());
        for note in std::iter::once(first).chain(notes.try_iter()) {
            match note {
                Note::Line(line) => {
                    result = result.and_then(|()| out.write_all(line.as_bytes()));
                }
                Note::Reopen => {
                    result = result.and_then(|()| out.flush());
                    match open(path) {
                        Ok(file) => out = BufWriter::new(file),
                        // Better in the old file than nowhere.
                        Err(error) => result = result.and(Err(error)),
                    }
                }
                Note::End => {
                    told(result.and_then(|()| out.flush()));
                    return;
                }
            }
        }
        told(result.and_then(|()| out.flush()));
    }
}

/// Who answered, for the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) route: Option<Arc<str>>,
    pub(crate) member: Option<Arc<str>>,
    pub(crate) attempts: usize,
}

/// The entry of one request, written when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Entry(Option<Box<Fields>>);

#[derive(Debug)]
struct Fields {
    log: SyncSender<Note>,
    client: Option<IpAddr>,
    at: SystemTime,
    started: Instant,
    line: String,
    referer: String,
    agent: String,
    status: StatusCode,
    bytes: u64,
    served: Served,
    end: End,
}

/// How the answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Complete,
    /// The container broke off in the middle.
    Cut,
    /// The client did not take all of it.
    Aborted,
}

impl Entry {
    /// The status of the response.
    pub(crate) fn status(&mut self, status: StatusCode) {
        if let Some(fields) = &mut self.0 {
            fields.status = status;
        }
    }

    /// Who gave it, or was asked last.
    pub(crate) fn served(&mut self, served: impl FnOnce() -> Served) {
        if let Some(fields) = &mut self.0 {
            fields.served = served();
        }
    }

    /// The client as it turned out to be.
    pub(crate) fn client(&mut self, client: Option<IpAddr>) {
        if let Some(fields) = &mut self.0 {
            fields.client = client;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(fields) = self.0.take() else {
            return;
        };
        if let Err(TrySendError::Full(_)) = fields.log.try_send(Note::Line(format!("{fields}\n"))) {
            LOST.note();
        }
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: &Option<Arc<str>>| text.as_deref().map_or("-".into(), escaped);
        match self.client {
            Some(client) => write!(f, "{}", client.to_canonical())?,
            None => f.write_str("-")?,
        }
        write!(
            f,
            " - - [{}] \"{}\" {} ",
            clf_time(self.at),
            escaped(&self.line),
            self.status.as_u16()
        )?;
        match self.bytes {
            0 => f.write_str("-")?,
            bytes => write!(f, "{bytes}")?,
        }
        write!(
            f,
            " \"{}\" \"{}\" route={} member={} attempts={} ms={}",
            escaped(&self.referer),
            escaped(&self.agent),
            or_dash(&self.served.route),
            or_dash(&self.served.member),
            self.served.attempts,
            self.started.elapsed().as_millis()
        )?;
        match self.end {
            End::Complete => Ok(()),
            End::Cut => f.write_str(" end=cut"),
            End::Aborted => f.write_str(" end=aborted"),
        }
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name);
    value.map_or_else(
        || "-".into(),
        |value| ajp::mapping::text(value.as_bytes()).into_owned(),
    )
}

/// A text that can neither end its field nor its line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// `06/Nov/1994:08:49:37 +0000`
fn clf_time(at: SystemTime) -> String {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let text = httpdate::fmt_http_date(at);
    let mut words = text.split(' ').skip(1);
    let mut word = || words.next().unwrap_or_default();
    let (day, month, year, time) = (word(), word(), word(), word());
    format!("{day}/{month}/{year}:{time} +0000")
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

/// A response body whose end completes the entry.
#[derive(Debug)]
pub(crate) struct Logged<B: Body> {
    body: B,
    entry: Entry,
    /// What was asked for.
    asked: (Method, Uri),
    ended: bool,
}

impl<B: Body> Logged<B> {
    /// Notes what of this body was sent.
    pub(crate) fn new(body: B, entry: Entry, asked: (Method, Uri)) -> Self {
        Self {
            // The body of an answer to HEAD is never asked for.
            ended: asked.0 == Method::HEAD,
            body,
            entry,
            asked,
        }
    }

    fn end(&mut self, end: End) {
        self.ended = true;
        if let Some(fields) = &mut self.entry.0 {
            fields.end = end;
        }
    }
}

impl<B: Body> Drop for Logged<B> {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.end(End::Aborted);
        }
    }
}

impl<B> Body for Logged<B>
where
    B: Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(fields) = &mut self.entry.0 {
                    let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                    fields.bytes = fields.bytes.saturating_add(len);
                }
            }
            Some(Err(error)) => {
                let (method, uri) = &self.asked;
                super::failures::tell(method, uri, None, &super::answer::chain(&**error));
                self.end(End::Cut);
            }
            None => self.end(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_line_per_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (log, writer) = AccessLog::open(file.path()).unwrap();
        let request = Request::get("/a?b=c")
            .header("user-agent", "x\" 200 \u{e4}")
            .header("referer", "http://a/\\")
            .body(())
            .unwrap();
        let mut entry = log.entry(&request, Some([192, 0, 2, 1].into()));
        let served = Served {
            route: Some("jvm1".into()),
            member: Some("ajp://127.0.0.1:8009".into()),
            attempts: 2,
        };
        entry.status(StatusCode::NOT_FOUND);
        entry.served(|| served);
        drop(entry);
        drop(log.entry(&Request::new(()), None));
        writer.finish();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("192.0.2.1 - - ["), "{text}");
        let rest = "] \"GET /a?b=c HTTP/1.1\" 404 - \"http://a/\\\\\" \"x\\\" 200 \u{e4}\" \
            route=jvm1 member=ajp://127.0.0.1:8009 attempts=2 ms=";
        assert!(lines[0].contains(rest), "{text}");
        assert!(lines[1].starts_with("- - - ["), "{text}");
        assert!(
            lines[1].contains("\"-\" \"-\" route=- member=- attempts=0 ms="),
            "{text}"
        );
    }

    #[test]
    fn fields_cannot_be_broken_out_of() {
        assert_eq!(
            escaped("a\"b\\c\r\n\u{7f}\u{85}d"),
            "a\\\"b\\\\c\\x0d\\x0a\\x7f\\x85d"
        );
    }

    #[test]
    fn times() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(clf_time(at), "06/Nov/1994:08:49:37 +0000");
    }
}
