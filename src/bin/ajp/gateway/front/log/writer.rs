//! Lines of a log, written by a thread of its own. Nobody waits for it: whoever reads the log may
//! have stopped reading.

use crate::files::with_ending;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines that may wait for the disk; more are dropped.
const MOST_WAITING: usize = 10_000;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Target {
    File(PathBuf),
    Output,
    Errors,
}

impl Target {
    /// A file; `-` is standard output.
    pub(in crate::gateway) fn of(path: &Path) -> Self {
        if path == Path::new("-") {
            Self::Output
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Opens it, without waiting for anybody: a pipe that nobody reads is an error.
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        let path = match self {
            Self::Output => return Ok(Box::new(io::stdout())),
            Self::Errors => return Ok(Box::new(io::stderr())),
            Self::File(path) => path,
        };
        let file = appending().custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => io::Error::other("it is a pipe that nobody reads"),
            _ => error,
        })?;
        Ok(Box::new(Opened {
            is_pipe: file.metadata()?.file_type().is_fifo(),
            file,
            path: path.clone(),
        }))
    }
}

/// Whether lines could be written there, without making the file. A pipe is left alone: whoever
/// reads it would see its end when it is closed again.
///
/// # Errors
/// Why they could not.
pub(in crate::gateway) fn could_be_opened(path: &Path) -> io::Result<()> {
    let Target::File(path) = Target::of(path) else {
        return Ok(());
    };
    match path.metadata() {
        Ok(found) if found.file_type().is_fifo() => Ok(()),
        Ok(found) if found.file_type().is_socket() => Err(io::Error::other("it is a socket")),
        Ok(_) => File::options().append(true).open(&path).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => could_be_made(&path),
        Err(error) => Err(error),
    }
}

/// Whether a file could be made at this path: one of another name is, in its directory, and removed
/// again.
///
/// # Errors
/// Why it could not.
pub(in crate::gateway) fn could_be_made(path: &Path) -> io::Result<()> {
    let probe = with_ending(path, &format!(".{}", std::process::id()));
    drop(File::options().write(true).create_new(true).open(&probe)?);
    std::fs::remove_file(&probe)
}

fn appending() -> OpenOptions {
    let mut options = File::options();
    options.append(true).create(true);
    options
}

/// A file that was opened without waiting. A pipe must be opened again to be waited for, which the
/// thread that writes does.
struct Opened {
    file: File,
    path: PathBuf,
    is_pipe: bool,
}

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.is_pipe) {
            self.file = appending().open(&self.path)?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The way to the thread. When the last clone is dropped the thread ends, once all is written.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Lines {
    notes: Arc<SyncSender<Note>>,
    lost: Arc<AtomicU64>,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Writer {
    notes: Weak<SyncSender<Note>>,
    /// The file is to be opened again, and there was no room to say so.
    reopens: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Note {
    /// With its line break.
    Line(String),
    /// The file may have been renamed.
    Reopen,
    End,
}

impl Lines {
    /// Lines to this place.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(in crate::gateway) fn to(target: Target) -> io::Result<(Self, Writer)> {
        let out = BufWriter::new(target.open()?);
        let (sender, notes) = sync_channel(MOST_WAITING);
        let (sender, lost) = (Arc::new(sender), Arc::default());
        let reopens = Arc::new(AtomicBool::new(false));
        let (wanted, missing) = (Arc::clone(&reopens), Arc::clone(&lost));
        let thread = std::thread::Builder::new().name("log".into());
        let thread = thread.spawn(move || write(&notes, &wanted, &missing, &target, out))?;
        let writer = Writer {
            notes: Arc::downgrade(&sender),
            reopens,
            thread,
        };
        Ok((
            Self {
                notes: sender,
                lost,
            },
            writer,
        ))
    }

    /// Has a line written, which has its line break. Whether there was room for it.
    pub(in crate::gateway) fn write(&self, line: String) -> bool {
        let is_full = matches!(
            self.notes.try_send(Note::Line(line)),
            Err(TrySendError::Full(_))
        );
        if is_full {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        !is_full
    }
}

/// As `tracing` writes: a line at a time.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Where there is no room it is counted.
        Self::write(self, String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    fn tell(&self, note: Note) -> Result<(), TrySendError<Note>> {
        match self.notes.upgrade() {
            Some(notes) => notes.try_send(note),
            None => Err(TrySendError::Disconnected(note)),
        }
    }

    /// Goes on in the file that has the name now, after what was noted before.
    pub(crate) fn reopen(&self) {
        // Disconnected when there is nobody any more who writes.
        if let Err(TrySendError::Full(_)) = self.tell(Note::Reopen) {
            self.reopens.store(true, Ordering::Release);
        }
    }

    /// Whether it has ended: nobody writes lines to it any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends when all is written that was noted before, or after this time: whether it is.
    pub(crate) async fn finish(self, limit: Duration) -> bool {
        let start = Instant::now();
        let mut is_told = false;
        loop {
            is_told = is_told || !matches!(self.tell(Note::End), Err(TrySendError::Full(_)));
            if is_told && self.thread.is_finished() {
                return true;
            }
            if start.elapsed() >= limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

type Out = BufWriter<Box<dyn Write + Send>>;

fn write(
    notes: &Receiver<Note>,
    reopens: &AtomicBool,
    lost: &AtomicU64,
    target: &Target,
    mut out: Out,
) {
    let mut failed = false;
    // Told once for each time that the disk fills up. Of standard error there is nowhere to tell.
    let mut told = |result: io::Result<()>| match result {
        Ok(()) => failed = false,
        Err(error) if !failed && *target != Target::Errors => {
            tracing::error!("access log: {error}");
            failed = true;
        }
        Err(_) => {}
    };
    while let Ok(first) = notes.recv() {
        let mut result = Ok(());
        let missed = reopens.swap(false, Ordering::AcqRel);
        let missed = missed.then_some(Note::Reopen);
        let first = missed.into_iter().chain([first]);
        for note in first.chain(notes.try_iter()) {
            match note {
                Note::Line(line) => {
                    result = result.and_then(|()| out.write_all(line.as_bytes()));
                }
                Note::Reopen => {
                    result = result.and_then(|()| out.flush());
                    match target.open() {
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
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 && *target == Target::Errors {
            let text = "lines of the error log are lost: nobody has read them for a while";
            result = result.and_then(|()| writeln!(out, "{missing} {text}"));
        }
        told(result.and_then(|()| out.flush()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn finished(writer: Writer, millis: u64) -> bool {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(writer.finish(Duration::from_millis(millis)))
    }

    fn pipe(directory: &tempfile::TempDir) -> PathBuf {
        let path = directory.path().join("log");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        path
    }

    /// `run` in a thread, within 10 s.
    fn soon<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, waited) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(run()));
        waited.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = pipe(&directory);
        // It is open, and nobody reads it.
        let mut both = File::options();
        let _reader = both.read(true).write(true).open(&path).unwrap();
        let (lines, writer) = Lines::to(Target::of(&path)).unwrap();
        let line = "x".repeat(1000);
        let took = (0..MOST_WAITING + 1000).filter(|_| lines.write(line.clone()));
        assert!(took.count() < MOST_WAITING + 1000);
        let is_written = soon(move || {
            writer.reopen();
            finished(writer, 100)
        });
        assert!(!is_written);
    }

    #[test]
    fn a_pipe_is_read_from_where_it_is_opened_and_refused_where_nobody_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = pipe(&directory);
        let target = Target::of(&path);
        let error = soon({
            let target = target.clone();
            move || Lines::to(target).unwrap_err().to_string()
        });
        assert_eq!(error, "it is a pipe that nobody reads");
        let mut both = File::options();
        let mut reader = both.read(true).write(true).open(&path).unwrap();
        let (lines, writer) = Lines::to(target).unwrap();
        assert!(lines.write("one\n".into()));
        writer.reopen();
        assert!(lines.write("two\n".into()));
        let mut read = [0; 8];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\ntwo\n");
        assert!(finished(writer, 60_000));
    }

    #[test]
    fn the_thread_ends_with_the_last_who_writes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (lines, writer) = Lines::to(Target::of(file.path())).unwrap();
        let other = lines.clone();
        drop(lines);
        assert!(other.write("x\n".into()));
        assert!(!writer.has_ended());
        drop(other);
        soon(move || {
            while !writer.has_ended() {
                std::thread::sleep(Duration::from_millis(1));
            }
            writer.reopen();
        });
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "x\n");
    }
}
