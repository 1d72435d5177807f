//! How the process ends: one code for each kind of failure, so that a script can tell them
//! apart.

use ajp::client::{ClientError, ErrorKind};
use std::error::Error as _;
use std::io;
use std::process::ExitCode;

/// What `--help` of every command says about exit codes.
pub(crate) const CODES: &str = "\
Exit code:
   0  done
   1  done, and the answer is no: bytes that cannot be decoded, answers that differ, lost
      pings, failed requests of a load, settings without an equal,
      findings of lint
   2  wrong usage, or a file that cannot be read or written
   3  no connection
   4  no answer in time
   5  no AJP there, or the peer broke the protocol
   6  the connection broke before the end of the answer
   7  the container refused the secret
   8  the container refused a request attribute
   9  the request does not fit the packet size, or cannot be sent as AJP
  22  the application answered 400 or above (get, head, post: with --fail)";

/// The exit codes of [`CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    No = 1,
    Usage = 2,
    Connect = 3,
    Timeout = 4,
    Protocol = 5,
    Broken = 6,
    Secret = 7,
    Attribute = 8,
    Request = 9,
    Status = 22,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Told on the standard error.
    Told { exit: Exit, text: String },
    /// Whoever read the output has seen enough.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Told { exit, text }
    }

    /// Wrong arguments, or a file they name.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// The standard output took no more.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::usage(format!("cannot write the output: {error}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(exit_of(&error), chain(&error))
    }
}

/// The code of a failed exchange.
pub(crate) fn exit_of(error: &ClientError) -> Exit {
    match error.kind() {
        ErrorKind::Connect | ErrorKind::LocalResources => Exit::Connect,
        ErrorKind::AcquireTimeout
        | ErrorKind::ConnectTimeout
        | ErrorKind::ConnectCutShort
        | ErrorKind::CPingTimeout
        | ErrorKind::CPingCutShort
        | ErrorKind::WriteTimeout
        | ErrorKind::ResponseHeadTimeout
        | ErrorKind::BetweenPacketsTimeout
        | ErrorKind::RequestBodyTimeout
        | ErrorKind::ResponseReadTimeout => Exit::Timeout,
        ErrorKind::UriTooLong
        | ErrorKind::HeadTooLarge
        | ErrorKind::InvalidRequest
        | ErrorKind::MissingFacts
        | ErrorKind::UnsupportedTransferEncoding
        | ErrorKind::UpgradeNotSupported
        | ErrorKind::BodyLength => Exit::Request,
        ErrorKind::BodySource => Exit::Usage,
        ErrorKind::Write | ErrorKind::Read | ErrorKind::Closed => Exit::Broken,
        ErrorKind::CPing if is_io(error) => Exit::Broken,
        _ => Exit::Protocol,
    }
}

/// Whether the connection failed, and not what came over it.
fn is_io(error: &ClientError) -> bool {
    error
        .source()
        .is_some_and(|source| source.downcast_ref::<io::Error>().is_some())
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
