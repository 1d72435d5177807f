//! Where the response goes.

use crate::exit::Failure;
use ajp::client::{ClientError, ResponseBody};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::pin::Pin;

/// The standard output or a file.
pub(crate) struct Output {
    sink: Box<dyn Write>,
    /// Bytes that are no text would garble it.
    is_terminal: bool,
    name: String,
}

impl Output {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            Some(path) if path != Path::new("-") => {
                let name = path.display().to_string();
                let file = File::create(path);
                let file = file.map_err(|error| Failure::file(path, &error))?;
                Ok(Self {
                    sink: Box::new(file),
                    is_terminal: false,
                    name,
                })
            }
            path => Ok(Self {
                sink: Box::new(io::stdout()),
                // What is asked for by name is given.
                is_terminal: path.is_none() && io::stdout().is_terminal(),
                name: "the output".to_owned(),
            }),
        }
    }

    /// Status and headers.
    pub(crate) fn head<B>(&mut self, response: &Response<B>) -> Result<(), Failure> {
        let status = response.status();
        let mut text = format!("AJP/1.3 {}", status.as_str()).into_bytes();
        if let Some(reason) = status.canonical_reason() {
            text.push(b' ');
            text.extend_from_slice(reason.as_bytes());
        }
        text.push(b'\n');
        for (name, value) in response.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        text.push(b'\n');
        self.write(&text)
    }

    /// The whole body, each part as it comes. The inner error is that of the exchange.
    pub(crate) async fn body(
        &mut self,
        mut body: ResponseBody,
    ) -> Result<Result<(), ClientError>, Failure> {
        loop {
            let data = match next_data(&mut body).await {
                Some(Ok(data)) => data,
                Some(Err(error)) => return Ok(Err(error)),
                None => return Ok(Ok(())),
            };
            if self.is_terminal && data.contains(&0) {
                return Err(Failure::usage(
                    "the response is binary; -o FILE saves it, -o - shows it all the same",
                ));
            }
            self.write(&data)?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.sink.write_all(bytes).and_then(|()| self.sink.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::usage(format!("cannot write {}: {error}", self.name)),
        })
    }
}

/// Reads a body to its end, so that the exchange ends in order.
pub(crate) async fn discard(mut body: ResponseBody) -> Result<(), ClientError> {
    while let Some(data) = next_data(&mut body).await {
        data?;
    }
    Ok(())
}

/// The next part of a body.
async fn next_data(body: &mut ResponseBody) -> Option<Result<Bytes, ClientError>> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await? {
            // AJP has no trailers.
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
