//! What containers say of their own paths, as the site's visitors must read it: by the rules of
//! [`ajp::proxy::ReverseMap`], with the maps of the configuration.

use super::map::{Mapping, Maps};
use ajp::proxy::ReverseMap;
use http::header::{self, HeaderMap, HeaderValue};

/// Maps the headers of a response back that came through the map `by`. Nothing that stays on the
/// container's side leads a visitor off the site, whether the maps change paths or not.
pub(crate) fn headers<'a>(
    headers: &mut HeaderMap,
    by: &Mapping,
    maps: &Maps,
    host: impl FnOnce() -> Option<&'a HeaderValue>,
) {
    let names = [
        header::LOCATION,
        header::CONTENT_LOCATION,
        header::REFRESH,
        header::SET_COOKIE,
    ];
    // Most responses have none of them. To walk over the few names that there are takes less
    // time than to look four up.
    if !headers.keys().any(|name| names.contains(name)) {
        return;
    }
    let balancer = by.balancer().name();
    let mut reverse = ReverseMap::new(by.path_map());
    for other in maps.iter() {
        if !std::ptr::eq(other, by) && other.balancer().name() == balancer {
            reverse = reverse.with_other(other.path_map());
        }
    }
    reverse.apply(headers, host().and_then(|host| host.to_str().ok()));
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
        let host = HeaderValue::from_static("Shop.example:8080");
        headers(&mut map, by, maps, || Some(&host));
        String::from_utf8(map[name].as_bytes().to_vec()).unwrap()
    }

    /// The rules themselves are tested with [`ReverseMap`]; here, that every header and every
    /// map of the same balancer is a part of it.
    #[test]
    fn every_header_is_mapped_by_all_maps_of_its_balancer() {
        let maps = maps(&["/cart cart/app", "/cart/img cart/static", "/pay pay/app"]);
        for (name, value, expected) in [
            ("location", "/app/x", "/cart/x"),
            ("location", "/static/logo", "/cart/img/logo"),
            (
                "location",
                "http://shop.example:8080/app/x",
                "http://shop.example:8080/cart/x",
            ),
            ("content-location", "/app/x", "/cart/x"),
            ("refresh", "1; url=/app/x", "1; url=/cart/x"),
            ("set-cookie", "a=1; Path=/app", "a=1; Path=/cart"),
            ("x-other", "/app/x", "/app/x"),
        ] {
            assert_eq!(
                back(&maps, "/cart", name, value),
                expected,
                "{name} {value}"
            );
        }
        // Another balancer's paths mean something else.
        assert_eq!(back(&maps, "/pay", "location", "/static/x"), "/static/x");
    }

    #[test]
    fn switched_off() {
        let maps = maps(&["/cart cart/app -location", "/pay pay/app -cookie"]);
        assert_eq!(back(&maps, "/cart", "location", "/app/x"), "/app/x");
        let cookie = "a=1; Path=/app";
        assert_eq!(
            back(&maps, "/cart", "set-cookie", cookie),
            "a=1; Path=/cart"
        );
        assert_eq!(back(&maps, "/pay", "set-cookie", cookie), cookie);
        assert_eq!(back(&maps, "/pay", "location", "/app/x"), "/pay/x");
    }
}
