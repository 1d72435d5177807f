//! Values of arguments.

use ajp::wire::PacketSize;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// `5`, `1.5s`, `200ms`, `2m`, `1h`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; write 5s, 200ms, 1.5s or 2m");
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())
}

/// As [`duration`], but not 0.
pub(crate) fn nonzero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        limit => Ok(limit),
    }
}

pub(crate) fn packet_size(text: &str) -> Result<PacketSize, String> {
    text.parse()
        .ok()
        .and_then(PacketSize::new)
        .ok_or_else(|| "not a number from 8192 to 65536".to_owned())
}

/// In milliseconds, for readers.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// `NAME=VALUE`.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Attribute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("must be NAME=VALUE".to_owned()),
        }
    }
}

/// `Name: value`, or `Name;` for an empty value as in curl.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) name: http::HeaderName,
    pub(crate) value: http::HeaderValue,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .or_else(|| text.strip_suffix(';').map(|name| (name, "")))
            .ok_or("must be \"Name: value\"")?;
        Ok(Self {
            name: name
                .trim()
                .parse()
                .map_err(|_| format!("\"{name}\" is no header name"))?,
            // Not said what is in it: it may be a credential.
            value: http::HeaderValue::from_bytes(value.trim().as_bytes())
                .map_err(|_| format!("the value of {name} has control characters"))?,
        })
    }
}

/// `ADDRESS` or `ADDRESS:PORT`.
pub(crate) fn remote(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    text.parse()
        .or_else(|_| alone())
        .map_err(|_| "must be an IP address, or one with a port: 192.0.2.10:51234".to_owned())
}

/// `NAME` or `NAME:PORT` of a virtual host.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                let port = port.parse().map_err(|_| "the port is no number")?;
                (name, Some(port))
            }
            _ => (text, None),
        };
        let name = name.to_owned();
        Ok(Self { name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, millis) in [
            ("5", 5000),
            ("1.5s", 1500),
            ("200ms", 200),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "s",
            "-1",
            "5 s",
            "1d",
            "1.2.3",
            "1e3",
            "99999999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(nonzero("0ms").is_err());
    }

    #[test]
    fn servers() {
        for (text, name, port) in [
            ("app.example", "app.example", None),
            ("app.example:8443", "app.example", Some(8443)),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some(80)),
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!((server.name.as_str(), server.port), (name, port));
        }
        assert!("a:b".parse::<Server>().is_err());
    }
}
