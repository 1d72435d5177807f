//! The state file on its disk. A thread of its own writes it, so that nobody waits for the disk
//! with a lock in hand: a disk that hangs stops those who want to know that a change is kept, for
//! [`LIMIT`], and nobody else.

use crate::files::with_ending;
use crate::gateway::front::could_be_made;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long whoever changes something waits for it to be written.
const LIMIT: Duration = Duration::from_secs(5);

/// Writes a text to a file: all of it or nothing.
type WriteFile = dyn Fn(&Path, &[u8]) -> io::Result<()> + Send + Sync;

/// The file, and what is to be written to it.
pub(super) struct StateFile {
    path: PathBuf,
    write: Box<WriteFile>,
    work: Mutex<Work>,
    written: watch::Sender<Written>,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Work {
    /// The newest text, if it is not being written yet.
    text: Option<Vec<u8>>,
    /// How many texts there were.
    count: u64,
    /// Since when a thread writes; none: there is no thread.
    since: Option<Instant>,
}

/// How far it has come.
#[derive(Debug, Clone, Default)]
struct Written {
    /// So many texts are written, have failed, or were replaced by a newer one.
    count: u64,
    /// Why the last one could not be written.
    problem: Option<String>,
}

impl StateFile {
    /// The file at this path. `problem` is why what was in it does not hold.
    pub(super) fn new(path: PathBuf, problem: Option<String>) -> Arc<Self> {
        let problem = problem.or_else(|| {
            let error = can_be_kept(&path).err()?;
            tracing::error!("manager: {error}");
            Some(error)
        });
        Self::written_by(path, problem, Box::new(write))
    }

    fn written_by(path: PathBuf, problem: Option<String>, write: Box<WriteFile>) -> Arc<Self> {
        let (written, _) = watch::channel(Written { count: 0, problem });
        Arc::new(Self {
            path,
            write,
            work: Mutex::default(),
            written,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why changes are not kept, if they are not.
    pub(super) fn problem(&self) -> Option<String> {
        let waited = self.work().since.map(|since| since.elapsed());
        match waited.filter(|waited| *waited >= LIMIT) {
            Some(waited) => Some(self.late(waited)),
            None => self.written.borrow().problem.clone(),
        }
    }

    fn late(&self, waited: Duration) -> String {
        format!(
            "state file {}: the disk has not taken it for {} s; it is still being written",
            self.path.display(),
            waited.as_secs()
        )
    }

    /// Has this text written, soon. One that was not begun yet is left out.
    pub(super) fn keep(self: &Arc<Self>, text: Vec<u8>) {
        let mut work = self.work();
        work.text = Some(text);
        work.count = work.count.wrapping_add(1);
        if work.since.is_some() {
            return;
        }
        let file = Arc::clone(self);
        let thread = std::thread::Builder::new().name("state file".into());
        match thread.spawn(move || file.write_all()) {
            Ok(_) => work.since = Some(Instant::now()),
            Err(error) => {
                let count = work.count;
                drop(work);
                self.done(count, Err(error));
            }
        }
    }

    /// Writes until there is nothing new.
    fn write_all(&self) {
        loop {
            let mut work = self.work();
            let Some(text) = work.text.take() else {
                work.since = None;
                return;
            };
            let count = work.count;
            work.since = Some(Instant::now());
            drop(work);
            let result = (self.write)(&self.path, &text);
            self.done(count, result);
        }
    }

    fn done(&self, count: u64, result: io::Result<()>) {
        let problem = result.err().map(|error| {
            let path = self.path.display();
            format!("state file {path}: {error}; the changes end with this process")
        });
        if let Some(problem) = &problem {
            tracing::error!("manager: {problem}");
        }
        self.written.send_replace(Written { count, problem });
    }

    /// Waits until everything is written that was given before.
    ///
    /// # Errors
    /// Why it cannot be written, or that it was not within [`LIMIT`]. The changes hold until the
    /// end of the process.
    pub(super) async fn kept(&self) -> Result<(), String> {
        let count = self.work().count;
        let mut written = self.written.subscribe();
        let done = written.wait_for(|written| written.count >= count);
        match tokio::time::timeout(LIMIT, done).await {
            Ok(Ok(written)) => match &written.problem {
                Some(problem) if count > 0 => Err(problem.clone()),
                _ => Ok(()),
            },
            // The sender is in this.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(self.late(LIMIT)),
        }
    }
}

impl std::fmt::Debug for StateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Whether changes can be kept there: the file can be read if there is one, and its directory can
/// be written. A running gateway is not disturbed.
///
/// # Errors
/// Why not.
pub(crate) fn can_be_kept(path: &Path) -> Result<(), String> {
    read(path)?;
    could_be_made(path).map_err(|error| {
        let path = path.display();
        format!("state file {path}: changes cannot be kept there: {error}")
    })
}

/// What is in the file, if there is one. It begins with a brace, whole or cut off, or holds nothing or
/// zeros after a loss of power. What begins with anything else is no state file, but what a mistyped
/// path leads to: it would be renamed as one that makes no sense, and somebody would miss it.
///
/// # Errors
/// It cannot be read, or is something else.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("state file {}: {why}", path.display());
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
        Ok(found) if !found.is_file() => return Err(failed(&"this is no regular file")),
        Ok(_) => {}
    }
    let text = crate::files::read(path).map_err(|error| failed(&error))?;
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_none_or(|byte| matches!(byte, b'{' | 0)) {
        Ok(Some(text))
    } else {
        Err(failed(
            &"it holds something else than changes of a manager, and stays; name another file",
        ))
    }
}

/// Writes a file beside it first, so that a crash leaves the one before.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = with_ending(path, ".new");
    // What lies there may be a link to somewhere else, or be open to others.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // The new name is kept over a loss of power only when the directory is.
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    #[test]
    fn whether_it_can_be_written_is_known_before() {
        let directory = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(can_be_kept(&directory.path().join("state.json")), Ok(()));
        assert_eq!(names(), 0, "nothing is left behind");
        let error = can_be_kept(&directory.path().join("no/state.json")).unwrap_err();
        assert!(
            error.contains("no/state.json: changes cannot be kept there: No such"),
            "{error}"
        );
    }

    #[test]
    fn it_is_not_written_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let other = directory.path().join("other");
        std::fs::write(&other, "theirs").unwrap();
        std::os::unix::fs::symlink(&other, with_ending(&path, ".new")).unwrap();
        write(&path, b"ours").unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ours");
        assert!(path.symlink_metadata().unwrap().is_file());
    }

    /// A disk that takes a text each time it is told to, and what it was given.
    fn hung() -> (
        Arc<StateFile>,
        std::sync::mpsc::Sender<()>,
        Receiver<Vec<u8>>,
    ) {
        let (go, wait) = channel();
        let (given, texts) = channel();
        let wait = Mutex::new(wait);
        let write = move |_: &Path, text: &[u8]| {
            let lost = |_| io::Error::other("the test is over");
            given.send(text.to_vec()).map_err(lost)?;
            let waited = wait.lock().unwrap_or_else(PoisonError::into_inner).recv();
            waited.map_err(|_| io::Error::other("the disk is gone"))
        };
        let file = StateFile::written_by("state.json".into(), None, Box::new(write));
        (file, go, texts)
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_stops_whoever_waits_for_it_and_not_forever() {
        let (file, go, texts) = hung();
        assert_eq!(file.kept().await, Ok(()), "there is nothing to write");
        file.keep(b"1".to_vec());
        assert_eq!(texts.recv().unwrap(), b"1");
        file.keep(b"2".to_vec());
        file.keep(b"3".to_vec());
        assert_eq!(file.problem(), None);
        let start = tokio::time::Instant::now();
        let late = file.kept().await.unwrap_err();
        assert_eq!(start.elapsed(), LIMIT);
        assert!(
            late.contains("state.json: the disk has not taken it"),
            "{late}"
        );
        // From here on a thread is waited for, and the clock must not run ahead of it.
        tokio::time::resume();
        // It comes back; of what came meanwhile the newest is written.
        go.send(()).unwrap();
        assert_eq!(texts.recv().unwrap(), b"3");
        go.send(()).unwrap();
        assert_eq!(file.kept().await, Ok(()));
        file.keep(b"4".to_vec());
        drop(go);
        let error = file.kept().await.unwrap_err();
        assert!(
            error.contains("the disk is gone; the changes end"),
            "{error}"
        );
        assert_eq!(file.problem(), Some(error));
    }
}
