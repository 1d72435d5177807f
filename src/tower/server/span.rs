//! Spans of connections and exchanges, for feature `tracing`; nothing without it. Never
//! secrets, cookies, queries, session ids or bodies.

#[cfg(not(feature = "tracing"))]
pub(super) use off::{ExchangeSpan, of_connection};
#[cfg(feature = "tracing")]
pub(super) use on::{ExchangeSpan, of_connection};

#[cfg(feature = "tracing")]
mod on {
    use crate::mapping::text;
    use crate::server::{Chain, ServerError};
    use crate::wire::{ForwardRequest, HEADER_LEN};
    use std::fmt::{self, Debug};
    use std::future::Future;
    use std::time::Instant;
    use tracing::field::Empty;
    use tracing::{Instrument, Level, Span, event, span};

    /// The span of a connection.
    pub(in super::super) fn of_connection(peer: &impl Debug) -> ConnectionSpan {
        ConnectionSpan(span!(Level::DEBUG, "ajp.connection", peer = ?peer))
    }

    pub(in super::super) struct ConnectionSpan(Span);

    impl ConnectionSpan {
        /// Polls `future` inside the span.
        pub(in super::super) fn instrument<F: Future>(
            self,
            future: F,
        ) -> impl Future<Output = F::Output> {
            future.instrument(self.0)
        }
    }

    /// The span of one exchange.
    pub(in super::super) struct ExchangeSpan {
        span: Span,
        /// If somebody looks at the span, which is dear where nobody does.
        measured: Option<ExchangeStart>,
    }

    /// The method as text, which is made only where somebody looks at it.
    struct Method<'a>(&'a ForwardRequest);

    impl fmt::Display for Method<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&text(self.0.method()))
        }
    }

    /// The path as text, without parameters such as `;jsessionid`.
    struct Path<'a>(&'a ForwardRequest);

    impl fmt::Display for Path<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let path = self.0.req_uri().split(|&b| b == b';').next();
            f.write_str(&text(path.unwrap_or_default()))
        }
    }

    /// What the end of an exchange is compared with.
    struct ExchangeStart {
        begin: Instant,
        received: u64,
        sent: u64,
    }

    impl ExchangeSpan {
        /// `traffic` is what the connection has received, this request included, and sent
        /// so far.
        pub(in super::super) fn new(request: &ForwardRequest, traffic: (u64, u64)) -> Self {
            let span = span!(
                Level::DEBUG,
                "ajp.exchange",
                method = %Method(request),
                path = %Path(request),
                status = Empty,
                reuse = Empty,
                bytes_in = Empty,
                bytes_out = Empty,
                duration_us = Empty,
            );
            let packet = (HEADER_LEN + request.payload().len()) as u64;
            // Also where it is a span without a subscriber, which feature `log` of `tracing` keeps.
            let measured = (!span.is_disabled()).then(|| ExchangeStart {
                begin: Instant::now(),
                received: traffic.0 - packet,
                sent: traffic.1,
            });
            Self { span, measured }
        }

        /// Runs `f` inside the span, if somebody looks at it.
        pub(in super::super) fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
            if self.measured.is_some() {
                self.span.in_scope(f)
            } else {
                f()
            }
        }

        pub(in super::super) fn status(&self, status: u16) {
            if self.measured.is_some() {
                self.span.record("status", status);
            }
        }

        /// `ended` tells whether the connection may be used again.
        pub(in super::super) fn ended(
            &self,
            ended: &Result<bool, ServerError>,
            traffic: (u64, u64),
        ) {
            if let Some(before) = &self.measured {
                let micros = before.begin.elapsed().as_micros();
                self.span
                    .record("reuse", matches!(ended, Ok(true)))
                    .record("bytes_in", traffic.0 - before.received)
                    .record("bytes_out", traffic.1 - before.sent)
                    .record("duration_us", u64::try_from(micros).unwrap_or(u64::MAX));
            }
            self.in_scope(|| match ended {
                Ok(_) => event!(Level::DEBUG, "AJP exchange ended"),
                Err(error) => event!(Level::DEBUG, error = %Chain(error), "AJP exchange failed"),
            });
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::server::ServerError;
    use crate::wire::ForwardRequest;
    use std::future::Future;

    pub(in super::super) fn of_connection<P>(_: &P) -> ConnectionSpan {
        ConnectionSpan
    }

    pub(in super::super) struct ConnectionSpan;

    impl ConnectionSpan {
        #[allow(clippy::unused_self, reason = "the same call as with a span")]
        pub(in super::super) fn instrument<F: Future>(self, future: F) -> F {
            future
        }
    }

    pub(in super::super) struct ExchangeSpan;

    #[allow(clippy::unused_self, reason = "the same calls as with a span")]
    impl ExchangeSpan {
        pub(in super::super) fn new(_: &ForwardRequest, _: (u64, u64)) -> Self {
            Self
        }

        pub(in super::super) fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
            f()
        }

        pub(in super::super) fn status(&self, _: u16) {}

        pub(in super::super) fn ended(&self, _: &Result<bool, ServerError>, _: (u64, u64)) {}
    }
}
