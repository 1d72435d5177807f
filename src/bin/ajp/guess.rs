//! What speaks at a port that does not speak AJP.

use ajp::wire::{Direction, OtherProtocol};

/// The protocol of a peer, by the first bytes it sent.
pub(crate) fn protocol(first: &[u8]) -> Option<String> {
    match OtherProtocol::guess(first) {
        Some(other) => Some(other.to_string()),
        None if first.starts_with(&Direction::ToContainer.magic()) => {
            Some("the web server's side of AJP".to_owned())
        }
        None => None,
    }
}

/// Why an answer was no AJP, and what to do; `None` when nothing is known about it.
pub(crate) fn hint(first: &[u8]) -> Option<String> {
    let text = match OtherProtocol::guess(first) {
        Some(OtherProtocol::Http) => {
            "the port speaks HTTP; take the port of the AJP connector (<Connector protocol=\"AJP/1.3\">)"
        }
        Some(OtherProtocol::Tls) => {
            "the port speaks TLS; AJP has none: take the port of the AJP connector"
        }
        Some(other) => return Some(format!("the port speaks {other}")),
        None if first.starts_with(&Direction::ToContainer.magic()) => {
            "the port sends packets of a web server: it echoes, or is a web server itself"
        }
        None => return None,
    };
    Some(text.to_owned())
}
