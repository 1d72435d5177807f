//! Peers that open connections and trickle.

use crate::honest::Site;
use crate::raw::packets::request;
use ajp::server::{ServerConfig, ServerTimeouts, Trust};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PEERS: usize = 1000;
/// How long a packet may take.
const PACKET: Duration = Duration::from_secs(4);

/// Generous: a machine may be busy. What is wrong here would take as long as the peers do.
const LONGEST: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_trickle_delay_nobody() {
    let timeouts = ServerTimeouts::default().with_packet(PACKET);
    let config = ServerConfig::new(Trust::TrustedNetwork).with_timeouts(timeouts);
    let site = Site::open(config).await;

    let alone = site.honest(4);
    alone.go_on(400).await;
    let (alone, _) = alone.end().await;

    let whole = request("GET", "/slow", &[("x-filler", &"f".repeat(500))]);
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut tcp = TcpStream::connect(site.address).await.unwrap();
        tcp.write_all(&whole[..7]).await.unwrap();
        peers.push(tcp);
    }
    let honest = site.honest(4);
    for byte in &whole[7..17] {
        for tcp in &mut peers {
            tcp.write_all(&[*byte]).await.unwrap();
        }
        honest.go_on(20).await;
    }
    assert!(site.monitor.stats().open >= PEERS);
    assert!(honest.done() >= 200);

    // A byte now and then does not keep them: they are closed, with an error, unanswered.
    let mut closed = 0;
    for mut tcp in peers {
        let mut answer = Vec::new();
        let end = timeout(PACKET * 5, tcp.read_to_end(&mut answer)).await;
        end.expect("a peer that trickles is kept").unwrap();
        assert_eq!(answer, b"");
        closed += 1;
    }
    assert_eq!(closed, PEERS);
    let (median, longest) = honest.end().await;
    println!("median {alone:?} alone, {median:?} among {PEERS}, longest {longest:?}");
    assert!(longest < LONGEST, "{longest:?}");
    assert_eq!(site.monitor.stats().malformed, 0);
}
