//! What containers say of their own paths, as the site's visitors must read it: by the rules of
//! [`ajp::proxy::ReverseMap`], with the maps of the configuration.

use super::map::{Mapping, Maps};
use ajp::proxy::ReverseMap;
use http::header::{self, HeaderMap};

/// Maps the headers of a response back that came through the map `by`. Nothing that stays on the
/// container's side leads a visitor off the site, whether the maps change paths or not.
pub(crate) fn headers(headers: &mut HeaderMap, by: &Mapping, maps: &Maps, host: Option<&str>) {
    let names = [
        header::LOCATION,
        header::CONTENT_LOCATION,
        header::REFRESH,
        header::SET_COOKIE,
    ];
    // Most responses have none of them.
    if !names.iter().any(|name| headers.contains_key(name)) {
        return;
    }
    let balancer = by.balancer().name();
    let mut reverse = ReverseMap::new(by.path_map());
    for other in maps.iter() {
        if !std::ptr::eq(other, by) && other.balancer().name() == balancer {
            reverse = reverse.with_other(other.path_map());
        }
    }
    reverse.apply(headers, host);
}

#[cfg(test)]
mod tests {
    use super::super::map::{Action, Order, Pattern, Rule};
    use super::*;
    use ajp::balancer::{Balancer, BalancerConfig};
    use http::HeaderValue;

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
            ("//shop.example:8080/app/x", "/cart/x"),
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
