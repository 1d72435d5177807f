//! Configurations as nobody meant them: lines and words that are missing, doubled, in another
//! place or another's, and bytes that are none of a text. Whatever comes, `ajp import` and
//! `ajp gateway --check` answer with an exit code and a reason; and what import writes is taken
//! by the gateway.
//!
//! `MUTATIONS` is how many of each file are tried, default 30.

use crate::cli::{Ended, ajp};
use crate::support::random::Random;
use std::fs;

const HTTPD: &str = "\
ServerName www.example.com
ProxyTimeout 30
<Proxy balancer://farm>
  BalancerMember ajp://127.0.0.1:9001 route=a loadfactor=2 retry=5 secret=s1
  BalancerMember ajp://127.0.0.1:9002 route=b status=+H secret=s1
  ProxySet stickysession=JSESSIONID|jsessionid lbmethod=bybusyness timeout=20
</Proxy>
<VirtualHost *:80>
  ServerName app.example.com
  ServerAlias www.app.example.com *.app.example.com
  ProxyPreserveHost On
  ProxyPass /app/static !
  ProxyPass /app balancer://farm/app
  ProxyPassReverse /app balancer://farm/app
  ProxyPassMatch ^/docs/(.*)$ ajp://127.0.0.1:9003/$1 max=10 connectiontimeout=2
  <Location /other>
    ProxyPass ajp://127.0.0.1:9004/other secret=s2 iobuffersize=8192
    RequestHeader set X-Site other
  </Location>
</VirtualHost>
";

const WORKERS: &str = "\
worker.list=farm,single
worker.single.type=ajp13
worker.single.host=127.0.0.1
worker.single.port=9001
worker.single.secret=s1
worker.single.socket_connect_timeout=2500
worker.one.reference=worker.single
worker.one.route=one
worker.one.lbfactor=3
worker.farm.type=lb
worker.farm.balance_workers=one,single
worker.farm.sticky_session=True
worker.farm.method=Busyness
";

const GATEWAY: &str = "\
listen = \"127.0.0.1:0\"

[manager]
listen = \"127.0.0.1:0\"

[[balancer]]
name = \"farm\"
sticky = \"JSESSIONID\"
timeout = \"20s\"
retry = \"5s\"
packet_size = 65536

[[balancer.member]]
url = \"ajp://127.0.0.1:9001\"
route = \"a\"
weight = 2

[[balancer.member]]
url = \"ajp://127.0.0.1:9002\"
route = \"b\"
status = \"+H\"

[[map]]
path = \"/app/*.jsp\"
to = \"balancer://farm/app\"

[[map]]
path = \"/app\"
to = \"balancer://farm/app\"
";

fn mutations() -> usize {
    std::env::var("MUTATIONS").map_or(30, |text| text.parse().unwrap())
}

/// A few changes, small and large.
fn mutated(text: &str, random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=random.below(4) {
        let (at, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(8) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            3 => {
                let mut words: Vec<&str> = lines[at].split(' ').collect();
                words.remove(random.below(words.len()));
                lines[at] = words.join(" ");
            }
            4 => {
                let stranger = lines[other].split(' ').next_back().unwrap_or_default();
                lines[at] = format!("{} {stranger}", lines[at]);
            }
            5 => {
                let odd = [
                    "\"",
                    "%",
                    "=",
                    "\\",
                    "[",
                    "99999999999999999999",
                    "-1",
                    "${x}",
                    "é",
                ];
                lines[at] += random.pick(&odd);
            }
            6 => {
                let half = lines[at].chars().count() / 2;
                lines[at] = lines[at].chars().take(half).collect();
            }
            _ => lines[at] = lines[at].replace(['/', ':', '='], random.pick(&["", "//", " "])),
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
    }
    let mut bytes = lines.join("\n").into_bytes();
    if random.one_in(5) && !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] = random.bytes(1)[0];
    }
    bytes
}

/// It came to an end of its own, with a reason if it did not do what was asked.
fn assert_orderly(done: &Ended, what: &str, file: &[u8]) {
    let text = String::from_utf8_lossy(file);
    assert!(
        (0..=2).contains(&done.code) && !done.errors.contains("panicked"),
        "{what}: {done:?}\n{text}"
    );
    assert!(
        done.code == 0 || !done.errors.is_empty(),
        "{what}: {done:?}\n{text}"
    );
}

fn check_import(name: &str, flag: &str, text: &str, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join(name), dir.path().join("gateway.toml"));
    let (source, target) = (source.to_str().unwrap(), target.to_str().unwrap());
    let secrets = dir.path().to_str().unwrap();
    let mut random = Random::new(seed);
    let mut written = 0;
    for _ in 0..mutations() {
        let file = mutated(text, &mut random);
        fs::write(source, &file).unwrap();
        let done = ajp(&["import", flag, source, "--secrets", secrets]);
        assert_orderly(&done, flag, &file);
        if done.text().is_empty() {
            continue;
        }
        written += 1;
        fs::write(target, with_maps(done.text())).unwrap();
        let taken = ajp(&["gateway", "--config", target, "--check"]);
        let of = String::from_utf8_lossy(&file);
        assert_eq!(taken.code, 0, "{taken:?}\n{}\nof\n{of}", done.text());
    }
    assert!(written > 0, "nothing was taken over");
}

/// A file of workers maps nothing, as `ajp import` says: then each balancer gets a map.
fn with_maps(text: &str) -> String {
    let mut whole = text.to_owned();
    if !text.lines().any(|line| line == "[[map]]") {
        let names = text.lines().filter_map(|line| line.strip_prefix("name = "));
        for name in names.map(|name| name.trim_matches('"')) {
            let map = format!("[[map]]\npath = \"/{name}\"\nto = \"balancer://{name}/\"\n");
            whole += &map;
        }
    }
    whole
}

#[test]
fn httpd() {
    check_import("mutated.conf", "--httpd", HTTPD, 0x5EED_0001);
}

#[test]
fn workers() {
    check_import("workers.properties", "--workers", WORKERS, 0x5EED_0002);
}

#[test]
fn the_gateways_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    let mut random = Random::new(0x5EED_0003);
    for round in 0..mutations() {
        let file = if round == 0 {
            GATEWAY.as_bytes().to_vec()
        } else {
            mutated(GATEWAY, &mut random)
        };
        fs::write(&path, &file).unwrap();
        let done = ajp(&["gateway", "--config", path.to_str().unwrap(), "--check"]);
        assert_orderly(&done, "--check", &file);
        assert!(round > 0 || done.code == 0, "{done:?}");
    }
}
