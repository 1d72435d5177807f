//! Configurations that are right, and what is said of those that are not.

mod balancers;
mod faults;
mod maps;

use super::*;
use ajp::balancer::BalancerSnapshot;
use ajp::wire::PacketSize;

pub(in crate::gateway::config) const EXAMPLE: &str = include_str!("../../gateway.toml");

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
pub(in crate::gateway::config) fn every_key() -> String {
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
fn nothing_but_a_manager() {
    let config = read("[manager]\n").unwrap();
    let manager = config.manager.unwrap();
    assert_eq!(manager.listen, "127.0.0.1:8081".parse().unwrap());
    assert!(!manager.changes && config.maps.is_empty());
    let remote = read("[manager]\nlisten = \"0.0.0.0:1\"\nallow_remote = true\n").unwrap();
    assert!(!remote.manager.unwrap().changes);
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Path::new("no/such.toml"), &defaults()).unwrap_err();
    assert!(
        error.to_string().starts_with("no/such.toml: No such file"),
        "{error}"
    );
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
