//! What a container is told about the client of a request: never more than somebody who is
//! believed has said.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::raw::soon;
use ajp::balancer::{Balancer, BalancerConfig, Member};
use ajp::client::{Address, Client, ErrorKind, Pool, PoolConfig, RequestFacts, Retry};
use ajp::mapping::TlsFacts;
use ajp::server::{AttributePolicy, RequestClaims, ServerConfig, Trust, serve};
use ajp::wire::{AttributeCode, ForwardRequest};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::sync::mpsc;

/// A container that notes the requests it gets, and says yes to all.
async fn container() -> (Backend, mpsc::UnboundedReceiver<(ForwardRequest, Vec<u8>)>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let backend = Backend::start(config(), move |_, mut conn: Conn| {
        let seen = seen.clone();
        async move {
            while let Some(request) = conn.request().await {
                let Some(body) = conn.body(&request).await else {
                    return;
                };
                let _ = seen.send((request, body));
                conn.write(&response("ok", 1)).await;
            }
        }
    });
    (backend.await, requests)
}

/// Passes a request on: with nothing but what came with it on the path `/as-it-came`, otherwise
/// with what is trusted.
async fn pass_on(State(client): State<Client>, mut request: Request) -> Response {
    if request.uri().path() != "/as-it-came" {
        let claims = request.extensions().get::<RequestClaims>().unwrap();
        let facts = RequestFacts::from_trusted_claims(claims).unwrap();
        request.extensions_mut().insert(facts);
    }
    match client.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (error.suggested_status(), format!("{:?}", error.kind())).into_response(),
    }
}

/// A server of ours that passes requests on to `next`, and a client of it.
async fn front(next: &Backend, trust_remote_user: bool) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let config = ServerConfig::new(Trust::TrustedNetwork)
        .with_trust_remote_user(trust_remote_user)
        .with_attributes(AttributePolicy::default().accept("SHIB_mail"));
    let app = axum::Router::new()
        .fallback(pass_on)
        .with_state(Client::new(next.client.pool().clone()));
    tokio::spawn(serve(listener, app).with_config(config).into_future());
    Client::new(Pool::new(address, PoolConfig::default()))
}

fn request(path: &str, facts: Option<RequestFacts>) -> http::Request<Empty<Bytes>> {
    let mut request = http::Request::get(path).header("host", "app.example");
    if let Some(facts) = facts {
        request = request.extension(facts);
    }
    request.body(Empty::new()).unwrap()
}

/// Everything that a web server can claim.
fn claims() -> RequestFacts {
    RequestFacts::new([192, 0, 2, 10].into())
        .with_remote_port(51234)
        .with_remote_host("visitor.example")
        .with_local_addr([192, 0, 2, 1].into())
        .with_server("shop.example", 8443)
        .with_user("admin", "Basic")
        .with_route("jvm1")
        .with_activation("DIS")
        .with_attribute("SHIB_mail", "admin@app.example")
        .with_tls_facts(TlsFacts::new().with_protocol("TLSv1.3"))
}

#[tokio::test]
async fn a_user_who_is_not_believed_is_not_vouched_for() {
    for trusted in [false, true] {
        let (next, mut requests) = container().await;
        let front = front(&next, trusted).await;

        // Claims alone are no facts: nothing is sent, and the error says what is missing.
        let refused = front.send(request("/as-it-came", Some(claims()))).await;
        let refused = refused.unwrap();
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let text = refused.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "MissingFacts");
        assert_eq!(next.accepted(), 0);

        let answer = front.send(request("/", Some(claims()))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let (seen, _) = soon("the request", requests.recv()).await.unwrap();
        let user = seen.attribute(AttributeCode::RemoteUser);
        assert_eq!(user, trusted.then_some(&b"admin"[..]));
        let auth_type = seen.attribute(AttributeCode::AuthType);
        assert_eq!(auth_type, trusted.then_some(&b"Basic"[..]));
        // What the web server says of the connection is believed for the reason it is let in.
        assert_eq!(seen.remote_addr(), Some(&b"192.0.2.10"[..]));
        assert_eq!(seen.remote_host(), Some(&b"visitor.example"[..]));
        assert_eq!(seen.server_name(), Some(&b"shop.example"[..]));
        assert_eq!((seen.server_port(), seen.is_ssl()), (8443, true));
        for (name, value) in [
            ("AJP_REMOTE_PORT", Some("51234")),
            ("AJP_LOCAL_ADDR", Some("192.0.2.1")),
            ("AJP_SSL_PROTOCOL", Some("TLSv1.3")),
            // These were for the first container.
            ("JK_LB_ACTIVATION", None),
            ("SHIB_mail", None),
        ] {
            let found = seen.req_attribute(name.as_bytes());
            assert_eq!(found, value.map(str::as_bytes), "{name}");
        }
        assert_eq!(seen.attribute(AttributeCode::Route), None);
    }
}

/// Without facts the container would take this machine for the client.
#[tokio::test]
async fn a_request_that_says_nothing_of_its_client_is_refused() {
    let (next, mut requests) = container().await;
    let pool = next.client.pool().clone();
    let client = Client::new(pool.clone());
    let error = client.send(request("/", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingFacts);
    assert_eq!(error.retry(), Retry::Never);
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("RequestFacts"), "{text}");
    let error = client.try_send(request("/", None)).await.unwrap_err();
    assert_eq!(error.error().kind(), ErrorKind::MissingFacts);

    let balancer = Balancer::new(BalancerConfig::new("b"));
    balancer.add(Member::new("m"), pool.clone()).unwrap();
    let error = balancer.send(request("/", None)).await.unwrap_err();
    assert_eq!(error.exchange().unwrap().kind(), ErrorKind::MissingFacts);
    assert_eq!(error.suggested_status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(error.attempts().is_empty(), "no member is to blame");
    assert_eq!(next.accepted(), 0);

    // With facts, and without where the program asks for itself.
    let (v4, v6) = ([192, 0, 2, 10], "::ffff:192.0.2.11".parse().unwrap());
    let own = Client::for_own_requests(pool.clone());
    let own_balancer = Balancer::new(BalancerConfig::new("own").with_own_requests(true));
    own_balancer.add(Member::new("m"), pool).unwrap();
    let facts = Some(RequestFacts::new(v4.into()));
    client.send(request("/", facts)).await.unwrap();
    let facts = Some(RequestFacts::new(v6));
    balancer.send(request("/", facts.clone())).await.unwrap();
    own.send(request("/", facts)).await.unwrap();
    own.send(request("/", None)).await.unwrap();
    own_balancer.send(request("/", None)).await.unwrap();
    for address in [
        "192.0.2.10",
        "192.0.2.11",
        "192.0.2.11",
        "127.0.0.1",
        "127.0.0.1",
    ] {
        let (seen, _) = soon("the request", requests.recv()).await.unwrap();
        assert_eq!(seen.remote_addr(), Some(address.as_bytes()));
    }
}

/// AJP has no trailers, and RFC 9110 (6.5.1) lets an intermediary leave them out: the body
/// arrives whole, and the connection is used again.
#[tokio::test]
async fn trailers_of_a_request_are_left_out() {
    let (next, mut requests) = container().await;
    for _ in 0..2 {
        let trailers = HeaderMap::from_iter([(
            http::header::HeaderName::from_static("x-checksum"),
            "1".parse().unwrap(),
        )]);
        let frames = [
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("12345"))),
            Ok(Frame::trailers(trailers)),
        ];
        let request = http::Request::post("/")
            .header("host", "app.example")
            .header("trailer", "x-checksum")
            .header("transfer-encoding", "chunked")
            .body(StreamBody::new(futures_util::stream::iter(frames)))
            .unwrap();
        let answer = next.client.send(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        let (seen, body) = soon("the request", requests.recv()).await.unwrap();
        assert_eq!(body, b"12345");
        let names: Vec<_> = seen.headers().map(|header| header.name.to_vec()).collect();
        assert_eq!(names, [&b"host"[..], b"transfer-encoding"]);
    }
    assert_eq!(next.accepted(), 1);
}
