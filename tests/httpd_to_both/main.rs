//! The HTTP requests of every recorded case, sent once more to a real httpd that has a real
//! Tomcat behind it, and to the same httpd with our server behind it: the answers are the same.
//! Once by `mod_proxy_ajp`, once by `mod_jk`, both with CPing before each request.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]
#![cfg(feature = "server")]

mod answer;
mod case;
#[path = "../container/mod.rs"]
mod container;
mod forward;
mod recorder;
mod sides;
#[path = "../support/mod.rs"]
mod support;

use case::{Case, cases};
use sides::{Setup, Side, Sides, Via};
use std::collections::BTreeSet;

/// Where a case is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a setup of this file.
    In(Setup),
    /// Not beside Tomcat, for this reason.
    Not(&'static str),
}

fn place(name: &str) -> Place {
    match name {
        "trace" => Place::Not("Tomcat refuses TRACE for its applications; ours get what comes"),
        "response-timeout" => Place::Not("the web server gives up; the container has no part"),
        "headers-too-many" => {
            Place::Not("Tomcat answers nothing at all, ours 500, see `server_life`")
        }
        // `httpd_to_server` has these with our server, and says what httpd makes of them.
        _ if name.starts_with("abort") => {
            Place::Not("Tomcat leaves a response that failed without an end or a close")
        }
        "container-idle-close" => Place::In(Setup::ShortIdle),
        "secret-wrong" => Place::In(Setup::SecretWrong),
        "secret-missing" => Place::In(Setup::SecretMissing),
        "request-attribute" => Place::In(Setup::Attribute),
        "request-attribute-refused" => Place::In(Setup::AttributeRefused),
        "remote-user" => Place::In(Setup::User),
        _ if name.starts_with("tls") => Place::In(Setup::Tls),
        _ if name.starts_with("balancer-") => Place::In(Setup::Balanced),
        _ if name.starts_with("packet65536-") => Place::In(Setup::Large),
        _ => Place::In(Setup::Plain),
    }
}

/// Replays the cases of this setup at both sides and compares.
async fn replay(via: Via, setup: Setup, least: usize) {
    let of_setup: Vec<Case> = cases(via)
        .into_iter()
        .filter(|case| place(&case.name) == Place::In(setup))
        .collect();
    assert!(of_setup.len() >= least, "{} cases", of_setup.len());
    let sides = Sides::start(via, setup).await;
    let mut wrong = Vec::new();
    for case in &of_setup {
        let mut answers = Vec::new();
        for side in [Side::Tomcat, Side::Ours] {
            answers.push(case.play(&sides, side).await);
        }
        let [tomcat, ours] = &answers[..] else {
            unreachable!()
        };
        for (one, other) in tomcat.iter().zip(ours) {
            if let Err(difference) = one.is_matched_by(other) {
                wrong.push(format!("{}: {difference}", case.name));
            }
        }
        assert_eq!(tomcat.len(), ours.len(), "{}", case.name);
    }
    assert!(wrong.is_empty(), "{via:?} {setup:?}\n{}", wrong.join("\n"));
    let errors = sides.unexpected_errors();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn every_case_has_its_place() {
    let mut names = BTreeSet::new();
    let mut left_out = BTreeSet::new();
    for via in [Via::ProxyAjp, Via::Jk] {
        let cases = cases(via);
        assert_eq!(cases.len(), 110);
        for case in cases {
            if let Place::Not(_) = place(&case.name) {
                left_out.insert(case.name.clone());
            }
            names.insert(case.name);
        }
    }
    assert_eq!(names.len(), 110);
    let left_out: Vec<_> = left_out.iter().map(String::as_str).collect();
    assert_eq!(
        left_out,
        [
            "abort",
            "abort-big",
            "abort-closed",
            "abort-closed-length",
            "abort-length",
            "abort-then-next",
            "headers-too-many",
            "response-timeout",
            "trace"
        ]
    );
}

macro_rules! replays {
    ($($name:ident: $via:ident, $setup:ident, $least:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                replay(Via::$via, Setup::$setup, $least).await;
            }
        )*
    };
}

replays! {
    plain_by_mod_proxy_ajp: ProxyAjp, Plain, 75;
    plain_by_mod_jk: Jk, Plain, 75;
    large_packets_by_mod_proxy_ajp: ProxyAjp, Large, 5;
    large_packets_by_mod_jk: Jk, Large, 5;
    tls_by_mod_proxy_ajp: ProxyAjp, Tls, 6;
    tls_by_mod_jk: Jk, Tls, 6;
    users_by_mod_proxy_ajp: ProxyAjp, User, 1;
    users_by_mod_jk: Jk, User, 1;
    attributes_by_mod_proxy_ajp: ProxyAjp, Attribute, 1;
    attributes_by_mod_jk: Jk, Attribute, 1;
    refused_attributes_by_mod_proxy_ajp: ProxyAjp, AttributeRefused, 1;
    refused_attributes_by_mod_jk: Jk, AttributeRefused, 1;
    a_wrong_secret_by_mod_proxy_ajp: ProxyAjp, SecretWrong, 1;
    a_wrong_secret_by_mod_jk: Jk, SecretWrong, 1;
    no_secret_by_mod_proxy_ajp: ProxyAjp, SecretMissing, 1;
    no_secret_by_mod_jk: Jk, SecretMissing, 1;
    routes_by_mod_proxy_ajp: ProxyAjp, Balanced, 4;
    routes_by_mod_jk: Jk, Balanced, 4;
    an_idle_close_by_mod_proxy_ajp: ProxyAjp, ShortIdle, 1;
    an_idle_close_by_mod_jk: Jk, ShortIdle, 1;
}
