//! Members in a file.

use super::Endpoint;
use crate::balancer::member::Member;
use crate::client::Address;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

/// Longer files are none that anybody meant.
const LONGEST: u64 = 1 << 20;

/// A line of a file of members cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(super) struct InvalidMembers {
    /// The line, from 1.
    line: usize,
    what: String,
}

/// Reads a file of members, not on a thread of the runtime.
pub(super) async fn read(path: &Path) -> Result<Vec<Endpoint>, String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let text = read_text(&path)?;
        parse(&text).map_err(|error| error.to_string())
    });
    read.await.map_err(|error| error.to_string())?
}

/// The text of a file that is not too long. Nothing else is opened: that could wait for a
/// writer, or have no end.
fn read_text(path: &Path) -> Result<String, String> {
    let read = || {
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut text = Vec::new();
        File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
        Ok(Some(text))
    };
    let text = read().map_err(|error: std::io::Error| error.to_string())?;
    let text = text.ok_or("it is no file")?;
    if text.len() as u64 > LONGEST {
        return Err("the file is longer than 1 MiB".into());
    }
    String::from_utf8(text).map_err(|_| "the file is not in UTF-8".into())
}

/// The members in a text.
pub(super) fn parse(text: &str) -> Result<Vec<Endpoint>, InvalidMembers> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let invalid = |what: String| InvalidMembers {
            line: index.saturating_add(1),
            what,
        };
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(address) = words.next() else {
            continue;
        };
        let address: Address = value(address).map_err(invalid)?;
        let mut endpoint = Endpoint::at(address);
        for word in words {
            endpoint.member = setting(endpoint.member, word).map_err(invalid)?;
        }
        let name = endpoint.member.name().to_owned();
        if !names.insert(name.clone()) {
            return Err(invalid(format!("{name} is there twice")));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

/// Reads `key=value`.
fn setting(member: Member, word: &str) -> Result<Member, String> {
    let Some((key, text)) = word.split_once('=') else {
        return Err(format!("{word:?} is no setting, such as route=jvm1"));
    };
    Ok(match key {
        "route" => member.with_route(text),
        "weight" => member.with_weight(value(text)?),
        "set" => member.with_set(value(text)?),
        "status" => member.with_flags(value(text)?),
        "domain" => member.with_domain(text),
        "redirect" => member.with_redirect(text),
        _ => {
            return Err(format!(
                "there is no setting {key:?}; there are route, weight, set, status, domain and \
                 redirect"
            ));
        }
    })
}

fn value<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_in_a_text() {
        let text = "# The shop\n\n  ajp://10.0.0.1 route=jvm1 weight=1.5 # big\r\nunix:/run/a status=H set=2 domain=d redirect=jvm1";
        let found = parse(text).unwrap();
        let members: Vec<_> = found.into_iter().map(|one| one.member).collect();
        assert_eq!(
            members,
            [
                Member::new("ajp://10.0.0.1:8009")
                    .with_route("jvm1")
                    .with_weight("1.5".parse().unwrap()),
                Member::new("unix:/run/a")
                    .with_flags("H".parse().unwrap())
                    .with_set(2)
                    .with_domain("d")
                    .with_redirect("jvm1"),
            ]
        );
        assert_eq!(parse("# nobody\n").unwrap(), []);
    }

    #[tokio::test]
    async fn only_short_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members");
        std::fs::write(&path, "# é\n".repeat(300_000)).unwrap();
        let error = read(&path).await.unwrap_err();
        assert_eq!(error, "the file is longer than 1 MiB");
        std::fs::write(&path, "\n".repeat(1 << 20)).unwrap();
        assert_eq!(read(&path).await, Ok(Vec::new()));
        for other in [Path::new("/dev/null"), folder.path()] {
            assert_eq!(read(other).await.unwrap_err(), "it is no file");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, error) in [
            ("http://a", "line 1: \"http://a\": "),
            ("\najp://a route", "line 2: \"route\" is no setting"),
            ("ajp://a color=red", "line 1: there is no setting \"color\""),
            ("ajp://a weight=0", "line 1: \"0\": "),
            ("ajp://a set=-1", "line 1: \"-1\": "),
            ("ajp://a status=Q", "line 1: \"Q\": "),
            (
                "ajp://a\najp://a:8009",
                "line 2: ajp://a:8009 is there twice",
            ),
        ] {
            let told = parse(text).unwrap_err().to_string();
            assert!(told.starts_with(error), "{told}");
        }
    }
}
