//! Peers that are no container, or a bad one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Does the same with every connection, in threads that end with their connection.
pub(crate) struct Hostile {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Hostile {
    pub(crate) fn new(with: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (ended, with) = (Arc::clone(&over), Arc::new(with));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let with = Arc::clone(&with);
                std::thread::spawn(move || with(&mut stream.unwrap()));
            }
        });
        Self { address, over }
    }

    /// Takes everything and says nothing.
    pub(crate) fn silent() -> Self {
        Self::new(swallow)
    }

    /// Closes as soon as something was asked.
    pub(crate) fn closing() -> Self {
        Self::new(|stream| {
            let _ = stream.read(&mut [0; 8192]);
        })
    }

    /// Answers the first bytes with these, and then nothing.
    pub(crate) fn saying(answer: &'static [u8]) -> Self {
        Self::new(move |stream| {
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(answer);
            swallow(stream);
        })
    }

    /// Answers CPing, and anything else with nothing.
    pub(crate) fn pinging() -> Self {
        Self::new(|stream| {
            let mut first = [0; 8192];
            while let Ok(n @ 1..) = stream.read(&mut first) {
                if first[..n] == ajp::wire::CPING {
                    let _ = stream.write_all(&ajp::wire::CPONG);
                }
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("ajp://{}/", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads until the other side has enough.
pub(crate) fn swallow(stream: &mut TcpStream) {
    let mut piece = [0; 8192];
    while let Ok(1..) = stream.read(&mut piece) {}
}

/// Where nobody listens: bound and closed again.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ajp://{}/", listener.local_addr().unwrap())
}
