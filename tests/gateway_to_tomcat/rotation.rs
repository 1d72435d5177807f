//! What a gateway and a real Tomcat do when their settings differ: a secret that is being
//! changed, and verdicts on those that are not the same.

use crate::support::gateway::Gateway;
use crate::support::http1::{Body, Client};
use crate::support::tomcat::Tomcat;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const OLD: &str = "the-old-secret";
const NEW: &str = "the-new-secret";

/// GET and POST in turn until told to stop; how many were asked, and what was not answered
/// with 200.
async fn visit(http: SocketAddr, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut asked, mut wrong) = (0, Vec::new());
    let mut client = Client::new(http);
    while !stop.load(Ordering::SeqCst) {
        let answer = if asked % 2 == 0 {
            client
                .try_request("GET", "/app/echo", &[], Body::None)
                .await
        } else {
            let order = Body::Full("order".into());
            client.try_request("POST", "/app/echo", &[], order).await
        };
        match answer {
            Ok(answer) if answer.status == 200 => {}
            other => wrong.push(format!("{other:?}")),
        }
        asked += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (asked, wrong)
}

fn config(nodes: &[&Tomcat], secrets: &str) -> String {
    let member = |node: &&Tomcat| {
        let (url, route) = (node.ajp_addr(), node.route().unwrap());
        format!("[[balancer.member]]\nurl = \"ajp://{url}\"\nroute = \"{route}\"\n")
    };
    let members = nodes.iter().map(member).collect::<String>();
    format!(
        "[manager]\nchanges = true\n[[balancer]]\nname = \"b\"\nsecret_file = {secrets}\n{members}\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n"
    )
}

/// Two containers get a new secret one after the other, by a restart each.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_under_load_and_nothing_fails() {
    let (a, b) = tokio::join!(
        Tomcat::builder().route("a").secret(OLD).start(),
        Tomcat::builder().route("b").secret(OLD).start()
    );
    let mut nodes = [a, b];
    let files = [("new", NEW), ("old", OLD)];
    let only_old = config(&[&nodes[0], &nodes[1]], "\"old\"");
    let mut gateway = Gateway::start_with(&files, &only_old).await;
    let stop = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..8)
        .map(|_| tokio::spawn(visit(gateway.http, Arc::clone(&stop))))
        .collect();
    let created = gateway.member("a").await["pool"]["created"]
        .as_u64()
        .unwrap();
    gateway.rewrite(&config(&[&nodes[0], &nodes[1]], "[\"new\", \"old\"]"));
    gateway.signal("HUP");
    gateway.wait_for_log("has other secrets").await;
    let in_use = |place: u64| {
        move |status: &serde_json::Value| {
            let members = status["balancers"][0]["members"].as_array().unwrap();
            members
                .iter()
                .all(|member| member["pool"]["secret_in_use"] == place)
        }
    };
    assert!(
        gateway.member("a").await["pool"]["created"]
            .as_u64()
            .unwrap()
            <= created + 8
    );
    gateway.wait_until("on the old secret", in_use(1)).await;
    let page = gateway.operator().get("/balancer-manager").await;
    assert_eq!(
        page.text().matches(">old secret<").count(),
        2,
        "{}",
        page.text()
    );
    for node in &mut nodes {
        let url = format!("ajp://{}", node.ajp_addr());
        let change = |status| {
            [("balancer", "b"), ("member", &*url), ("status", status)]
                .map(|(k, v)| (k.to_owned(), String::from(v)))
        };
        let send = |fields: [(String, String); 3]| {
            let gateway = &gateway;
            async move {
                let fields: Vec<_> = fields.iter().map(|(k, v)| (&**k, &**v)).collect();
                assert_eq!(gateway.change(&fields).await.status, 303);
            }
        };
        send(change("+D")).await;
        let route = node.route().unwrap().to_owned();
        gateway
            .wait_until("empty", |status| {
                let members = status["balancers"][0]["members"].as_array().unwrap();
                members
                    .iter()
                    .any(|member| member["route"] == route && member["busy"] == 0)
            })
            .await;
        node.set_secret(NEW);
        node.restart().await;
        send(change("-D")).await;
    }
    gateway.wait_until("on the new secret", in_use(0)).await;
    stop.store(true, Ordering::SeqCst);
    let mut asked = 0;
    for visitor in visitors {
        let (count, wrong) = visitor.await.unwrap();
        asked += count;
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    println!("{asked} requests, none failed");
    assert!(asked > 300, "{asked}");
    let page = gateway.operator().get("/balancer-manager").await;
    assert!(!page.text().contains(">old secret<"), "{}", page.text());
    let log = gateway.log();
    assert!(!log.contains(NEW) && !log.contains(OLD), "{log}");
    assert_eq!(
        log.matches("takes another one of the secrets").count(),
        2,
        "{log}"
    );
}

/// One container refuses the secret, one has smaller packets, one allows no attributes: why is
/// told in the log, on the page and by a metric, once.
#[tokio::test(flavor = "multi_thread")]
async fn verdicts_on_settings_that_differ() {
    let (refusing, small, strict) = tokio::join!(
        Tomcat::builder().route("refusing").secret(NEW).start(),
        Tomcat::builder()
            .route("small")
            .secret(OLD)
            .packet_size(9216)
            .start(),
        Tomcat::builder().route("strict").secret(OLD).start()
    );
    let members = config(&[&refusing], "\"old\"").replace(
        "to = \"balancer://b/\"",
        "to = \"balancer://b/\"\n[[map]]\npath = \"/small\"\nto = \"balancer://s/app\"\n\
         [[map]]\npath = \"/strict\"\nto = \"balancer://t/app\"\nattributes = { TENANT = \"shop\" }\n",
    );
    let other = format!(
        "[[balancer]]\nname = \"s\"\nsecret_file = \"old\"\npacket_size = 65536\n\
         [[balancer.member]]\nurl = \"ajp://{}\"\nroute = \"small\"\n\
         [[balancer]]\nname = \"t\"\nsecret_file = \"old\"\n\
         [[balancer.member]]\nurl = \"ajp://{}\"\nroute = \"strict\"\n[[map]]",
        small.ajp_addr(),
        strict.ajp_addr()
    );
    let config = members.replacen("[[map]]", &other, 1);
    let gateway = Gateway::start_with(&[("old", OLD)], &config).await;
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.get("/app/echo").await.status, 403);
    }
    let long = "t".repeat(12_000);
    let answer = client
        .try_request("GET", "/small/echo", &[("x-token", &*long)], Body::None)
        .await;
    assert!(answer.is_err() || answer.unwrap().status.as_u16() >= 400);
    assert_eq!(client.get("/strict/echo").await.status, 403);
    let found = [
        ("secret", "refusing refuses our secret", "secret_file here"),
        (
            "packet_size",
            "small's packetSize is 9216, ours 65536",
            "packetSize=\"65536\"",
        ),
        (
            "attribute",
            "strict does not allow the request attribute TENANT",
            "allowedRequestAttributesPattern=\"TENANT\"",
        ),
    ];
    for (_, cause, _) in found {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !gateway.log().contains(cause) {
            assert!(
                std::time::Instant::now() < end,
                "no {cause:?}: {}",
                gateway.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let page = gateway.operator().get("/balancer-manager").await;
    let metrics = gateway.operator().get("/metrics").await;
    let state = gateway.operator().get("/api/v1/state").await.json();
    for (index, (label, cause, advice)) in found.into_iter().enumerate() {
        let text = page.text().replace("&#39;", "'").replace("&quot;", "\"");
        assert!(
            text.contains(&format!("data-verdict=\"{label}\"")),
            "{text}"
        );
        assert!(text.contains(cause) && text.contains(advice), "{text}");
        let series = format!("verdict=\"{label}\"}} 1");
        assert!(metrics.text().contains(&series), "{}", metrics.text());
        let verdict = &state["balancers"][index]["members"][0]["verdict"];
        assert_eq!(verdict["cause"], cause, "{state:#}");
    }
    // Neither visitors nor time bring the same verdict again so soon.
    for _ in 0..3 {
        assert_eq!(client.get("/app/echo").await.status, 403);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        gateway.log().matches("refuses our secret").count(),
        1,
        "{}",
        gateway.log()
    );
    // Nor is every request told of by itself.
    assert!(gateway.log().matches("settings seem to differ").count() <= 3);
}
