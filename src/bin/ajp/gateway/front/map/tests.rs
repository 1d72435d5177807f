use super::*;
use crate::paths::below;
use ajp::balancer::{Balancer, BalancerConfig};

/// A line such as `/cart cart/app`, `*.bak none` or `/x deny`.
fn rule(line: &str) -> Rule {
    let (path, to) = line.rsplit_once(' ').unwrap();
    let pattern = Pattern::parse(path).unwrap();
    let action = match to {
        "none" => Action::NotFound,
        "deny" => Action::Forbidden,
        to => {
            let (name, target) = to.split_at(to.find('/').unwrap());
            let balancer = Balancer::new(BalancerConfig::new(name));
            Action::Forward(Mapping::new(&pattern, balancer, target).unwrap())
        }
    };
    Rule { pattern, action }
}

fn maps(lines: &[&str]) -> Maps {
    Maps::new(
        lines.iter().map(|line| rule(line)).collect(),
        Order::Longest,
        false,
    )
}

/// Where a path leads, as `name/path`.
fn lead(maps: &Maps, path: &str) -> String {
    match maps.find(path) {
        Found::Mapped(mapping, inward) => format!("{}{inward}", mapping.balancer().name()),
        Found::Forbidden => "forbidden".into(),
        Found::Ambiguous(_) => "ambiguous".into(),
        Found::Nothing => "nothing".into(),
    }
}

#[test]
fn the_longest_path_at_a_segment_border() {
    let maps = maps(&[
        "/ root/",
        "/cart cart/app",
        "/cart/admin/ admin/console/",
        "/shop shop/",
    ]);
    for (path, to) in [
        ("/", "root/"),
        ("/cart", "cart/app"),
        ("/cart/", "cart/app/"),
        ("/cart/a%20b", "cart/app/a%20b"),
        ("/cart/a%2Fb", "cart/app/a%2Fb"),
        ("/cart;jsessionid=1.a", "cart/app;jsessionid=1.a"),
        ("/cart/x;jsessionid=1.a", "cart/app/x;jsessionid=1.a"),
        ("/carting", "root/carting"),
        ("/Cart", "root/Cart"),
        ("/cart//x", "cart/app//x"),
        ("/cart/admin", "admin/console"),
        ("/cart/admin/x", "admin/console/x"),
        ("/cart/administrator", "cart/app/administrator"),
        ("/shop", "shop/"),
        ("/shop/x", "shop/x"),
        ("/shop;v=1", "shop/;v=1"),
        ("*", "root*"),
    ] {
        assert_eq!(lead(&maps, path), to, "{path}");
    }
}

#[test]
fn what_is_not_mapped() {
    let maps = maps(&["/cart cart/app"]);
    for path in ["/", "/carts", "*", "", "cart", "/x/cart"] {
        assert_eq!(lead(&maps, path), "nothing", "{path}");
    }
    assert_eq!(lead(&Maps::default(), "/"), "nothing");
}

#[test]
fn no_disguise_leads_around_a_map() {
    let rules = ["/ root/", "/secret none", "/deny deny", "/other other/"];
    let maps = maps(&rules);
    for hidden in ["secret", "deny", "other"] {
        for path in [
            "/%73ecret/s.txt",
            "//secret/s.txt",
            "/./secret/s.txt",
            "/app/../secret/s.txt",
            "/app/%2e%2e/secret/s.txt",
            "/;x/secret/s.txt",
            "/app/..;/secret/s.txt",
            "/app/..%2fsecret/s.txt",
            "/app/..\\secret/s.txt",
            "/app%5C..%5Csecret/s.txt",
            "/secret%2fs.txt",
            "/secret%3bx/s.txt",
            "/app/.;x/..;y/secret",
        ] {
            let first = format!("%{:x}", hidden.as_bytes()[0]);
            let path = path.replace("%73ecret", &format!("{first}{}", &hidden[1..]));
            let path = path.replace("secret", hidden);
            assert_eq!(lead(&maps, &path), "ambiguous", "{path}");
        }
    }
    assert_eq!(lead(&maps, "/secret/s.txt"), "nothing");
    assert_eq!(lead(&maps, "/secret;x/s.txt"), "nothing");
    assert_eq!(lead(&maps, "/deny"), "forbidden");
    // Where it leads to the same place however it is read, nobody is bothered.
    assert_eq!(
        lead(&maps, "/a/../b//c/./d;x=1/%41"),
        "root/a/../b//c/./d;x=1/%41"
    );
}

#[test]
fn normalised_first() {
    let rules = ["/ root/", "/secret none", "/app app/x"];
    let maps = Maps::new(rules.map(rule).into(), Order::Longest, true);
    for (path, to) in [
        ("/%73ecret/s.txt", "nothing"),
        ("//secret/s.txt", "nothing"),
        ("/a/..;/secret/s.txt", "nothing"),
        ("//app/./%7Ea//b", "app/x/~a/b"),
        ("/a/../b", "root/b"),
        ("/../b", "ambiguous"),
        ("/app%2f..%2fsecret", "ambiguous"),
    ] {
        assert_eq!(lead(&maps, path), to, "{path}");
    }
}

#[test]
fn nobody_climbs_out_of_a_map() {
    let two = maps(&["/ root/", "/cart cart/app"]);
    for path in [
        "/cart/..",
        "/cart/../manager",
        "/cart/%2e%2E/manager",
        "/cart/..;x=1/manager",
        "/cart/x%2f..%2f..%2fmanager",
        "/cart/..%5Cmanager",
        // Back into the map, but at the members somewhere else.
        "/cart/../cart/x",
        "/..",
    ] {
        assert_eq!(lead(&two, path), "ambiguous", "{path}");
    }
    for path in ["/cart/...", "/cart/a..b", "/cart/.a", "/cart/%252e%252e/"] {
        let to = format!("cart/app{}", &path["/cart".len()..]);
        assert_eq!(lead(&two, path), to);
    }
    assert_eq!(lead(&maps(&["/ root/app"]), "/../manager"), "ambiguous");
}

/// What a template makes of a plain path need not be plain.
#[test]
fn nobody_climbs_out_of_a_map_through_its_template() {
    let maps = maps(&[
        "~ ^/u-(.*)$ app/app/$1",
        "~ ^/static(.*)$ app/app/static/$1",
        "~ ^/whole-(.*)$ root/$1",
    ]);
    for path in ["/u-..", "/u-../manager/html", "/static../x", "/static.."] {
        assert_eq!(lead(&maps, path), "ambiguous", "{path}");
    }
    for (path, to) in [
        ("/u-ann/x", "app/app/ann/x"),
        ("/u-.ann", "app/app/.ann"),
        ("/static/x", "app/app/static//x"),
        ("/whole-.x", "root/.x"),
        ("/whole-../x", "ambiguous"),
    ] {
        assert_eq!(lead(&maps, path), to, "{path}");
    }
}

#[test]
fn exact_paths_endings_and_expressions() {
    let maps = maps(&[
        "/app app/app",
        "/app/*.jsp jsp/app",
        "*.bak none",
        "/app/static none",
        "/app/static/public app/app/static/public",
        "= /app/status status/server",
        "~ ^/u/(\\w+)/(.*)$ users/home/$2/$1",
        "~ \\.git(/|$) deny",
        "~ ^/all all/base",
    ]);
    for (path, to) in [
        ("/app/x", "app/app/x"),
        ("/app/x.jsp", "jsp/app/x.jsp"),
        ("/app/x.jsp;jsessionid=1.a", "jsp/app/x.jsp;jsessionid=1.a"),
        ("/app/x.jsp/y", "app/app/x.jsp/y"),
        ("/other.jsp", "nothing"),
        ("/app/x.bak", "nothing"),
        ("/app/x.bak;y", "nothing"),
        ("/app/static/x", "nothing"),
        ("/app/static/public/x", "app/app/static/public/x"),
        ("/app/status", "status/server"),
        ("/app/status;v=1", "status/server;v=1"),
        ("/app/status/", "app/app/status/"),
        ("/u/ann/pics/1;x=2", "users/home/pics/1/ann;x=2"),
        ("/u/ann/../../x", "ambiguous"),
        ("/app/.git/config", "forbidden"),
        ("/all/x", "all/base/all/x"),
        // Read as an ending by a server that decodes.
        ("/app/x.js%70", "ambiguous"),
    ] {
        assert_eq!(lead(&maps, path), to, "{path}");
    }
}

#[test]
fn the_order_of_the_file() {
    let rules = ["/app/x none", "/app app/app", "/app/y other/y", "/ root/"];
    let file = Maps::new(rules.map(rule).into(), Order::File, false);
    assert_eq!(lead(&file, "/app/x/1"), "nothing");
    assert_eq!(lead(&file, "/app/y/1"), "app/app/y/1");
    assert_eq!(lead(&maps(&rules), "/app/y/1"), "other/y/1");
}

#[test]
fn outward_is_the_way_back() {
    for (line, rest, expected) in [
        ("/cart b/app", "/x/y;z=1", "/cart/x/y;z=1"),
        ("/cart b/app", "", "/cart"),
        ("/ b/", "/x", "/x"),
        ("/cart b/", "", "/cart/"),
        ("/ b/app", "/x", "/x"),
    ] {
        let rule = rule(line);
        let mapping = rule.mapping().unwrap();
        let path = line.split(' ').next().unwrap().trim_end_matches('/');
        let site = format!(
            "{path}{}",
            if path.is_empty() && rest.is_empty() {
                "/"
            } else {
                rest
            }
        );
        let inward = mapping.inward(&site).unwrap();
        assert_eq!(
            mapping.path_map().to_site(&inward).unwrap(),
            expected,
            "{line} {rest}"
        );
    }
    let rule = rule("/cart b/app");
    assert_eq!(
        rule.mapping().unwrap().path_map().to_site("/application"),
        None
    );
}

#[test]
fn patterns_and_targets_that_cannot_be() {
    for path in [
        "", "cart", "/a b", "/a?b", "/a#b", "/a;b", "/a//b", "/a/../b", "/%2e", "/\u{e4}", "= a",
        "~ (", "/a*", "/a/*", "/a*.jsp", "/a/*.j*p", "*./x",
    ] {
        let error = Pattern::parse(path).unwrap_err().to_string();
        assert!(error.contains(&format!("{path:?}")), "{error}");
    }
    let balancer = Balancer::new(BalancerConfig::new("b"));
    for (path, target) in [
        ("/", ""),
        ("/", "x"),
        ("/a", "/a/../b"),
        ("= /a", "b"),
        ("~ ^/(.*)", "$1"),
        ("~ ^/(.*)", "/a/../b/$1"),
    ] {
        let pattern = Pattern::parse(path).unwrap();
        assert!(
            Mapping::new(&pattern, balancer.clone(), target).is_err(),
            "{path} {target}"
        );
    }
    for text in ["/", "/a", "= /a", "/a/*.jsp", "/*.jsp", "~ ^/a$"] {
        assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Pattern::parse("*.jsp").unwrap().to_string(), "/*.jsp");
}

/// What Tomcat 10 takes a path for before it looks for an application: parameters are
/// dropped, then percent signs decoded, then slashes joined and dot segments resolved. It
/// refuses encoded slashes, backslashes and NULs, and what climbs above the root.
/// `tests/gateway_to_tomcat` asks a real one whether this is still so.
fn tomcat(path: &str) -> Option<String> {
    let names = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap());
    let plain = names.collect::<Vec<_>>().join("/");
    let mut bytes = Vec::new();
    let mut rest = plain.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let code = std::str::from_utf8(tail.get(..2)?).ok()?;
            let byte = u8::from_str_radix(code, 16).ok()?;
            if b"/\\\0".contains(&byte) {
                return None;
            }
            bytes.push(byte);
            rest = &tail[2..];
        } else if *first == b'\\' {
            return None;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let text: String = bytes.into_iter().map(char::from).collect();
    let mut kept = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()?),
            name => kept.push(name),
        }
    }
    let end = text.ends_with('/') || text.ends_with("/.") || text.ends_with("/..");
    Some(format!(
        "/{}{}",
        kept.join("/"),
        if end && !kept.is_empty() { "/" } else { "" }
    ))
}

/// A million random paths under random maps: what Tomcat takes a forwarded path for is never
/// in a map that was not chosen, nor outside of the one that was.
#[test]
fn tomcat_never_reads_a_path_of_another_map() {
    const PIECES: [&str; 24] = [
        "secret",
        "app",
        "a",
        "x.jsp",
        "%73ecret",
        "secre%74",
        "a%70p",
        "x%2ejsp",
        ".",
        "..",
        "%2e",
        "%2e%2E",
        ".%2e",
        "..;x",
        ".;",
        ";x",
        "",
        "%2F",
        "%5c",
        "\\",
        "%3B",
        "%25",
        "%00",
        "secret;v=1",
    ];
    const LINES: [&str; 10] = [
        "/ root/",
        "/ root/app",
        "/secret secret/",
        "/secret none",
        "/secret other/deep/er",
        "/app app/app",
        "/app/secret deep/secret",
        "*.jsp none",
        "/app/*.jsp jsp/app",
        "= /app/a one/secret",
    ];
    let mut random = fastrand::Rng::with_seed(0xA1B2);
    let mut forwarded = 0_u32;
    for _ in 0..2_000 {
        let mut lines: Vec<&str> = Vec::new();
        for line in LINES {
            let path = line.rsplit_once(' ').unwrap().0;
            let is_new = !lines
                .iter()
                .any(|known| known.rsplit_once(' ').unwrap().0 == path);
            if is_new && random.bool() {
                lines.push(line);
            }
        }
        let maps = Maps::new(
            lines.iter().map(|line| rule(line)).collect(),
            if random.bool() {
                Order::Longest
            } else {
                Order::File
            },
            random.u8(..4) == 0,
        );
        for _ in 0..500 {
            let mut path = String::new();
            for _ in 0..random.usize(1..5) {
                path.push('/');
                path.push_str(random.choice(PIECES).unwrap());
                if random.u8(..4) == 0 {
                    path.push_str(random.choice(PIECES).unwrap());
                }
            }
            let Found::Mapped(mapping, inward) = maps.find(&path) else {
                continue;
            };
            forwarded += 1;
            let Some(read) = tomcat(&inward) else {
                continue;
            };
            let context =
                format!("{lines:?}: {path} went to {inward}, which Tomcat reads as {read}");
            // What a client would have asked for to get that, and who should have had it.
            if let Some(asked) = mapping.path_map().to_site(&read) {
                let plain = maps.rule(&asked).map(|at| &maps.rules[at]);
                let by = plain.and_then(Rule::mapping).map(Mapping::path);
                assert_eq!(by, Some(mapping.path()), "{context}");
            } else {
                assert_eq!(mapping.path(), "= /app/a", "{context}");
                assert_eq!(read, "/secret", "{context}");
            }
            assert!(below(&read, "").is_some(), "{context}");
        }
    }
    assert!(
        forwarded > 300_000,
        "only {forwarded} paths were forwarded at all"
    );
}
