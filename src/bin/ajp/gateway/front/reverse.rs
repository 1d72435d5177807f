//! What containers say of their own paths, as the site's visitors must read it.

use super::map::{Mapping, Maps};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Maps the headers of a response back.
pub(crate) fn headers(headers: &mut HeaderMap, by: &Mapping, maps: &Maps, host: Option<&str>) {
    let back = Back { by, maps, host };
    if by.location {
        each(headers, &header::LOCATION, |value| back.url(value));
        each(headers, &header::CONTENT_LOCATION, |value| back.url(value));
        each(headers, &header::REFRESH, |value| back.refresh(value));
    }
    if by.cookie_path {
        each(headers, &header::SET_COOKIE, |value| back.cookie(value));
    }
}

/// Replaces the values that `change` has something better for. What is no text of visible
/// ASCII and UTF-8 stays as it is.
fn each(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<String>) {
    let header::Entry::Occupied(mut entry) = headers.entry(name) else {
        return;
    };
    for value in entry.iter_mut() {
        let changed = std::str::from_utf8(value.as_bytes()).ok().and_then(&change);
        if let Some(changed) = changed.and_then(|text| HeaderValue::try_from(text).ok()) {
            *value = changed;
        }
    }
}

struct Back<'a> {
    /// The map that the request came through.
    by: &'a Mapping,
    maps: &'a Maps,
    /// The request's virtual host.
    host: Option<&'a str>,
}

impl Back<'_> {
    /// A path at the members, with whatever follows it.
    fn path(&self, path: &str, counts: impl Fn(&Mapping) -> bool) -> Option<String> {
        let balancer = self.by.balancer().name();
        let mut best = Some(self.by).filter(|by| by.outward(path).is_some());
        for mapping in self.maps.iter() {
            let better = best.is_none_or(|best| mapping.depth() > best.depth());
            let same = mapping.balancer().name() == balancer && counts(mapping);
            if better && same && mapping.outward(path).is_some() {
                best = Some(mapping);
            }
        }
        best?.outward(path).filter(|outward| outward != path)
    }

    /// A URL reference. One that is relative to the request's path is right as it is.
    fn url(&self, url: &str) -> Option<String> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if is_http(scheme) => (Some(scheme), rest),
            _ => match url.strip_prefix("//") {
                Some(rest) => (None, rest),
                None => return self.path(url, |mapping| mapping.location),
            },
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !self
            .host
            .is_some_and(|host| is_same(host, authority, scheme))
        {
            return None;
        }
        let path = self.path(path, |mapping| mapping.location)?;
        let before = url.get(..url.len().checked_sub(rest.len())?)?;
        Some(format!("{before}{authority}{path}"))
    }

    /// `5; url=/app/next`
    fn refresh(&self, value: &str) -> Option<String> {
        let (time, rest) = value.split_once([';', ','])?;
        let url = rest.trim_start();
        let name = url
            .get(..3)
            .filter(|name| name.eq_ignore_ascii_case("url"))?;
        let url = url.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        let url = url.trim();
        let quote = url.chars().next().filter(|c| matches!(c, '"' | '\''));
        let bare = match quote {
            Some(quote) => url.strip_prefix(quote)?.split(quote).next()?,
            None => url,
        };
        let bare = self.url(bare)?;
        let quote = quote.map(String::from).unwrap_or_default();
        Some(format!("{time}; url={quote}{bare}{quote}"))
    }

    /// The `Path` attributes of a cookie; the rest stays byte for byte.
    fn cookie(&self, cookie: &str) -> Option<String> {
        // Such a cookie has the path "/" or is none.
        if cookie.trim_start().starts_with("__Host-") {
            return None;
        }
        let mut changed = false;
        let mut parts = cookie.split(';');
        let mut out = parts.next()?.to_owned();
        for part in parts {
            out.push(';');
            match self.attribute(part) {
                Some(part) => {
                    out.push_str(&part);
                    changed = true;
                }
                None => out.push_str(part),
            }
        }
        changed.then_some(out)
    }

    fn attribute(&self, part: &str) -> Option<String> {
        let (name, value) = part.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("path") {
            return None;
        }
        let path = value.trim().trim_matches('"');
        let mapped = self.path(path, |mapping| mapping.cookie_path)?;
        // A cookie of "/cart/" is none of "/cart".
        let mapped = match mapped.strip_suffix('/') {
            Some(bare) if path == "/" && !bare.is_empty() => bare,
            _ => &mapped,
        };
        Some(format!("{name}={mapped}"))
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Whether both name the same virtual host; a port that follows from the scheme may be left
/// out.
fn is_same(host: &str, authority: &str, scheme: Option<&str>) -> bool {
    let port = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => ":443",
        _ => ":80",
    };
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(port).map(str::to_owned).unwrap_or(text)
    };
    plain(host) == plain(authority)
}

#[cfg(test)]
mod tests {
    use super::super::map::{Action, Order, Pattern, Rule};
    use super::*;
    use ajp::balancer::{Balancer, BalancerConfig};

    /// Maps as `path balancer/path`, with `-location` or `-cookie` after them.
    fn maps(table: &[&str]) -> Maps {
        let mapping = |text: &&str| {
            let words: Vec<_> = text.split(' ').collect();
            let (name, target) = words[1].split_at(words[1].find('/').unwrap());
            let balancer = Balancer::new(BalancerConfig::new(name));
            let pattern = Pattern::parse(words[0]).unwrap();
            let mapping = Mapping::new(&pattern, balancer, target)
                .unwrap()
                .location(!words.contains(&"-location"))
                .cookie_path(!words.contains(&"-cookie"));
            Rule {
                pattern,
                action: Action::Forward(mapping),
            }
        };
        Maps::new(table.iter().map(mapping).collect(), Order::Longest, false)
    }

    /// The value of a header after the way back through the map of this path.
    fn back(maps: &Maps, by: &str, name: &'static str, value: &str) -> String {
        let by = maps.iter().find(|mapping| mapping.path() == by).unwrap();
        let mut map = HeaderMap::new();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers(&mut map, by, maps, Some("Shop.example:8080"));
        String::from_utf8(map[name].as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn locations() {
        let maps = maps(&["/cart cart/app", "/cart/img cart/static", "/pay pay/app"]);
        for (value, expected) in [
            ("/app", "/cart"),
            ("/app/", "/cart/"),
            ("/app/a?b=/app#c", "/cart/a?b=/app#c"),
            ("/app;jsessionid=1.a", "/cart;jsessionid=1.a"),
            ("/app?x", "/cart?x"),
            ("/static/logo", "/cart/img/logo"),
            (
                "http://shop.example:8080/app/x",
                "http://shop.example:8080/cart/x",
            ),
            (
                "HTTP://SHOP.example:8080/app",
                "HTTP://SHOP.example:8080/cart",
            ),
            ("//shop.example:8080/app/x", "//shop.example:8080/cart/x"),
            // Not ours.
            ("/application", "/application"),
            ("/other/x", "/other/x"),
            ("/", "/"),
            ("x/y", "x/y"),
            ("../app", "../app"),
            ("?x=/app", "?x=/app"),
            ("", ""),
            ("http://shop.example/app/x", "http://shop.example/app/x"),
            (
                "http://other.example:8080/app",
                "http://other.example:8080/app",
            ),
            (
                "http://shop.example:8080.evil/app",
                "http://shop.example:8080.evil/app",
            ),
            (
                "http://shop.example:8080@evil/app",
                "http://shop.example:8080@evil/app",
            ),
            ("ftp://shop.example:8080/app", "ftp://shop.example:8080/app"),
            ("mailto:app", "mailto:app"),
            ("/app/\u{e4}", "/cart/\u{e4}"),
        ] {
            for name in ["location", "content-location"] {
                assert_eq!(
                    back(&maps, "/cart", name, value),
                    expected,
                    "{name} {value}"
                );
            }
        }
        assert_eq!(back(&maps, "/pay", "location", "/app/x"), "/pay/x");
        assert_eq!(back(&maps, "/pay", "location", "/static/x"), "/static/x");
    }

    #[test]
    fn ports_that_follow_from_the_scheme() {
        for (host, url, same) in [
            ("a", "http://a:80/", true),
            ("a:80", "http://a/", true),
            ("a", "https://a:443/", true),
            ("a", "http://a:443/", false),
            ("a:443", "https://A/", true),
            ("[::1]:80", "http://[::1]/", true),
        ] {
            let (scheme, rest) = url.split_once("://").unwrap();
            let authority = rest.trim_end_matches('/');
            assert_eq!(is_same(host, authority, Some(scheme)), same, "{host} {url}");
        }
    }

    #[test]
    fn roots() {
        let maps = maps(&["/cart cart/", "/ root/site"]);
        assert_eq!(back(&maps, "/cart", "location", "/x"), "/cart/x");
        assert_eq!(back(&maps, "/cart", "location", "/"), "/cart/");
        assert_eq!(
            back(&maps, "/cart", "set-cookie", "a=1; Path=/"),
            "a=1; Path=/cart"
        );
        assert_eq!(back(&maps, "/", "location", "/site/x"), "/x");
        for (value, expected) in [
            ("/site//evil.example/x", "/evil.example/x"),
            (
                "http://shop.example:8080/site//evil.example/",
                "http://shop.example:8080/evil.example/",
            ),
            ("/site/\\evil.example/x", "/evil.example/x"),
        ] {
            assert_eq!(back(&maps, "/", "location", value), expected);
            assert_eq!(back(&maps, "/", "content-location", value), expected);
            let refresh = back(&maps, "/", "refresh", &format!("1; url={value}"));
            assert_eq!(refresh, format!("1; url={expected}"));
        }
        assert_eq!(back(&maps, "/", "location", "/site"), "/");
        assert_eq!(
            back(&maps, "/", "set-cookie", "a=1; Path=/site"),
            "a=1; Path=/"
        );
    }

    #[test]
    fn refreshes() {
        let maps = maps(&["/cart cart/app"]);
        for (value, expected) in [
            ("5; url=/app/x", "5; url=/cart/x"),
            ("5;URL='/app/x'", "5; url='/cart/x'"),
            (
                "0, url=\"http://shop.example:8080/app\"",
                "0; url=\"http://shop.example:8080/cart\"",
            ),
            ("5", "5"),
            ("5; url=/other", "5; url=/other"),
            ("5; foo=/app", "5; foo=/app"),
            ("5; url", "5; url"),
        ] {
            assert_eq!(back(&maps, "/cart", "refresh", value), expected);
        }
    }

    #[test]
    fn cookies() {
        let maps = maps(&["/cart cart/app", "/pay pay/app"]);
        for (value, expected) in [
            ("a=1; Path=/app; HttpOnly", "a=1; Path=/cart; HttpOnly"),
            ("a=1;path=/app/x;Secure", "a=1;path=/cart/x;Secure"),
            ("a=1; Path=\"/app\"", "a=1; Path=/cart"),
            ("a=1; PATH = /app ", "a=1; PATH =/cart"),
            ("a=/app; Path=/", "a=/app; Path=/"),
            ("a=1; Path=/application", "a=1; Path=/application"),
            ("Path=/app", "Path=/app"),
            ("a=1", "a=1"),
            ("__Host-a=1; Path=/app", "__Host-a=1; Path=/app"),
        ] {
            assert_eq!(back(&maps, "/cart", "set-cookie", value), expected);
        }
    }

    #[test]
    fn every_value_of_a_repeated_header() {
        let maps = maps(&["/cart cart/app"]);
        let mut map = HeaderMap::new();
        for path in ["/app", "/", "/app/x"] {
            let cookie = HeaderValue::try_from(format!("a=1; Path={path}")).unwrap();
            map.append(header::SET_COOKIE, cookie);
        }
        headers(&mut map, maps.iter().next().unwrap(), &maps, None);
        let values: Vec<_> = map.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(
            values,
            ["a=1; Path=/cart", "a=1; Path=/", "a=1; Path=/cart/x"]
        );
    }

    #[test]
    fn switched_off() {
        let maps = maps(&["/a b/app -location", "/c d/app -cookie"]);
        for (by, name, value) in [
            ("/a", "location", "/app/x"),
            ("/a", "refresh", "1; url=/app"),
            ("/c", "set-cookie", "a=1; Path=/app"),
        ] {
            assert_eq!(back(&maps, by, name, value), value);
        }
        assert_eq!(
            back(&maps, "/a", "set-cookie", "a=1; Path=/app"),
            "a=1; Path=/a"
        );
        assert_eq!(back(&maps, "/c", "location", "/app"), "/c");
    }
}
