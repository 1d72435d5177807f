//! Consistent hashing: requests with the same key go to the same member.
//!
//! Every member has a number for every key, made of both and its weight, and the member with
//! the highest serves (weighted rendezvous hashing). When a member goes, only its own keys
//! move, and they spread over all others; when it comes back they return.

use super::InvalidMethod;
use super::lineup::{Entrant, Lineup};
use crate::balancer::cookie::Pairs;
use crate::balancer::fnv::hash;
use crate::balancer::request::RequestInfo;
use http::header::{COOKIE, HeaderName};
use std::fmt;
use std::str::FromStr;

/// A member that would have more than this part of its fair share of the requests in flight,
/// in hundredths, is passed over: a key that everybody asks for overloads nobody.
const MOST_LOAD: u64 = 125;

/// What [`Method::Hash`](super::Method::Hash) hashes. A request that has it not is served as
/// by [`Method::LeastOutstanding`](super::Method::LeastOutstanding).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashBy {
    /// The path without query: each member caches its part of the pages.
    Path,
    /// The first header of this name.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(String),
    /// The address of the client.
    ClientAddress,
    /// The caller's own key: [`RequestInfo::with_key`].
    Key,
}

impl fmt::Display for HashBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::ClientAddress => f.write_str("client"),
            Self::Key => f.write_str("key"),
        }
    }
}

impl FromStr for HashBy {
    type Err = InvalidMethod;

    /// What is behind `hash:` in the text of a [`Method`](super::Method): `path`, `header:NAME`,
    /// `cookie:NAME`, `client` or `key`.
    fn from_str(text: &str) -> Result<Self, InvalidMethod> {
        let invalid = || InvalidMethod(format!("hash:{text}"));
        Ok(match text.split_once(':') {
            None if text == "path" => Self::Path,
            None if text == "client" => Self::ClientAddress,
            None if text == "key" => Self::Key,
            Some(("header", name)) => Self::Header(name.parse().map_err(|_| invalid())?),
            Some(("cookie", name)) if !name.is_empty() => Self::Cookie(name.into()),
            _ => return Err(invalid()),
        })
    }
}

impl HashBy {
    /// The hash of what a request has of it.
    pub(super) fn hash(&self, request: &RequestInfo<'_>) -> Option<u64> {
        match self {
            Self::Path => Some(request.path())
                .filter(|path| !path.is_empty())
                .map(hash),
            Self::Header(name) => {
                let value = request.headers()?.get(name)?;
                Some(hash(value.as_bytes()))
            }
            Self::Cookie(wanted) => {
                let headers = request.headers()?.get_all(COOKIE).iter();
                let mut pairs = headers.flat_map(|value| Pairs(value.as_bytes()));
                let found = pairs.find(|(name, _)| *name == wanted.as_bytes());
                found.map(|(_, value)| hash(value))
            }
            Self::ClientAddress => Some(match request.client()?.to_canonical() {
                std::net::IpAddr::V4(address) => hash(&address.octets()),
                std::net::IpAddr::V6(address) => hash(&address.octets()),
            }),
            Self::Key => request.key().map(hash),
        }
    }
}

/// The member with the highest number for this key that is not overloaded.
pub(super) fn by_hash(lineup: &Lineup<'_>, key: u64) -> usize {
    let (mut weights, mut busy) = (0u64, 1u64);
    for one in lineup.iter() {
        weights += u64::from(one.weight());
        busy += u64::from(one.busy());
    }
    // With this request it has at most its share of all that are in flight, and a little
    // more; at least one member always has less than that.
    let has_room = |one: &Entrant<'_>| {
        let share = busy
            .saturating_mul(one.weight().into())
            .saturating_mul(MOST_LOAD)
            .div_ceil(weights.saturating_mul(100).max(1));
        u64::from(one.busy()) < share
    };
    let mut best: Option<(usize, Ticket)> = None;
    for (index, one) in lineup.iter().enumerate() {
        if has_room(&one) {
            let ticket = Ticket::of(&one, key);
            if best.is_none_or(|(_, best)| ticket.is_higher_than(best)) {
                best = Some((index, ticket));
            }
        }
    }
    best.map_or(0, |(index, _)| index)
}

/// What a member's number for a key is made of: the larger its weight, the more often the number
/// is the highest.
#[derive(Clone, Copy)]
struct Ticket {
    /// The whole weight: a slow start must not move keys to and fro.
    weight: u32,
    /// 53 bits, which is all that the number's type holds.
    mixed: u64,
}

impl Ticket {
    fn of(one: &Entrant<'_>, key: u64) -> Self {
        Self {
            weight: one.slot.whole_weight(),
            mixed: mix(key ^ one.slot.name_hash) >> 11,
        }
    }

    /// Among members of one weight, as most are, no logarithm is needed.
    fn is_higher_than(self, other: Self) -> bool {
        if self.weight == other.weight {
            self.mixed > other.mixed
        } else {
            self.number() > other.number()
        }
    }

    fn number(self) -> f64 {
        // From 0 to 1, never either.
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let part = (self.mixed as f64 + 0.5) / (1u64 << 53) as f64;
        -f64::from(self.weight) / part.ln()
    }
}

/// Spreads what FNV leaves close together: the last step of `MurmurHash3`.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for text in ["path", "client", "key", "header:x-user", "cookie:cart"] {
            assert_eq!(text.parse::<HashBy>().unwrap().to_string(), text);
        }
        for text in ["", "header", "header:", "header:a b", "cookie:", "lottery"] {
            let error = text.parse::<HashBy>().unwrap_err();
            let text = format!("\"hash:{text}\" is no balancing method");
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    }

    /// As anybody has it: web servers of other versions choose the same members.
    #[test]
    fn the_last_step_is_that_of_murmur_hash() {
        for (hash, mixed) in [
            (0, 0),
            (1, 0xb456_bcfc_34c2_cb2c),
            (2, 0x3abf_2a20_6506_83e7),
            (0xdead_beef, 0xd24b_d59f_862a_1dac),
        ] {
            assert_eq!(mix(hash), mixed);
        }
    }
}
