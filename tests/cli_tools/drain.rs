//! `ajp drain` before peers that are no gateway, or one that goes while it is asked.

use crate::cli::{Ended, Hostile, ajp};
use std::io::{Read, Write};

fn drain(peer: &Hostile) -> Ended {
    let url = format!("http://{}", peer.address());
    ajp(&["drain", "shop/jvm1", "--gateway", &url])
}

/// An answer with a body of this kind.
fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A pipeline that meets one of them must not take it for a drain that ended, whatever the status.
#[test]
fn what_is_no_gateway_has_a_code_of_its_own() {
    for (status, body, told) in [
        (
            "200 OK",
            "<p>Welcome</p>",
            "something else than the manager's JSON",
        ),
        (
            "404 Not Found",
            "not here",
            "answers 404 Not Found; it must be the gateway's [manager]",
        ),
        ("200 OK", "{}", "something else than how far a drain is"),
        (
            "200 OK",
            r#"{"phase":"waxing"}"#,
            "something else than how far a drain is",
        ),
    ] {
        let answer = answer(status, body);
        let peer = Hostile::new(move |stream| {
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let ended = drain(&peer);
        assert_eq!(ended.code, 5, "{status} {body}: {ended:?}");
        assert!(ended.errors.contains(told), "{ended:?}");
        assert!(
            ended.errors.contains(&peer.address().to_string()),
            "{ended:?}"
        );
    }
    let ssh = Hostile::saying(b"SSH-2.0-OpenSSH_9.2p1\r\n");
    let ended = drain(&ssh);
    assert_eq!(ended.code, 5, "{ended:?}");
}

#[test]
fn a_connection_that_breaks_has_a_code_of_its_own() {
    let before = drain(&Hostile::closing());
    assert_eq!(before.code, 6, "{before:?}");
    let inside = drain(&Hostile::new(|stream| {
        let _ = stream.read(&mut [0; 8192]);
        let whole = answer("200 OK", r#"{"phase":"draining","busy":1}"#);
        let _ = stream.write_all(&whole.as_bytes()[..whole.len() - 9]);
    }));
    assert_eq!(inside.code, 6, "{inside:?}");
    // It was draining when it went: how far it is now is not known.
    let later = Hostile::new(|stream| {
        let mut piece = [0; 8192];
        let asked = stream.read(&mut piece).unwrap_or(0);
        if piece[..asked].starts_with(b"POST ") {
            let state = r#"{"phase":"draining","busy":1,"member":"jvm1","waited":0.1}"#;
            let _ = stream.write_all(answer("200 OK", state).as_bytes());
        }
    });
    let ended = drain(&later);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.text().contains("1 request runs"), "{ended:?}");
}

/// The gateway cannot count sessions, and says so to whoever asks for a number of them.
#[test]
fn only_the_end_of_all_sessions_can_be_waited_for() {
    let refused = ajp(&["drain", "shop/jvm1", "--until-sessions", "3"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .errors
            .contains("must be 0: the gateway sees when a session was last used"),
        "{refused:?}"
    );
    let nobody = ["--until-sessions", "0", "--gateway", "http://127.0.0.1:1"];
    let all = ajp(&[&["drain", "shop/jvm1"], &nobody[..]].concat());
    assert_eq!(all.code, 3, "{all:?}");
}
