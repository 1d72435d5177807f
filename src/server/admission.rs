//! The checks between a well-formed request and the application: first whether the web server
//! is believed, then what it says.

use super::config::ServerConfig;
use super::connection::Mode;
use super::refusal::Refusal;
use crate::host::is_host;
use crate::wire::{BodyFraming, ForwardRequest};

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
    let mut hosts = request
        .headers()
        .filter(|header| header.name.eq_ignore_ascii_case(b"host"));
    let Some(host) = hosts.next() else {
        return Ok(());
    };
    if hosts.next().is_some() || !is_host(host.value) {
        return Err(Refusal::Host);
    }
    Ok(())
}
