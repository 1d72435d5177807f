//! Lines of httpd: continuations, quotes, comments, `Define`.

use crate::import::Text;
use std::collections::BTreeMap;

pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) place: String,
}

/// `Define`d names and their values.
pub(super) type Defined = BTreeMap<String, String>;

/// Lines with continuations joined, comments left out.
pub(super) fn directives(file: &Text, defined: &mut Defined) -> Vec<Directive> {
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
        let mut args = words(&expanded(&text, defined));
        if args.is_empty() {
            continue;
        }
        let name = args.remove(0);
        if name.eq_ignore_ascii_case("define") {
            let mut args = args.into_iter();
            if let Some(name) = args.next() {
                defined.insert(name, args.next().unwrap_or_default());
            }
            continue;
        }
        all.push(Directive {
            name,
            args,
            place: file.place(start),
        });
    }
    all
}

/// With `${name}` replaced where it is known.
fn expanded(text: &str, defined: &Defined) -> String {
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
