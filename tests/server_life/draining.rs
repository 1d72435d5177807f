//! The layer that sends visitors without a session away while a container is drained.

use crate::hall::{App, Queue, open};
use crate::raw::packets::{next_answer, request_with};
use ajp::server::{DrainLayer, serve};
use ajp::wire::{Attribute, ToWebServer};
use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tower::Layer as _;

const IDS: [(&str, bool); 4] = [
    ("", false),
    ("JSESSIONID=1.jvm2", false),
    ("JSESSIONID=1", false),
    ("a=b; JSESSIONID=1.jvm1", true),
];

/// Status, Location and Set-Cookie.
type Seen = (u16, Option<String>, Option<String>);

async fn ask(
    guest: &mut crate::hall::Guest,
    path: &str,
    cookie: &str,
    activation: Option<&'static [u8]>,
) -> Seen {
    let headers = [("content-length", "0"), ("cookie", cookie)];
    let headers = &headers[..if cookie.is_empty() { 1 } else { 2 }];
    let attribute = [Attribute::Named {
        name: b"JK_LB_ACTIVATION",
        value: activation,
    }];
    let attributes = &attribute[..usize::from(activation.is_some())];
    guest
        .send(&request_with("GET", path, headers, attributes))
        .await;
    let mut buffer = BytesMut::new();
    let mut seen = (0, None, None);
    loop {
        while let Some(packet) = next_answer(&mut buffer) {
            match packet {
                ToWebServer::SendHeaders(head) => {
                    seen.0 = head.status();
                    for header in head.headers() {
                        let value = String::from_utf8(header.value.to_vec()).unwrap();
                        match header.name.to_ascii_lowercase().as_slice() {
                            b"location" => seen.1 = Some(value),
                            b"set-cookie" => seen.2 = Some(value),
                            _ => {}
                        }
                    }
                }
                ToWebServer::EndResponse { .. } => return seen,
                _ => {}
            }
        }
        assert_ne!(guest.stream.read_buf(&mut buffer).await.unwrap(), 0);
    }
}

fn gone() -> String {
    "JSESSIONID=; Path=/; Max-Age=0".to_owned()
}

#[tokio::test(start_paused = true)]
async fn who_has_no_session_goes_and_who_has_one_stays() {
    let layer = DrainLayer::new("JSESSIONID", "jvm1");
    let switch = layer.switch();
    let (door, queue) = Queue::new();
    let app = layer.layer(App::echo_path());
    tokio::spawn(serve(queue, app).with_config(open()));
    let mut guest = door.connect_as("front");
    for (cookie, _) in IDS {
        let seen = ask(&mut guest, "/a", cookie, Some(b"ACT")).await;
        assert_eq!(seen, (200, None, None), "{cookie}");
    }
    // The web server says it of a request.
    for activation in [b"DIS", b"STP"] {
        for (cookie, stays) in IDS {
            let seen = ask(&mut guest, "/a;jsessionid=1.jvm1", cookie, Some(activation)).await;
            let expected = match (stays, cookie) {
                (true, _) => (200, None, None),
                (false, "") => (307, Some("/a".to_owned()), None),
                (false, _) => (307, Some("/a".to_owned()), Some(gone())),
            };
            assert_eq!(seen, expected, "{cookie}");
        }
    }
    // Somebody has switched it on.
    switch.set(true);
    let seen = ask(&mut guest, "/b", "", None).await;
    assert_eq!(seen, (307, Some("/b".to_owned()), None));
    let seen = ask(&mut guest, "/b", "JSESSIONID=2.jvm1", None).await;
    assert_eq!(seen.0, 200);
    switch.set(false);
    assert_eq!(ask(&mut guest, "/b", "", None).await.0, 200);
}

/// A cookie alone is no session: the store knows.
#[tokio::test(start_paused = true)]
async fn the_check_may_be_the_sessions_own() {
    let layer = DrainLayer::new("SID", "jvm1")
        .with_cookie_path("/app")
        .with_session_check(|headers| {
            let cookie = headers.get("cookie").and_then(|line| line.to_str().ok());
            cookie == Some("SID=alive.jvm1")
        });
    layer.switch().set(true);
    let (door, queue) = Queue::new();
    tokio::spawn(serve(queue, layer.layer(App::echo_path())).with_config(open()));
    let mut guest = door.connect_as("front");
    assert_eq!(ask(&mut guest, "/app", "SID=alive.jvm1", None).await.0, 200);
    let seen = ask(&mut guest, "/app", "SID=expired.jvm1", None).await;
    let gone = "SID=; Path=/app; Max-Age=0".to_owned();
    assert_eq!(seen, (307, Some("/app".to_owned()), Some(gone)));
}
