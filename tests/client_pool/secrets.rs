//! Several secrets while they are being changed: a container that refuses the one is asked
//! again with the other.

use crate::memory::{Container, End, SECOND};
use crate::raw::packets::{chunk, head, refusal, response};
use ajp::Secret;
use ajp::client::{Client, Mismatch, Observer, PoolConfig, PoolId, RequestFacts, Timeouts};
use ajp::wire::{END_RESPONSE_CLOSE, END_RESPONSE_REUSE};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt;

/// How a container says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// An empty 403, and the end.
    Tomcat,
    /// With a page, in two parts: Tomcat with its own pages.
    Page,
    /// As Tomcat, the head with a length.
    Length,
    /// A few words too: this crate's server.
    Words,
}

/// What the container wants, how it refuses, and the requests that it has seen: secret, method
/// and body.
struct Site {
    wants: Mutex<&'static str>,
    style: Style,
    seen: Mutex<Vec<(String, usize)>>,
}

const NEW: &str = "the-new-secret";
const OLD: &str = "the-old-secret";
/// A container that takes both.
const ANY: &str = "any";

const GET_BODY_CHUNK: [u8; 7] = [b'A', b'B', 0, 3, 6, 0x1f, 0xfa];

impl Site {
    fn start(wants: &'static str, style: Style) -> (Arc<Self>, Container) {
        let site = Arc::new(Self {
            wants: Mutex::new(wants),
            style,
            seen: Mutex::default(),
        });
        let served = Arc::clone(&site);
        let container = Container::new(move |_, end| Arc::clone(&served).serve(end));
        (site, container)
    }

    async fn serve(self: Arc<Self>, mut end: End) {
        while let Ok(header) = end.stream.read_u32().await {
            let request = payload(&mut end, header).await;
            let text = String::from_utf8_lossy(&request).into_owned();
            let mut body = 0;
            if text.contains("/upload") {
                let header = end.stream.read_u32().await.unwrap();
                // Two bytes say how much there is.
                body = payload(&mut end, header).await.len() - 2;
            }
            let secrets = [NEW, OLD, "mine"];
            let secret = secrets.into_iter().find(|secret| text.contains(secret));
            let secret = secret.unwrap_or("none");
            self.seen.lock().unwrap().push((secret.into(), body));
            if text.contains("/asking") {
                end.write(&GET_BODY_CHUNK).await;
            }
            let wants = *self.wants.lock().unwrap();
            let is_right = wants == ANY || secret == wants;
            if is_right && text.contains("/late") {
                end.write(&head(403, &[("content-length", "5")])).await;
                tokio::time::sleep(2 * SECOND).await;
                end.write(&chunk(b"later")).await;
                tokio::time::sleep(SECOND / 100).await;
                end.write(&END_RESPONSE_REUSE).await;
                continue;
            }
            let answer = match self.style {
                _ if is_right && text.contains("/forbidden") => [
                    &head(403, &[])[..],
                    &chunk(b"an application's own page"),
                    &END_RESPONSE_REUSE,
                ]
                .concat(),
                _ if is_right && text.contains("/closing") => {
                    let page = "an application's own page ".repeat(10);
                    [
                        &head(403, &[])[..],
                        &chunk(page.as_bytes()),
                        &END_RESPONSE_CLOSE,
                    ]
                    .concat()
                }
                _ if is_right => response("well", 1),
                Style::Tomcat => [&head(403, &[])[..], &END_RESPONSE_CLOSE].concat(),
                Style::Length => [
                    &head(403, &[("content-length", "0")])[..],
                    &END_RESPONSE_CLOSE,
                ]
                .concat(),
                Style::Page => {
                    let page = "HTTP Status 403 - Forbidden ".repeat(20);
                    let length = (2 * page.len()).to_string();
                    let head = head(403, &[("content-length", &length)]);
                    let part = chunk(page.as_bytes());
                    [&head[..], &part, &part, &END_RESPONSE_CLOSE].concat()
                }
                Style::Words => refusal(403, "secret missing or wrong"),
            };
            end.write(&answer).await;
            if !is_right {
                return;
            }
        }
    }

    /// The secrets that were sent since the last time.
    fn seen(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn payload(end: &mut End, header: u32) -> Vec<u8> {
    let mut payload = vec![0; (header & 0xffff) as usize];
    end.stream.read_exact(&mut payload).await.unwrap();
    payload
}

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn both() -> PoolConfig {
    PoolConfig::new().with_secrets([secret(NEW), secret(OLD)])
}

async fn send(client: &Client, method: Method, path: &str, body: &'static str) -> (u16, Bytes) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let response = client.send(request).await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

fn sent(parts: &[(&str, usize)]) -> Vec<(String, usize)> {
    parts
        .iter()
        .map(|(secret, body)| ((*secret).to_owned(), *body))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn any_method_is_sent_again_with_the_other_one() {
    for style in [Style::Tomcat, Style::Length, Style::Page, Style::Words] {
        let (site, container) = Site::start(OLD, style);
        let client = container.client(both());
        let well = (200, Bytes::from("well"));
        assert_eq!(
            send(&client, Method::POST, "/upload", "order").await,
            well,
            "{style:?}"
        );
        // The container is asked before an order is sent again.
        let seen = [(NEW, 5), (NEW, 0), (OLD, 5)];
        assert_eq!(site.seen(), sent(&seen), "{style:?}");
        let stats = client.pool().stats();
        assert_eq!((stats.secret_in_use, stats.secret_changes), (Some(1), 1));
        assert_eq!(stats.mismatched(Mismatch::Refused), 2);
        assert_eq!(stats.last_mismatch, None, "both sides agree again");
        // What was taken is sent first, over the connection that is there.
        assert_eq!(send(&client, Method::GET, "/", "").await, well);
        assert_eq!(site.seen(), sent(&[(OLD, 0)]));
        assert_eq!(container.opened(), 3);
        // The container is told the new one.
        *site.wants.lock().unwrap() = NEW;
        assert_eq!(send(&client, Method::DELETE, "/", "").await, well);
        assert_eq!(send(&client, Method::POST, "/upload", "order").await, well);
        assert_eq!(site.seen(), sent(&[(OLD, 0), (NEW, 0), (NEW, 5)]));
        assert_eq!(client.pool().stats().secret_in_use, Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn where_none_is_taken_the_refusal_is_the_answer() {
    let (site, container) = Site::start("mine", Style::Words);
    let client = container.client(both());
    for _ in 0..2 {
        let words = "403 secret missing or wrong\n";
        let (status, body) = send(&client, Method::POST, "/upload", "order").await;
        assert_eq!((status, &body[..]), (403, words.as_bytes()));
        assert_eq!(site.seen(), sent(&[(NEW, 5), (NEW, 0), (OLD, 5)]));
    }
    let stats = client.pool().stats();
    assert_eq!((stats.secret_in_use, stats.secret_changes), (Some(0), 0));
    assert_eq!(stats.last_mismatch.unwrap().0, Mismatch::Refused);
    // A request with a secret of its own is not sent with another.
    let request =
        Request::get("/").extension(RequestFacts::own_request().with_secret(secret("mine")));
    let request = request.body(Full::new(Bytes::new())).unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 200);
    assert_eq!(site.seen(), sent(&[("mine", 0)]));
    // Nor is anything sent twice where there is one secret.
    let one = container.client(PoolConfig::new().with_secret(secret(OLD)));
    assert_eq!(send(&one, Method::GET, "/", "").await.0, 403);
    assert_eq!(site.seen(), sent(&[(OLD, 0)]));
    assert_eq!(one.pool().stats().secret_in_use, None);
}

/// The application has seen such a request. Where the connection is closed it looks like a
/// refusal: the other secret is tried, with which the container never lets it through, and the
/// answer is the application's.
#[tokio::test(start_paused = true)]
async fn an_application_s_own_403_is_an_answer() {
    let (site, container) = Site::start(NEW, Style::Tomcat);
    let client = container.client(both());
    for (path, length, seen) in [
        ("/forbidden", 25, &[(NEW, 0)][..]),
        ("/closing", 260, &[(NEW, 0), (OLD, 0)]),
    ] {
        let (status, body) = send(&client, Method::GET, path, "").await;
        assert_eq!((status, body.len()), (403, length), "{path}: {body:?}");
        assert_eq!(site.seen(), sent(seen), "{path}");
    }
    assert_eq!(client.pool().stats().secret_in_use, Some(0));
}

/// Of a container that takes both secrets, and one that has read on before it says no: nothing
/// that may not run twice is sent again.
#[tokio::test(start_paused = true)]
async fn an_order_is_sent_again_only_where_the_container_refuses_a_question_too() {
    for (wants, path, length, seen) in [
        (ANY, "/upload/closing", 260, &[(NEW, 5), (NEW, 0)][..]),
        (OLD, "/upload/asking", 0, &[(NEW, 5)]),
    ] {
        let (site, container) = Site::start(wants, Style::Tomcat);
        let client = container.client(both());
        let (status, body) = send(&client, Method::POST, path, "order").await;
        assert_eq!((status, body.len()), (403, length), "{path}: {body:?}");
        assert_eq!(site.seen(), sent(seen), "{path}");
        assert_eq!(client.pool().stats().secret_in_use, Some(0));
    }
}

/// An error would say that no container has seen the request.
#[tokio::test(start_paused = true)]
async fn where_no_other_attempt_can_be_made_the_refusal_is_the_answer() {
    for method in [Method::POST, Method::DELETE] {
        let (site, container) = Site::start(NEW, Style::Words);
        let client = container.client(both());
        assert_eq!(send(&client, Method::GET, "/", "").await.0, 200);
        *site.wants.lock().unwrap() = OLD;
        container.refuse(true);
        let (status, body) = send(&client, method, "/", "").await;
        assert_eq!((status, &body[..4]), (403, &b"403 "[..]));
        assert_eq!(site.seen(), sent(&[(NEW, 0), (NEW, 0)]));
    }
}

#[tokio::test(start_paused = true)]
async fn all_attempts_have_the_time_of_one_request() {
    let (site, container) = Site::start(OLD, Style::Tomcat);
    let timeouts = Timeouts::default().with_request(4 * SECOND);
    let client = container.client(both().with_timeouts(timeouts));
    container.connecting_takes(3 * SECOND);
    let start = tokio::time::Instant::now();
    assert_eq!(send(&client, Method::GET, "/", "").await.0, 403);
    assert_eq!(start.elapsed().as_secs(), 4);
    assert_eq!(site.seen(), sent(&[(NEW, 0)]));
}

#[tokio::test(start_paused = true)]
async fn a_403_without_an_end_teaches_nothing_and_keeps_its_connection() {
    let (site, container) = Site::start(OLD, Style::Tomcat);
    let client = container.client(both());
    let later = (403, Bytes::from("later"));
    assert_eq!(send(&client, Method::GET, "/late", "").await, later);
    assert_eq!(site.seen(), sent(&[(NEW, 0), (OLD, 0)]));
    assert_eq!(client.pool().stats().secret_in_use, Some(0));
    assert_eq!(client.pool().stats().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_changed_while_requests_run_and_the_observer_is_told() {
    #[derive(Default)]
    struct Places(Mutex<Vec<usize>>);
    impl Observer for Places {
        fn secret_changed(&self, _: &PoolId, place: usize) {
            self.0.lock().unwrap().push(place);
        }
    }
    let (site, container) = Site::start(OLD, Style::Tomcat);
    let places = Arc::new(Places::default());
    let config = PoolConfig::new()
        .with_secret(secret(OLD))
        .with_observer(Arc::clone(&places));
    let client = container.client(config);
    assert_eq!(send(&client, Method::GET, "/", "").await.0, 200);
    client.pool().set_secrets([secret(NEW), secret(OLD)]);
    assert_eq!(send(&client, Method::GET, "/", "").await.0, 200);
    // What the container takes stays the first to be sent.
    assert_eq!(site.seen(), sent(&[(OLD, 0), (OLD, 0)]));
    *site.wants.lock().unwrap() = NEW;
    let all = (0..20).map(|_| send(&client, Method::POST, "/upload", "order"));
    for (status, _) in futures_util::future::join_all(all).await {
        assert_eq!(status, 200);
    }
    assert_eq!(*places.0.lock().unwrap(), [0]);
    client.pool().set_secrets([secret(NEW)]);
    assert_eq!(send(&client, Method::GET, "/", "").await.0, 200);
    assert_eq!(client.pool().stats().secret_in_use, None);
    assert_eq!(client.pool().config().secrets().len(), 1, "as it was made");
}
