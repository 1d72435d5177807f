//! The checks between a well-formed request and the application: first whether the web server
//! is believed, then what it says.

use super::config::ServerConfig;
use super::connection::Mode;
use super::refusal::Refusal;
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

fn is_host(value: &[u8]) -> bool {
    let (valid, port) = if let [b'[', rest @ ..] = value {
        let Some(end) = rest.iter().position(|&b| b == b']') else {
            return false;
        };
        let (address, after) = rest.split_at(end);
        let valid = address
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
        (
            valid && !address.is_empty(),
            after.get(1..).unwrap_or_default(),
        )
    } else {
        let end = value.iter().position(|&b| b == b':').unwrap_or(value.len());
        let (name, port) = value.split_at(end);
        (
            name.iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b)),
            port,
        )
    };
    valid
        && match port {
            [] | [b':'] => true,
            [b':', digits @ ..] => {
                digits.iter().all(u8::is_ascii_digit)
                    && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "",
            "a",
            "app.example",
            "app.example:8080",
            "192.0.2.1:1",
            "[::1]",
            "[::1]:8009",
            "my_host",
            "a:",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "user@a", "a:b", "a:70000", "[", "[]", "[::1", "[::1]x", "a\"b", "a:1:2",
            "<a>",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
