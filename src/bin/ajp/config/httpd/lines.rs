//! Lines of httpd: continuations, quotes, comments, `Define`.

use crate::config::{Place, Text};
use std::collections::BTreeMap;

/// One line of a configuration: a directive, or the beginning (`<name`) or end (`</name`) of a
/// section.
#[derive(Debug, Clone)]
pub(crate) struct Directive {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) place: Place,
}

/// `Define`d names and their values.
pub(crate) type Defined = BTreeMap<String, String>;

/// Lines with continuations joined, comments left out.
pub(crate) fn directives(file: &Text, defined: &mut Defined) -> Vec<Directive> {
    let mut all = Vec::new();
    for mut directive in raw(file) {
        directive.name = expanded(&directive.name, defined);
        for arg in &mut directive.args {
            *arg = expanded(arg, defined);
        }
        if directive.name.eq_ignore_ascii_case("define") {
            define(directive.args, defined);
            continue;
        }
        all.push(directive);
    }
    all
}

/// What a `Define` line defines.
pub(crate) fn define(args: Vec<String>, defined: &mut Defined) {
    let mut args = args.into_iter();
    if let Some(name) = args.next() {
        defined.insert(name, args.next().unwrap_or_default());
    }
}

/// The directives as they are written, nothing replaced.
pub(crate) fn raw(file: &Text) -> Vec<Directive> {
    let mut all = Vec::new();
    let mut joined = String::new();
    let mut start = 0;
    for (number, line) in file.lines() {
        if joined.is_empty() {
            start = number;
        }
        if let Some(line) = line.strip_suffix('\\') {
            joined.push_str(line);
            continue;
        }
        joined.push_str(line);
        let text = std::mem::take(&mut joined);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let text = match text.strip_prefix('<') {
            Some(section) => format!("<{}", section.trim_end().trim_end_matches('>')),
            None => text.to_owned(),
        };
        let mut args = words(&text);
        if args.is_empty() {
            continue;
        }
        let name = args.remove(0);
        all.push(Directive {
            name,
            args,
            place: file.place(start),
        });
    }
    all
}

/// With `${name}` replaced where it is known.
pub(crate) fn expanded(text: &str, defined: &Defined) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let known = after
            .split_once('}')
            .and_then(|(name, later)| Some((defined.get(name)?, later)));
        if let Some((value, later)) = known {
            out.push_str(value);
            rest = later;
        } else {
            out.push_str("${");
            rest = after;
        }
    }
    out + rest
}

/// Words, and texts in quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) if c == '\\' => {
                if let Some(c) = chars.next() {
                    word.get_or_insert_default().push(c);
                }
            }
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
