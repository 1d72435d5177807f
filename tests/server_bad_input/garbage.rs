//! Random bytes beside an honest client.

use crate::raw::Random;
use crate::raw::site::{Peer, Site};
use ajp::client::{Address, Client, Pool, PoolConfig};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_disturbs_nobody() {
    let site = Site::open().await;
    let mut random = Random::new(0x5eed_0001);
    let mut attackers = Vec::new();
    for i in 0..50 {
        let len = random.below(3000) + 1;
        let mut bytes = random.bytes(len);
        if i % 2 == 0 {
            bytes.splice(..0, [0x12, 0x34]);
            // A third of them announce no more than they send, so that a message is parsed.
            if i % 3 == 0 {
                let payload = u16::try_from(len.saturating_sub(2)).unwrap();
                bytes.splice(2.., payload.to_be_bytes());
                bytes.extend([2, 2]);
                bytes.extend(random.bytes(len));
            }
        }
        let address = site.address;
        attackers.push(tokio::spawn(async move {
            let mut peer = Peer::connect(address).await;
            // The server may have closed at the first byte.
            let _ = peer.stream.write_all(&bytes).await;
            let _ = peer.stream.shutdown().await;
            peer.read_to_end().await
        }));
    }
    let client = Client::for_own_requests(Pool::new(
        Address::from(site.address),
        PoolConfig::default(),
    ));
    for _ in 0..200 {
        let request = Request::get("/honest").body(Empty::<Bytes>::new()).unwrap();
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "honest");
    }
    assert_eq!(client.pool().stats().created, 1);
    let refusal = crate::raw::packets::refusal(400, "malformed AJP request");
    let mut refused = 0;
    for attacker in attackers {
        let (answer, _) = attacker.await.unwrap();
        if !answer.is_empty() {
            assert_eq!(answer, refusal);
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    assert_eq!(site.state.calls(), 0);
}
