//! Free loopback ports.
//!
//! A peer gets its port number in a configuration file, so the number must be found before the
//! peer binds it. Ports the kernel hands out for outgoing connections are avoided: one of those
//! could be taken between the look and the bind, or while a peer is down between `kill_9` and
//! `restart`. Test processes run side by side, so each starts elsewhere in the range; what is
//! lost all the same shows up as a failed bind, and the peer is started again on another port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the usual ephemeral range (32768 and up on Linux).
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;
/// How many ports a process may take before it meets those of the next process id.
const STRIDE: u32 = 16;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A loopback address nobody listens on; never the same one twice in a process.
pub fn free_addr() -> SocketAddr {
    for _ in 0..COUNT {
        let nth = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(nth < COUNT, "this process has used up the port range");
        let place = std::process::id().wrapping_mul(STRIDE).wrapping_add(nth) % COUNT;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, (FIRST + place) as u16));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no free port on the loopback interface");
}
