//! How the process ends: one code for each kind of failure, so that a script can tell them
//! apart.

use ajp::client::{ClientError, ErrorKind};
use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

/// All exit codes, for the help of the program.
pub(crate) fn all_codes() -> String {
    let others = [EXCHANGE, &[Exit::Status]].concat();
    let no = "done, and the answer is no: something is lost, broken or differs; see each command";
    codes(Some(no), &others)
}

/// The exit codes of a command, for its help: 1 with what it means there, and those that it has
/// beside 0 and 2.
pub(crate) fn codes(no: Option<&str>, others: &[Exit]) -> String {
    let mut out = "Exit code:\n   0  done".to_owned();
    let mut line = |exit: Exit, meaning: &str| {
        let _ = write!(out, "\n  {:>2}  {meaning}", exit as u8);
    };
    if let Some(no) = no {
        line(Exit::No, no);
    }
    line(Exit::Usage, Exit::Usage.meaning());
    for exit in others {
        line(*exit, exit.meaning());
    }
    out
}

/// What may go wrong with an exchange.
pub(crate) const EXCHANGE: &[Exit] = &[
    Exit::Connect,
    Exit::Timeout,
    Exit::Protocol,
    Exit::Broken,
    Exit::Secret,
    Exit::Attribute,
    Exit::Request,
];

/// The exit codes; each means the same in every command.
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

impl Exit {
    fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::No => "done, and the answer is no",
            Self::Usage => "wrong usage, or a file that cannot be read or written",
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Protocol => "no AJP there, or the peer broke the protocol",
            Self::Broken => "the connection broke before the end of the answer",
            Self::Secret => "the container refused the secret",
            Self::Attribute => "the container refused a request attribute",
            Self::Request => "the request does not fit the packet size, or cannot be sent as AJP",
            Self::Status => "the application answered 400 or above",
        }
    }

    /// What to do about a failed exchange of which nothing more is known.
    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Connect | Self::Timeout | Self::Protocol | Self::Broken => {
                Some("ajp explain with the same URL looks for the cause")
            }
            _ => None,
        }
    }
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
    Message { exit: Exit, text: String },
    /// Whoever read the output has seen enough.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Message { exit, text }
    }

    /// Wrong arguments, or a file they name.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; check the path",
            io::ErrorKind::PermissionDenied => "; run it as a user who may, or change its mode",
            io::ErrorKind::AlreadyExists => "; choose another name, or remove it first",
            io::ErrorKind::IsADirectory => "; name a file in it",
            _ => "",
        };
        Self::usage(format!("{}: {error}{advice}", path.display()))
    }

    /// An address that cannot be listened on.
    pub(crate) fn listen(address: SocketAddr, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "; something listens there already: take another port",
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
            io::ErrorKind::PermissionDenied => "; take a port from 1024 up",
            _ => "",
        };
        Self::usage(format!("cannot listen on {address}: {error}{advice}"))
    }

    /// A failed exchange, and what to do about it.
    pub(crate) fn exchange(exit: Exit, error: &ClientError, advice: Option<&str>) -> Self {
        let text = chain(error);
        match advice.or(exit.advice()) {
            Some(advice) => Self::new(exit, format!("{text}\n  {advice}")),
            None => Self::new(exit, text),
        }
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
        Self::exchange(exit_of(&error), &error, None)
    }
}

/// The code of a failed exchange.
pub(crate) fn exit_of(error: &ClientError) -> Exit {
    match error.kind() {
        ErrorKind::Connect | ErrorKind::LocalResources | ErrorKind::RuntimeShutDown => {
            Exit::Connect
        }
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
