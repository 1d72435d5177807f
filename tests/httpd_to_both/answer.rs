//! An answer, and what of it must be alike.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An answer as it came.
pub(crate) struct Answer {
    /// What was asked for.
    path: String,
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
}

impl Answer {
    /// Parses what came up to the close, interim answers left out.
    pub(crate) fn parse(raw: &[u8], path: &str) -> Self {
        let mut raw = raw;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 512];
            let mut head = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(len) = head.parse(raw).unwrap() else {
                panic!("{path}: no head in {:?}", raw.escape_ascii().to_string());
            };
            raw = &raw[len..];
            let status = head.code.unwrap();
            if status < 200 {
                continue;
            }
            let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for header in head.headers {
                let value = String::from_utf8_lossy(header.value).into_owned();
                let name = header.name.to_ascii_lowercase();
                lines.entry(name).or_default().push(value);
            }
            let chunked = lines.contains_key("transfer-encoding");
            let body = if chunked {
                unchunked(raw)
            } else {
                raw.to_vec()
            };
            return Self {
                path: path.to_owned(),
                status,
                headers: lines,
                body,
            };
        }
    }

    /// What Tomcat answers, ours must answer: `self` is Tomcat's.
    pub(crate) fn is_matched_by(&self, ours: &Self) -> Result<(), String> {
        if self.status != ours.status {
            let text = |answer: &Self| answer.body.escape_ascii().to_string();
            return Err(format!(
                "status {}, ours {}\n{}\n{}",
                self.status,
                ours.status,
                text(self),
                text(ours)
            ));
        }
        let of = |answer: &Self| -> Vec<String> {
            let names = answer
                .headers
                .keys()
                .filter(|name| name.starts_with("x-h-"));
            names.cloned().collect()
        };
        if of(self) != of(ours) {
            return Err(format!("headers {:?}, ours {:?}", of(self), of(ours)));
        }
        // Pages of the container's own may say what they like.
        if self.status >= 400 || self.path.contains("msg=1") {
            return Ok(());
        }
        if self.path.starts_with("/app/echo") {
            let (theirs, ours) = (facts_of_tomcat(&self.body), facts_of_ours(&ours.body));
            let mut wrong = Vec::new();
            for (key, value) in theirs.as_object().unwrap() {
                if ours[key] != *value {
                    wrong.push(format!("{key} is {value}, ours {}", ours[key]));
                }
            }
            if !wrong.is_empty() {
                return Err(wrong.join("\n    "));
            }
        } else if self.body != ours.body && self.status == 200 {
            return Err(format!(
                "{} bytes, ours {}",
                self.body.len(),
                ours.body.len()
            ));
        }
        Ok(())
    }
}

fn unchunked(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let Some(end) = raw.windows(2).position(|two| two == b"\r\n") else {
            panic!("a chunk without a size after {} bytes", body.len());
        };
        let size = std::str::from_utf8(&raw[..end]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        raw = &raw[end + 2..];
        if size == 0 {
            return body;
        }
        body.extend(&raw[..size]);
        raw = &raw[size + 2..];
    }
}

/// The lines of each name in their order.
fn lines(headers: &Value) -> Value {
    let mut names: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for line in headers.as_array().unwrap() {
        let name = line[0].as_str().unwrap().to_ascii_lowercase();
        names.entry(name).or_default().push(&line[1]);
    }
    json!(names)
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(body));
    })
}

fn facts_of_tomcat(body: &[u8]) -> Value {
    let facts = parse(body);
    let attributes = &facts["attributes"];
    // Those of the container's own, by which the servlet API shows the TLS facts.
    let tls = [
        "cipher_suite",
        "key_size",
        "ssl_session_id",
        "secure_protocol",
    ];
    let named: BTreeMap<_, _> = attributes
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !tls.contains(&&***name))
        .collect();
    json!({
        "method": facts["method"],
        "uri": facts["uri"],
        "query": facts["query"],
        "protocol": facts["protocol"],
        "secure": facts["secure"],
        "authType": facts["authType"],
        "remoteUser": facts["remoteUser"],
        "remoteAddr": facts["remoteAddr"],
        "headers": lines(&facts["headers"]),
        "cipher": attributes["cipher_suite"],
        "keySize": attributes["key_size"],
        "tlsVersion": attributes["secure_protocol"],
        "certificates": facts["certificates"].as_array().unwrap().len(),
        "attributes": named,
        "length": facts["bodyLength"],
        "sha256": facts["bodySha256"],
    })
}

fn facts_of_ours(body: &[u8]) -> Value {
    let facts = parse(body);
    let tls = &facts["tls"];
    let named: BTreeMap<_, _> = facts["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap(), &pair[1]))
        .collect();
    json!({
        "method": facts["method"],
        "uri": format!("/app{}", facts["path"].as_str().unwrap()),
        "query": facts["query"],
        "protocol": facts["version"],
        "secure": facts["is_ssl"],
        "authType": facts["auth_type"],
        "remoteUser": facts["remote_user"],
        "remoteAddr": facts["remote_addr"],
        "headers": lines(&facts["headers"]),
        "cipher": tls["cipher"],
        "keySize": tls["key_size"].as_u64().map(|size| size.to_string()),
        "tlsVersion": tls["protocol"],
        "certificates": usize::from(tls["certificate_pem"].is_string()),
        "attributes": named,
        "length": facts["body"]["length"],
        "sha256": facts["body"]["sha256"],
    })
}
