//! Files that the configuration names: a relative path belongs to the directory of the file that
//! it stands in, wherever the program was started. A service starts in `/`.

use super::balancer_tables::SecretFiles;
use super::file::File;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Makes all paths those that the program can open.
pub(super) fn resolve(file: &mut File, path: &Path) {
    let Some(directory) = path
        .parent()
        .filter(|directory| *directory != Path::new(""))
    else {
        return;
    };
    for path in all(file) {
        // An absolute one stays as it is.
        *path = directory.join(&*path);
    }
}

/// Every path in the tables.
fn all(file: &mut File) -> Vec<&mut PathBuf> {
    let mut all = Vec::new();
    // Standard output.
    all.extend(
        file.access_log
            .as_mut()
            .filter(|path| **path != Path::new("-")),
    );
    for listener in &mut file.listener {
        if let Some(tls) = listener.tls.as_mut().map(Spanned::get_mut) {
            all.extend(&mut tls.client_ca);
            let pairs = tls.certificates.iter_mut();
            all.extend(pairs.flat_map(|pair| [&mut pair.certificate, &mut pair.key]));
        }
    }
    if let Some(manager) = &mut file.manager {
        all.extend(manager.token_file.as_mut().map(Spanned::get_mut));
        all.extend(&mut manager.state_file);
    }
    for balancer in &mut file.balancer {
        let members = balancer.member.iter_mut();
        let secrets = members.map(|member| &mut member.secret_file);
        for secret in std::iter::once(&mut balancer.secret_file).chain(secrets) {
            all.extend(secret.iter_mut().flat_map(|secret| match secret.get_mut() {
                SecretFiles::One(path) => std::slice::from_mut(path),
                SecretFiles::Several(paths) => paths,
            }));
        }
        let discovery = balancer.discovery.as_mut().map(Spanned::get_mut);
        let found = discovery.and_then(|discovery| discovery.file.as_mut());
        all.extend(found.map(Spanned::get_mut));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::config::tests::every_key;

    #[test]
    fn they_belong_to_the_directory_of_the_file() {
        let text = "access_log = \"log\"\n[manager]\ntoken_file = \"token\"\n\
            state_file = \"/var/state\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\n\
            client_ca = \"ca\"\ncertificates = [{ certificate = \"pem\", key = \"tls/key\" }]\n\
            [[balancer]]\nname = \"a\"\nsecret_file = [\"new\", \"old\"]\n[balancer.discovery]\n\
            file = \"members\"\n[[balancer.member]]\nurl = \"ajp://a\"\nsecret_file = \"own\"\n";
        let resolved = |path: &str, text: &str| {
            let mut file = toml::from_str::<File>(text).unwrap();
            resolve(&mut file, Path::new(path));
            let all = all(&mut file).into_iter();
            all.map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            resolved("/etc/g.toml", text),
            "/etc/log /etc/ca /etc/pem /etc/tls/key /etc/token /var/state /etc/new /etc/old \
             /etc/own /etc/members"
        );
        let plain = "log ca pem tls/key token /var/state new old own members";
        assert_eq!(resolved("g.toml", text), plain);
        assert_eq!(resolved("../g.toml", "access_log = \"log\""), "../log");
        assert_eq!(resolved("/etc/g.toml", "access_log = \"-\""), "");
    }

    /// A key that is a path is in the list above.
    #[test]
    fn none_is_forgotten() {
        let table = every_key().parse::<toml::Table>().unwrap();
        let mut files = Vec::new();
        let mut values: Vec<(String, toml::Value)> = table.into_iter().collect();
        while let Some((key, value)) = values.pop() {
            match value {
                toml::Value::Table(table) => values.extend(table),
                toml::Value::Array(array) => {
                    values.extend(array.into_iter().map(|value| (key.clone(), value)));
                }
                toml::Value::String(text)
                    if text.starts_with("/etc/") || text.starts_with("/var/") =>
                {
                    files.push(text);
                }
                _ => {}
            }
        }
        let mut file = toml::from_str::<File>(&every_key()).unwrap();
        let mut known: Vec<_> = all(&mut file)
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        files.sort();
        known.sort();
        assert!(!files.is_empty());
        assert_eq!(known, files);
    }
}
