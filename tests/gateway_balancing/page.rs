//! The manager's page, read back.

use std::collections::BTreeMap;

/// A tag with its attributes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The text up to the next tag.
    pub(crate) text: String,
}

/// All tags, in their order; every one that is opened must be closed in order.
pub(crate) fn tags(html: &str) -> Vec<Tag> {
    const VOID: [&str; 5] = ["meta", "link", "input", "br", "!DOCTYPE"];
    let mut tags = Vec::new();
    let mut open = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "unescaped: {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{tag}");
            continue;
        }
        let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
        if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
        tags.push(Tag {
            name: name.into(),
            attributes: if name == "!DOCTYPE" {
                BTreeMap::new()
            } else {
                attributes(rest)
            },
            text: unescaped(text),
        });
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    tags
}

fn attributes(mut rest: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return found;
        }
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
            "{name}"
        );
        let mut value = "";
        rest = after;
        if let Some(quoted) = after.strip_prefix("=\"") {
            (value, rest) = quoted.split_once('"').expect("a value ends");
        }
        let before = found.insert(name.to_owned(), unescaped(value));
        assert_eq!(before, None, "{name} twice");
    }
}

fn unescaped(text: &str) -> String {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(
            known.iter().any(|known| text[at..].starts_with(known)),
            "{text}"
        );
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    let text = text.replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&amp;", "&")
}

/// The rows of members by name: each field's value.
pub(crate) fn members(html: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut members = BTreeMap::new();
    let mut current = String::new();
    for tag in tags(html) {
        let attribute = |name: &str| tag.attributes.get(name).cloned();
        if let Some(name) = attribute("data-member") {
            let row = ["state", "flags"].map(|field| {
                (
                    field.to_owned(),
                    attribute(&format!("data-{field}")).unwrap(),
                )
            });
            members.insert(name.clone(), BTreeMap::from(row));
            current = name;
        }
        if let (Some(field), Some(value)) = (attribute("data-field"), attribute("data-value")) {
            members.get_mut(&current).unwrap().insert(field, value);
        }
    }
    members
}

/// The forms: what each sends to where, without the buttons.
pub(crate) fn forms(html: &str) -> Vec<(BTreeMap<String, String>, BTreeMap<String, String>)> {
    let mut forms: Vec<(_, BTreeMap<_, _>)> = Vec::new();
    for tag in tags(html) {
        if tag.name == "form" {
            forms.push((tag.attributes, BTreeMap::new()));
        } else if tag.name == "input" {
            let attribute = |name: &str| tag.attributes.get(name).cloned().unwrap_or_default();
            let (_, fields) = forms.last_mut().expect("an input is in a form");
            fields.insert(attribute("name"), attribute("value"));
        }
    }
    forms
}
