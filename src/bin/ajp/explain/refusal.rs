//! The three causes of 403: the secret, a request attribute, the application.

use super::report::{Report, Verdict};
use super::{ExplainArgs, shown, verdict};
use crate::exit::{Failure, chain};
use crate::probe::Question;
use ajp::Secret;
use ajp::client::RequestFacts;

/// A name that no container expects.
const UNKNOWN: &str = "ajp_explain_unknown";

impl ExplainArgs {
    /// Why the container itself says 403: the same request without its attributes is refused
    /// too if it is the secret.
    pub(super) async fn refusal(
        &self,
        report: &mut Report,
        question: &Question<'_>,
        secret: Option<&Secret>,
    ) -> Result<Verdict, Failure> {
        let attributes = &self.facts.attributes;
        if attributes.is_empty() {
            return Ok(verdict::secret(secret.is_some(), false));
        }
        let bare = self.facts.facts_without_attributes()?;
        let answer = match question.ask(bare.clone(), secret, 0).await {
            Ok(answer) => answer,
            Err(error) => {
                report.step("without", format!("attributes: {}", chain(&error)));
                return Ok(verdict::no_answer(&error));
            }
        };
        report.step("without", format!("attributes: {}", shown(answer)));
        if answer.is_refusal() {
            return Ok(verdict::secret(secret.is_some(), true));
        }
        let mut refused = Vec::new();
        for attribute in attributes {
            let name = attribute.name.as_str();
            let facts = bare.clone().with_attribute(name, &*attribute.value);
            match question.ask(facts, secret, 0).await {
                Ok(answer) => {
                    report.step("with", format!("{name}: {}", shown(answer)));
                    if answer.is_refusal() {
                        refused.push(name);
                    }
                }
                Err(error) => {
                    report.step("with", format!("{name}: {}", chain(&error)));
                    refused.push(name);
                }
            }
        }
        Ok(verdict::attributes(&refused))
    }

    /// Whether the container looks at the secret and at names of attributes at all.
    pub(super) async fn secret_is_checked(
        &self,
        report: &mut Report,
        question: &Question<'_>,
        secret: Option<&Secret>,
    ) -> Result<(), Failure> {
        let wrong = Secret::new("ajp explain: a wrong secret").ok();
        // Without a secret of ours it was answered: it can only be unknown whether one is
        // looked at when one is sent.
        let answer = question.ask(self.facts.facts()?, wrong.as_ref(), 0).await;
        // flup closes without a word; what was found out before stands all the same.
        let how = match &answer {
            Ok(answer) if answer.is_refusal() => Some("a wrong one is refused".to_owned()),
            Ok(_) => None,
            Err(error) => Some(format!("on a wrong one: {}", chain(error))),
        };
        let is_checked = how.is_some();
        let text = match (how, secret.is_some()) {
            (Some(how), true) => format!("right; {how}"),
            (Some(how), false) => format!("none is demanded; {how}"),
            (None, _) => "not looked at: a wrong one is answered alike".to_owned(),
        };
        report.step("secret", text);
        if !is_checked {
            report.remark(verdict::NO_SECRET);
        }
        let facts = RequestFacts::own_request().with_attribute(UNKNOWN, "1");
        let text = match question.ask(facts, secret, 0).await {
            Ok(answer) if answer.is_refusal() => {
                "those that are not allowed are refused with 403".to_owned()
            }
            Ok(_) => "any name is taken, or dropped without a word".to_owned(),
            Err(error) => format!("those that are not allowed: {}", chain(&error)),
        };
        report.step("attributes", text);
        Ok(())
    }
}
