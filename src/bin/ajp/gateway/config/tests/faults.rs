//! What is said of configurations that are wrong.

use super::*;

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
            "[limits]\nhead_timeout = \"0s\"",
            "g.toml:2: head_timeout: invalid value: string \"0s\", expected a number above 0",
        ),
        (
            &balancer("timeout = \"0s\""),
            "g.toml:3: timeout: invalid value: string \"0s\", expected a number above 0",
        ),
        (
            &balancer("[balancer.timeouts]\nresponse_head = \"0s\""),
            "g.toml:4: response_head: invalid value: string \"0s\", expected a number above 0",
        ),
        (
            &balancer("health = { check = \"cping\", limit = \"0s\" }"),
            "g.toml:3: limit: invalid value: string \"0s\", expected a number above 0",
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
            "g.toml:3: timeout: invalid value: string \"soon\", expected a number above 0 and a unit",
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
            &map(
                "\"/x\"",
                "\"balancer://a/\"\nattributes = { JK_LB_ACTIVATION = \"ACT\" }",
            ),
            "g.toml:12: \"JK_LB_ACTIVATION\" is told by the gateway itself",
        ),
        (
            &map(
                "\"/x\"",
                "\"balancer://a/\"\nattributes = { secret = \"a\" }",
            ),
            "g.toml:12: cannot write AJP packet:",
        ),
        (
            &map(
                "\"/x\"",
                "\"balancer://a/\"\nattributes = { A = \"b\\u0000\" }",
            ),
            "g.toml:12: cannot write AJP packet:",
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
fn values_of_another_kind_are_named() {
    for (text, expected) in [
        (
            "manager = 5",
            "g.toml:1:11: manager: invalid type: integer `5`, expected struct Manager",
        ),
        (
            "manager = [\"127.0.0.1:80\"]",
            "g.toml:1:11: manager: invalid type: sequence, expected struct Manager",
        ),
        (
            "access_log = true",
            "g.toml:1:14: access_log: invalid type: boolean `true`, expected path string",
        ),
        (
            "header_underscores = 1979-05-27",
            "g.toml:1:22: header_underscores: invalid type: datetime, expected a boolean",
        ),
        (
            "max_body = 0x8000_0000_0000_0000",
            "g.toml:1:12: max_body: invalid type: integer `0x8000000000000000`, expected a whole number from 0",
        ),
        (
            "max_body = 1.5",
            "g.toml:1:12: max_body: invalid type: floating point `1.5`, expected a whole number from 0",
        ),
        (
            "log_format = { json = {} }",
            "g.toml:1:14: log_format: invalid type: map, expected enum LogFormat",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/8\", []]",
            "g.toml:1:34: trusted_proxies: invalid type: sequence, expected an IP address or a network",
        ),
        (
            "[[site]]\nhosts = \"a\"",
            "g.toml:2:9: hosts: invalid type: string \"a\", expected a sequence",
        ),
        (
            "[[map]]\nto = \"deny:\"",
            "g.toml:1:1: missing field `path`",
        ),
        (
            "[[map]]\npath = \"/a\"\nto = \"deny\"\nattributes = { a = 1 }",
            "g.toml:4:20: a: invalid type: integer `1`, expected a string",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}\nin {text}");
    }
}

#[test]
fn numbers_in_any_notation_and_one_or_several_secrets_are_read() {
    let text = "max_body = 0x1_0000\n[limits]\nmax_headers = 0o144\nhttp2_streams = 0b101";
    let config = read(text).unwrap();
    assert_eq!(config.max_body, Some(65_536));
    let limits = &config.limits;
    assert_eq!((limits.headers, limits.http2_streams), (100, 5));
    for files in ["\"no/such/a\"", "[\"no/such/a\", \"no/such/b\"]"] {
        let error = read(&balancer(&format!("secret_file = {files}"))).unwrap_err();
        assert!(
            error.contains("secret_file: no/such/a: No such file"),
            "{error}"
        );
    }
    let error = read(&balancer("secret_file = 5")).unwrap_err();
    let expected = "g.toml:3:15: secret_file: a path, or a list of them";
    assert!(error.starts_with(expected), "{error}");
}
