//! Peers on the AJP port that do not speak AJP: the error says what they speak, and the log
//! hears of them once a minute.

use crate::hall::{App, Hall, open, settle};
use crate::raw::packets::request;
use crate::raw::site::Seen;
use ajp::wire::CPING;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn the_error_names_what_they_speak() {
    let hall = Hall::open(open(), App::echo_path());
    for (first, name) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "Http"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "Tls"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "ProxyHeader"),
    ] {
        let mut guest = hall.connect();
        guest.send(first).await;
        assert_eq!(guest.rest().await.0, b"");
        settle().await;
        let expected = Seen::Other(format!("OtherProtocol({name})"));
        assert_eq!(hall.errors(), [expected]);
    }
    // In the middle of a connection such bytes are a broken packet, whatever they look like.
    let mut guest = hall.connect();
    guest.send(&CPING).await;
    guest.send(b"GET / HTTP/1.1\r\n\r\n").await;
    guest.rest().await;
    settle().await;
    assert!(matches!(hall.errors()[..], [Seen::Protocol(_)]));
    let stats = hall.stats();
    assert_eq!((stats.other_protocol, stats.errors), (3, 4));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_hears_of_them_once_a_minute() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let hall = Hall::open(open(), App::echo_path());
    for pause in [0, 0, 0, 61] {
        sleep(Duration::from_secs(pause)).await;
        let mut guest = hall.connect();
        guest.send(b"GET / HTTP/1.1\r\n\r\n").await;
        guest.rest().await;
        settle().await;
    }
    let mut honest = hall.connect();
    honest.send(&request("GET", "/", &[])).await;
    honest.answer().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    for (line, unsaid) in lines.iter().zip(["unsaid=0", "unsaid=2"]) {
        assert!(
            line.contains("this is HTTP, not AJP") && line.ends_with(unsaid),
            "{line}"
        );
    }
}
