//! TCP of both versions, names, and Unix domain sockets.

use super::{client, container, works};
use ajp::client::{Address, Blame, ErrorKind, Lookup, RequestTimeouts, TcpOptions};
use ajp::server::Listener;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, UnixListener};

#[tokio::test]
async fn tcp_of_both_versions() {
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(ip).await.unwrap();
        let address = listener.local_addr().unwrap();
        container(listener);
        works(&client(Address::from(address))).await;
        works(&client(
            format!("ajp://{address}").parse::<Address>().unwrap(),
        ))
        .await;
    }
}

/// Whatever else the name stands for, the address that answers is found.
#[tokio::test]
async fn names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    container(listener);
    works(&client(Address::tcp("localhost", port))).await;
}

/// A name is looked up for every connection, and what it said before is forgotten.
#[tokio::test]
async fn names_are_looked_up_again() {
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = TcpListener::bind("[::1]:0").await.unwrap();
    let nobody = super::support::ports::free_addr();
    let (first, second) = (here.local_addr().unwrap(), there.local_addr().unwrap());
    let mut first_seen = container(here);
    let mut other = container(there);

    let answer: Arc<Mutex<Vec<SocketAddr>>> = Arc::new(Mutex::new(vec![nobody, first]));
    let asked = Arc::new(AtomicUsize::new(0));
    let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
    let client = client(Lookup::new("tomcats", move || {
        count.fetch_add(1, Ordering::SeqCst);
        let addresses = answers.lock().unwrap().clone();
        async move { Ok(addresses) }
    }));
    works(&client).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one connection, one look");
    first_seen.recv().await.unwrap();
    first_seen.recv().await.unwrap();

    *answer.lock().unwrap() = vec![second];
    // Held, so that the next one needs a connection of its own.
    let held = client.pool().acquire().await.unwrap();
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    client.send(request).await.unwrap();
    drop(held);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    other.recv().await.unwrap();
    assert!(first_seen.try_recv().is_err());

    *answer.lock().unwrap() = vec![];
    let error = client
        .pool()
        .acquire_fresh(&RequestTimeouts::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the name has no address");
}

#[tokio::test]
async fn unix_domain_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ajp.sock");
    let client = client(Address::unix(&path));
    let request = || Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let error = client.send(request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.peer().unwrap(), format!("unix:{}", path.display()));
    container(UnixListener::bind(&path).unwrap());
    works(&client).await;
}

/// A web server of this machine is known by its process. Connections that the kernel has taken
/// when the listener closes are not lost.
#[tokio::test]
async fn who_connected_over_a_unix_domain_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ajp.sock");
    let mut listener = UnixListener::bind(&path).unwrap();
    let made = std::fs::metadata(&path).unwrap();
    let (uid, gid) = (
        std::os::unix::fs::MetadataExt::uid(&made),
        std::os::unix::fs::MetadataExt::gid(&made),
    );
    let pid = i32::try_from(std::process::id()).ok();
    let here = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let (_there, peer) = Listener::accept(&mut listener).await;
    assert_eq!((peer.uid(), peer.gid()), (Some(uid), Some(gid)));
    assert_eq!((peer.pid(), peer.path()), (pid, None));
    let text = format!("{peer:?}");
    assert!(text.contains(&format!("uid: Some({uid})")), "{text}");
    drop(here);
    let bound = dir.path().join("web-server.sock");
    let late = tokio::net::UnixSocket::new_stream().unwrap();
    late.bind(&bound).unwrap();
    let _late = late.connect(&path).await.unwrap();
    let waiting = listener.close().await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].1.path(), Some(&*bound));
    std::os::unix::net::UnixStream::connect(&path).unwrap_err();
}

/// This machine has no file descriptor left: nobody says that the container is down.
#[tokio::test]
async fn what_this_machine_lacks_is_not_the_containers_fault() {
    let pool = |code| {
        let none = Lookup::new("tomcats", move || async move {
            Err(std::io::Error::from_raw_os_error(code))
        });
        client(none).pool().clone()
    };
    let lacking = pool(rustix::io::Errno::MFILE.raw_os_error());
    let error = lacking.acquire().await.unwrap_err();
    assert_eq!(
        (
            error.kind(),
            error.blame(),
            error.suggested_status().as_u16()
        ),
        (ErrorKind::LocalResources, Blame::WebServer, 503)
    );
    assert_eq!(
        error.to_string(),
        "tomcats: this machine has no resources left for a connection"
    );
    let refused = pool(rustix::io::Errno::CONNREFUSED.raw_os_error());
    let error = refused.acquire().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.blame()),
        (ErrorKind::Connect, Blame::Container)
    );
}

/// The scope of an IPv6 address, here the loopback interface, is not lost on the way.
#[tokio::test]
async fn an_address_with_a_scope() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    container(listener);
    let scoped = std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, port, 0, 1);
    works(&client(Address::from(SocketAddr::from(scoped)))).await;
    let text = format!("ajp://[::1%1]:{port}");
    works(&client(text.parse::<Address>().unwrap())).await;
}

/// Where connections come from can be chosen. An address that is not ours is our fault, and so
/// is one of the other IP version.
#[tokio::test]
async fn a_source_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    container(listener);
    let from = |source: &str| {
        let tcp = TcpOptions::new().with_source(source.parse::<IpAddr>().unwrap());
        client(Address::from(address).with_tcp(tcp))
    };
    works(&from("127.0.0.9")).await;
    for source in ["192.0.2.1", "::1"] {
        let error = from(source).pool().acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalResources, "{source}");
    }
}
