//! Which host a request is for.

use crate::host::is_host;
use http::Version;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::Uri;

/// A request does not say properly which host it is for (RFC 9112 section 3.2): the answer is
/// 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHost {
    /// HTTP/1.1 and later need one.
    #[error("the request has no Host header")]
    Missing,
    /// Two proxies could take two different ones.
    #[error("the request has more than one Host header")]
    Several,
    /// It is no host with an optional port.
    #[error("the request names no valid host")]
    NotAHost,
}

/// Finds the one host of a request, and makes the `Host` header say it: that of the request's
/// target if there is one, for it counts (RFC 9112 section 3.2.2), otherwise that of the header.
/// `None` is a request of HTTP/1.0 without a host.
///
/// ```
/// use ajp::proxy::settle_host;
/// use http::header::{HOST, HeaderMap, HeaderValue};
/// let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("evil.example"))]);
/// let uri = "http://app.example:8080/".parse()?;
/// let host = settle_host(&mut headers, &uri, http::Version::HTTP_11)?;
/// assert_eq!(host.unwrap(), "app.example:8080");
/// assert_eq!(headers[HOST], "app.example:8080");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InvalidHost`]: there is no host, there are several, or it is none.
pub fn settle_host(
    headers: &mut HeaderMap,
    uri: &Uri,
    version: Version,
) -> Result<Option<HeaderValue>, InvalidHost> {
    let mut hosts = headers.get_all(HOST).iter();
    let mut host = hosts.next().cloned();
    if hosts.next().is_some() {
        return Err(InvalidHost::Several);
    }
    if let Some(authority) = uri.authority() {
        let name = authority.as_str();
        let name = name.rsplit_once('@').map_or(name, |(_, name)| name);
        let name = HeaderValue::try_from(name).map_err(|_| InvalidHost::NotAHost)?;
        headers.insert(HOST, name.clone());
        host = Some(name);
    }
    match &host {
        Some(host) if !is_host(host.as_bytes()) => Err(InvalidHost::NotAHost),
        None if version >= Version::HTTP_11 => Err(InvalidHost::Missing),
        _ => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(hosts: &[&str], uri: &str, version: Version) -> Result<String, InvalidHost> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::try_from(*host).unwrap());
        }
        let host = settle_host(&mut headers, &uri.parse().unwrap(), version)?;
        assert_eq!(headers.get(HOST), host.as_ref());
        Ok(host.map_or("none".into(), |host| host.to_str().unwrap().into()))
    }

    #[test]
    fn one_host_that_is_a_host() {
        use InvalidHost::{Missing, NotAHost, Several};
        for (hosts, expected) in [
            (&["a"][..], Ok("a")),
            (&["app.example:8080"], Ok("app.example:8080")),
            (&["[::1]:8080"], Ok("[::1]:8080")),
            (&["under_score.example"], Ok("under_score.example")),
            (&[""], Ok("")),
            (&["a:"], Ok("a:")),
            (&[], Err(Missing)),
            (&["a", "a"], Err(Several)),
            (&["a b"], Err(NotAHost)),
            (&["a/b"], Err(NotAHost)),
            (&["a@b"], Err(NotAHost)),
            (&["a\""], Err(NotAHost)),
            (&["a,b"], Ok("a,b")),
            (&["a:b"], Err(NotAHost)),
            (&["a:80:80"], Err(NotAHost)),
            (&["a:99999"], Err(NotAHost)),
            (&["[::1"], Err(NotAHost)),
        ] {
            let found = settled(hosts, "/", Version::HTTP_11);
            assert_eq!(
                found.as_deref(),
                expected.as_ref().map(|text| *text),
                "{hosts:?}"
            );
        }
        assert_eq!(settled(&[], "/", Version::HTTP_10).as_deref(), Ok("none"));
    }

    #[test]
    fn the_host_of_the_target_counts() {
        for hosts in [&[][..], &["a"], &["a/b"]] {
            let found = settled(hosts, "http://user@other:81/x", Version::HTTP_11);
            assert_eq!(found.as_deref(), Ok("other:81"));
        }
        let several = settled(&["a", "b"], "http://other/", Version::HTTP_11);
        assert_eq!(several, Err(InvalidHost::Several));
    }
}
