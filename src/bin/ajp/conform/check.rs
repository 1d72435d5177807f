//! What a check is, and what came of it.

use serde::Serialize;

/// How a peer does what a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As the rule says.
    Holds,
    /// In another way that nobody is harmed by.
    Differs,
    /// It could not be found out here.
    Skipped,
    /// Not as the rule says: requests or answers fail or are damaged.
    Wrong,
    /// In a way that lets requests be smuggled, or anybody in.
    Dangerous,
}

impl Verdict {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Differs => "differs harmlessly",
            Self::Skipped => "skipped",
            Self::Wrong => "wrong",
            Self::Dangerous => "dangerous",
        }
    }
}

/// A rule that a peer is held against.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Check {
    /// `C` for containers, `F` for web servers, and a number.
    pub(super) id: &'static str,
    /// In kebab case.
    pub(super) name: &'static str,
    /// What must be so.
    pub(super) rule: &'static str,
    /// The section of the protocol chapters.
    pub(super) section: &'static str,
}

/// What came of a check.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    #[serde(flatten)]
    pub(super) check: Check,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) seen: String,
}

/// A verdict and what it rests on.
pub(super) type Evidence = (Verdict, String);

/// A step of a check. `Err` is a verdict too: that of a step that went otherwise, behind which
/// nothing more can be seen.
pub(super) type Step<T = Evidence> = Result<T, Evidence>;

pub(super) fn holds(seen: impl Into<String>) -> Evidence {
    (Verdict::Holds, seen.into())
}

pub(super) fn differs(seen: impl Into<String>) -> Evidence {
    (Verdict::Differs, seen.into())
}

pub(super) fn wrong(seen: impl Into<String>) -> Evidence {
    (Verdict::Wrong, seen.into())
}

pub(super) fn dangerous(seen: impl Into<String>) -> Evidence {
    (Verdict::Dangerous, seen.into())
}

pub(super) fn skipped(seen: impl Into<String>) -> Evidence {
    (Verdict::Skipped, seen.into())
}

/// The checks of one kind of peer, in their order: `CHECKS` lists them, and `run` does those that
/// are wanted. `between` is done between two checks.
macro_rules! checks {
    (
        $peer:ident: $kind:ty, between $between:block
        $($id:literal $name:literal $section:literal $rule:literal => $steps:expr;)*
    ) => {
        pub(super) const CHECKS: &[$crate::conform::check::Check] = &[
            $($crate::conform::check::Check {
                id: $id,
                name: $name,
                rule: $rule,
                section: $section,
            }),*
        ];

        pub(super) async fn run(
            $peer: &mut $kind,
            wanted: &[&$crate::conform::check::Check],
        ) -> Vec<$crate::conform::check::Outcome> {
            let mut outcomes = Vec::new();
            for check in wanted {
                if !outcomes.is_empty() $between
                let step = match check.id {
                    $($id => $steps.await,)*
                    _ => continue,
                };
                let (verdict, seen) = match step {
                    Ok(seen) | Err(seen) => seen,
                };
                outcomes.push($crate::conform::check::Outcome {
                    check: **check,
                    verdict,
                    seen,
                });
            }
            outcomes
        }
    };
}
pub(super) use checks;
