//! What speaks at a port that does not speak AJP.

/// The protocol of a peer, by the first bytes it sent.
pub(crate) fn protocol(first: &[u8]) -> Option<&'static str> {
    match first {
        [b'H', b'T', b'T', b'P', b'/', ..] => Some("HTTP"),
        // An alert, or a handshake message.
        [0x15 | 0x16, 3, ..] => Some("TLS"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        [b'2', b'2', b'0', b' ' | b'-', ..] => Some("SMTP or FTP"),
        [0x12, 0x34, ..] => Some("the web server's side of AJP"),
        _ => None,
    }
}

/// Why an answer was no AJP, and what to do; `None` when nothing is known about it.
pub(crate) fn hint(first: &[u8]) -> Option<String> {
    let text = match protocol(first)? {
        "HTTP" => {
            "the port speaks HTTP; take the port of the AJP connector (<Connector protocol=\"AJP/1.3\">)"
        }
        "TLS" => "the port speaks TLS; AJP has none: take the port of the AJP connector",
        "the web server's side of AJP" => {
            "the port sends packets of a web server: it echoes, or is a web server itself"
        }
        other => return Some(format!("the port speaks {other}")),
    };
    Some(text.to_owned())
}
