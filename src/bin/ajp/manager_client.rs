//! Asks the manager of a gateway.

use crate::exit::{Exit, Failure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The manager of one gateway.
#[derive(Debug)]
pub(crate) struct ManagerClient {
    authority: String,
    token: Option<String>,
    limit: Duration,
}

impl ManagerClient {
    /// The manager at `http://host:port`; every answer must come within `limit`.
    pub(crate) fn new(url: &str, limit: Duration) -> Result<Self, Failure> {
        let rest = url.strip_prefix("http://");
        let authority = rest.map(|rest| rest.trim_end_matches('/'));
        let authority = authority.filter(|rest| !rest.is_empty() && !rest.contains('/'));
        match authority {
            Some(authority) => Ok(Self {
                authority: authority.to_owned(),
                token: None,
                limit,
            }),
            None => Err(Failure::usage(format!(
                "{url}: must be http://host:port of the gateway's [manager]"
            ))),
        }
    }

    /// Changes are proven with this.
    pub(crate) fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// One request, over a connection of its own; the status and the JSON of the answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Failure> {
        match timeout(self.limit, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(self.failed(Exit::Timeout, &format!("no answer within {:?}", self.limit)))
            }
        }
    }

    fn failed(&self, exit: Exit, text: &str) -> Failure {
        Failure::new(exit, format!("{}: {text}", self.authority))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Failure> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| {
            self.failed(
                Exit::Connect,
                &format!("{error}; is it the listen of [manager]?"),
            )
        })?;
        let broken = |error: hyper::Error| {
            let exit = if error.is_parse() {
                Exit::Protocol
            } else {
                Exit::Broken
            };
            self.failed(exit, &error.to_string())
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or(Bytes::new(), |body| body.to_string().into());
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| self.failed(Exit::Usage, &error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?;
        connection.abort();
        match serde_json::from_slice(&body.to_bytes()) {
            Ok(value) => Ok((status, value)),
            Err(_) if status.is_success() => Err(self.failed(
                Exit::Protocol,
                "answers with something else than the manager's JSON",
            )),
            Err(_) => Err(self.failed(
                Exit::Protocol,
                &format!("answers {status}; it must be the gateway's [manager]"),
            )),
        }
    }
}
