//! mod_jk's `uriworkermap.properties`: which path goes to which worker.

use super::workers::without_comment;
use super::{Place, Text};

/// One line: `/path/*=worker;option=value`.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// With its sign: `!` for what is left out, `-` for what is switched off.
    pub(crate) pattern: String,
    /// The part before `|`: `/app|/*` stands for `/app` and `/app/*`, which is the pattern.
    pub(crate) base: Option<String>,
    pub(crate) worker: String,
    /// Behind the first semicolon.
    pub(crate) options: String,
    pub(crate) place: Place,
}

/// The rules in their order; a line that is none comes as its text.
pub(crate) fn rules(map: &Text) -> impl Iterator<Item = Result<Rule, (Place, String)>> + '_ {
    map.lines().filter_map(|(number, line)| {
        let line = without_comment(line);
        if line.is_empty() {
            return None;
        }
        let place = map.place(number);
        let Some((patterns, worker)) = line.split_once('=') else {
            return Some(Err((place, line)));
        };
        let (worker, options) = worker.split_once(';').unwrap_or((worker, ""));
        let (pattern, base) = self::patterns(patterns.trim());
        Some(Ok(Rule {
            pattern,
            base,
            worker: worker.trim().to_owned(),
            options: options.trim().to_owned(),
            place,
        }))
    })
}

/// What a pattern stands for: `/app|/*` for `/app/*`, and for `/app` beside it.
pub(crate) fn patterns(written: &str) -> (String, Option<String>) {
    match written.split_once('|') {
        Some((base, rest)) => (format!("{base}{rest}"), Some(base.to_owned())),
        None => (written.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_may_stand_behind_a_rule() {
        let text = Text::new("u", "/a/*=w # all\n!/b/*=*#\n # no\n\n/c\\#d=w;x=1 # y\n");
        let rules: Vec<_> = rules(&text).map(Result::unwrap).collect();
        let shown = |rule: &Rule| format!("{}={};{}", rule.pattern, rule.worker, rule.options);
        let shown: Vec<_> = rules.iter().map(shown).collect();
        assert_eq!(shown, ["/a/*=w;", "!/b/*=*;", "/c#d=w;x=1"]);
    }
}
