//! This crate's client before a Tomcat, and hyper's before the same Tomcat's HTTP connector, with
//! nothing in between: CPU time of the client, and of Tomcat.

use crate::peers::process;
use crate::servers::client::AnyClient;
use crate::servers::{Protocol, own_cpu};
use crate::support::tomcat::Tomcat;
use crate::{Args, median};
use ajp::wire::PacketSize;
use bytes::Bytes;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct DirectArgs {
    /// Packet size of Tomcat and of this crate's client
    #[arg(long, default_value_t = 8192)]
    packet_size: u32,
}

/// Requests that run at the same time, each on a connection of its own.
const CALLERS: u64 = 32;
/// Headers of a browser in each request.
const HEADERS: usize = 7;

/// Name, path, bytes of the request's body, requests of a round.
const WORKS: [(&str, &str, usize, u64); 4] = [
    ("get", "/app/hello", 0, 20_000),
    ("post-10k", "/app/echo", 10 << 10, 8_000),
    ("get-100k", "/app/bytes?n=102400&len=1", 0, 6_000),
    ("get-10m", "/app/bytes?n=10485760&len=1", 0, 96),
];

pub(crate) async fn run(args: &Args, what: &DirectArgs) {
    let tomcat = Tomcat::builder().no_secret();
    let tomcat = tomcat.packet_size(what.packet_size as usize).start().await;
    let size = PacketSize::new(what.packet_size).expect("a packet size that AJP knows");
    let clients = [
        ("ajp", Protocol::Ajp(size, 1), tomcat.ajp_addr()),
        ("hyper", Protocol::Http1, tomcat.http_addr()),
    ]
    .map(|(name, protocol, to)| (name, AnyClient::new(protocol, &to.to_string())));
    println!(
        "before Tomcat, packets of {}: {CALLERS} connections, medians of {} rounds",
        what.packet_size, args.rounds
    );
    println!(
        "{:<10} {:<7} {:>11} {:>14} {:>14} {:>9}",
        "work", "client", "requests/s", "client us/req", "Tomcat us/req", "of hyper"
    );
    for (work, path, upload, requests) in WORKS {
        let mut seen: [[Vec<f64>; 3]; 2] = Default::default();
        for round in 0..=args.rounds {
            for ((_, client), seen) in clients.iter().zip(&mut seen) {
                let before = (Instant::now(), own_cpu(), process::cpu(tomcat.pid()));
                load(client, path, upload, requests).await;
                let seconds = before.0.elapsed().as_secs_f64();
                let own = own_cpu().saturating_sub(before.1).as_secs_f64() * 1e6;
                let other = (process::cpu(tomcat.pid()) - before.2) * 1000.0;
                // In the first round Tomcat compiles what is hot.
                if round > 0 {
                    let requests = requests as f64;
                    let numbers = [requests / seconds, own / requests, other / requests];
                    for (seen, number) in seen.iter_mut().zip(numbers) {
                        seen.push(number);
                    }
                }
            }
        }
        let medians = seen.map(|seen| seen.map(median));
        for ((name, _), [rate, own, other]) in clients.iter().zip(medians) {
            println!(
                "{work:<10} {name:<7} {rate:>11.0} {own:>14.1} {other:>14.1} {:>9.2}",
                own / medians[1][1]
            );
        }
    }
}

async fn load(client: &AnyClient, path: &'static str, upload: usize, requests: u64) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let client = client.clone();
            let body = Bytes::from(vec![b'u'; upload]);
            tokio::spawn(async move {
                for _ in 0..requests / CALLERS {
                    let received = client.call(path, HEADERS, body.clone().into()).await;
                    assert!(received >= 12, "{path}: {received} bytes");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}
