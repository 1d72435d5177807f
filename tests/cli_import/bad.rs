//! What cannot be taken over: left out, told, and nothing of it shown that must not be.

use super::{assert_has_lines, assert_says, gateway};
use crate::cli::{ajp, file};
use std::fmt::Write;

/// Nothing is sent to a container that did not get it before, and nothing is shown.
#[test]
fn secrets_stay_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let conf = file(
        &dir,
        "secret.conf",
        "<Proxy balancer://MyFarm>\n\
         BalancerMember ajp://127.0.0.1:9001 secret=hidden1\n\
         BalancerMember ajp://127.0.0.1:9002\n\
         </Proxy>\n\
         ProxyPass /farm balancer://myfarm/\n\
         ProxyPass /one ajp://127.0.0.1:9003/ secret=hidden2\n\
         ProxyPass /two ajp://127.0.0.1:9003/\n\
         ProxyPassMatch ^/x ajp://127.0.0.1:9004/ secret=hidden3\n\
         ProxyPass /y ajp://${NOWHERE}/ secret=hidden4\n",
    );
    let workers = file(&dir, "workers.properties", "worker.jk.secret hidden5\n");
    let secrets = dir.path().to_str().unwrap();
    let arguments = ["import", "--httpd", &conf, "--workers", &workers];
    let done = ajp(&[&arguments[..], &["--secrets", secrets]].concat());
    assert_eq!(done.code, 1, "{done:?}");
    assert_says(&done, &["workers.properties:1: no equal: is no property"]);
    let shown = done.errors.clone() + done.text();
    assert!(!shown.contains("hidden"), "{shown}");
    let paths: Vec<_> = done
        .text()
        .lines()
        .filter(|line| line.starts_with("name") || line.starts_with("secret_file"))
        .map(|line| line.rsplit(['/', ' ']).next().unwrap().trim_matches('"'))
        .collect();
    assert_eq!(
        paths[..5],
        [
            "ajp13",
            "myfarm",
            "myfarm-1.secret",
            "ajp-127.0.0.1-9003",
            "ajp-127.0.0.1-9003.secret"
        ],
    );
    // Another container, as far as secrets go.
    assert_eq!(
        paths[5..],
        [
            "ajp-127.0.0.1-9003-2",
            "ajp-127.0.0.1-9004",
            "ajp-127.0.0.1-9004.secret"
        ]
    );
    // A second run finds the files, and writes none.
    std::fs::remove_file(dir.path().join("myfarm-1.secret")).unwrap();
    let again = ajp(&[&arguments[..], &["--secrets", secrets]].concat());
    assert_eq!((again.code, again.text()), (2, ""), "{again:?}");
    assert_says(&again, &["9003.secret exists; move it"]);
    assert!(!dir.path().join("myfarm-1.secret").exists());
}

/// Whatever is in it, the gateway starts, and every value is told that it did not get.
#[tokio::test]
async fn bad_values_are_told_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let bad = [
        "timeout=soon",
        "timeout=0",
        "timeout=5x",
        "lbset=far",
        "lbset=1001",
        "loadfactor=0",
        "max=0",
        "max=many",
        "iobuffersize=big",
        "connectiontimeout=0",
        "hcpasses=0",
        "hcuri=health",
        "status=E",
        "unknown=1",
        "stickysession=A",
    ];
    let bad_of_balancer = [
        "failonstatus=304",
        "failonstatus=503,x",
        "maxattempts=1000",
        "lbmethod=heartbeat",
        "stickysession=",
        "nonsense",
    ];
    let mut conf = String::from("ProxyTimeout never\nProxyIOBufferSize 100000\n");
    let mut port = 9000;
    for setting in bad {
        port += 1;
        writeln!(
            conf,
            "BalancerMember balancer://farm ajp://127.0.0.1:{port} hcmethod=GET {setting}"
        )
        .unwrap();
    }
    conf += "BalancerMember balancer://farm ajp://127.0.0.1:99999\n";
    for setting in bad_of_balancer {
        writeln!(
            conf,
            "ProxyPass /app balancer://farm/ nofailover=On {setting}"
        )
        .unwrap();
    }
    for path in ["*.jsp", "/a/../b", "/a;b", "/a//b"] {
        writeln!(conf, "ProxyPass {path} balancer://farm/").unwrap();
    }
    conf += "<LocationMatch ^/re>\nProxyPass ajp://127.0.0.1:9001/\n</LocationMatch>\n\
             ProxyPass /empty balancer://empty/\nProxyPass /none balancer:///\n\
             SetHandler proxy:ajp://127.0.0.1:9001\n";
    let conf = file(&dir, "bad.conf", &conf);
    let done = ajp(&["import", "--httpd", &conf]);
    assert_eq!(done.code, 1, "{done:?}");
    let told = |line: usize| {
        let place = format!("bad.conf:{line}: no equal: ");
        assert!(done.errors.contains(&place), "{line}\n{}", done.errors);
    };
    told(1);
    for (line, setting) in (3..).zip(bad) {
        let why = match setting {
            "status=E" => "status E is httpd's own state",
            _ => &format!("{setting} is n"),
        };
        assert_says(&done, &[&format!("bad.conf:{line}: no equal: {why}")]);
    }
    assert_says(
        &done,
        &["bad.conf:18: no equal: is left out: the AJP address"],
    );
    for (line, setting) in (19..).zip(bad_of_balancer) {
        if setting != "stickysession=" {
            let text = format!("bad.conf:{line}: no equal: {setting} is n");
            assert_says(&done, &[&text]);
        }
    }
    // An empty name of a cookie is told of the balancer, like paths that cannot be.
    assert_says(&done, &["farm: no equal: \"\" names no cookie"]);
    for line in [25, 26, 27, 28, 30, 34] {
        told(line);
    }
    assert_says(
        &done,
        &[
            "empty: no equal: has no member",
            "farm: note: nofailover means nothing",
        ],
    );
    assert_has_lines(&done, &["path = \"/app\"", "packet_size = 65536"]);
    assert_eq!(done.text().matches("[[map]]").count(), 1, "{}", done.text());
    gateway(&done).await;
}

/// httpd has a size of packets for each site; a balancer may serve several.
#[test]
fn sites_with_packets_of_two_sizes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let site = |name: &str, size: u32| {
        format!(
            "<VirtualHost *:80>\nServerName {name}\nProxyIOBufferSize {size}\n\
             ProxyPass / ajp://127.0.0.1:9001/\n</VirtualHost>\n"
        )
    };
    let conf = site("a.example", 65536) + &site("b.example", 65536);
    let done = ajp(&["import", "--httpd", &file(&dir, "same.conf", &conf)]);
    assert_eq!(done.code, 0, "{done:?}");
    let conf = site("a.example", 65536) + &site("b.example", 16384);
    let done = ajp(&["import", "--httpd", &file(&dir, "two.conf", &conf)]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_says(
        &done,
        &["two.conf:8: no equal: 16384 is not that of other sites"],
    );
}

#[tokio::test]
async fn bad_properties_are_told_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let properties = [
        "max_packet_size=huge",
        "reply_timeout=-1",
        "socket_connect_timeout=fast",
        "connection_pool_size=0",
        "lbfactor=-1",
        "distance=far",
        "max_reply_timeouts=3",
    ];
    let mut text = String::from("worker.list=lb,one,one\nno property\n");
    for property in properties {
        writeln!(text, "worker.one.{property}").unwrap();
    }
    text += "worker.lb.type=lb\nworker.lb.balance_workers=one,ghost,one\n\
             worker.lb.retries=0\nworker.one.secret=\nworker.one.disabled=1\n\
             worker.one.host=127.0.0.1\nworker.ghost.type=ajp13\n";
    let workers = file(&dir, "w", &text);
    let rules = "/app*=lb\n/=one\n-/off=one\n/a b=lb\n/x=nobody\nnothing\n/app/*=one\n";
    let map = file(&dir, "m", rules);
    let done = ajp(&["import", "--workers", &workers, "--uriworkermap", &map]);
    assert_eq!(done.code, 1, "{done:?}");
    for line in 2..=9 {
        let place = format!("/w:{line}: no equal: ");
        assert!(done.errors.contains(&place), "{line}\n{}", done.errors);
    }
    assert_says(
        &done,
        &[
            "/w:12: no equal: retries of worker lb: 0 is no number of attempts",
            "one: no equal: the secret is empty",
            "one: no equal: ajp://127.0.0.1:8009 is a member already",
            "/m:3: note: /off is switched off",
            "/m:4: no equal: the path \"= /a b\" must be a plain path",
            "/m:5: no equal: = /x leads to nobody",
            "/m:6: no equal: \"nothing\" is no rule",
        ],
    );
    assert_has_lines(
        &done,
        &[
            "status = \"+N\"",
            "path = \"~ ^/app\"",
            "path = \"= /\"",
            "path = \"/app\"",
        ],
    );
    assert_eq!(done.text().matches("[[balancer]]").count(), 2);
    gateway(&done).await;
}
