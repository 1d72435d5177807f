//! Bytes of a peer as one line of printable text, with the secrets in them left out.
//!
//! A value is a secret by the name it carries. Where the format gives no names (paths,
//! queries, header values, bodies) `name=value` and `"name": "value"` are looked for; that
//! is a best effort, the rest is not. Body data has no form at all, so there everything is
//! left out that looks like an identifier made by a machine.

use std::fmt;
use std::ops::Range;

/// A value is a secret when its name contains one of these, in any letter case.
const SECRET_WORDS: [&[u8]; 13] = [
    b"authorization",
    b"cookie",
    b"secret",
    b"password",
    b"passwd",
    b"token",
    b"sessionid",
    b"session-id",
    b"session_id",
    b"ssl_session",
    b"api-key",
    b"api_key",
    b"apikey",
];

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretDisplay {
    Hidden,
    Shown,
}

/// Whether the value of a header, attribute or parameter of this name is a secret.
pub(super) fn is_secret_name(name: &[u8]) -> bool {
    (0..name.len()).any(|at| {
        let rest = name.get(at..).unwrap_or_default();
        // Few letters begin one of the words, so that most places need one look.
        let may_begin = matches!(
            rest,
            [
                b'a' | b'c' | b's' | b'p' | b't' | b'A' | b'C' | b'S' | b'P' | b'T',
                ..
            ]
        );
        may_begin && SECRET_WORDS.iter().any(|word| begins_with(rest, word))
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

fn begins_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Stands in place of a secret.
pub(super) struct Redacted(pub(super) usize);

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0)
    }
}

/// A string of a packet, on one line. Quotes stay as they are, a backslash is doubled.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    secrets: SecretDisplay,
    /// Most bytes to show.
    limit: usize,
    form: Form,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8], secrets: SecretDisplay) -> Self {
        Self {
            bytes,
            secrets,
            limit: usize::MAX,
            form: Form::Text,
        }
    }

    pub(super) fn body(data: &'a [u8], secrets: SecretDisplay) -> Self {
        Self {
            form: Form::Body,
            ..Self::new(data, secrets)
        }
    }

    pub(super) fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.limit.min(self.bytes.len());
        let mut at = 0;
        if self.secrets == SecretDisplay::Hidden {
            for secret in
                hidden_parts(self.bytes, self.form).take_while(|secret| secret.start < end)
            {
                escape(f, self.bytes.get(at..secret.start).unwrap_or_default())?;
                Redacted(secret.len()).fmt(f)?;
                at = secret.end;
            }
        }
        escape(f, self.bytes.get(at..end).unwrap_or_default())?;
        match self.bytes.len().saturating_sub(end.max(at)) {
            0 => Ok(()),
            more => write!(f, "... ({more} bytes more)"),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    // Printable text is written in one piece; each other byte is escaped by itself.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    let mut rest = bytes;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| !is_plain(byte));
        let (run, after) = rest
            .split_at_checked(plain.unwrap_or(rest.len()))
            .unwrap_or((rest, &[]));
        f.write_str(&String::from_utf8_lossy(run))?;
        let Some((byte, after)) = after.split_first() else {
            break;
        };
        write!(f, "{}", byte.escape_ascii())?;
        rest = after;
    }
    Ok(())
}

/// What a text is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Body,
}

/// The secrets in a text, in order.
pub(super) fn hidden_parts(text: &[u8], form: Form) -> impl Iterator<Item = Range<usize>> {
    let mut named = NamedParts { text, at: 0 }.peekable();
    let mut at = 0;
    std::iter::from_fn(move || {
        let next = named.peek().map_or(text.len(), |part| part.start);
        let identifier = match form {
            Form::Text => None,
            Form::Body => identifier(text.get(at..next).unwrap_or_default()),
        };
        let part = match identifier {
            Some(part) => part.start + at..part.end + at,
            None => named.next()?,
        };
        at = part.end;
        Some(part)
    })
}

/// The first long word with digits and letters in it, such as a session id or a UUID.
fn identifier(text: &[u8]) -> Option<Range<usize>> {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"-_+".contains(b);
    let mut end = 0usize;
    text.split(|b| !is_part(b)).find_map(|word| {
        let start = end;
        end = start + word.len() + 1;
        let is_one = word.len() >= 16
            && word.iter().any(u8::is_ascii_digit)
            && word.iter().any(u8::is_ascii_alphabetic);
        is_one.then(|| start..start + word.len())
    })
}

/// The values in running text that go by a secret name, in order.
struct NamedParts<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for NamedParts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let found = rest
                .iter()
                .position(|b| matches!(b, b'=' | b':' | b',' | b'%'))?;
            let at = self.at + found;
            let (before, rest) = self.text.split_at_checked(at)?;
            let (sign, len) = match rest {
                [b'%', b'3', b'd' | b'D', ..] => (b'=', 3),
                [sign, ..] => (*sign, 1),
                [] => return None,
            };
            self.at = at + len;
            let value = self.text.get(self.at..).unwrap_or_default();
            let name = match sign {
                b'=' | b':' => name_at_end(before),
                // ["name","value"]
                b',' if trim_start(value).first() == Some(&b'"') && before.ends_with(b"\"") => {
                    name_at_end(before)
                }
                _ => continue,
            };
            if !is_secret_name(name) {
                continue;
            }
            let (skip, len) = value_at_start(value, sign, contains(name, b"session"));
            let start = self.at + skip;
            self.at = start + len;
            if len > 0 {
                return Some(start..self.at);
            }
        }
    }
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// The name, quoted or not, that ends where a separator stands.
fn name_at_end(before: &[u8]) -> &[u8] {
    let before = before.trim_ascii_end();
    let before = match before {
        [name @ .., b'"' | b'\''] => name.strip_suffix(b"\\").unwrap_or(name),
        _ => before,
    };
    let is_part = |b: &u8| !b.is_ascii_control() && !b" &?;#/=:,\"'<>{}()|\\".contains(b);
    let len = before.iter().rev().take_while(|b| is_part(b)).count();
    before.get(before.len() - len..).unwrap_or_default()
}

/// Where the value begins behind a separator, and how long it is. Rather too long than too
/// short.
fn value_at_start(text: &[u8], sign: u8, is_session: bool) -> (usize, usize) {
    let value = trim_start(text);
    let space = text.len() - value.len();
    let quote = match value {
        [b'\\', b'"', ..] => 2,
        [b'"', ..] => 1,
        _ => 0,
    };
    let (skip, value) = (space + quote, value.get(quote..).unwrap_or_default());
    let ends = |b: u8| match sign {
        _ if quote > 0 => b == b'"',
        b':' => b.is_ascii_control() || b"\"<".contains(&b),
        _ if is_session => b.is_ascii_control() || b" &\"'<>/;?#,)".contains(&b),
        _ => b.is_ascii_control() || b"&\"<>".contains(&b),
    };
    let mut escaped = false;
    let len = value
        .iter()
        .take_while(|&&b| {
            let end = ends(b) && !(escaped && quote == 1);
            escaped = b == b'\\' && !escaped;
            !end
        })
        .count();
    (skip, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Text::new(text.as_bytes(), SecretDisplay::Hidden).to_string()
    }

    #[test]
    fn values_in_running_text_go_by_their_name() {
        for (text, expected) in [
            (
                "/a;jsessionid=0a.b/c?d",
                "/a;jsessionid=[redacted, 4 bytes]/c?d",
            ),
            (
                "/a;JSESSIONID=x;y=z",
                "/a;JSESSIONID=[redacted, 1 bytes];y=z",
            ),
            (
                "a=b&j_password=p,;w d&c=d",
                "a=b&j_password=[redacted, 6 bytes]&c=d",
            ),
            (
                "next=%2F%3Ftoken%3Dxyz&c=d",
                "next=%2F%3Ftoken%3D[redacted, 3 bytes]&c=d",
            ),
            (
                r#"{"password": "a\"b", "c": 1}"#,
                r#"{"password": "[redacted, 4 bytes]", "c": 1}"#,
            ),
            (
                r#"[["authorization","Basic x"],["a","b"]]"#,
                r#"[["authorization","[redacted, 7 bytes]"],["a","b"]]"#,
            ),
            (
                "Authorization: Basic abc\r\nA: b",
                "Authorization: [redacted, 9 bytes]\\r\\nA: b",
            ),
            ("token=", "token="),
            ("token=&a=b", "token=&a=b"),
            (
                r#"<a password="a&b<c>d" e="f">"#,
                r#"<a password="[redacted, 7 bytes]" e="f">"#,
            ),
            (r#"a cookie,"x""#, r#"a cookie,"x""#),
            (
                "Authorization: Basic a&b\r\n",
                "Authorization: [redacted, 9 bytes]\\r\\n",
            ),
            // JSON as a string in JSON.
            (
                r#"{\"password\":\"a b\",\"c\"}"#,
                r#"{\\"password\\":\\"[redacted, 4 bytes]",\\"c\\"}"#,
            ),
            (r#""cookie",x"#, r#""cookie",x"#),
            ("/secret/path?a=b:c,d%20e", "/secret/path?a=b:c,d%20e"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn in_a_body_long_identifiers_are_no_text() {
        let body = br#"{"id": "64F3EBFEBD1AE4D2.jvm1", "password": "x", "n": 0123456789abcdef}"#;
        assert_eq!(
            Text::body(body, SecretDisplay::Hidden).to_string(),
            r#"{"id": "[redacted, 16 bytes].jvm1", "password": "[redacted, 1 bytes]", "n": [redacted, 16 bytes]}"#
        );
        assert!(
            Text::new(body, SecretDisplay::Hidden)
                .to_string()
                .contains("64F3")
        );
    }

    #[test]
    fn a_limit_never_shows_a_part_of_a_secret() {
        let text = b"ab;jsessionid=QRSTUVWXYZ;cd";
        for limit in 0..=text.len() {
            let shown = Text::new(text, SecretDisplay::Hidden)
                .limit(limit)
                .to_string();
            assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{shown}");
        }
        let before = Text::new(text, SecretDisplay::Hidden).limit(14);
        assert_eq!(before.to_string(), "ab;jsessionid=... (13 bytes more)");
        let cut = Text::new(b"abcdef", SecretDisplay::Hidden)
            .limit(4)
            .to_string();
        assert_eq!(cut, "abcd... (2 bytes more)");
    }

    #[test]
    fn everything_fits_on_one_line() {
        let all: Vec<u8> = (0..=255).collect();
        let shown = Text::new(&all, SecretDisplay::Shown).to_string();
        assert!(shown.bytes().all(|b| (0x20..0x7f).contains(&b)));
        assert!(shown.contains("\\n") && shown.contains("\\\\") && shown.contains("\\xff"));
    }
}
