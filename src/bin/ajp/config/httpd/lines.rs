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
pub(crate) type Definitions = BTreeMap<String, String>;

/// What a `Define` line defines.
pub(crate) fn define(args: Vec<String>, defined: &mut Definitions) {
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
            Some(section) => {
                let inside = section.rsplit_once('>');
                format!("<{}", inside.map_or(section, |(inside, _)| inside))
            }
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

/// How the names of httpd's directives begin, in lower case: those of its core, and of the modules
/// that are often there.
const NAMES: &[&str] = &[
    "accept",
    "action",
    "add",
    "alias",
    "allow",
    "anonymous",
    "auth",
    "balancer",
    "browsermatch",
    "cache",
    "cgi",
    "charset",
    "coredump",
    "custom",
    "dav",
    "default",
    "define",
    "deflate",
    "deny",
    "directory",
    "document",
    "else",
    "enable",
    "env",
    "error",
    "ext",
    "files",
    "force",
    "global",
    "graceful",
    "group",
    "h2",
    "header",
    "hostname",
    "http",
    "if",
    "include",
    "index",
    "jk",
    "keepalive",
    "language",
    "ldap",
    "limit",
    "listen",
    "loadfile",
    "loadmodule",
    "location",
    "log",
    "macro",
    "max",
    "mime",
    "min",
    "modsec",
    "mutex",
    "namevirtualhost",
    "options",
    "order",
    "passenv",
    "pidfile",
    "protocol",
    "proxy",
    "qualify",
    "read",
    "receive",
    "redirect",
    "remoteip",
    "remove",
    "request",
    "require",
    "reqtimeout",
    "rewrite",
    "satisfy",
    "script",
    "sec",
    "send",
    "server",
    "session",
    "set",
    "ssl",
    "start",
    "substitute",
    "thread",
    "timeout",
    "trace",
    "type",
    "undefine",
    "unset",
    "use",
    "virtual",
];

/// Whether a line can be one of httpd. Lines of nginx have names that httpd knows, too, and end
/// with what those of httpd do not.
fn is_known(directive: &Directive) -> bool {
    let name = directive.name.trim_start_matches('<').to_ascii_lowercase();
    let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric());
    let last = directive.args.last().unwrap_or(&directive.name);
    let begins = NAMES.iter().any(|known| name.starts_with(known));
    is_word && begins && !last.ends_with([';', '{'])
}

/// Whether there is anything in a file that httpd could understand. One that says nothing, but in
/// comments, is understood.
pub(crate) fn is_httpd(file: &Text) -> bool {
    let directives = raw(file);
    let mut lines = file.lines();
    if directives.is_empty() {
        lines.any(|(_, line)| line.trim_start().starts_with('#'))
    } else {
        directives.iter().any(is_known)
    }
}

/// Longer than anything that a line has. Values that are made of values could have any length.
const LONGEST_EXPANDED: usize = 64 * 1024;

/// With `${name}` replaced where it is known, as long as the whole is no longer than 64 KiB.
pub(crate) fn expanded(text: &str, defined: &Definitions) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let known = after
            .split_once('}')
            .and_then(|(name, later)| Some((defined.get(name)?, later)))
            .filter(|(value, _)| out.len().saturating_add(value.len()) <= LONGEST_EXPANDED);
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

/// The words of a line. `RewriteRule` and `RewriteCond` have a way of their own to take them.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let is_rewrite = words.first().is_some_and(|name| {
            ["rewriterule", "rewritecond"].contains(&&*name.to_ascii_lowercase())
        });
        let (word, after) = if is_rewrite {
            rewrite_word(rest)
        } else {
            plain_word(rest)
        };
        words.push(word);
        rest = after.trim_start_matches(is_blank);
    }
    words
}

/// What C's `isspace` takes for a blank.
fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// The first word and what follows it, as httpd's `ap_getword_conf` reads it: a quote opens a
/// text only where a word begins, and a backslash is taken away only before another one and
/// before the quote that is open. `"^/a\d"` keeps its backslash.
fn plain_word(text: &str) -> (String, &str) {
    let (quote, body) = opened(text);
    let mut word = String::new();
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if quote.map_or(is_blank(c), |open| c == open) {
            break;
        }
        let next = chars.clone().next();
        if let Some(next) = next.filter(|next| *next == '\\' || Some(*next) == quote) {
            if c == '\\' {
                chars.next();
                word.push(next);
                continue;
            }
        }
        word.push(c);
    }
    (word, chars.as_str())
}

/// The same as `mod_rewrite` reads it: nothing is taken away, and a blank behind a backslash
/// belongs to the word.
fn rewrite_word(text: &str) -> (String, &str) {
    let (quote, body) = opened(text);
    let mut word = String::new();
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if quote.map_or(is_blank(c), |open| c == open) {
            break;
        }
        word.push(c);
        if c == '\\' && chars.clone().next().is_some_and(is_blank) {
            word.extend(chars.next());
        }
    }
    (word, chars.as_str())
}

/// The quote that a word begins with, and the word behind it.
fn opened(text: &str) -> (Option<char>, &str) {
    match text.strip_prefix(['"', '\'']) {
        Some(body) => (text.chars().next(), body),
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was given to httpd 2.4, in `LocationMatch` or `RewriteRule`.
    #[test]
    fn words_are_taken_as_httpd_takes_them() {
        for (line, expected) in [
            (r#"a "b c" d"#, &["a", "b c", "d"][..]),
            (r#"LocationMatch "^/a\d+x""#, &["LocationMatch", r"^/a\d+x"]),
            (
                r#"LocationMatch "^/b\\d+x""#,
                &["LocationMatch", r"^/b\d+x"],
            ),
            (r"LocationMatch ^/c\\d+x", &["LocationMatch", r"^/c\d+x"]),
            (r"LocationMatch ^/d\d+x", &["LocationMatch", r"^/d\d+x"]),
            (r#"a "^/e(a|\"b)""#, &["a", r#"^/e(a|"b)"#]),
            (r#"a '^/f\w\'\"x'"#, &["a", r#"^/f\w'\"x"#]),
            (
                r#"RewriteRule "^/g\d+" "-" [F]"#,
                &["RewriteRule", r"^/g\d+", "-", "[F]"],
            ),
            (
                r#"RewriteRule "^/h\\d" -"#,
                &["RewriteRule", r"^/h\\d", "-"],
            ),
            (
                r"RewriteRule ^/i\ j - [F]",
                &["RewriteRule", r"^/i\ j", "-", "[F]"],
            ),
            (r#"a b"c d"e"#, &["a", "b\"c", "d\"e"]),
            (r#"a "b"c"#, &["a", "b", "c"]),
            (r#"a "" ''"#, &["a", "", ""]),
            (r#"a "b"#, &["a", "b"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn sections_end_at_their_last_bracket() {
        let text = Text::new("a", "<Location /a> # b\n<If \"%{X} > 1\">\n</If>\n");
        let all = raw(&text);
        let shown: Vec<_> = all
            .iter()
            .map(|one| (&*one.name, one.args.join(" ")))
            .collect();
        let expected = [("<Location", "/a"), ("<If", "%{X} > 1"), ("</If", "")];
        assert_eq!(shown, expected.map(|(name, args)| (name, args.to_owned())));
    }
}
