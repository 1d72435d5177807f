//! The balancer manager's page in a browser: it renews itself, its buttons and forms do what
//! they say, and it needs no script.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report"
)]
#![cfg(all(feature = "balancer", feature = "server"))]

#[path = "gateway_balancing/container.rs"]
mod container;
mod support;

use container::{Container, member};
use std::path::Path;
use std::time::{Duration, Instant};
use support::gateway::Gateway;
use support::http1::{Body, Client};
use support::webdriver::Browser;
use tokio::sync::watch;

const LIMIT: Duration = Duration::from_secs(60);

/// The cell of a field in the row of a member.
fn cell(container: &Container, field: &str) -> String {
    format!("[data-member='{}'] [data-field='{field}']", container.url())
}

async fn elected(browser: &mut Browser, container: &Container) -> u64 {
    let cell = cell(container, "elected");
    let value = browser.attribute(&cell, "data-value").await.unwrap();
    value.parse().unwrap()
}

/// Waits until the page that is open shows it, without loading it again.
async fn wait_for_elected(browser: &mut Browser, container: &Container, least: u64) {
    let end = Instant::now() + LIMIT;
    while elected(browser, container).await < least {
        assert!(Instant::now() < end, "the page stands still");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Requests without session, one after the other, until told to stop.
async fn visit(mut client: Client, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let answer = client.get("/cart").await;
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A picture for people, beside what was built.
async fn picture(browser: &mut Browser, name: &str) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-page");
    std::fs::create_dir_all(&dir).unwrap();
    let png = browser.screenshot().await;
    assert_eq!(&png[1..4], b"PNG");
    assert!(png.len() > 10_000, "{} bytes show nothing", png.len());
    std::fs::write(dir.join(name), png).unwrap();
}

async fn shop(a: &Container, b: &Container, c: &Container) -> Gateway {
    let dead = support::ports::free_addr();
    let config = format!(
        "[manager]\nchanges = true\n\
         [[balancer]]\nname = \"cart\"\nsticky = \"JSESSIONID|jsessionid\"\n\
         retry = \"1h\"\nhealth = {{ check = \"cping\", interval = \"1s\" }}\n{}{}{}{}\
         [[balancer]]\nname = \"search\"\nmethod = \"lowest_latency\"\n{}\
         [[map]]\npath = \"/cart\"\nto = \"balancer://cart/app\"\n\
         [[map]]\npath = \"/search\"\nto = \"balancer://search/\"\n",
        a.member("weight = 2.0"),
        b.member(""),
        c.member("status = \"+H\""),
        member(&format!("ajp://{dead}"), "jvm4", ""),
        c.member(""),
    );
    Gateway::start(&config).await
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one visit of an operator")]
async fn an_operator_looks_on_and_drains_a_member() {
    let a = Container::start("jvm1").await;
    let b = Container::start("jvm2").await;
    let c = Container::start("jvm3").await;
    let gateway = shop(&a, &b, &c).await;
    let (stop, stopping) = watch::channel(false);
    let visitors = tokio::spawn(visit(gateway.client(), stopping));

    let mut browser = Browser::start().await;
    let manager = format!("http://{}", gateway.manager.unwrap());
    browser
        .open(&format!("{manager}/balancer-manager?refresh=1"))
        .await;
    assert_eq!(browser.text("h1").await, "Balancer Manager");
    for container in [&a, &b] {
        for _ in 0..2 {
            let seen = elected(&mut browser, container).await;
            wait_for_elected(&mut browser, container, seen + 1).await;
        }
    }
    assert!(browser.url().await.ends_with("?refresh=1"));
    gateway
        .wait_until("noticed", |status| {
            status["balancers"][0]["members"][3]["state"] == "unhealthy"
        })
        .await;

    // One click; the page comes back by itself and says so.
    let row = format!("[data-member='{}']", a.url());
    browser.click(&format!("{row} button[value='+N']")).await;
    let shown = browser
        .text(&format!("{row}[data-flags='N'] .pill.off"))
        .await;
    assert_eq!(shown, "draining");
    assert!(browser.url().await.ends_with("/balancer-manager?refresh=1"));
    let before = gateway.member("jvm1").await;
    let others = elected(&mut browser, &b).await;
    wait_for_elected(&mut browser, &b, others + 30).await;
    let after = gateway.member("jvm1").await;
    assert_eq!(after["new_sessions"], before["new_sessions"]);
    assert_eq!(after["elected"], before["elected"]);
    let cookie = [("cookie", "JSESSIONID=1.jvm1")];
    let answer = gateway
        .client()
        .request("GET", "/cart", &cookie, Body::None)
        .await;
    assert_eq!(answer.json()["name"], "jvm1", "its sessions stay");
    picture(&mut browser, "overview.png").await;

    // A form is not taken away while it is filled in.
    browser.click(&format!("{row} .actions a")).await;
    browser.fill("input[name='weight']", "2.5").await;
    browser.click("input[value='N']").await;
    browser.click("input[value='I']").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        browser.attribute("input[value='I']", "type").await.unwrap(),
        "checkbox"
    );
    picture(&mut browser, "edit.png").await;
    browser.click("button").await;
    let weight = browser.attribute(&cell(&a, "weight"), "data-value").await;
    assert_eq!(weight.as_deref(), Some("2.5"));
    let member = gateway.member("jvm1").await;
    assert_eq!(
        (&member["weight"], &member["flags"]),
        (&2.5.into(), &"I".into())
    );

    browser.click("[data-balancer='cart'] .title a").await;
    browser.click("option:nth-child(3)").await;
    browser.click("button").await;
    let method = browser
        .text("[data-balancer='cart'] [data-field='method']")
        .await;
    assert_eq!(method, "bybusyness");

    // Limits and further settings, behind a heading that opens.
    let page = format!("{manager}/balancer-manager?balancer=cart");
    let of_member = format!("{page}&member={}", support::gateway::coded(&a.url()));
    browser.open(&of_member).await;
    browser.click("summary").await;
    browser
        .fill("input[name='is:response_head_timeout']", "45s")
        .await;
    picture(&mut browser, "settings.png").await;
    browser.click("button.main").await;
    let limit = async || {
        let state = gateway.operator().get("/api/v1/balancers/cart").await;
        state.json()["members"][0]["settings"]["response_head_timeout"].clone()
    };
    // The browser may have only begun to send the form.
    for _ in 0..100 {
        if limit().await == 45.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(limit().await, 45.0);

    // A member is added, and removed once that is said twice.
    let other = "ajp://127.0.0.1:9";
    browser.open(&page).await;
    browser.fill("form.add input[name='url']", other).await;
    browser
        .fill("form.add input[name='is:route']", "jvm9")
        .await;
    browser.click("form.add button").await;
    let row = format!("tr.member[data-member='{other}']");
    let state = browser.attribute(&row, "data-state").await;
    assert!(state.is_some());
    browser.click(&format!("{row} .actions a")).await;
    browser.click("input[name='sure']").await;
    browser.click("form:nth-of-type(2) button").await;
    assert_eq!(browser.text("h1").await, "Balancer Manager");
    assert!(!browser.source().await.contains(other));

    assert!(!browser.source().await.contains("<script"));
    let complaints = browser.complaints().await;
    let complaints: Vec<_> = complaints
        .iter()
        .filter(|text| !text.contains("/favicon.ico"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    browser.quit().await;
    stop.send_replace(true);
    visitors.await.unwrap();
}
