//! The packet size of the container, which AJP does not negotiate.

use super::report::{Report, Verdict};
use super::{ExplainArgs, verdict};
use crate::exit::Failure;
use crate::probe::{Answer, HeadSize, Question, head_size};
use ajp::Secret;
use ajp::wire::PacketSize;

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
        let found = head_size(question, &facts, secret, size).await;
        let how = match found {
            HeadSize::Whole => "taken",
            HeadSize::UpTo(_) => "not taken",
        };
        report.step("size", format!("a head of {} bytes is {how}", size.bytes()));
        Ok(match found {
            HeadSize::Whole => None,
            HeadSize::UpTo(good) => Some(verdict::size(good, size)),
        })
    }
}
