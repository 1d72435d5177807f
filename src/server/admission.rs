//! The checks between a well-formed request and the application: first whether the web server
//! is believed, then what it says.

use super::config::ServerConfig;
use super::connection::Mode;
use super::refusal::Refusal;
use crate::host::is_host;
use crate::wire::{BodyFraming, ForwardRequest, SentName};

/// `host` as the name of a request header.
const HOST_CODE: u8 = 0x0b;

/// Whether the request may reach the application.
///
/// # Errors
/// The first rule that it does not pass.
pub(super) fn admit(
    config: &ServerConfig,
    request: &ForwardRequest,
    mode: Mode,
) -> Result<(), Refusal> {
    if !config.trust.admits(request) {
        return Err(Refusal::Secret);
    }
    if let Some(name) = config.attributes.rejected(request) {
        return Err(Refusal::Attribute(name.into()));
    }
    check_host(request)?;
    match request.framing() {
        BodyFraming::Length(n) if config.max_body.is_some_and(|max| n > max) => {
            Err(Refusal::BodyTooLarge)
        }
        _ if mode.overloaded => Err(Refusal::Overload),
        _ => Ok(()),
    }
}

/// At most one Host, and one that can be a host: `name`, `name:port` or empty.
fn check_host(request: &ForwardRequest) -> Result<(), Refusal> {
    let mut headers = request.headers();
    let mut host = None;
    while let Some((name, value)) = headers.next_sent() {
        let is_host = match name {
            SentName::Coded(code) => code == HOST_CODE,
            SentName::Spelled(name) => name.eq_ignore_ascii_case(b"host"),
        };
        if is_host && host.replace(value).is_some() {
            return Err(Refusal::Host);
        }
    }
    match host {
        Some(host) if !is_host(host) => Err(Refusal::Host),
        _ => Ok(()),
    }
}
