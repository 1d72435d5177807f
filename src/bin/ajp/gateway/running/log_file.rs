//! Where the access log is written, from one reload to the next.

use crate::gateway::front::{AccessLog, LogFormat, LogWriter};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the access log may take for what is not written when all else has ended.
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// The access log, and where it is.
#[derive(Default)]
pub(super) struct LogFile {
    path: Option<PathBuf>,
    format: LogFormat,
    pub(super) access: AccessLog,
    writers: Vec<LogWriter>,
}

impl LogFile {
    /// Opens this file, if it is another one.
    pub(super) fn opened(
        &self,
        path: Option<&PathBuf>,
        format: LogFormat,
    ) -> Result<Option<(AccessLog, LogWriter)>, String> {
        let Some(path) =
            path.filter(|path| self.path.as_ref() != Some(*path) || self.format != format)
        else {
            return Ok(None);
        };
        let opened = AccessLog::open(path, format);
        let opened = opened.map_err(|error| format!("access log {}: {error}", path.display()))?;
        Ok(Some(opened))
    }

    /// Writes there from now on, as [`opened`](Self::opened) has opened it.
    pub(super) fn go_on(
        &mut self,
        opened: Option<(AccessLog, LogWriter)>,
        path: Option<&PathBuf>,
        format: LogFormat,
    ) {
        // Those before have requests to write that have not ended.
        self.writers.retain(|writer| !writer.has_ended());
        if let Some((log, writer)) = opened {
            self.access = log;
            self.writers.push(writer);
        } else if path.is_none() {
            self.access = AccessLog::none();
        }
        self.path = path.cloned();
        self.format = format;
    }

    /// Opens the files again: they may have been renamed.
    pub(super) fn reopen(&self) {
        for writer in &self.writers {
            writer.reopen();
        }
    }

    /// Waits until all records are written, or the time for that is over.
    pub(super) async fn finish(self) {
        let mut left = LOG_LIMIT;
        for writer in self.writers {
            let start = Instant::now();
            if !writer.finish(left).await {
                tracing::error!(
                    "access log: not all could be written within {LOG_LIMIT:?}, records are lost"
                );
            }
            left = left.saturating_sub(start.elapsed());
        }
    }
}
