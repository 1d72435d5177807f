//! The packet size of the container, which AJP does not negotiate.

use super::ask::{Answer, Question};
use super::report::{Report, Verdict};
use super::{ExplainArgs, verdict};
use crate::exit::Failure;
use ajp::Secret;
use ajp::client::RequestFacts;
use ajp::wire::PacketSize;

/// Sizes are told in multiples of this, as web servers round them.
const STEP: u32 = 1024;

/// Whether the first answer or its request already tell of different sizes.
pub(super) fn of_answer(answer: Answer, size: PacketSize) -> Option<Verdict> {
    if answer.head > size.bytes() as u64 {
        return Some(verdict::head_too_long(answer.head, size));
    }
    // Some containers count the size without the header.
    let accepted = size.max_accepted_payload().saturating_add(4) as u64;
    (answer.longest > accepted).then(|| verdict::answer_too_long(answer.longest, size))
}

impl ExplainArgs {
    /// Sends a head of exactly the packet size, and if that fails finds out which size the
    /// container takes.
    pub(super) async fn size(
        &self,
        report: &mut Report,
        question: &Question<'_>,
        secret: Option<&Secret>,
    ) -> Result<Option<Verdict>, Failure> {
        let facts = self.facts.facts()?;
        let size = self.packet_size;
        if taken(question, &facts, secret, size).await? {
            report.step("size", format!("a head of {} bytes is taken", size.bytes()));
            return Ok(None);
        }
        report.step(
            "size",
            format!("a head of {} bytes is not taken", size.bytes()),
        );
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
            if taken(question, &facts, secret, tried).await? {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Ok(Some(verdict::size(good, size)))
    }
}

/// Whether a head of this size is answered as one of the smallest size.
async fn taken(
    question: &Question<'_>,
    facts: &RequestFacts,
    secret: Option<&Secret>,
    size: PacketSize,
) -> Result<bool, Failure> {
    let padding = question.padding(facts, secret, size);
    let Ok(Some(padding)) = padding else {
        return Ok(true);
    };
    let answer = question.ask(facts.clone(), secret, padding).await;
    // Containers refuse a packet that is too long with a status of their own and close, or
    // just close.
    Ok(answer.is_ok_and(|answer| !answer.closes))
}
