use super::*;
use proptest::prelude::*;

/// The value of a header after the way back, on a site called `Shop.example:8080`.
fn back(reverse: &ReverseMap, name: &'static str, value: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    reverse.apply(&mut headers, Some("Shop.example:8080"));
    String::from_utf8(headers[name].as_bytes().to_vec()).unwrap()
}

fn cart() -> ReverseMap {
    ReverseMap::new(PathMap::new("/cart", "/app")).with_other(PathMap::new("/cart/img", "/static"))
}

#[test]
fn locations() {
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
        // The site by its host becomes a path.
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
            assert_eq!(back(&cart(), name, value), expected, "{name} {value}");
        }
    }
}

/// A container redirects to a path that a visitor has made up.
#[test]
fn nobody_is_sent_to_another_host() {
    let root = ReverseMap::new(PathMap::new("/", "/form"));
    let same = ReverseMap::new(PathMap::new("/", "/"));
    for (value, by_root, by_same) in [
        (
            "//evil.example/protected",
            "/evil.example/protected",
            "/evil.example/protected",
        ),
        (
            "/form//evil.example/protected",
            "/evil.example/protected",
            "/form//evil.example/protected",
        ),
        (
            "/form/\\evil.example/",
            "/evil.example/",
            "/form/\\evil.example/",
        ),
        ("/\\evil.example/", "/evil.example/", "/evil.example/"),
        ("\\\\evil.example/", "/evil.example/", "/evil.example/"),
        ("///evil.example", "/evil.example", "/evil.example"),
        ("/\t/evil.example", "/evil.example", "/evil.example"),
        ("\t//evil.example", "/evil.example", "/evil.example"),
        (
            "//shop.example:8080//evil.example",
            "/evil.example",
            "/evil.example",
        ),
        (
            "//shop.example:8080@evil.example/",
            "/shop.example:8080@evil.example/",
            "/shop.example:8080@evil.example/",
        ),
        ("//", "/", "/"),
        ("\\", "/", "/"),
    ] {
        for name in ["location", "content-location"] {
            assert_eq!(back(&root, name, value), by_root, "{name} {value:?}");
            assert_eq!(back(&same, name, value), by_same, "{name} {value:?}");
        }
        if !value.contains('\t') {
            let refresh = format!("0; url={value}");
            assert_eq!(
                back(&root, "refresh", &refresh),
                format!("0; url={by_root}")
            );
        }
    }
    // Whole URLs of others are the container's own decision.
    let elsewhere = "https://sso.example/login?to=/form";
    assert_eq!(back(&root, "location", elsewhere), elsewhere);
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
        let (authority, _) = split_authority(rest);
        assert_eq!(
            is_same_host(host, authority, Some(scheme)),
            same,
            "{host} {url}"
        );
    }
}

#[test]
fn a_tab_hides_no_second_slash() {
    let map = PathMap::new("/", "/");
    assert_eq!(
        map.to_site("/\t/evil.example").as_deref(),
        Some("/evil.example")
    );
}

#[test]
fn roots() {
    let to_root = ReverseMap::new(PathMap::new("/cart", "/"));
    assert_eq!(back(&to_root, "location", "/x"), "/cart/x");
    assert_eq!(back(&to_root, "location", "/"), "/cart/");
    assert_eq!(
        back(&to_root, "set-cookie", "a=1; Path=/"),
        "a=1; Path=/cart"
    );
    let from_root = ReverseMap::new(PathMap::new("/", "/site/"));
    assert_eq!(back(&from_root, "location", "/site/x"), "/x");
    assert_eq!(back(&from_root, "location", "/site"), "/");
    assert_eq!(
        back(&from_root, "set-cookie", "a=1; Path=/site"),
        "a=1; Path=/"
    );
    assert_eq!(
        back(&from_root, "set-cookie", "a=1; Path=/site//x"),
        "a=1; Path=/x"
    );
}

#[test]
fn refreshes() {
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
        assert_eq!(back(&cart(), "refresh", value), expected);
    }
}

#[test]
fn cookies() {
    let reverse = cart().with_cookie_domain("tomcat.internal", "shop.example");
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
        (
            "a=1; Domain=.Tomcat.internal; Path=/app",
            "a=1; Domain=shop.example; Path=/cart",
        ),
        (
            "a=1; Domain=tomcat.internal.evil",
            "a=1; Domain=tomcat.internal.evil",
        ),
    ] {
        assert_eq!(back(&reverse, "set-cookie", value), expected);
    }
    let mut headers = HeaderMap::new();
    for path in ["/app", "/", "/app/x"] {
        let cookie = HeaderValue::try_from(format!("a=1; Path={path}")).unwrap();
        headers.append(header::SET_COOKIE, cookie);
    }
    reverse.apply(&mut headers, None);
    let values: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(
        values,
        ["a=1; Path=/cart", "a=1; Path=/", "a=1; Path=/cart/x"]
    );
}

#[test]
fn switched_off() {
    let map = PathMap::new("/a", "/app");
    let no_location = ReverseMap::new(map.clone().with_location(false));
    let no_cookie = ReverseMap::new(map.with_cookie_path(false));
    for (reverse, name, value) in [
        (&no_location, "location", "/app/x"),
        (&no_location, "refresh", "1; url=/app"),
        (&no_cookie, "set-cookie", "a=1; Path=/app"),
    ] {
        assert_eq!(back(reverse, name, value), value);
    }
    let cookie = back(&no_location, "set-cookie", "a=1; Path=/app");
    assert_eq!(cookie, "a=1; Path=/a");
    assert_eq!(back(&no_cookie, "location", "/app"), "/a");
}

/// As a browser reads a reference: without blanks around and tabs inside, a backslash as a
/// slash; two slashes begin a host.
fn names_a_host(reference: &str) -> bool {
    let read: String = reference
        .trim_matches(|c: char| c <= ' ')
        .chars()
        .filter(|&c| c != '\t')
        .collect();
    read.replace('\\', "/").starts_with("//")
}

proptest! {
    #[test]
    fn a_reference_never_leaves_the_site(
        value in "[ \t]{0,2}[/\\\\\t]{0,3}(form|app|evil\\.example|Shop\\.example:8080)?[/\\\\\t:@.;?a]{0,6}[a-z./]{0,8}",
        site in prop::sample::select(vec!["/", "/cart", "/cart/"]),
        container in prop::sample::select(vec!["/", "/form", "/app/"]),
    ) {
        let reverse = ReverseMap::new(PathMap::new(site, container));
        let Ok(header) = HeaderValue::from_str(&value) else { return Ok(()) };
        let mut headers = HeaderMap::from_iter([(header::LOCATION, header)]);
        reverse.apply(&mut headers, Some("shop.example:8080"));
        let found = headers[header::LOCATION].to_str().unwrap();
        prop_assert!(!names_a_host(found), "{value:?} became {found:?}");
        if let Some(path) = PathMap::new(site, container).to_site(&value) {
            prop_assert!(!names_a_host(&path), "{value:?} became {path:?}");
        }
    }
}
