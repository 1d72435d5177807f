//! What was found out, for readers.

use crate::exit::Exit;
use crate::ui;
use serde_json::json;
use std::fmt::Write;

/// The steps in their order, and remarks that are no failure.
#[derive(Default)]
pub(super) struct Report {
    steps: Vec<(&'static str, String)>,
    remarks: Vec<String>,
}

/// What it comes to.
pub(super) struct Verdict {
    pub(super) exit: Exit,
    pub(super) what: String,
    /// What it is known from.
    pub(super) why: Vec<String>,
    /// What to do about it.
    pub(super) todo: Vec<String>,
}

impl Verdict {
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            why: Vec::new(),
            todo: Vec::new(),
        }
    }

    pub(super) fn why(mut self, text: impl Into<String>) -> Self {
        self.why.push(text.into());
        self
    }

    pub(super) fn todo(mut self, text: impl Into<String>) -> Self {
        self.todo.push(text.into());
        self
    }
}

impl Report {
    pub(super) fn step(&mut self, name: &'static str, text: impl Into<String>) {
        self.steps.push((name, text.into()));
    }

    pub(super) fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    pub(super) fn json(&self, target: &str, verdict: &Verdict) -> String {
        let steps = self.steps.iter();
        let steps = steps.map(|(name, what)| json!({ "step": name, "seen": what }));
        let value = json!({
            "target": target,
            "steps": steps.collect::<Vec<_>>(),
            "verdict": verdict.what,
            "exit": verdict.exit as u8,
            "why": verdict.why,
            "do": verdict.todo,
            "notes": self.remarks,
        });
        format!("{value:#}\n")
    }

    pub(super) fn text(&self, target: &str, verdict: &Verdict) -> String {
        let mut text = format!("{target}\n");
        for (name, what) in &self.steps {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {name:<11} {what}");
        }
        let what = format!("=> {}", verdict.what);
        let what = if verdict.exit == Exit::Done {
            ui::good(&what)
        } else {
            ui::bad(&what)
        };
        let _ = writeln!(text, "{what}");
        for (name, lines) in [
            ("why", &verdict.why),
            ("do", &verdict.todo),
            ("note", &self.remarks),
        ] {
            for line in lines {
                let _ = writeln!(text, "  {name:<11} {line}");
            }
        }
        text
    }
}
