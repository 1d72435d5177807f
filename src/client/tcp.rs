//! TCP connections to whichever address answers first.

use super::local_resources;
use super::tcp_options::TcpOptions;
use super::transport::{Connect, Connecting, Transport};
use crate::net::Deadline;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// How long one address has before the next one is tried beside it (RFC 8305 section 8).
const STAGGER: Duration = Duration::from_millis(250);

/// TCP connections to the addresses that a lookup of one's own gives, such as a service
/// registry or a resolver library. It is asked again for every new connection.
///
/// All addresses are tried: the next one when one fails, or has not answered after 250 ms.
/// Their order is kept, but that addresses of both IP versions take turns, beginning with
/// that of the first (RFC 8305 section 4): so a version that leads nowhere costs 250 ms and not
/// that for each of its addresses.
///
/// ```
/// use ajp::client::{Lookup, Pool, PoolConfig};
/// let tomcats = Lookup::new("tomcats", || async {
///     Ok(vec![([192, 0, 2, 1], 8009).into(), ([192, 0, 2, 2], 8009).into()])
/// });
/// let pool = Pool::new(tomcats, PoolConfig::default());
/// assert_eq!(pool.peer(), "tomcats");
/// ```
pub struct Lookup<F> {
    name: Box<str>,
    tcp: TcpOptions,
    resolve: F,
}

impl<F, T> Lookup<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    /// `name` is what errors and logs say.
    pub fn new(name: impl Into<String>, lookup: F) -> Self {
        Self {
            name: name.into().into(),
            tcp: TcpOptions::new(),
            resolve: lookup,
        }
    }

    /// Options of the connections. Default [`TcpOptions::new`].
    #[must_use]
    pub fn with_tcp(mut self, tcp: TcpOptions) -> Self {
        self.tcp = tcp;
        self
    }
}

impl<F, T> Connect for Lookup<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    fn connect(&self) -> Connecting<'_> {
        let addresses = (self.resolve)();
        Box::pin(async move { connect(addresses.await?, self.tcp).await })
    }

    fn describe(&self) -> String {
        self.name.clone().into()
    }
}

impl<F> fmt::Debug for Lookup<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A connection to the first address that answers.
pub(super) async fn connect(
    addresses: impl IntoIterator<Item = SocketAddr>,
    tcp: TcpOptions,
) -> io::Result<Transport> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    let within_reach = addresses.iter().copied().filter(|&to| tcp.reaches(to));
    let candidates = take_turns(within_reach);
    if candidates.is_empty() && !addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "none of the addresses is of the IP version of the source address",
        ));
    }
    let stream = first(candidates, |address| tcp.connect_to(address)).await?;
    Ok(Transport::new(stream))
}

/// Addresses of both IP versions in turn, beginning with that of the first; within each the
/// order stays (RFC 8305 section 4).
fn take_turns(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.peekable();
    let first_is_v4 = addresses.peek().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (VecDeque<_>, VecDeque<_>) =
        addresses.partition(|address| address.is_ipv4() == first_is_v4);
    let mut queues = [first, second];
    let mut turns = Vec::new();
    while let Some(address) = queues[0].pop_front().or_else(|| queues[1].pop_front()) {
        turns.push(address);
        queues.swap(0, 1);
    }
    turns
}

/// The first success. Of failures the last one counts; one of this machine's own, such as an
/// address family that is switched off, only if there is no other.
async fn first<A, T, F>(
    addresses: impl IntoIterator<Item = A>,
    open: impl Fn(A) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter();
    let mut running = Vec::new();
    let mut stagger = Deadline::default();
    let mut failure: io::Error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    poll_fn(|cx| {
        loop {
            let mut opened = None;
            let before = running.len();
            running.retain_mut(|attempt: &mut std::pin::Pin<Box<F>>| {
                if opened.is_some() {
                    return true;
                }
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => opened = Some(stream),
                    Poll::Ready(Err(error)) if says_more(&error, &failure) => failure = error,
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => return true,
                }
                false
            });
            if let Some(stream) = opened {
                return Poll::Ready(Ok(stream));
            }
            let failed = running.len() < before;
            if failed || running.is_empty() || stagger.poll(cx).is_ready() {
                if let Some(address) = waiting.next() {
                    running.push(Box::pin(open(address)));
                    stagger.set(Some(STAGGER));
                    continue;
                }
                stagger.set(None);
            }
            if running.is_empty() {
                let none = io::ErrorKind::NotFound.into();
                return Poll::Ready(Err(std::mem::replace(&mut failure, none)));
            }
            return Poll::Pending;
        }
    })
    .await
}

/// Whether a later failure is the one to report.
fn says_more(later: &io::Error, earlier: &io::Error) -> bool {
    !local_resources::is_cause_of(later)
        || local_resources::is_cause_of(earlier)
        || earlier.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tokio::time::{Instant, sleep};

    /// What an address does: after this many milliseconds it answers or refuses.
    type Host = (&'static str, u64, bool);

    /// Who answered, or the last refusal; when; and when each was tried.
    async fn race(hosts: &[Host]) -> (Result<&'static str, String>, u64, Vec<u64>) {
        let start = Instant::now();
        let now = || u64::try_from(start.elapsed().as_millis()).unwrap();
        let tried = RefCell::new(Vec::new());
        let open = |(name, time, answers): Host| {
            tried.borrow_mut().push(now());
            async move {
                sleep(Duration::from_millis(time)).await;
                answers
                    .then_some(name)
                    .ok_or_else(|| io::Error::other(name))
            }
        };
        let outcome = first(hosts.iter().copied(), open).await;
        let outcome = outcome.map_err(|error| error.to_string());
        (outcome, now(), tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_wins() {
        let silent = 100_000;
        for (hosts, name, time, tried) in [
            (&[("a", 0, true), ("b", 0, true)][..], "a", 0, &[0][..]),
            // Slow, but within its time.
            (&[("a", 249, true), ("b", 0, true)], "a", 249, &[0]),
            // Refused: the next one at once.
            (&[("a", 10, false), ("b", 10, true)], "b", 20, &[0, 10]),
            // Silent: the next one beside it.
            (&[("a", silent, true), ("b", 10, true)], "b", 260, &[0, 250]),
            (&[("a", 300, true), ("b", 100, true)], "a", 300, &[0, 250]),
            // The refusal of the second brings the third, and the first still counts.
            (
                &[("a", 400, true), ("b", 50, false), ("c", silent, true)],
                "a",
                400,
                &[0, 250, 300],
            ),
        ] {
            assert_eq!(race(hosts).await, (Ok(name), time, tried.to_vec()));
        }
    }

    #[test]
    fn both_versions_take_turns() {
        let v4 = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        let v6 = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], n));
        for (given, order) in [
            (vec![], vec![]),
            (vec![v4(1), v4(2)], vec![v4(1), v4(2)]),
            (
                vec![v6(1), v6(2), v6(3), v4(1), v4(2)],
                vec![v6(1), v4(1), v6(2), v4(2), v6(3)],
            ),
            (
                vec![v4(1), v6(1), v6(2), v6(3)],
                vec![v4(1), v6(1), v6(2), v6(3)],
            ),
        ] {
            assert_eq!(take_turns(given.into_iter()), order);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_have_failed_before_it_is_a_failure() {
        let hosts = [("a", 400, false), ("b", 20, false), ("c", 30, false)];
        let failure = (Err("a".to_owned()), 400, vec![0, 250, 270]);
        assert_eq!(race(&hosts).await, failure);
        let (nobody, time, _) = race(&[]).await;
        assert_eq!(
            (nobody.unwrap_err().as_str(), time),
            ("the name has no address", 0)
        );
    }

    /// That this machine has no file descriptor left says nothing of the container.
    #[test]
    fn a_refusal_says_more_than_a_lack_of_this_machine() {
        let lack = || io::Error::from_raw_os_error(libc::EMFILE);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let nothing = || io::Error::from(io::ErrorKind::NotFound);
        assert!(says_more(&refused(), &refused()) && says_more(&refused(), &lack()));
        assert!(!says_more(&lack(), &refused()));
        assert!(says_more(&lack(), &lack()) && says_more(&lack(), &nothing()));
    }
}
