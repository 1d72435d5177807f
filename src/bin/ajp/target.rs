//! What a URL on the command line names.

use crate::exit::Failure;
use crate::values::Header;
use ajp::client::{Address, InvalidAddress};
use http::{HeaderMap, HeaderValue, header};
use std::fmt;
use std::str::FromStr;

/// A container, and a path in it: `ajp://host:port/path?query`, or as httpd writes it for
/// Unix sockets `unix:/run/ajp.sock|ajp://host/path`.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// For the `Host` header. Without port: that of AJP is none of HTTP's.
    pub(crate) host: String,
    /// With query.
    pub(crate) path: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (socket, url) = match text.strip_prefix("unix:") {
            Some(rest) => match rest.split_once('|') {
                Some((socket, url)) => (Some(socket), url),
                None => (Some(rest), ""),
            },
            None => (None, text),
        };
        let rest = match url.split_once("://") {
            Some(("ajp", rest)) => rest,
            Some((scheme, _)) => {
                return Err(format!("must begin with ajp:// or unix:, not {scheme}://"));
            }
            None => url,
        };
        if rest.contains('#') {
            return Err("has a fragment (#), which is never sent".to_owned());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let explain = |error: InvalidAddress| error.to_string();
        let (address, host) = match socket {
            Some("") => return Err("has no path to a Unix socket".to_owned()),
            Some(socket) => {
                let host = if authority.is_empty() {
                    "localhost"
                } else {
                    authority
                };
                (Address::unix(socket), host)
            }
            None => (authority.parse().map_err(explain)?, authority),
        };
        let host = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            _ => host,
        };
        Ok(Self {
            address,
            host: host.to_owned(),
            path: match path {
                query if query.starts_with('?') => format!("/{query}"),
                "" => "/".to_owned(),
                path => path.to_owned(),
            },
        })
    }
}

impl Target {
    /// The headers of a request, with `Host` in any case.
    pub(crate) fn headers(&self, given: &[Header]) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for header in given {
            headers.append(header.name.clone(), header.value.clone());
        }
        if !headers.contains_key(header::HOST) {
            let host = HeaderValue::try_from(&self.host).map_err(|error| {
                let advice = "-H 'Host: NAME' gives another";
                Failure::usage(format!("the host of the URL: {error}; {advice}"))
            })?;
            headers.insert(header::HOST, host);
        }
        Ok(headers)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.address, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, address, host, path) in [
            ("ajp://a:1/b?c=/d", "ajp://a:1", "a", "/b?c=/d"),
            ("127.0.0.1", "ajp://127.0.0.1:8009", "127.0.0.1", "/"),
            ("ajp://[::1]:8010?x", "ajp://[::1]:8010", "[::1]", "/?x"),
            ("[::1]/", "ajp://[::1]:8009", "[::1]", "/"),
            ("unix:/s", "unix:/s", "localhost", "/"),
            (
                "unix:/s|ajp://app.example:9/x",
                "unix:/s",
                "app.example",
                "/x",
            ),
        ] {
            let target: Target = text.parse().unwrap();
            let shown = target.address.to_string();
            let parts = (shown.as_str(), target.host.as_str(), target.path.as_str());
            assert_eq!(parts, (address, host, path), "{text}");
        }
        for (text, why) in [
            ("http://a/", "must begin with ajp://"),
            ("ajp://a/b#c", "fragment"),
            ("ajp:///b", "has no host"),
            ("a:b", "has a port that is no number"),
            ("unix:", "has no path"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
