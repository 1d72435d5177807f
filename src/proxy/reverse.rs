//! What a container says of its own paths, as the visitors of the site must read it.

use crate::mapping::site_path::on_site;
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// A path of the site, and the path at the container that stands for it.
///
/// ```
/// use ajp::proxy::PathMap;
/// let map = PathMap::new("/cart", "/app");
/// assert_eq!(map.to_site("/app/list;v=1?all").as_deref(), Some("/cart/list;v=1?all"));
/// assert_eq!(map.to_site("/application"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathMap {
    site: String,
    container: String,
    location: bool,
    cookie_path: bool,
}

impl PathMap {
    /// Maps `container` to `site`; both with or without a slash at the end.
    #[must_use]
    pub fn new(site: &str, container: &str) -> Self {
        Self {
            site: site.trim_end_matches('/').to_owned(),
            container: container.trim_end_matches('/').to_owned(),
            location: true,
            cookie_path: true,
        }
    }

    /// Whether `Location`, `Content-Location` and `Refresh` are mapped. Default on.
    #[must_use]
    pub fn with_location(mut self, on: bool) -> Self {
        self.location = on;
        self
    }

    /// Whether the paths of cookies are mapped. Default on.
    #[must_use]
    pub fn with_cookie_path(mut self, on: bool) -> Self {
        self.cookie_path = on;
        self
    }

    /// The path of the site for a path at the container, with whatever follows it. `None` if
    /// the path lies elsewhere. It never begins with two slashes.
    #[must_use]
    pub fn to_site(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.container)?;
        let is_below = rest.is_empty() || rest.starts_with(['/', ';', '?', '#']);
        if !is_below || !path.starts_with('/') {
            return None;
        }
        let slash = if self.site.is_empty() && !rest.starts_with('/') {
            "/"
        } else {
            ""
        };
        let path = format!("{}{slash}{rest}", self.site);
        // Browsers would read two slashes where a tab is between them.
        Some(on_site(&plain(&path)).into_owned())
    }
}

/// How the headers of responses are mapped back that came through one map.
///
/// ```
/// use ajp::proxy::{PathMap, ReverseMap};
/// use http::header::{HeaderMap, HeaderValue, LOCATION};
/// let reverse = ReverseMap::new(PathMap::new("/cart", "/app"));
/// for (location, expected) in [
///     ("/app/list", "/cart/list"),
///     ("https://shop.example/app/list", "https://shop.example/cart/list"),
///     ("https://elsewhere.example/app", "https://elsewhere.example/app"),
///     ("//evil.example/", "/evil.example/"),
/// ] {
///     let mut headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
///     reverse.apply(&mut headers, Some("shop.example"));
///     assert_eq!(headers[LOCATION], expected);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseMap {
    map: PathMap,
    others: Vec<PathMap>,
    cookie_domains: Vec<(String, String)>,
}

impl ReverseMap {
    /// For responses to requests that came through this map.
    #[must_use]
    pub fn new(map: PathMap) -> Self {
        Self {
            map,
            others: Vec::new(),
            cookie_domains: Vec::new(),
        }
    }

    /// A further map to the same containers: a response may name a path that lies in it.
    #[must_use]
    pub fn with_other(mut self, map: PathMap) -> Self {
        self.others.push(map);
        self
    }

    /// Cookies for the domain `container` become cookies for the domain `site`.
    #[must_use]
    pub fn with_cookie_domain(mut self, container: &str, site: &str) -> Self {
        let bare = |domain: &str| domain.trim_start_matches('.').to_owned();
        self.cookie_domains.push((bare(container), bare(site)));
        self
    }

    /// Maps `Location`, `Content-Location`, `Refresh` and `Set-Cookie` back. `host` is the
    /// virtual host of the request, with its port if it has one.
    ///
    /// A reference without a scheme stays on the site: one that a browser would take for another
    /// host's, such as `//evil.example/` or `/\evil.example/`, becomes a path. A whole URL of
    /// another host stays as it is, and so does a value that is no text.
    pub fn apply(&self, headers: &mut HeaderMap, host: Option<&str>) {
        if self.map.location {
            for name in [header::LOCATION, header::CONTENT_LOCATION] {
                each(headers, &name, |value| self.url(value, host));
            }
            each(headers, &header::REFRESH, |value| self.refresh(value, host));
        }
        if self.map.cookie_path || !self.cookie_domains.is_empty() {
            each(headers, &header::SET_COOKIE, |value| self.cookie(value));
        }
    }

    /// The path of the site for a path at the container: through the map that explains most of
    /// it, and through the request's own if several do.
    fn path(&self, path: &str, counts: impl Fn(&PathMap) -> bool) -> Option<String> {
        let candidates = std::iter::once(&self.map).chain(&self.others);
        let mut best: Option<(usize, String)> = None;
        for map in candidates.filter(|map| counts(map)) {
            let depth = map.container.len();
            if best.as_ref().is_none_or(|(known, _)| depth > *known) {
                best = map.to_site(path).map(|path| (depth, path)).or(best);
            }
        }
        best.map(|(_, path)| path)
    }

    /// A reference, if it has to change.
    fn url(&self, value: &str, host: Option<&str>) -> Option<String> {
        // Browsers leave blanks around and tabs inside of a reference out before they read it.
        let url = plain(value);
        let mapped = match url.split_once("://") {
            Some((scheme, rest)) if is_http(scheme) => {
                let (authority, path) = split_authority(rest);
                let is_ours = host.is_some_and(|host| is_same_host(host, authority, Some(scheme)));
                if !is_ours {
                    return None;
                }
                let path = self.path(path, |map| map.location)?;
                format!("{scheme}://{authority}{path}")
            }
            _ if url.starts_with(['/', '\\']) => {
                let path = match url.strip_prefix("//").map(split_authority) {
                    // The site itself, named by its host.
                    Some((authority, path))
                        if host.is_some_and(|host| is_same_host(host, authority, None)) =>
                    {
                        Cow::Owned(format!("/{}", path.trim_start_matches(['/', '\\'])))
                    }
                    _ => on_site(&url),
                };
                let mapped = self.path(&path, |map| map.location);
                mapped.unwrap_or_else(|| path.into_owned())
            }
            _ => return None,
        };
        (mapped != value).then_some(mapped)
    }

    /// `5; url=/app/next`
    fn refresh(&self, value: &str, host: Option<&str>) -> Option<String> {
        let (time, rest) = value.split_once([';', ','])?;
        let url = rest.trim_start();
        let name = url.get(..3)?;
        if !name.eq_ignore_ascii_case("url") {
            return None;
        }
        let url = url.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        let url = url.trim();
        let quote = url.chars().next().filter(|c| matches!(c, '"' | '\''));
        let bare = match quote {
            Some(quote) => url.strip_prefix(quote)?.split(quote).next()?,
            None => url,
        };
        let bare = self.url(bare, host)?;
        let quote = quote.map(String::from).unwrap_or_default();
        Some(format!("{time}; url={quote}{bare}{quote}"))
    }

    /// A cookie with the `Path` and `Domain` of the site; the rest stays byte for byte.
    fn cookie(&self, cookie: &str) -> Option<String> {
        // Such a cookie has the path "/" and no domain, or it is none.
        if cookie.trim_start().starts_with("__Host-") {
            return None;
        }
        let mut changed = false;
        let mut parts = cookie.split(';');
        let mut out = parts.next()?.to_owned();
        for part in parts {
            out.push(';');
            match self.cookie_attribute(part) {
                Some(part) => {
                    out.push_str(&part);
                    changed = true;
                }
                None => out.push_str(part),
            }
        }
        changed.then_some(out)
    }

    fn cookie_attribute(&self, part: &str) -> Option<String> {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("domain") {
            let bare = value.trim_start_matches('.');
            let mut domains = self.cookie_domains.iter();
            let (_, site) = domains.find(|(known, _)| known.eq_ignore_ascii_case(bare))?;
            return Some(format!("{name}={site}"));
        }
        if !name.trim().eq_ignore_ascii_case("path") || !self.map.cookie_path {
            return None;
        }
        let path = self.path(&on_site(value), |map| map.cookie_path)?;
        // A cookie for "/cart/" is none for "/cart".
        let path = match path.strip_suffix('/') {
            Some(bare) if value == "/" && !bare.is_empty() => bare,
            _ => &path,
        };
        (path != value).then(|| format!("{name}={path}"))
    }
}

/// Replaces the values that `change` has something better for. What is no text stays as it is.
fn each(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<String>) {
    let Entry::Occupied(mut entry) = headers.entry(name) else {
        return;
    };
    for value in entry.iter_mut() {
        let changed = std::str::from_utf8(value.as_bytes()).ok().and_then(&change);
        if let Some(changed) = changed.and_then(|text| HeaderValue::try_from(text).ok()) {
            *value = changed;
        }
    }
}

/// Without blanks around it and tabs inside.
fn plain(url: &str) -> Cow<'_, str> {
    let url = url.trim_matches(|c: char| c <= ' ');
    if url.contains('\t') {
        Cow::Owned(url.replace('\t', ""))
    } else {
        Cow::Borrowed(url)
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// What follows `//` of a URL: host and port, and the rest.
fn split_authority(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    rest.split_at(end)
}

/// Whether both name the same virtual host; a port that follows from the scheme may be left
/// out.
fn is_same_host(host: &str, authority: &str, scheme: Option<&str>) -> bool {
    let port = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => ":443",
        _ => ":80",
    };
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(port).map(str::to_owned).unwrap_or(text)
    };
    bare(host) == bare(authority)
}

#[cfg(test)]
mod tests;
