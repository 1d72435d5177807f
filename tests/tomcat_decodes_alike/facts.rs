//! What Tomcat must say about a request, from what the library decoded. This is the documented
//! meaning of the message for Tomcat (`AjpProcessor`, `CoyoteAdapter`).

use crate::support::pattern::sha256_hex;
use ajp::wire::{Attribute, AttributeCode, BodyFraming, ForwardRequest};
use serde_json::{Map, Value, json};

/// A client certificate that Tomcat can read, and the digest of its DER form.
pub(crate) const CERTIFICATE: &[u8] = include_bytes!("client.pem");
const CERTIFICATE_SHA256: &str = "688a4ecb2212bde8bfc20e3c37f41585f5e298746a2d0a32176b3d405e601fee";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn nullable(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| hex(bytes).into())
}

/// The same keys as `Facts.java`.
pub(crate) fn of(request: &ForwardRequest, body: &[u8]) -> Value {
    let header = |name: &[u8]| {
        let mut headers = request.headers();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value)
    };
    let (server_name, server_port) = server(request, header(b"host"));
    let pem = request.attribute(AttributeCode::SslCert);
    let certificates = match pem {
        None => json!([]),
        Some(pem) if pem == CERTIFICATE => json!([CERTIFICATE_SHA256]),
        // Whether Tomcat can read another one is not for the message to say.
        Some(_) => Value::Null,
    };
    json!({
        "method": hex(request.method()),
        "uri": hex(request.req_uri()),
        "query": nullable(request.query_string()),
        "protocol": hex(request.protocol()),
        "scheme": if request.is_ssl() { "https" } else { "http" },
        "secure": request.is_ssl(),
        "remoteAddr": nullable(request.line().remote_addr),
        "remotePort": remote_port(request),
        "localAddr": nullable(named(request, b"AJP_LOCAL_ADDR")),
        "serverName": nullable(server_name),
        "serverPort": server_port,
        "remoteUser": nullable(coded(request, AttributeCode::RemoteUser)),
        "authType": nullable(coded(request, AttributeCode::AuthType)),
        "contentLength": match request.framing() {
            BodyFraming::Length(length) => i64::try_from(length).unwrap(),
            BodyFraming::Chunked | BodyFraming::Absent => -1,
        },
        "contentType": nullable(header(b"content-type")),
        "apiHeaders": grouped(request),
        "remoteHost": nullable(request.line().remote_host),
        "localName": nullable(request.line().server_name),
        "localPort": request.server_port(),
        "headers": request
            .headers()
            .map(|header| json!([hex(header.name), hex(header.value)]))
            .collect::<Vec<_>>(),
        "certificates": certificates,
        "attributes": attributes(request),
        "bodyLength": body.len(),
        "bodySha256": sha256_hex(body),
    })
}

/// The header Host goes before the name and port in the message.
fn server<'a>(request: &'a ForwardRequest, host: Option<&'a [u8]>) -> (Option<&'a [u8]>, u32) {
    let default = if request.is_ssl() { 443 } else { 80 };
    match host {
        // Without any name the default host of the engine.
        None => (
            request.line().server_name.or(Some(b"localhost")),
            request.server_port().into(),
        ),
        Some(b"") => (Some(b""), request.server_port().into()),
        Some(host) => {
            let colon = host.iter().rposition(|&b| b == b':');
            match colon.filter(|at| !host[*at..].contains(&b']')) {
                None => (Some(host), default),
                Some(at) => {
                    let port = std::str::from_utf8(&host[at + 1..]).unwrap_or_default();
                    // Tomcat takes any number, and an empty one for 0.
                    (Some(&host[..at]), port.parse().unwrap_or(0))
                }
            }
        }
    }
}

/// An attribute as it was sent: what is present and empty is absent to the library, and an empty
/// text to Tomcat.
fn coded(request: &ForwardRequest, wanted: AttributeCode) -> Option<&[u8]> {
    request.attributes().find_map(|attribute| match attribute {
        Attribute::Coded { code, value } if code == wanted => value,
        _ => None,
    })
}

/// The same for a named one.
fn named<'a>(request: &'a ForwardRequest, wanted: &[u8]) -> Option<&'a [u8]> {
    request.attributes().find_map(|attribute| match attribute {
        Attribute::Named { name, value } if name == wanted => value,
        _ => None,
    })
}

fn remote_port(request: &ForwardRequest) -> i64 {
    let text = request.req_attribute(b"AJP_REMOTE_PORT");
    text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
        .unwrap_or(-1)
}

/// Lines of one name together, where the first of them stood.
fn grouped(request: &ForwardRequest) -> Vec<Value> {
    let mut names: Vec<&[u8]> = Vec::new();
    for header in request.headers() {
        if !names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(header.name))
        {
            names.push(header.name);
        }
    }
    let lines = names.into_iter().flat_map(|name| {
        request
            .headers()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(move |header| json!([hex(name), hex(header.value)]))
    });
    lines.collect()
}

/// The last one of a name counts.
fn attributes(request: &ForwardRequest) -> Value {
    let mut all = Map::new();
    for attribute in request.attributes() {
        let (name, value) = match attribute {
            Attribute::SslKeySize(bits) => (&b"jakarta.servlet.request.key_size"[..], bits.into()),
            Attribute::Coded { code, value } => {
                let name = match code {
                    AttributeCode::SslCipher => &b"jakarta.servlet.request.cipher_suite"[..],
                    AttributeCode::SslSession => b"jakarta.servlet.request.ssl_session_id",
                    // The others are parts of the request, or ignored.
                    _ => continue,
                };
                (name, nullable(value))
            }
            Attribute::Named { name, value } => {
                let name = match name {
                    b"AJP_LOCAL_ADDR" | b"AJP_REMOTE_PORT" => continue,
                    b"AJP_SSL_PROTOCOL" => {
                        &b"org.apache.tomcat.util.net.secure_protocol_version"[..]
                    }
                    name => name,
                };
                (name, nullable(value))
            }
        };
        all.insert(hex(name), value);
    }
    all.into()
}

/// What differs, by name. Unset, the remote port is 0 in a new request object of Tomcat and -1 in
/// one that is used again.
pub(crate) fn differences(theirs: &Value, ours: &Value) -> Vec<String> {
    let (theirs, ours) = (theirs.as_object().unwrap(), ours.as_object().unwrap());
    assert_eq!(theirs.len(), ours.len());
    let same = |key: &str, our: &Value| {
        theirs[key] == *our
            || (key == "remotePort" && theirs[key] == 0 && *our == -1)
            || (key == "certificates" && our.is_null())
    };
    ours.iter()
        .filter(|(key, our)| !same(key, our))
        .map(|(key, _)| key.clone())
        .collect()
}
