//! Files to a farm: which kind each is, and what it says.
//!
//! - `httpd`: mod_proxy's part of httpd's files.
//! - `jk`: mod_jk's part of them, and its own files.
//! - `tomcat`: `server.xml` and `context.xml`.
//! - `wildfly`: `standalone.xml`.
//! - `gateway`: our gateway's TOML.

mod gateway;
mod httpd;
mod jk;
mod tomcat;
mod wildfly;

use super::farm::{Farm, Front};
use crate::config::httpd::{Item, Tree, is_httpd};
use crate::config::workers::Workers;
use crate::config::xml::{self, Document, Properties, UnreadableXml};
use crate::config::{Place, Text};
use crate::exit::Failure;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is said of a configuration beside its files.
pub(super) struct Sources<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) defines: &'a [String],
    pub(super) properties: &'a [String],
    pub(super) web_servers: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Httpd,
    Workers,
    UriMap,
    Xml,
    Properties,
    Toml,
}

/// Reads all files of a farm.
pub(super) fn farm(sources: &Sources<'_>) -> Result<Farm, Failure> {
    let mut farm = Farm {
        web_servers: sources.web_servers,
        ..Farm::default()
    };
    let mut texts = Vec::new();
    for path in sources.files {
        let bytes = crate::files::read(path).map_err(|error| Failure::file(path, &error))?;
        let name = path.display().to_string();
        // httpd and property files are not read so by their programs.
        let utf16 = xml::utf16(&bytes).filter(|text| text.trim_start().starts_with('<'));
        let (kind, text) = if let Some(utf16) = utf16 {
            (Kind::Xml, Text::new(&name, utf16))
        } else {
            let text = Text::new(&name, String::from_utf8_lossy(&bytes));
            (kind(path, &text.text), text)
        };
        if is_known(kind, &text) {
            texts.push((kind, path, text));
        } else {
            let why = "nothing in it is known here, so nothing was looked at";
            farm.unchecked.push((text.place(1), why.to_owned()));
        }
    }
    let of = |kind| texts.iter().filter(move |(known, ..)| *known == kind);

    let mut properties = Properties::new();
    for (_, path, _) in of(Kind::Xml) {
        // Where Tomcat looks itself.
        let beside = path.with_file_name("catalina.properties");
        if let Ok(text) = Text::read(&beside) {
            xml::properties(&text, &mut properties);
        }
    }
    for (_, _, text) in of(Kind::Properties) {
        xml::properties(text, &mut properties);
    }
    for pair in sources.properties {
        if let Some((name, value)) = pair.split_once('=') {
            properties.insert(name.to_owned(), value.to_owned());
        }
    }

    let httpd: Vec<PathBuf> = of(Kind::Httpd)
        .map(|(_, path, _)| (*path).clone())
        .collect();
    if !httpd.is_empty() {
        let tree = Tree::read(&httpd, sources.defines)?;
        farm.missing.extend(tree.missing.iter().cloned());
        farm.refused.extend(tree.broken.iter().cloned());
        farm.refused.extend(bad_expressions(&tree));
        httpd::read(&tree, &mut farm);
        let base = httpd.first().and_then(|path| path.parent());
        jk::of_httpd(
            &tree,
            base.unwrap_or(Path::new("")),
            &texts_of(&texts, Kind::Workers),
            &mut farm,
        );
        farm.httpd = Some(tree);
    }
    for (_, _, text) in of(Kind::Workers) {
        let circles = Workers::read(text).circles().into_iter();
        farm.refused.extend(
            circles.map(|(place, why)| (place, format!("{why}, and httpd does not start with it"))),
        );
    }
    jk::read(
        &texts_of(&texts, Kind::Workers),
        &texts_of(&texts, Kind::UriMap),
        &mut farm,
    );
    for (_, path, text) in of(Kind::Xml) {
        match Document::read(text, &properties) {
            Ok(document) => match &*document.root.name {
                "Server" => tomcat::server(document, &mut farm),
                "Context" => farm.contexts.push(document.root),
                "server" | "domain" => wildfly::server(document, &mut farm),
                "web-app" => {}
                other => {
                    let text = format!(
                        "<{other}> is no configuration that is known here: server.xml, context.xml or standalone.xml"
                    );
                    farm.broken.push((document.root.place.clone(), text));
                }
            },
            Err(UnreadableXml::Broken(place, why)) => farm.broken.push((place, why)),
            Err(UnreadableXml::Elsewhere(place, why)) => {
                let why = format!("{why}, so nothing of this one was looked at");
                farm.unchecked.push((place, why));
            }
        }
        let _ = path;
    }
    for (_, path, text) in of(Kind::Toml) {
        gateway::read(path, text, &mut farm);
    }
    readable(&mut farm);
    Ok(farm)
}

fn texts_of<'a>(texts: &'a [(Kind, &PathBuf, Text)], kind: Kind) -> Vec<&'a Text> {
    let of = texts.iter().filter(|(known, ..)| *known == kind);
    of.map(|(_, _, text)| text).collect()
}

/// By its name, and by what is in it.
fn kind(path: &Path, text: &str) -> Kind {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let mut lines = text.lines().map(str::trim);
    match extension {
        Some("toml") => Kind::Toml,
        Some("xml") => Kind::Xml,
        _ if text.trim_start().starts_with("<?xml") => Kind::Xml,
        Some("properties") => {
            if lines.any(|line| line.starts_with("worker.")) {
                Kind::Workers
            } else if text
                .lines()
                .map(|line| line.trim_start_matches(['!', '-']))
                .any(|line| line.starts_with('/'))
            {
                Kind::UriMap
            } else {
                Kind::Properties
            }
        }
        _ => Kind::Httpd,
    }
}

/// Whether there is anything in a file that one of its kind could have: a file that has lost its
/// contents, or is another one than was meant, is not a file without faults.
fn is_known(kind: Kind, text: &Text) -> bool {
    match kind {
        Kind::Httpd => is_httpd(text),
        Kind::Properties => text.lines().any(|(_, line)| line.contains(['=', ':', '#'])),
        Kind::Toml => text.text.lines().any(|line| !line.trim().is_empty()),
        Kind::Workers | Kind::UriMap | Kind::Xml => true,
    }
}

/// Secrets in files that everybody can read.
fn readable(farm: &mut Farm) {
    // The gateway's file names files, which have been looked at when they were read.
    let links = farm
        .links
        .iter()
        .filter(|link| link.front != Front::Gateway);
    let of_links = links.filter_map(|link| link.secret.as_ref());
    let of_links = of_links
        .filter(|secret| !secret.value.contains("${"))
        .map(|secret| &secret.place);
    let of_containers = farm
        .ajp_connectors()
        .filter_map(|(_, connector)| connector.secret())
        .filter(|secret| secret.is_known)
        .map(|secret| &secret.place);
    let mut found: Vec<Place> = of_links
        .chain(of_containers)
        .filter(|place| is_readable_by_all(Path::new(&*place.file)))
        .cloned()
        .collect();
    found.append(&mut farm.readable);
    found.sort();
    // Once for each file.
    found.dedup_by(|one, other| one.file == other.file);
    farm.readable = found;
}

#[cfg(unix)]
fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_all(_: &Path) -> bool {
    false
}

/// A time of httpd: a number of this unit, or with a unit of its own.
pub(super) fn time(text: &str, unit: Duration) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let number: u32 = number.parse().ok()?;
    let unit = match suffix {
        "" => unit,
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "mi" | "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return None,
    };
    unit.checked_mul(number)
}

/// A packet size as httpd and mod_jk make it fit: 8192 to 65536, in steps of 1024.
pub(super) fn packet_size(size: u64) -> u64 {
    size.clamp(8192, 65536).next_multiple_of(1024)
}

/// `host`, `host:port` or `[v6]:port`: both, the port as given or 8009.
pub(super) fn authority(text: &str) -> Option<(String, u16)> {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((text.to_owned(), 8009)),
    }
}

/// Regular expressions of `ProxyPassMatch` that cannot be compiled.
fn bad_expressions(tree: &Tree) -> impl Iterator<Item = (Place, String)> + '_ {
    let items = tree
        .named("proxypassmatch")
        .filter(|item| item.args.len() > 1);
    items.filter_map(|item: &Item| {
        let expression = item.arg(0);
        let fault = fault_of(expression)?;
        let why =
            format!("{expression} is no regular expression: {fault}; httpd does not start with it");
        Some((item.place.clone(), why))
    })
}

/// What keeps an expression of Perl's kind from being one, as far as brackets tell.
fn fault_of(expression: &str) -> Option<&'static str> {
    // Within these brackets are only text.
    if ["\\Q", "(?#", "(?x"]
        .iter()
        .any(|special| expression.contains(special))
    {
        return None;
    }
    let mut groups: usize = 0;
    let mut rest = expression.chars();
    while let Some(c) = rest.next() {
        match c {
            // What it escapes is taken either way.
            '\\' if rest.next().is_none() => return Some("it ends with a backslash"),
            '[' => {
                let class = rest.as_str().trim_start_matches('^');
                // A bracket in the first place is itself.
                rest = class.strip_prefix(']').unwrap_or(class).chars();
                loop {
                    match rest.next() {
                        Some('\\') => drop(rest.next()),
                        Some('[') if rest.as_str().starts_with(':') => {
                            let named = rest.as_str().split_once(":]");
                            rest = named.map_or("", |(_, after)| after).chars();
                        }
                        Some(']') => break,
                        Some(_) => {}
                        None => return Some("a [ is not closed"),
                    }
                }
            }
            '(' => groups = groups.saturating_add(1),
            ')' => match groups.checked_sub(1) {
                Some(left) => groups = left,
                None => return Some("a ) closes nothing"),
            },
            _ => {}
        }
    }
    (groups > 0).then_some("a ( is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_whose_brackets_do_not_match() {
        for right in [
            "^/(.*)$",
            r"^/\((a|b)\)[^])(]+$",
            "[[:alpha:](]",
            r"\Q(\E",
            "",
            "(?:x)[]]",
        ] {
            assert_eq!(fault_of(right), None, "{right}");
        }
        for (wrong, why) in [
            ("^/(.*$", "a ( is not closed"),
            ("a)", "a ) closes nothing"),
            ("[a", "a [ is not closed"),
            ("[]", "a [ is not closed"),
            ("a\\", "it ends with a backslash"),
        ] {
            assert_eq!(fault_of(wrong), Some(why), "{wrong}");
        }
    }
}
