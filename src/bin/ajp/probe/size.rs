//! The packet size of the container, which AJP does not negotiate.

use super::Question;
use ajp::Secret;
use ajp::client::RequestFacts;
use ajp::wire::PacketSize;

/// Sizes are told in multiples of this, as web servers round them.
const STEP: u32 = 1024;

/// Which heads a container takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadSize {
    /// Of this packet size too.
    Whole,
    /// Of so many bytes at most, in steps of 1024; 0 when that is less than any packet size.
    UpTo(u32),
}

/// Sends a head of exactly the packet size, and if that fails finds out which size the container
/// takes.
pub(crate) async fn head_size(
    question: &Question<'_>,
    facts: &RequestFacts,
    secret: Option<&Secret>,
    size: PacketSize,
) -> HeadSize {
    if taken(question, facts, secret, size).await {
        return HeadSize::Whole;
    }
    let mut good: u32 = 0;
    let mut bad = u32::try_from(size.bytes()).unwrap_or(u32::MAX);
    while bad.saturating_sub(good) > STEP {
        let middle = good.midpoint(bad).next_multiple_of(STEP);
        let middle = if middle >= bad {
            bad.saturating_sub(STEP)
        } else {
            middle
        };
        let Some(tried) = PacketSize::new(middle) else {
            break;
        };
        if taken(question, facts, secret, tried).await {
            good = middle;
        } else {
            bad = middle;
        }
    }
    HeadSize::UpTo(good)
}

/// Whether a head of this size is answered as one of the smallest size.
async fn taken(
    question: &Question<'_>,
    facts: &RequestFacts,
    secret: Option<&Secret>,
    size: PacketSize,
) -> bool {
    let padding = question.padding(facts, secret, size);
    let Ok(Some(padding)) = padding else {
        return true;
    };
    let answer = question.ask(facts.clone(), secret, padding).await;
    // Containers refuse a packet that is too long with a status of their own and close, or
    // just close.
    answer.is_ok_and(|answer| !answer.closes)
}
