//! How the gateway reads paths: whatever a client asks for, Tomcat's reading is among those by
//! which maps are chosen, or the path is refused; and what is passed on as plain is read alike
//! by everybody.

#[allow(dead_code, unused_imports, reason = "the gateway uses all of it")]
#[path = "../../../src/bin/ajp/paths/mod.rs"]
mod paths;

use paths::{Pattern, below, is_plain, normalised, readings, split_parameters};

/// Checks one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (pattern, path) = text.split_once('\n').unwrap_or(("", text));
    check_pattern(pattern, path);
    // Beyond it HTTP servers refuse a request line.
    if path.len() > 8192 || !path.starts_with('/') {
        return;
    }
    let tomcat = tomcat(path);
    match readings(path) {
        Ok(readings) => {
            assert_eq!(readings[0], path, "the path as it came is the first");
            if let Some(read) = &tomcat {
                let known = readings.iter().any(|reading| same(reading, read));
                assert!(known, "Tomcat reads {path:?} as {read:?}: {readings:?}");
            }
        }
        Err(why) => assert!(!why.reason().is_empty()),
    }
    if is_plain(path) {
        assert_eq!(normalised(path).as_deref(), Ok(path));
        assert_eq!(readings(path).unwrap(), [path]);
        assert_eq!(tomcat.as_deref(), Some(path));
    }
    if let Ok(normal) = normalised(path) {
        // Of a percent sign without two digits and what follows it an escape may be made; maps are
        // chosen by what came of it, so that this leads nowhere else.
        let is_escape = |part: &str| {
            let digits = part.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if path.split('%').skip(1).all(is_escape) {
            assert_eq!(normalised(&normal).as_deref(), Ok(&*normal), "{path:?}");
        }
        assert!(
            normal.starts_with('/') && !normal.contains("//"),
            "{normal:?}"
        );
        let dots = normal.split('/').any(|part| matches!(part, "." | ".."));
        assert!(!dots, "{path:?} becomes {normal:?}");
    }
}

/// A pattern says itself again, and what it matches is below its front.
fn check_pattern(text: &str, path: &str) {
    let Ok(pattern) = Pattern::parse(text) else {
        return;
    };
    let again = Pattern::parse(&pattern.to_string()).unwrap();
    assert_eq!(again.to_string(), pattern.to_string());
    assert_eq!(
        pattern.matches(path),
        again.matches(path),
        "{text:?} {path:?}"
    );
    let _ = (pattern.front(), below(path, pattern.front()));
    let (name, parameters) = split_parameters(path);
    assert_eq!([name, parameters].concat(), path);
}

/// Tomcat's reading has no slash at the end that was not there; the gateway's may have one more
/// or less, which no map tells apart.
fn same(reading: &str, read: &str) -> bool {
    reading.trim_end_matches('/') == read.trim_end_matches('/')
}

/// What Tomcat 10 takes a path for before it looks for an application: parameters are
/// dropped, then percent signs decoded, then slashes joined and dot segments resolved. `None`
/// where it refuses. `tests/gateway_to_tomcat` asks a real one whether this is still so.
fn tomcat(path: &str) -> Option<String> {
    let names = path.split('/').map(|part| part.split(';').next());
    let plain: Vec<&str> = names.map(Option::unwrap_or_default).collect();
    let plain = plain.join("/");
    let mut text = String::new();
    let mut rest = plain.as_str();
    while let Some(at) = rest.find(['%', '\\']) {
        text.push_str(&rest[..at]);
        // A backslash, or a percent sign without two digits.
        let digits = rest[at..].strip_prefix('%')?.get(..2)?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if b"/\\\0".contains(&byte) || digits.starts_with('+') {
            return None;
        }
        text.push(char::from(byte));
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    if text.contains('\0') {
        return None;
    }
    let mut kept = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()?),
            name => kept.push(name),
        }
    }
    let ends = text.ends_with('/') || text.ends_with("/.") || text.ends_with("/..");
    let end = if ends && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", kept.join("/")))
}
