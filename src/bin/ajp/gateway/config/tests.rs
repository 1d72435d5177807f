//! Configurations that are right, and what is said of those that are not.

use super::*;
use crate::gateway::front::Found;
use ajp::balancer::{BalancerSnapshot, Idempotent, OnStatus, SendOptions};
use ajp::client::RequestTimeouts;
use ajp::wire::PacketSize;
use std::time::Duration;

pub(super) const EXAMPLE: &str = include_str!("../gateway.toml");

fn defaults() -> Defaults {
    Defaults {
        secrets: Vec::new(),
        packets: Packets::Fixed(PacketSize::DEFAULT),
        body_requests: 1,
        max_connections: 100,
    }
}

fn read(text: &str) -> Result<Config, String> {
    let path = Path::new("g.toml");
    Config::parse(path, text, &defaults()).map_err(|error| error.to_string())
}

/// A fault without its column.
fn line_only(fault: &str) -> String {
    let mut parts = fault.splitn(4, ':');
    let (Some(file), Some(line), Some(column), Some(rest)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return fault.to_owned();
    };
    match column.parse::<u32>() {
        Ok(_) => format!("{file}:{line}:{rest}"),
        Err(_) => fault.to_owned(),
    }
}

fn snapshots(config: &Config) -> Vec<BalancerSnapshot> {
    config.balancers().iter().map(Balancer::snapshot).collect()
}

#[test]
fn the_example_is_what_it_says() {
    let config = read(EXAMPLE).unwrap();
    assert_eq!(config.listen, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.access_log, Some("-".into()));
    let manager = config.manager.as_ref().unwrap();
    assert!(manager.changes && manager.hosts.is_empty());
    let balancers = snapshots(&config);
    let [cart, direct] = &balancers[..] else {
        panic!("{balancers:?}");
    };
    assert_eq!(cart.sticky.as_deref(), Some("JSESSIONID|jsessionid"));
    assert_eq!(cart.health_check.as_deref(), Some("CPing"));
    let members: Vec<_> = cart
        .members
        .iter()
        .map(|member| {
            let route = member.route.as_deref().unwrap();
            format!(
                "{} {route} {} {}",
                member.address, member.weight, member.flags
            )
        })
        .collect();
    assert_eq!(
        members,
        [
            "ajp://127.0.0.1:8009 jvm1 2 ",
            "ajp://127.0.0.1:8010 jvm2 1 ",
            "ajp://127.0.0.1:8011 jvm3 1 H",
        ]
    );
    assert_eq!(direct.members.len(), 1);
    assert_eq!(direct.members[0].address, "ajp://127.0.0.1:8012");
    let paths: Vec<_> = config
        .maps
        .iter()
        .map(|map| map.pattern.to_string())
        .collect();
    assert_eq!(paths, ["/cart", "/static"]);
}

/// The example with every key that is commented out.
pub(super) fn every_key() -> String {
    let is_key = |line: &str| {
        let word = line.split(' ').next().unwrap_or_default();
        line.contains(" = ") && !word.is_empty() && !word.contains(':')
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            // The second way to write a key.
            Some(rest) if rest.starts_with("health") => "",
            Some(rest) if rest.starts_with('[') || is_key(rest) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn every_key_of_the_example_exists() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cr3t that is long enough for a token\n").unwrap();
    let path = secret.path().to_str().unwrap();
    let text = ["/etc/ajp.secret", "/etc/jvm1.secret", "/etc/ajp/token"]
        .iter()
        .fold(every_key(), |text, file| text.replace(file, path));
    let config = read(&text).unwrap();
    assert_eq!(config.max_body, Some(10_000_000));
    assert_eq!(config.trusted_proxies.len(), 1);
    assert_eq!(snapshots(&config)[0].max_attempts, Some(2));
}

/// The listeners that the example shows, which stand in it for a reader only.
#[test]
fn every_key_of_a_listener_exists() {
    let text: String = EXAMPLE
        .lines()
        .skip_while(|line| !line.starts_with("# More listeners."))
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("#   "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let file = toml::from_str::<super::file::File>(&text).unwrap();
    assert_eq!(file.listener.len(), 4);
    let tls = file.listener[0].tls.as_ref().unwrap().get_ref();
    assert_eq!(tls.certificates.len(), 1);
    assert!(file.listener[2].proxy_protocol.is_some());
    assert_eq!(file.listener[3].mode.as_ref().unwrap().get_ref().0.0, 0o666);
}

#[test]
fn an_http_check_and_one_container_for_several_maps() {
    let config = read(
        r#"
        [[balancer]]
        name = "a"
        method = "least_outstanding"
        sticky = "SID"
        nofailover = true
        health = { check = "http", path = "/up", status = 204 }
        member = [{ url = "unix:/run/a.sock" }]
        [[map]]
        path = "/a"
        to = "balancer://a"
        [[map]]
        path = "/b"
        to = "ajp://[::1]:8010/x"
        [[map]]
        path = "/c"
        to = "ajp://[::1]:8010/y/"
        "#,
    )
    .unwrap();
    let balancers = snapshots(&config);
    let names: Vec<_> = balancers.iter().map(|balancer| &*balancer.name).collect();
    assert_eq!(names, ["a", "ajp://[::1]:8010"]);
    assert_eq!(balancers[0].method, "leastoutstanding");
    assert_eq!(balancers[0].health_check.as_deref(), Some("GET /up"));
    assert!(balancers[0].sticky_force);
    assert_eq!(inward(&config, 0, "/a/z").as_deref(), Some("/z"));
    assert_eq!(inward(&config, 2, "/c/z").as_deref(), Some("/y/z"));
}

#[test]
fn nothing_but_a_manager() {
    let config = read("[manager]\n").unwrap();
    let manager = config.manager.unwrap();
    assert_eq!(manager.listen, "127.0.0.1:8081".parse().unwrap());
    assert!(!manager.changes && config.maps.is_empty());
    let remote = read("[manager]\nlisten = \"0.0.0.0:1\"\nallow_remote = true\n").unwrap();
    assert!(!remote.manager.unwrap().changes);
}

/// A balancer and a map that are right, around one line.
fn balancer(line: &str) -> String {
    format!(
        "[[balancer]]\nname = \"a\"\n{line}\n[[balancer.member]]\nurl = \"ajp://a\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://a/\"\n"
    )
}

fn member(line: &str) -> String {
    balancer(&format!("member = [{{ url = \"ajp://b\", {line} }}]"))
        .replace("[[balancer.member]]\nurl = \"ajp://a\"\n", "")
}

fn map(path: &str, to: &str) -> String {
    let good = balancer("");
    format!("{good}[[map]]\npath = {path}\nto = {to}\n")
}

/// All addresses of IPv6 leave IPv4 to what has the port there.
#[test]
fn a_port_is_for_both_families() {
    for (text, is_only_v6) in [
        (
            "listen = \"0.0.0.0:80\"\n[[listener]]\naddress = \"[::]:80\"",
            true,
        ),
        (
            "listen = \"127.0.0.1:80\"\n[[listener]]\naddress = \"[::]:80\"",
            true,
        ),
        (
            "[[listener]]\naddress = \"[::]:80\"\n[manager]\nlisten = \"127.0.0.1:80\"",
            true,
        ),
        (
            "listen = \"0.0.0.0:81\"\n[[listener]]\naddress = \"[::]:80\"",
            false,
        ),
        (
            "listen = \"[::1]:81\"\n[[listener]]\naddress = \"[::]:80\"",
            false,
        ),
        (
            "[[listener]]\naddress = \"[::]:0\"\n[[listener]]\naddress = \"0.0.0.0:0\"",
            false,
        ),
    ] {
        let config = read(text).unwrap();
        let listeners = config.listeners.iter().map(|listener| &listener.address);
        let mut all = listeners.filter(|address| address.to_string().starts_with("[::]"));
        let address = all.next().unwrap();
        assert_eq!(config.has_ipv4_beside(address), is_only_v6, "{text}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_said_with_line_and_key_and_what_is_allowed() {
    let secret = "no/such/file: No such file";
    for (text, expected) in [
        (
            "listen = 5",
            "g.toml:1: listen: invalid type: integer `5`, expected an IP address and a port, such as \"127.0.0.1:8080\"",
        ),
        (
            "\nlisten = \"localhost:80\"",
            "g.toml:2: listen: invalid value: string \"localhost:80\", expected an IP address",
        ),
        (
            "lisen = 5",
            "g.toml:1: unknown key `lisen`; did you mean `listen`?",
        ),
        ("listen =", "g.toml:1: listen: string values must be quoted"),
        (
            "max_body = -1",
            "g.toml:1: max_body: invalid value: integer `-1`, expected a whole number from 0",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/8\", \"lan\"]",
            "g.toml:1: trusted_proxies: invalid value: string \"lan\", expected an IP address or a network",
        ),
        (
            "[[listener]]\naddress = \"unix:/a\"\nmode = \"rw\"",
            "g.toml:3: mode: invalid value: string \"rw\", expected three octal digits",
        ),
        (
            "[[listener]]\naddress = \"127.0.0.1:80\"\nmode = \"660\"",
            "g.toml:3: mode: is for Unix sockets",
        ),
        (
            "listen = \"0.0.0.0:80\"\n[[listener]]\naddress = \"127.0.0.1:80\"",
            "g.toml:3: address: 127.0.0.1:80 is taken already: listen is 0.0.0.0:80",
        ),
        (
            "[[listener]]\naddress = \"[::1]:80\"\n[[listener]]\naddress = \"[::]:80\"",
            "g.toml:4: address: [::]:80 is taken already: address is [::1]:80",
        ),
        (
            "[[listener]]\naddress = \"unix:/a\"\n[[listener]]\naddress = \"unix:/a\"",
            "g.toml:4: address: unix:/a is taken already: address is unix:/a",
        ),
        (
            "listen = \"127.0.0.1:8081\"\n[manager]",
            "g.toml: 127.0.0.1:8081 is taken already: listen is 127.0.0.1:8081",
        ),
        (
            "listen = \"127.0.0.1:8082\"\n[manager]\nhealth_listen = \"127.0.0.1:8082\"",
            "g.toml:3: health_listen: 127.0.0.1:8082 is taken already",
        ),
        (
            "[manager]\nlisten = \"0.0.0.0:1\"",
            "g.toml:2: listen: 0.0.0.0:1 is no loopback address; allow_remote = true allows it",
        ),
        (
            "[manager]\nlisten = \"0.0.0.0:1\"\nallow_remote = true\nchanges = true",
            "g.toml:4: changes: true is allowed on a loopback address only",
        ),
        (
            &balancer("method = \"heartbeat\""),
            "g.toml:3: method: invalid value: string \"heartbeat\", expected one of byrequests, bytraffic",
        ),
        (
            &balancer("sticky = \"A|\""),
            "g.toml:3: sticky: invalid value: string \"A|\", expected the name of a cookie",
        ),
        (
            &balancer("nofailover = true"),
            "g.toml:3: nofailover: true needs sticky",
        ),
        (
            &balancer("retry = \"10\""),
            "g.toml:3: retry: invalid value: string \"10\", expected a number and a unit of ms, s, m or h",
        ),
        (
            &balancer("retry = 10"),
            "g.toml:3: retry: invalid type: integer `10`, expected a number and a unit",
        ),
        (
            &balancer("attempts = 0"),
            "g.toml:3: attempts: invalid value: integer `0`, expected a whole number from 1 to 1000",
        ),
        (
            &balancer("fail_on_status = [503, 200]"),
            "g.toml:3: fail_on_status: invalid value: integer `200`, expected statuses from 400 to 599",
        ),
        (
            &balancer("secret_file = \"no/such/file\""),
            &format!("g.toml:3: secret_file: {secret}"),
        ),
        (
            &balancer("packet_size = 8191"),
            "g.toml:3: packet_size: invalid value: integer `8191`, expected a whole number from 8192 to 65536, or \"auto\"",
        ),
        (
            &balancer("packet_size = \"large\""),
            "g.toml:3: packet_size: invalid value: string \"large\", expected a whole number from 8192 to 65536, or \"auto\"",
        ),
        (
            &balancer("body_requests = 0"),
            "g.toml:3: body_requests: invalid value: integer `0`, expected a whole number from 1 to 1000",
        ),
        (
            &balancer("max_connections = 0"),
            "g.toml:3: max_connections: invalid value: integer `0`, expected a whole number from 1",
        ),
        (
            &balancer("timeout = \"soon\""),
            "g.toml:3: timeout: invalid value: string \"soon\", expected a number and a unit",
        ),
        (
            &balancer("health = { check = \"ping\" }"),
            "g.toml:3: check: unknown variant `ping`, expected `cping` or `http`",
        ),
        (
            &balancer("health = { check = \"cping\", path = \"/\" }"),
            "g.toml:3: path: is for check = \"http\" only",
        ),
        (
            &balancer("health = { check = \"http\" }"),
            "g.toml:3: check: \"http\" needs a path",
        ),
        (
            &balancer("health = { check = \"http\", path = \"up\" }"),
            "g.toml:3: path: \"up\" is no path, such as",
        ),
        (
            &balancer("health = { check = \"http\", path = \"/\", status = 99 }"),
            "g.toml:3: status: invalid value: integer `99`, expected a status from 100 to 599",
        ),
        (
            &balancer("health = { check = \"cping\", rise = 0 }"),
            "g.toml:3: rise: invalid value: integer `0`, expected a whole number from 1",
        ),
        (
            &balancer("color = 1"),
            "g.toml:3: unknown key `color`, expected one of `name`, `method`",
        ),
        (
            "[[balancer]]\nname = \"a b\"",
            "g.toml:2: name: \"a b\" is no name; allowed are letters",
        ),
        (
            "[[balancer]]\nname = \"a\"",
            "g.toml:2: name: \"a\" has no [[balancer.member]]",
        ),
        (
            "[[balancer]]\nsticky = \"A\"",
            "g.toml:1: missing field `name`",
        ),
        (
            &member("route = \"a b\""),
            "g.toml:3: url: member \"ajp://b:8009\" has a route that cannot be part of a session id",
        ),
        (
            &member("weight = 0"),
            "g.toml:3: weight: a weight is a number from 0.01 to 10000",
        ),
        (
            &member("status = \"+X\""),
            "g.toml:3: status: 'X' is no member flag; flags are N, D, S, H, R and I",
        ),
        (
            &member("set = -1"),
            "g.toml:3: set: invalid value: integer `-1`, expected a whole number from 0",
        ),
        (
            &balancer("[[balancer.member]]\nurl = \"ajp://a\""),
            "g.toml:6: url: member \"ajp://a:8009\" exists already",
        ),
        (
            &balancer("[[balancer.member]]\nurl = \"http://a\""),
            "g.toml:4: url: invalid value: string \"http://a\", expected ajp://host:port or unix:/path",
        ),
        (
            &map("\"/x\"", "\"balancer://b/\""),
            "g.toml:11: to: there is no [[balancer]] of the name \"b\"; there are: a",
        ),
        (
            &map("\"/x\"", "\"http://b/\""),
            "g.toml:11: to: \"http://b/\" has the scheme \"http\"; allowed are balancer and ajp",
        ),
        (
            &map("\"/x\"", "\"/app\""),
            "g.toml:11: to: \"/app\" leads nowhere; allowed are balancer://name/path, ajp://host:port/path, none (404) and deny (403)",
        ),
        (
            &map("\"/x\"", "\"ajp://a:b/\""),
            "g.toml:11: to: the AJP address \"ajp://a:b\" has a port",
        ),
        (
            &map("\"/x\"", "\"balancer://a/b?c\""),
            "g.toml:11: to: the path \"/b?c\" must be a plain path",
        ),
        (
            &map("\"x\"", "\"balancer://a/\""),
            "g.toml:10: path: the path \"x\" must begin with a slash",
        ),
        (
            &map("\"/x/../y\"", "\"balancer://a/\""),
            "g.toml:10: path: the path \"/x/../y\" has a dot segment",
        ),
        (
            &map("\"/\"", "\"balancer://a/b\""),
            "g.toml:10: path: \"/\" is mapped twice",
        ),
        (
            &format!("{}{}", balancer(""), "[[balancer]]\nname = \"a\"\n"),
            "g.toml:10: name: there are two balancers of the name \"a\"",
        ),
        (
            "[[balancer]]\nname = \"a\"\n[[balancer.member]]\nurl = \"a\"\n",
            "g.toml: there are balancers but no [[map]]",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(
            line_only(&error).starts_with(expected),
            "{error}\nin {text}"
        );
    }
}

#[test]
fn all_faults_are_told_at_once_with_line_and_column() {
    let text = r#"
lisen = "127.0.0.1:80"
max_body = -1
trusted_proxies = ["10.0.0.0/8", "lan"]
[limits]
min_rate = "fast"
[[listener]]
address = "0.0.0.0:81"
proxy_protocol = true
hsts = "max-age=1"
[[balancer]]
name = "a b"
sticky = "A|"
nofailover = true
health = { check = "http" }
[[balancer.member]]
url = "http://a"
[[balancer]]
name = "b"
timeouts = { conect = "1s" }
health = { check = "cping", path = "/", body = "UP" }
[[balancer.member]]
url = "ajp://b"
[[balancer.member]]
url = "ajp://b"
[[map]]
path = "x"
to = "balancer://c/"
request_headers = { set = { "a b" = "1" }, remove = ["Connection"] }
[[map]]
path = "/y"
to = "balancer://b/y?z"
[[site]]
hosts = ["shop.example", "a b"]
default = true
[[site.map]]
path = "/"
to = "none"
[[site]]
hosts = ["shop.example"]
"#;
    let error = read(text).unwrap_err();
    let expected = [
        "2:1: unknown key `lisen`; did you mean `listen`?",
        "3:12: max_body: invalid value",
        "4:34: trusted_proxies: invalid value: string \"lan\"",
        "6:12: min_rate: invalid type",
        "10:8: hsts: is for listeners with tls",
        "12:8: name: \"a b\" is no name",
        "13:10: sticky: invalid value",
        "15:20: check: \"http\" needs a path",
        "17:7: url: invalid value",
        "20:14: unknown key `conect`; did you mean `connect`?",
        "21:36: path: is for check = \"http\" only",
        "21:48: body: is for check = \"http\" only",
        "25:7: url: member \"ajp://b:8009\" exists already",
        "27:8: path: the path \"x\" must begin with a slash",
        "28:6: to: there is no [[balancer]] of the name \"c\"",
        "29:29: \"a b\" is no name of a header",
        "29:54: remove: \"Connection\" is HTTP's own",
        "32:6: to: the path \"/y?z\" must be a plain path",
        "34:9: hosts: there are two default sites",
        "34:26: hosts: \"a b\" is no host name",
        "40:9: hosts: the site has no [[site.map]]",
        "40:10: hosts: two sites have the name shop.example",
    ];
    let lines: Vec<_> = error.lines().collect();
    for (line, expected) in lines.iter().zip(expected) {
        let expected = format!("g.toml:{expected}");
        assert!(
            line.starts_with(&expected),
            "{line}\nnot {expected}\n{error}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{error}");
}

#[test]
fn what_follows_from_another_fault_is_not_told() {
    for (text, faults) in [
        // The member is there, its URL is wrong.
        (
            "[[balancer]]\nname = \"a\"\n[[balancer.member]]\nurl = 1\n[[map]]\npath = \"/\"\nto = \"balancer://a/\"\n",
            1,
        ),
        // So is the balancer.
        (
            "[[balancer]]\nname = 1\n[[map]]\npath = \"/\"\nto = \"balancer://a/\"\n",
            1,
        ),
        ("listen = \nmax_body = \n", 2),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.lines().count(), faults, "{error}");
    }
}

#[test]
fn a_map_has_settings_of_its_own() {
    let text = map(
        "\"/x\"",
        "\"balancer://a/\"\nstateless = true\nattempts = 1\nfail_on_status = [503, -500]\n\
         timeout = \"1m\"\ntimeouts = { request = \"2m\", connect = \"none\" }\n\
         idempotent = true\nmax_body = 5\nresponse_buffer = 0\n\
         attributes = { TENANT = \"a\" }\n\
         request_headers = { set = { X-A = \"1\" }, remove = [\"X-B\"] }",
    );
    let config = read(&text).unwrap();
    let settings = config.maps[1].mapping().unwrap().settings();
    let minute = Duration::from_secs(60);
    let options = SendOptions::new()
        .with_stateless(true)
        .with_max_attempts(1)
        .with_on_status(503, OnStatus::FailAndTryOther)
        .with_on_status(500, OnStatus::TryOther);
    assert_eq!(settings.options, Some(options));
    let timeouts = RequestTimeouts::new()
        .with_response_head(minute)
        .with_between_packets(minute)
        .with_request(minute * 2)
        .with_connect(None);
    assert_eq!(settings.timeouts, Some(timeouts));
    assert_eq!(settings.idempotent, Some(Idempotent(true)));
    assert_eq!(
        (settings.max_body, settings.request_buffer),
        (Some(5), None)
    );
    assert_eq!(settings.response_buffer, Some(0));
    assert_eq!(settings.attributes, [("TENANT".to_owned(), "a".to_owned())]);
    assert_eq!(settings.request_headers.set[0].0, "x-a");
    assert_eq!(settings.request_headers.remove, ["x-b"]);
    let plain = config.maps[0].mapping().unwrap().settings();
    assert!(plain.options.is_none() && plain.timeouts.is_none());
}

/// A download or a stream of events lasts as long as its bytes come, until an operator says
/// otherwise.
#[test]
fn no_answer_ends_by_the_clock_alone() {
    let hour = Duration::from_secs(3600);
    for (written, limit) in [
        ("", None),
        ("timeout = \"1m\"", None),
        ("timeouts = { request = \"1h\" }", Some(hour)),
    ] {
        let config = read(&balancer(written)).unwrap();
        let farm = config.balancers();
        let name = &farm[0].snapshot().members[0].name;
        let pool = farm[0].pool(name).unwrap();
        assert_eq!(pool.config().timeouts().request(), limit, "{written}");
    }
}

#[test]
fn a_packet_size_is_a_number_or_learned() {
    for (written, size, learns) in [
        ("", 8192, false),
        ("packet_size = 16384", 16384, false),
        ("packet_size = \"auto\"", 65536, true),
    ] {
        let config = read(&balancer(written)).unwrap();
        let farm = config.balancers();
        let name = &farm[0].snapshot().members[0].name;
        let pool = farm[0].pool(name).unwrap();
        let pool = pool.config();
        assert_eq!(pool.packet_size().bytes(), size, "{written}");
        assert_eq!(pool.learn_packet_size(), learns, "{written}");
    }
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Path::new("no/such.toml"), &defaults()).unwrap_err();
    assert!(
        error.to_string().starts_with("no/such.toml: No such file"),
        "{error}"
    );
}

#[test]
fn backends_of_flags() {
    let read = |text: &str| text.parse::<Backend>();
    let backends = [
        "ajp://127.0.0.1:8009 route=jvm1 weight=2.5 status=+H set=1",
        "unix:/run/tomcat.sock",
    ];
    let backends = backends.map(|text| read(text).unwrap()).to_vec();
    let sticky = Sticky::new("SID").unwrap();
    let config = Config::of_backends(backends, None, Some(sticky), &defaults()).unwrap();
    let [balancer] = &snapshots(&config)[..] else {
        panic!("{config:?}");
    };
    assert_eq!(
        (&*balancer.name, &*balancer.method),
        ("default", "byrequests")
    );
    let first = &balancer.members[0];
    assert_eq!(first.route.as_deref(), Some("jvm1"));
    assert_eq!((first.weight.hundredths(), first.set), (250, 1));
    assert_eq!(first.flags.to_string(), "H");
    assert_eq!(balancer.members[1].address, "unix:/run/tomcat.sock");
    assert_eq!(config.maps[0].pattern.to_string(), "/");
    for (text, expected) in [
        ("", "has no host"),
        ("http://a", "must begin with ajp:// or unix:"),
        ("a weight=0", "a weight is a number"),
        ("a status=x", "'x' is no member flag"),
        ("a set=-1", "set is a whole number"),
        (
            "a color=red",
            "unknown parameter \"color\"; there are route, weight, status and set",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let twice = vec![read("a").unwrap(), read("a").unwrap()];
    let error = Config::of_backends(twice, None, None, &defaults()).unwrap_err();
    assert_eq!(error.to_string(), "member \"ajp://a:8009\" exists already");
}

/// The path at the members through one of the maps.
fn inward(config: &Config, map: usize, path: &str) -> Option<String> {
    let mapping = config.maps[map].mapping().unwrap();
    mapping.inward(path).map(std::borrow::Cow::into_owned)
}

#[test]
fn exclusions_patterns_and_sites() {
    let config = read(
        r#"
        order = "file"
        paths = "normalise"
        [[map]]
        path = "*.bak"
        to = "none"
        [[map]]
        path = "~ \\.git(/|$)"
        to = "deny"
        [[map]]
        path = "/"
        to = "ajp://127.0.0.1:8009"
        [[site]]
        hosts = ["shop.example", "*.shop.example"]
        [[site.map]]
        path = "= /status"
        to = "ajp://127.0.0.1:8010/server"
        "#,
    )
    .unwrap();
    let sites = config.sites().unwrap();
    let lead = |host, path| match sites.find(host).unwrap().find(path) {
        Found::Mapped(mapping, inward) => format!("{}{inward}", mapping.balancer().name()),
        Found::Forbidden => "forbidden".to_owned(),
        Found::Ambiguous(why) => why.to_owned(),
        Found::Nothing => "nothing".to_owned(),
    };
    let (own, shop) = (Some("other.example"), Some("a.shop.example"));
    assert_eq!(lead(own, "/x.bak"), "nothing");
    assert_eq!(lead(own, "/.git/config"), "forbidden");
    assert_eq!(lead(own, "//x/%41"), "ajp://127.0.0.1:8009/x/A");
    assert_eq!(lead(shop, "/status"), "ajp://127.0.0.1:8010/server");
    assert_eq!(lead(shop, "/"), "nothing");
}

#[test]
fn sites_that_cannot_be() {
    for (text, wanted) in [
        ("[[site]]\nhosts = []", "must name a host"),
        ("[[site]]\nhosts = [\"a b\"]", "is no host name"),
        ("[[site]]\nhosts = [\"a\"]", "has no [[site.map]]"),
        ("order = \"any\"", "expected `longest` or `file`"),
        ("[[map]]\npath = \"~ (\"\nto = \"none\"", "unclosed group"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

/// A balancer without members of its own finds them; the table must name one place.
#[test]
fn the_least_limit_is_no_more_than_the_most() {
    let of = |least: u32| {
        read(&format!(
            "[[balancer]]\nname = \"a\"\nmember = [{{ url = \"ajp://127.0.0.1\" }}]\n\
             adaptive_limit = {{ least = {least}, most = 5 }}\n\
             [[map]]\npath = \"/\"\nto = \"balancer://a/\"\n"
        ))
    };
    assert!(of(5).is_ok());
    let error = of(6).unwrap_err();
    assert!(error.contains("least = 6 is more than most = 5"), "{error}");
    assert!(error.contains(":4"), "{error}");
}

#[test]
fn members_that_are_found() {
    let of = |table: &str| {
        read(&format!(
            "[[balancer]]\nname = \"a\"\nmethod = \"hash:header:x-tenant\"\n\
             adaptive_limit = {{ most = 50 }}\ndiscovery = {table}\n\
             [[map]]\npath = \"/\"\nto = \"balancer://a/\"\n"
        ))
    };
    for good in [
        "{ dns = \"tomcats.internal:8009\", name_servers = [\"127.0.0.1:53\"], absences = 3 }",
        "{ host = \"localhost:8009\", interval = \"10s\" }",
        "{ srv = \"_ajp._tcp.app.internal\", session_timeout = \"30m\", at_most = \"1h\" }",
        "{ file = \"/etc/ajp/members\" }",
    ] {
        let config = of(good).unwrap();
        let plan = &config.balancers[0];
        assert!(plan.discovery().is_some(), "{good}");
        assert_eq!(snapshots(&config)[0].method, "hash:header:x-tenant");
    }
    for (bad, said) in [
        ("{ }", "must have one of host, dns, srv and file"),
        (
            "{ file = \"/a\", srv = \"b\" }",
            "must have one of host, dns, srv and file",
        ),
        ("{ dns = \"tomcats\" }", "a host name and a port"),
        ("{ dns = \"tom cats:8009\" }", "a host name and a port"),
        ("{ srv = \"a b\" }", "is no service"),
        (
            "{ file = \"/a\", name_servers = [\"127.0.0.1:53\"] }",
            "name_servers is for dns and srv only",
        ),
        ("{ file = \"/a\", absences = 0 }", "a whole number from 1"),
    ] {
        let error = of(bad).unwrap_err();
        assert!(error.contains(said), "{bad}: {error}");
    }
}
