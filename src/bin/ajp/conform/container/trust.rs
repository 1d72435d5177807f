//! Secrets and attributes: whom a container believes what.

use super::Container;
use super::answer::End;
use super::packets::Head;
use crate::conform::check::{Step, dangerous, differs, holds, skipped};

impl Container<'_> {
    pub(super) async fn without_secret(&self) -> Step {
        let answer = self.ask(&Head::get(self.path, None)).await?;
        Ok(match (self.secret, answer.status()) {
            (Some(_), 403) if !answer.is_reusable() => holds(answer.shown()),
            (Some(_), 403) => differs(answer.shown()),
            (Some(_), _) => dangerous(format!("{}: the secret is not asked for", answer.shown())),
            (None, 403) => skipped("it wants a secret and none was given"),
            (None, _) => differs("no secret is wanted: only its network keeps others out"),
        })
    }

    pub(super) async fn wrong_secret(&self) -> Step {
        if self.secret.is_none() {
            return Ok(skipped("no secret was given"));
        }
        let answer = self
            .ask(&Head::get(self.path, Some(b"not-this-one")))
            .await?;
        Ok(match answer.status() {
            403 if !answer.is_reusable() => holds(answer.shown()),
            403 => differs(answer.shown()),
            _ => dangerous(format!("{}: any secret will do", answer.shown())),
        })
    }

    pub(super) async fn two_secrets(&self) -> Step {
        let Some(secret) = self.secret else {
            return Ok(skipped("no secret was given"));
        };
        let one = Head::get(self.path, Some(b"not-this-one")).with_attribute(0x0c, secret);
        let other = Head::get(self.path, Some(secret)).with_attribute(0x0c, b"not-this-one");
        for head in [one, other] {
            let answer = self.ask(&head).await?;
            if !(400..=599).contains(&answer.status()) && answer.end != End::Closed {
                return Ok(dangerous(format!(
                    "{}: one of them is enough",
                    answer.shown()
                )));
            }
        }
        Ok(holds("refused, in either order"))
    }

    pub(super) async fn unknown_attribute(&self) -> Step {
        let answer = self
            .ask(&self.get_head().with_named("ajp.conform", "x"))
            .await?;
        let seen = answer.ends_well()?;
        Ok(match answer.status() {
            403 => holds(seen),
            _ => differs(format!("{seen}: dropped or accepted")),
        })
    }

    pub(super) async fn ghostcat(&self) -> Step {
        let mut found = Vec::new();
        for prefix in ["javax", "jakarta"] {
            let head = self
                .get_head()
                .with_named(&format!("{prefix}.servlet.include.request_uri"), "/")
                .with_named(
                    &format!("{prefix}.servlet.include.path_info"),
                    "/WEB-INF/web.xml",
                )
                .with_named(&format!("{prefix}.servlet.include.servlet_path"), "/");
            let answer = self.ask(&head).await?;
            if String::from_utf8_lossy(&answer.data).contains("<web-app") {
                return Ok(dangerous("WEB-INF/web.xml was served (CVE-2020-1938)"));
            }
            found.push(answer.status());
        }
        Ok(if found.iter().all(|status| *status == 403) {
            holds("403")
        } else {
            differs(format!("status {found:?}, nothing was served"))
        })
    }
}
