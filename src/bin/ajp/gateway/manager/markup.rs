//! HTML from templates: what is put into them is escaped, unless it came out of one.

use std::borrow::Cow;
use std::fmt::Write;

/// HTML that is safe to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Markup(String);

/// What is put into a template.
#[derive(Debug)]
pub(crate) enum Slot<'a> {
    Text(Cow<'a, str>),
    Markup(Markup),
}

impl Markup {
    /// Fills the places `{{name}}` of a template. A place without value stays empty.
    pub(crate) fn fill(template: &'static str, slots: &[(&str, Slot<'_>)]) -> Self {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            let slot = slots.iter().find(|(known, _)| *known == name);
            debug_assert!(slot.is_some(), "nothing to fill {name:?} with");
            match slot {
                Some((_, Slot::Text(text))) => escape(text, &mut out),
                Some((_, Slot::Markup(Markup(markup)))) => out.push_str(markup),
                None => {}
            }
            rest = after;
        }
        out.push_str(rest);
        Self(out)
    }

    /// The text.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl FromIterator<Self> for Markup {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        Self(parts.into_iter().map(|Self(part)| part).collect())
    }
}

/// For text and for attribute values in quotes.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // HTML has no place for these.
            c if c.is_control() && c != '\n' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

impl<'a> From<&'a str> for Slot<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Slot<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Markup> for Slot<'_> {
    fn from(markup: Markup) -> Self {
        Self::Markup(markup)
    }
}

macro_rules! numbers {
    ($($kind:ty)*) => {$(
        impl From<$kind> for Slot<'_> {
            fn from(number: $kind) -> Self {
                Self::Text(number.to_string().into())
            }
        }
    )*};
}

numbers!(u16 u32 u64 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_markup_is_not() {
        let inner = Markup::fill("<b>{{x}}</b>", &[("x", "<&\"'\u{1}>".into())]);
        let outer = Markup::fill(
            "<p title=\"{{n}}\">{{inner}}{{inner}}</p>",
            &[("inner", inner.into()), ("n", 5u64.into())],
        );
        let bold = "<b>&lt;&amp;&quot;&#39;\\x01&gt;</b>";
        assert_eq!(
            outer.into_string(),
            format!("<p title=\"5\">{bold}{bold}</p>")
        );
    }

    #[test]
    fn what_is_filled_in_is_no_template() {
        let filled = Markup::fill("{{a}}{{b}}", &[("a", "{{b}}".into()), ("b", "x".into())]);
        assert_eq!(filled.into_string(), "{{b}}x");
    }
}
