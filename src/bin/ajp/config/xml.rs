//! XML files of containers: elements, and attributes with `${...}` replaced.

use super::{Place, Text};
use std::collections::BTreeMap;

/// How deep elements may stand in each other. Containers need six; the parser and what reads its
/// document call themselves for each level.
const DEEPEST: usize = 100;

/// Values of `${name}`.
pub(crate) type Properties = BTreeMap<String, String>;

/// A value of an attribute.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    /// With the properties put in that are known.
    pub(crate) text: String,
    /// Whether all of them were.
    pub(crate) is_known: bool,
    pub(crate) place: Place,
}

/// An element.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) children: Vec<Element>,
    pub(crate) place: Place,
}

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) root: Element,
    /// What is commented out.
    pub(crate) comments: Vec<(Place, String)>,
}

/// A file that cannot be read, and why.
#[derive(Debug)]
pub(crate) enum UnreadableXml {
    /// It is no XML.
    Broken(Place, String),
    /// It may be right: a part of it is in another file, which is not read here.
    Elsewhere(Place, String),
}

impl Document {
    /// Reads a file.
    pub(crate) fn read(text: &Text, properties: &Properties) -> Result<Self, UnreadableXml> {
        if let Some(line) = deeper_than(DEEPEST, &text.text) {
            let error = format!("elements stand in each other more than {DEEPEST} deep");
            return Err(UnreadableXml::Broken(text.place(line), error));
        }
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        };
        let document =
            roxmltree::Document::parse_with_options(&text.text, options).map_err(|error| {
                let place = text.place(usize::try_from(error.pos().row).unwrap_or(1));
                match error {
                    roxmltree::Error::UnknownEntityReference(name, _)
                        if names_files(&text.text) =>
                    {
                        let error = format!("&{name}; stands for what is in another file");
                        UnreadableXml::Elsewhere(place, error)
                    }
                    error => UnreadableXml::Broken(place, error.to_string()),
                }
            })?;
        let at = |offset: usize| {
            let row = document.text_pos_at(offset).row;
            text.place(usize::try_from(row).unwrap_or(1))
        };
        let comments = document
            .descendants()
            .filter(roxmltree::Node::is_comment)
            .map(|node| {
                let text = node.text().unwrap_or_default().to_owned();
                (at(node.range().start), text)
            })
            .collect();
        let root = element(document.root_element(), &at, properties);
        Ok(Self { root, comments })
    }
}

/// Whether entities may be defined by other files: `<!DOCTYPE a SYSTEM "b">`, `<!ENTITY a SYSTEM
/// "b">`.
fn names_files(text: &str) -> bool {
    let declared = text.split_once("<!DOCTYPE").map_or("", |(_, rest)| rest);
    declared.contains("SYSTEM") || declared.contains("PUBLIC")
}

/// The text of a file in UTF-16, which XML may be in (XML 1.0, section 4.3.3 and appendix F).
pub(crate) fn utf16(bytes: &[u8]) -> Option<String> {
    let unit = match bytes {
        [0xff, 0xfe, ..] | [b'<', 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, b'<', ..] => u16::from_be_bytes,
        _ => return None,
    };
    let units = bytes.chunks_exact(2);
    let units = units.map(|pair| {
        unit([pair.first().copied(), pair.last().copied()].map(Option::unwrap_or_default))
    });
    let text = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(text.filter(|c| *c != '\u{feff}').collect())
}

/// The line of the first element that stands in more than this many others. What is no XML is
/// counted somehow, and told by the parser.
fn deeper_than(most: usize, text: &str) -> Option<usize> {
    let (mut depth, mut line) = (0_usize, 1);
    let mut rest = text;
    while let Some((before, tag)) = rest.find('<').map(|start| rest.split_at(start)) {
        line += before.matches('\n').count();
        rest = tag;
        let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        let end = match skipped.iter().find(|(begin, _)| rest.starts_with(begin)) {
            Some((_, end)) => *end,
            None => ">",
        };
        let tag_end = match end {
            ">" => end_of_tag(rest),
            end => rest.find(end).map(|place| place + end.len()),
        };
        let (tag, later) = rest.split_at(tag_end?);
        let begins_at = line;
        line += tag.matches('\n').count();
        rest = later;
        if end != ">" || tag.starts_with("<!") || tag.ends_with("/>") {
            continue;
        }
        if tag.starts_with("</") {
            depth = depth.saturating_sub(1);
            continue;
        }
        depth += 1;
        if depth > most {
            return Some(begins_at);
        }
    }
    None
}

/// How long a tag is, whose values may hold `>`.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    let end = tag.char_indices().find(|(_, c)| {
        match (quote, *c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(*c),
            (None, '>') => return true,
            _ => {}
        }
        false
    });
    end.map(|(place, _)| place + 1)
}

fn element(
    node: roxmltree::Node<'_, '_>,
    at: &impl Fn(usize) -> Place,
    properties: &Properties,
) -> Element {
    let attributes = node.attributes().map(|attribute| {
        let (text, is_known) = expanded(attribute.value(), properties);
        let value = Value {
            text,
            is_known,
            place: at(attribute.range().start),
        };
        (attribute.name().to_owned(), value)
    });
    Element {
        name: node.tag_name().name().to_owned(),
        namespace: node.tag_name().namespace().unwrap_or_default().to_owned(),
        attributes: attributes.collect(),
        children: node
            .children()
            .filter(roxmltree::Node::is_element)
            .map(|child| element(child, at, properties))
            .collect(),
        place: at(node.range().start),
    }
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// Itself and all below it with this name.
    pub(crate) fn all<'a>(&'a self, name: &str) -> Vec<&'a Self> {
        let mut found = Vec::new();
        self.collect(name, &mut found);
        found
    }

    fn collect<'a>(&'a self, name: &str, found: &mut Vec<&'a Self>) {
        if self.name == name {
            found.push(self);
        }
        for child in &self.children {
            child.collect(name, found);
        }
    }
}

/// `${name}`, and with a default `${name:-default}` (Tomcat) or `${name:default}` (WildFly). A
/// default is what holds when the property is not known here, and it is nothing to rely on.
fn expanded(text: &str, properties: &Properties) -> (String, bool) {
    let (mut out, mut is_known) = (String::new(), true);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, later)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let (name, default) = match name.split_once(':') {
            Some((name, default)) => (name, Some(default.strip_prefix('-').unwrap_or(default))),
            None => (name, None),
        };
        match (properties.get(name), default) {
            (Some(value), _) => out.push_str(value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                out.extend(["${", name, "}"]);
                is_known = false;
            }
        }
        rest = later;
    }
    (out + rest, is_known)
}

/// `name=value` lines, such as `catalina.properties`.
pub(crate) fn properties(text: &Text, into: &mut Properties) {
    for (_, line) in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', '!']) {
            continue;
        }
        if let Some((name, value)) = line.split_once(['=', ':']) {
            into.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_may_not_stand_too_deep() {
        let read = |text: &str| {
            let document = Document::read(&Text::new("server.xml", text), &Properties::new());
            document.map_err(|error| match error {
                UnreadableXml::Broken(place, error) => format!("{place}: {error}"),
                UnreadableXml::Elsewhere(place, error) => format!("elsewhere: {place}: {error}"),
            })
        };
        let nested = |depth: usize| {
            let (open, close) = ("<a>\n".repeat(depth), "</a>".repeat(depth));
            format!("<!-- <b><b> --><?p <b>?>\n{open}<c d='>'/><![CDATA[<b>]]>{close}")
        };
        assert!(read(&nested(DEEPEST)).is_ok());
        let error = "server.xml:102: elements stand in each other more than 100 deep";
        assert_eq!(read(&nested(DEEPEST + 1)).unwrap_err(), error);
        // Without a stack that is as large.
        assert_eq!(read(&nested(200_000)).unwrap_err(), error);
        let wide = format!("<a>{}</a>", "<b></b><b/>".repeat(1000));
        assert!(read(&wide).is_ok());
    }

    #[test]
    fn what_a_container_reads_is_not_called_broken() {
        let read = |text: &str| Document::read(&Text::new("server.xml", text), &Properties::new());
        let shared = "<!DOCTYPE Server [<!ENTITY c SYSTEM \"c.xml\">]>\n<Server>\n&c;</Server>";
        let Err(UnreadableXml::Elsewhere(place, why)) = read(shared) else {
            panic!("{:?}", read(shared));
        };
        assert_eq!(
            (place.line, &*why),
            (3, "&c; stands for what is in another file")
        );
        let own = "<!DOCTYPE Server [<!ENTITY c \"8009\">]><Server port=\"&c;\"/>";
        assert_eq!(
            read(own).unwrap().root.attribute("port").unwrap().text,
            "8009"
        );
        assert!(matches!(
            read("<Server>&c;</Server>"),
            Err(UnreadableXml::Broken(..))
        ));
        for (order, with_mark) in [("le", true), ("be", true), ("le", false), ("be", false)] {
            let text = format!(
                "{}<Server>ä𝄞</Server>",
                if with_mark { "\u{feff}" } else { "" }
            );
            let bytes: Vec<u8> = text
                .encode_utf16()
                .flat_map(|unit| match order {
                    "le" => unit.to_le_bytes(),
                    _ => unit.to_be_bytes(),
                })
                .collect();
            assert_eq!(utf16(&bytes).unwrap(), "<Server>ä𝄞</Server>", "{order}");
        }
        assert_eq!(utf16(b"<Server/>"), None);
    }

    #[test]
    fn values_and_their_lines() {
        let text = Text::new(
            "server.xml",
            "<Server>\n<!-- <Connector protocol=\"AJP/1.3\"/> -->\n<Connector\n port=\"${ajp.port}\"\n secret=\"${s}\" address=\"${a:-::1}\"/></Server>",
        );
        let mut known = Properties::new();
        properties(&Text::new("p", "# no\najp.port=8109\n"), &mut known);
        let document = Document::read(&text, &known).unwrap();
        let connector = document.root.all("Connector")[0];
        let value = |name: &str| {
            let value = connector.attribute(name).unwrap();
            (&*value.text, value.is_known, value.place.line)
        };
        assert_eq!(value("port"), ("8109", true, 4));
        assert_eq!(value("secret"), ("${s}", false, 5));
        assert_eq!(value("address"), ("::1", true, 5));
        assert_eq!(document.comments[0].0.to_string(), "server.xml:2");
        let error = Document::read(&Text::new("bad.xml", "<a>\n<b>\n</a>"), &known).unwrap_err();
        let UnreadableXml::Broken(place, _) = error else {
            panic!("{error:?}");
        };
        assert_eq!(place.line, 3);
    }
}
