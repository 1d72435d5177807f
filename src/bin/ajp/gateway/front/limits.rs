//! How much a client may take of the gateway: time, memory, connections.

use super::upgrade::UpgradeLimits;
use crate::common::{CacheAligned, Striped};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits on clients, the same for all listeners.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Open connections of all clients.
    pub(crate) connections: usize,
    /// Open connections of one client; trusted proxies are not counted.
    pub(crate) connections_per_address: usize,
    /// Bytes of a request's head.
    pub(crate) head: usize,
    /// Header fields of a request.
    pub(crate) headers: usize,
    /// For the head of a request, and for an idle connection.
    pub(crate) head_timeout: Duration,
    /// Requests over one connection.
    pub(crate) requests_per_connection: u64,
    /// How long a request body may be waited for, beside a second for `rate` bytes.
    pub(crate) body_timeout: Duration,
    /// In a time of this length a client must take a part of its answer.
    pub(crate) write_timeout: Duration,
    /// Least bytes in a second, of request bodies and of answers.
    pub(crate) rate: u64,
    /// Bytes of a request body that are waited for before a container is asked.
    pub(crate) request_buffer: usize,
    /// Bytes of an answer that are taken from the container before the client takes them.
    pub(crate) response_buffer: usize,
    /// Bytes in both kinds of buffer, over all clients.
    pub(crate) buffer_memory: usize,
    /// How long a connection that was upgraded may be silent in both directions.
    pub(crate) upgrades: UpgradeLimits,
    /// Requests at a time over one HTTP/2 connection.
    pub(crate) http2_streams: u32,
    /// Requests of one HTTP/2 connection that were cancelled before they were looked at.
    pub(crate) http2_resets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1000,
            head: 16 * 1024,
            headers: 100,
            head_timeout: Duration::from_secs(30),
            requests_per_connection: 1000,
            body_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(60),
            rate: 500,
            request_buffer: 64 * 1024,
            response_buffer: 1024 * 1024,
            buffer_memory: 64 * 1024 * 1024,
            upgrades: UpgradeLimits {
                connect: Duration::from_secs(5),
                head: Duration::from_secs(60),
                idle: Duration::from_secs(300),
                // Tomcat's `maxConnections` of a connector.
                per_member: 8192,
            },
            http2_streams: 100,
            http2_resets: 20,
        }
    }
}

impl Limits {
    /// Those that a connection has from its beginning to its end. All others are looked at for
    /// each request.
    pub(super) fn of_connection(&self) -> impl PartialEq + use<> {
        let head = (self.head, self.headers, self.head_timeout);
        let answers = (self.write_timeout, self.rate);
        (head, answers, self.http2_streams, self.http2_resets)
    }

    /// What a client must take in this time.
    pub(crate) fn least_bytes_in(&self, time: Duration) -> u64 {
        self.rate.saturating_mul(time.as_secs()).max(1)
    }
}

/// A thread takes so many bytes more of the budget than it needs, for what it reserves next.
const AHEAD: usize = 64 * 1024;

/// Memory that all buffers share.
///
/// Small parts of it are reserved and given back with nearly every request, so each thread has a
/// reserve. What is in there counts as used, and others take it when nothing else is left: no more is
/// ever reserved than there is. What another thread takes at the same moment may be missed: then
/// something is refused although there is enough.
#[derive(Debug)]
pub(crate) struct Budget {
    total: Arc<BudgetTotal>,
    reserves: Striped<ThreadReserve>,
}

#[derive(Debug)]
struct BudgetTotal {
    most: AtomicUsize,
    /// Reserved, or in the reserve of a thread.
    used: AtomicUsize,
}

/// What a thread has taken of the budget and not used yet.
#[derive(Debug)]
struct ThreadReserve {
    total: Arc<BudgetTotal>,
    bytes: AtomicUsize,
}

/// A part of the budget; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Reserved {
    from: Arc<CacheAligned<ThreadReserve>>,
    bytes: usize,
}

impl BudgetTotal {
    fn take(&self, bytes: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let more = |used: usize| Some(used.checked_add(bytes)?).filter(|all| *all <= most);
        let order = Ordering::Relaxed;
        self.used.fetch_update(order, order, more).is_ok()
    }

    /// Whether more is used than there is: there was more of it before.
    fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.most.load(Ordering::Relaxed)
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl ThreadReserve {
    fn take(&self, bytes: usize) -> bool {
        let less = |in_hand: usize| in_hand.checked_sub(bytes);
        let order = Ordering::Relaxed;
        self.bytes.fetch_update(order, order, less).is_ok()
    }

    /// Gives all that is in there back to the budget.
    fn give_back_all(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.total.give_back(bytes);
        }
    }

    /// These bytes are free again: they stay here, unless that would be much.
    fn give_back(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > AHEAD * 2 || self.total.is_over() {
            self.give_back_all();
        }
    }
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let (most, used) = (AtomicUsize::new(most), AtomicUsize::new(0));
        let total = Arc::new(BudgetTotal { most, used });
        let reserves = Striped::new(|| {
            let total = Arc::clone(&total);
            let bytes = AtomicUsize::new(0);
            ThreadReserve { total, bytes }
        });
        Arc::new(Self { total, reserves })
    }

    /// There is so much from now on. What is reserved stays so.
    pub(crate) fn resize(&self, most: usize) {
        self.total.most.store(most, Ordering::Relaxed);
        self.reserves.parts().for_each(ThreadReserve::give_back_all);
    }

    /// So many bytes, if they are left.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let own = self.reserves.own();
        if !own.take(bytes) && !self.take_ahead(own, bytes) {
            // Other threads may have the rest in their reserves.
            self.reserves.parts().for_each(ThreadReserve::give_back_all);
            if !self.total.take(bytes) {
                return None;
            }
        }
        let from = Arc::clone(own);
        Some(Reserved { from, bytes })
    }

    /// Takes more than is needed, and puts the rest into the reserve of this thread.
    fn take_ahead(&self, own: &ThreadReserve, bytes: usize) -> bool {
        let taken = self.total.take(bytes.saturating_add(AHEAD));
        if taken {
            own.give_back(AHEAD);
        }
        taken
    }

    /// Bytes that are reserved.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        let parts = self.reserves.parts();
        let in_hand: usize = parts.map(|part| part.bytes.load(Ordering::Relaxed)).sum();
        self.total
            .used
            .load(Ordering::Relaxed)
            .saturating_sub(in_hand)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.from.give_back(self.bytes);
    }
}

/// Open connections, counted.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One open connection; dropped, it is closed.
#[derive(Debug)]
pub(crate) struct CountedConnection {
    connections: Arc<Connections>,
    address: Option<IpAddr>,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// There are too many connections.
    All,
    /// This address has too many.
    Address,
}

impl Connections {
    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a connection; without an address it counts among all only.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<CountedConnection, Crowded> {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        // From here on what was counted is counted back when it is dropped.
        let mut counted = CountedConnection {
            connections: Arc::clone(self),
            address: None,
        };
        if open >= limits.connections {
            return Err(Crowded::All);
        }
        if let Some(address) = address.map(client_of) {
            let mut known = self.by_address();
            let count = known.entry(address).or_default();
            if *count >= limits.connections_per_address {
                return Err(Crowded::Address);
            }
            *count = count.saturating_add(1);
            counted.address = Some(address);
        }
        Ok(counted)
    }

    fn by_address(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands for one client: an address of IPv4, and of IPv6 the network of 64 bits that a client
/// has at least, with all of its addresses.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else {
            return;
        };
        let mut known = self.connections.by_address();
        if let Some(count) = known.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                known.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_given_back() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        let second = budget.reserve(40).unwrap();
        assert_eq!(budget.used(), 100);
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    /// What threads have in hand is neither lost nor given twice.
    #[test]
    fn all_of_a_budget_can_be_reserved_whoever_had_it_before() {
        let most = AHEAD * 3;
        let budget = Budget::new(most);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for bytes in [1, 100, AHEAD, AHEAD * 2] {
                        // If others have it just now it is refused.
                        let reserved = budget.reserve(bytes);
                        assert!(budget.total.used.load(Ordering::Relaxed) <= most);
                        drop(reserved);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
        let whole = budget.reserve(most).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(whole);
        // Less than what may be in hand: nothing beyond it is given.
        let first = budget.reserve(1).unwrap();
        budget.resize(10);
        assert!(budget.reserve(10).is_none());
        assert!(budget.reserve(9).is_some());
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    /// Who has a network of IPv6 is one client, and all who come over IPv4 are not.
    #[test]
    fn addresses_of_one_network_are_one_client() {
        let limits = Limits {
            connections_per_address: 1,
            ..Limits::default()
        };
        for (first, second, is_one) in [
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
        ] {
            let connections = Arc::new(Connections::default());
            let enter = |address: &str| connections.enter(address.parse().ok(), &limits);
            let known = enter(first).unwrap();
            assert_eq!(enter(second).is_err(), is_one, "{first} {second}");
            drop(known);
            assert!(enter(second).is_ok());
        }
    }

    #[test]
    fn connections_are_counted_back() {
        let connections = Arc::new(Connections::default());
        let limits = Limits {
            connections: 3,
            connections_per_address: 2,
            ..Limits::default()
        };
        let (a, b) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let first = connections.enter(a, &limits).unwrap();
        let _second = connections.enter(a, &limits).unwrap();
        let third = connections.enter(a, &limits).map(drop);
        assert_eq!(third, Err(Crowded::Address));
        let _other = connections.enter(b, &limits).unwrap();
        assert_eq!(connections.enter(b, &limits).map(drop), Err(Crowded::All));
        assert_eq!(connections.open(), 3);
        drop(first);
        assert!(connections.enter(a, &limits).is_ok());
    }
}
