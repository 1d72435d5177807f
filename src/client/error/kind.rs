//! What can fail, whose fault it is, and whether it may be tried again.

use std::fmt;

/// What failed, by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection of the pool became free in time.
    AcquireTimeout,
    /// All connections are in use and enough callers wait for one already.
    QueueFull,
    /// The pool was shut down.
    PoolShut,
    /// The connection could not be opened.
    Connect,
    /// The connection was not open within the pool's own limit,
    /// [`Timeouts::with_connect`](super::super::Timeouts::with_connect).
    ConnectTimeout,
    /// Opening the connection was cut short before the pool's own limit for it: what was
    /// left of [`Timeouts::with_acquire`](super::super::Timeouts::with_acquire), or a shorter limit of
    /// the request itself, ran out. This says nothing about the container. The source says
    /// which limit it was.
    ConnectCutShort,
    /// The connection could not be opened, or broke, for a reason of this machine: no file
    /// descriptor, no memory or no local port is left, or the source address is not one of its own.
    LocalResources,
    /// The tokio runtime that drives the connection was shut down: it has none any more, however
    /// well the container is. A response must be read while the runtime lives in which its request
    /// was sent.
    RuntimeShutDown,
    /// A new connection did not answer CPing properly.
    CPing,
    /// CPong did not come within the pool's own limit,
    /// [`Timeouts::with_cping`](super::super::Timeouts::with_cping).
    CPingTimeout,
    /// Waiting for CPong was cut short before the pool's own limit for it, as in
    /// [`ConnectCutShort`](Self::ConnectCutShort).
    CPingCutShort,
    /// The path and query of the request alone do not fit the packet size.
    UriTooLong,
    /// The request head does not fit the packet size.
    HeadTooLarge,
    /// The request cannot be expressed in AJP, or breaks a rule of HTTP.
    InvalidRequest,
    /// The request says nothing about its client: it has no
    /// [`RequestFacts`](super::super::RequestFacts) in its extensions, and the client was not made for
    /// requests of its own.
    MissingFacts,
    /// A transfer coding other than `chunked`.
    UnsupportedTransferEncoding,
    /// WebSocket and other upgrades do not exist in AJP.
    UpgradeNotSupported,
    /// The caller's request body failed.
    BodySource,
    /// The caller's request body is not as long as announced.
    BodyLength,
    /// The container waited for the request body, and the caller gave nothing of it in time
    /// ([`Timeouts::with_request_body`](super::super::Timeouts::with_request_body)).
    RequestBodyTimeout,
    /// The caller did not go on: it neither read what had come of the response nor drove the
    /// exchange in any other way
    /// ([`Timeouts::with_response_read`](super::super::Timeouts::with_response_read)).
    ResponseReadTimeout,
    /// Writing failed.
    Write,
    /// A write made no progress in time.
    WriteTimeout,
    /// The head of the response did not come in time after the request.
    ResponseHeadTimeout,
    /// The container stopped in the middle of its response.
    BetweenPacketsTimeout,
    /// The whole request took too long.
    RequestTimeout,
    /// Reading failed.
    Read,
    /// The container closed the connection before the end of the response.
    Closed,
    /// The container broke the protocol.
    Protocol,
}

/// Whether a failed request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "callers must be able to match it completely"
)]
pub enum Retry {
    /// The container cannot have seen the request.
    Safe,
    /// The container may have acted on it: only if the method is idempotent.
    IfIdempotent,
    /// Part of the body is gone, or a response began.
    Never,
}

/// Who caused a failure, as far as the kind of the error tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "callers must be able to match it completely"
)]
pub enum Blame {
    /// The container, or the way to it: only this may count against it.
    Container,
    /// The request, its body, or the time that its caller gave it.
    Caller,
    /// This side: its pool had no connection to give, or its machine had no resources left.
    WebServer,
}

impl ErrorKind {
    /// Who is to blame. This is the one place that decides it: whoever takes a container out
    /// of service for its failures has to ask here.
    #[must_use]
    pub fn blame(self) -> Blame {
        // No wildcard: whoever adds a kind decides here.
        match self {
            Self::Connect
            | Self::ConnectTimeout
            | Self::CPing
            | Self::CPingTimeout
            | Self::Write
            | Self::WriteTimeout
            | Self::ResponseHeadTimeout
            | Self::BetweenPacketsTimeout
            | Self::Read
            | Self::Closed
            | Self::Protocol => Blame::Container,
            Self::ConnectCutShort
            | Self::CPingCutShort
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::InvalidRequest
            | Self::MissingFacts
            | Self::UnsupportedTransferEncoding
            | Self::UpgradeNotSupported
            | Self::BodySource
            | Self::BodyLength
            | Self::RequestBodyTimeout
            | Self::ResponseReadTimeout => Blame::Caller,
            Self::AcquireTimeout
            | Self::QueueFull
            | Self::PoolShut
            | Self::LocalResources
            | Self::RuntimeShutDown => Blame::WebServer,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcquireTimeout => "no connection became free in time",
            Self::QueueFull => "too many callers wait for a connection",
            Self::PoolShut => "the pool was shut down",
            Self::Connect => "cannot connect",
            Self::ConnectTimeout => "connecting took too long",
            Self::ConnectCutShort => "there was too little time left to connect",
            Self::LocalResources => "this machine has no resources left for a connection",
            Self::RuntimeShutDown => "the runtime of the connection was shut down",
            Self::CPing => "CPing was not answered",
            Self::CPingTimeout => "CPing was not answered in time",
            Self::CPingCutShort => "there was too little time left for CPing",
            Self::UriTooLong => "the path and query of the request do not fit the packet size",
            Self::HeadTooLarge => "the request head does not fit the packet size",
            Self::InvalidRequest => "the request cannot be sent",
            Self::MissingFacts => "the request says nothing about its client",
            Self::UnsupportedTransferEncoding => "the transfer coding is not supported",
            Self::UpgradeNotSupported => "AJP cannot upgrade a connection",
            Self::BodySource => "the request body failed",
            Self::BodyLength => "the request body does not have its announced length",
            Self::RequestBodyTimeout => "the request body did not come in time",
            Self::ResponseReadTimeout => "the response was not read in time",
            Self::Write => "sending failed",
            Self::WriteTimeout => "the container takes no data",
            Self::ResponseHeadTimeout => "the container did not answer in time",
            Self::BetweenPacketsTimeout => "the container stopped in the middle of its response",
            Self::RequestTimeout => "the whole request took too long",
            Self::Read => "receiving failed",
            Self::Closed => "the container closed the connection before the end of the response",
            Self::Protocol => "the container broke the protocol",
        })
    }
}
