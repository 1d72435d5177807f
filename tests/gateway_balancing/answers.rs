//! What the gateway answers by itself tells nothing of what is behind it.

use crate::balancing::site;
use crate::container::Container;
use crate::support::gateway::Gateway;
use crate::support::http1::{Body, Response};
use crate::support::ports;
use ajp::wire::{CPING, CPONG};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HTML: [(&str, &str); 1] = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

/// Neither text nor headers name anything internal.
fn assert_says_nothing(answer: &Response, secrets: &[String]) {
    let text = answer.text().to_ascii_lowercase();
    let internal = [
        "ajp",
        "tomcat",
        "container",
        "member",
        "balancer",
        "connect",
        "127.0.0.1",
    ];
    let internal = internal
        .into_iter()
        .chain(secrets.iter().map(String::as_str));
    for word in internal {
        assert!(!text.contains(word), "{word} in {text}");
        let headers = format!("{:?}", answer.headers).to_ascii_lowercase();
        assert!(!headers.contains(word), "{word} in {headers}");
    }
    assert!(!text.contains("{{"), "{text}");
}

/// A container that is alive and closes after every request.
async fn broken() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packet = [0u8; 5];
            while stream.read_exact(&mut packet).await.is_ok() && packet == CPING {
                stream.write_all(&CPONG).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn pages_and_lines() {
    let slow = Container::start("slow").await;
    let breaks = broken().await;
    let dead = ports::free_addr();
    let config = format!(
        "max_body = 10\n\
         [[balancer]]\nname = \"inner-slow\"\ntimeout = \"100ms\"\n{}\
         [[map]]\npath = \"/broken\"\nto = \"ajp://{breaks}/\"\n\
         [[map]]\npath = \"/dead\"\nto = \"ajp://{dead}/\"\n\
         [[map]]\npath = \"/slow\"\nto = \"balancer://inner-slow/\"\n",
        slow.member(""),
    );
    let gateway = Gateway::start(&config).await;
    let secrets = [breaks, dead, slow.address].map(|address| address.port().to_string());
    let mut client = gateway.client();
    for (target, status, text) in [
        ("/broken", 502, "the application gave no valid answer"),
        (
            "/dead",
            503,
            "the application is not available at the moment",
        ),
        (
            "/slow?sleep=2000",
            504,
            "the application did not answer in time",
        ),
        ("/nothing", 404, "there is nothing at this address"),
        (
            "/slow/../x",
            400,
            "the path can be read as one of another map",
        ),
    ] {
        let line = client.get(target).await;
        assert_eq!(line.status, status, "{target}: {}", line.text());
        assert_eq!(line.text(), format!("{status} {text}\n"));
        assert_eq!(
            line.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_says_nothing(&line, &secrets);
        let page = client.request("GET", target, &HTML, Body::None).await;
        assert_eq!(page.status, status);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.text().contains(text), "{}", page.text());
        assert_says_nothing(&page, &secrets);
    }
    let large = Body::Full(vec![b'x'; 11].into());
    let answer = client.request("POST", "/slow", &[], large).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.text(), "413 the request body is too large\n");
    // The operator learns what the visitor does not.
    let log = gateway.log();
    for told in [
        format!(
            "GET /broken (map /broken): all members of the balancer were tried: ajp://{breaks}: "
        ),
        format!("ajp://{dead}: cannot connect"),
        format!(
            "GET /slow (map /slow): the request failed: {}: ",
            slow.url()
        ),
    ] {
        assert!(log.contains(&told), "{told} in {log}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_too_large_when_it_is() {
    let a = Container::start("a").await;
    let gateway = Gateway::start(&("max_body = 10\n".to_owned() + &site("", &a.member("")))).await;
    let chunks = Body::Chunked(vec![vec![b'x'; 8].into(), vec![b'x'; 8].into()]);
    let mut client = gateway.client();
    let answer = client.request("POST", "/", &[], chunks).await;
    assert_eq!(answer.status, 413);
    let member = gateway.member("a").await;
    assert_eq!(
        (&member["state"], &member["failed"]),
        (&"ok".into(), &0.into())
    );
    let chunks = Body::Chunked(vec![vec![b'x'; 8].into(), vec![b'x'; 2].into()]);
    let answer = client.request("POST", "/", &[], chunks).await;
    assert_eq!(answer.json()["body"], 10);
}

/// An application may have a reason phrase of its own; clients of HTTP/1 get it.
#[tokio::test]
async fn the_reason_phrase_of_the_application_goes_out() {
    /// Send Headers with 404, the phrase and no header, and End Response.
    const ANSWER: &[u8] = b"AB\0\x14\x04\x01\x94\0\x0cNobody there\0\0\0AB\0\x02\x05\x01";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packet = [0; 8192];
            while stream.read(&mut packet).await.is_ok_and(|n| n > 0) {
                let answer = if packet.starts_with(&CPING) {
                    &CPONG[..]
                } else {
                    ANSWER
                };
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    let config = format!("[[map]]\npath = \"/\"\nto = \"ajp://{address}/\"\n");
    let gateway = Gateway::start(&config).await;
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    http.write_all(request).await.unwrap();
    let mut answer = String::new();
    http.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 404 Nobody there\r\n"),
        "{answer}"
    );
}
