//! The changes of operators, and the file that keeps them over a restart.
//!
//! Of each setting it keeps what the configuration said when it was changed, and what it was
//! changed to. The change holds as long as the configuration says the same; once that says
//! something new, the configuration wins. What became of it is said in the log.

use super::farm::Managed;
use super::state_file::{self, StateFile};
use crate::files::with_ending;
use crate::gateway::settings::{BalancerSettings, GivenMember, Object, member_object, pool_object};
use ajp::balancer::Discovered;
use ajp::client::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of the file's form. One of another version is not read.
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    balancers: BTreeMap<String, Changes>,
}

/// The changes of a balancer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    settings: Changed,
    members: BTreeMap<String, Changed>,
    /// Members that the configuration does not have.
    added: BTreeMap<String, Added>,
    /// Members of the configuration, and of its discovery, that are not to serve.
    removed: BTreeSet<String>,
}

/// BalancerSettings by their keys.
type Changed = BTreeMap<String, Change>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// What the configuration said.
    was: Value,
    is: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Added {
    url: String,
    member: Object,
}

/// The changes, and where they are kept. Its methods never wait for the disk.
#[derive(Debug)]
pub(crate) struct Store {
    file: Option<Arc<StateFile>>,
    kept: Kept,
}

impl Store {
    /// Reads the file. One that makes no sense is put aside, and the problem is said.
    ///
    /// # Errors
    /// The system does not let it be read, and it may be as good as ever; or it is no state file.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self::of(None, Kept::default()));
        };
        let Some(text) = state_file::read(&path)? else {
            return Ok(Self::of(Some(StateFile::new(path, None)), Kept::default()));
        };
        let (kept, problem) = match parse(&text) {
            Ok(kept) => (kept, None),
            Err(error) => {
                let problem = put_aside(&path, &error);
                tracing::error!("manager: {problem}");
                (Kept::default(), Some(problem))
            }
        };
        Ok(Self::of(Some(StateFile::new(path, problem)), kept))
    }

    fn of(file: Option<Arc<StateFile>>, kept: Kept) -> Self {
        let version = VERSION;
        let kept = Kept { version, ..kept };
        Self { file, kept }
    }

    /// The file.
    pub(super) fn file(&self) -> Option<&Arc<StateFile>> {
        self.file.as_ref()
    }

    /// The keys of a member that were changed.
    pub(super) fn changed(&self, balancer: &str, member: &str) -> Vec<String> {
        let all = self.kept.balancers.get(balancer);
        let keys = all.and_then(|all| all.members.get(member));
        keys.map_or(Vec::new(), |keys| keys.keys().cloned().collect())
    }

    /// Where a member is that an operator has added.
    pub(super) fn added(&self, balancer: &str, member: &str) -> bool {
        let changes = self.kept.balancers.get(balancer);
        changes.is_some_and(|changes| changes.added.contains_key(member))
    }

    /// Makes these balancers what they were changed to. Tells what does not hold any more.
    pub(super) fn apply(&mut self, balancers: &[Managed]) -> Vec<String> {
        let mut notes = Vec::new();
        let before = self.kept.clone();
        self.kept.balancers.retain(|name, changes| {
            let Some(managed) = balancers.iter().find(|known| known.balancer.name() == name) else {
                notes.push(format!(
                    "{name}: its changes end, the configuration has no such balancer"
                ));
                return false;
            };
            changes.apply(managed, &mut notes);
            *changes != Changes::default()
        });
        if self.kept != before {
            self.save();
        }
        notes
    }

    /// Keeps how a balancer's settings differ from the configuration.
    pub(super) fn keep_settings(&mut self, managed: &Managed, is: &Object) {
        let changes = self.changes(managed);
        changes.settings = differences(&managed.settings.object(), is);
    }

    /// Keeps how a member differs from the configuration, or from what its discovery said of it:
    /// that is what it was `before`, but for what had been changed of it.
    pub(super) fn keep_member(&mut self, managed: &Managed, name: &str, before: &Object) {
        let Some(is) = managed.member(name) else {
            return;
        };
        let configured = managed.members.get(name);
        let changes = self.changes(managed);
        if let Some(added) = changes.added.get_mut(name) {
            added.member = own_settings(managed, is);
        } else if configured.is_some() || managed.discovers {
            let mut was = configured.unwrap_or(before).clone();
            let known = changes.members.get(name).filter(|_| configured.is_none());
            for (key, change) in known.into_iter().flatten() {
                was.insert(key.clone(), change.was.clone());
            }
            let differing = differences(&was, &is);
            if differing.is_empty() {
                changes.members.remove(name);
            } else {
                changes.members.insert(name.to_owned(), differing);
            }
        }
    }

    /// Keeps that a member was added.
    pub(super) fn keep_added(&mut self, managed: &Managed, name: &str, url: &str) {
        let is_configured = managed.members.contains_key(name);
        let changes = self.changes(managed);
        changes.removed.remove(name);
        if !is_configured {
            let member = own_settings(managed, managed.member(name).unwrap_or_default());
            let url = url.to_owned();
            changes.added.insert(name.to_owned(), Added { url, member });
        }
        self.keep_member(managed, name, &Object::new());
    }

    /// Keeps that a member was removed.
    pub(super) fn keep_removed(&mut self, managed: &Managed, name: &str) {
        let is_configured = managed.members.contains_key(name);
        let changes = self.changes(managed);
        changes.members.remove(name);
        changes.added.remove(name);
        // One that was added may be found as well, now or later: it is removed all the same.
        if is_configured || managed.discovers {
            changes.removed.insert(name.to_owned());
        }
    }

    /// A member that was found is found no longer: whoever comes in its place later, at the same
    /// address, is another one, whom nobody has removed.
    pub(super) fn forget_removed(&mut self, managed: &Managed, name: &str) {
        if managed.members.contains_key(name) {
            return;
        }
        if self.changes(managed).removed.remove(name) {
            self.save();
        }
    }

    /// A member that was found, as operators have changed it; nothing if they have removed it.
    pub(super) fn changed_member(
        &mut self,
        managed: &Managed,
        found: Discovered,
    ) -> Option<Discovered> {
        let name = found.member.name().to_owned();
        let Some(changes) = self.kept.balancers.get_mut(managed.balancer.name()) else {
            return Some(found);
        };
        if changes.removed.contains(&name) {
            return None;
        }
        let Some(kept) = changes.members.get_mut(&name) else {
            return Some(found);
        };
        let most = found.pool.config().max_connections();
        let told = member_object(&found.member, found.pool.config(), most, None);
        let (is, ended) = merged(&told, kept);
        let balancer = managed.balancer.name();
        for key in &ended {
            tracing::warn!("manager: {balancer}/{name}: {key}: {NEW_WORD}");
        }
        if kept.is_empty() {
            changes.members.remove(&name);
        }
        if !ended.is_empty() {
            self.save();
        }
        match GivenMember::read(is, found.pool.config().clone()) {
            Ok(given) => {
                managed.upgrades.set(&name, given.upgrade);
                Some(Discovered {
                    member: given.member,
                    pool: found.pool.with_config(given.pool),
                })
            }
            Err(error) => {
                tracing::warn!("manager: {balancer}/{name}: its changes cannot be made: {error}");
                Some(found)
            }
        }
    }

    fn changes(&mut self, managed: &Managed) -> &mut Changes {
        let name = managed.balancer.name().to_owned();
        self.kept.balancers.entry(name).or_default()
    }

    /// Has the file written as it is now; [`StateFile::kept`] tells when it is.
    pub(super) fn save(&self) {
        if let Some(file) = &self.file {
            // Maps with texts as keys can always be written.
            let mut text = serde_json::to_vec_pretty(&self.kept).unwrap_or_default();
            text.push(b'\n');
            file.keep(text);
        }
    }
}

/// Renames a file that makes no sense; what is told of it.
fn put_aside(path: &Path, error: &str) -> String {
    let aside = with_ending(path, ".broken");
    let kept = match std::fs::rename(path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(error) => format!("it cannot be renamed ({error})"),
    };
    format!(
        "state file {}: {error}; {kept}, and the configuration holds without the changes that \
         were in it",
        path.display()
    )
}

impl Changes {
    fn apply(&mut self, managed: &Managed, notes: &mut Vec<String>) {
        let balancer = &managed.balancer;
        let name = balancer.name();
        let (is, ended) = merged(&managed.settings.object(), &mut self.settings);
        notes.extend(ended.iter().map(|key| format!("{name}: {key}: {NEW_WORD}")));
        if !self.settings.is_empty() {
            let settings = BalancerSettings::read(is);
            let applied = settings.and_then(|settings| managed.apply(&settings));
            if let Err(error) = applied {
                notes.push(format!(
                    "{name}: its changes end, they cannot be made: {error}"
                ));
                self.settings.clear();
            }
        }
        self.members.retain(|member, changed| {
            let Some(was) = managed.members.get(member) else {
                if managed.discovers {
                    // Once it is found it is made so; it may have been.
                    if let Some(mut is) = managed.member(member) {
                        let changed = changed.iter();
                        is.extend(changed.map(|(key, change)| (key.clone(), change.is.clone())));
                        let _ = managed.set_member(member, is);
                    }
                    return true;
                }
                notes.push(format!("{name}/{member}: {GONE}"));
                return false;
            };
            let (is, ended) = merged(was, changed);
            notes.extend(
                ended
                    .iter()
                    .map(|key| format!("{name}/{member}: {key}: {NEW_WORD}")),
            );
            if self.removed.contains(member) || changed.is_empty() {
                return !changed.is_empty();
            }
            match managed.set_member(member, is) {
                Ok(()) => true,
                Err(error) => {
                    notes.push(format!(
                        "{name}/{member}: its changes end, they cannot be made: {error}"
                    ));
                    false
                }
            }
        });
        self.removed.retain(|member| {
            let is_configured = managed.members.contains_key(member);
            if is_configured || managed.discovers {
                // It may be removed already.
                let _ = balancer.remove(member);
            } else {
                notes.push(format!("{name}/{member}: {GONE}"));
            }
            is_configured || managed.discovers
        });
        self.added.retain(|member, added| {
            if managed.members.contains_key(member) {
                notes.push(format!(
                    "{name}/{member}: was added, and is in the configuration now"
                ));
                return false;
            }
            let pool = balancer.pool(member);
            let made = match &pool {
                Some(pool) => {
                    // They may have been read again.
                    pool.set_secrets(managed.pools.secrets().to_vec());
                    managed.set_member(member, whole_settings(managed, &added.member))
                }
                None => added.add(managed),
            };
            match made {
                Ok(()) => true,
                Err(error) => {
                    notes.push(format!("{name}/{member}: cannot be added again: {error}"));
                    false
                }
            }
        });
    }
}

const NEW_WORD: &str = "the change ends, the configuration says something new";
const GONE: &str = "its changes end, it is not in the configuration any more";

impl Added {
    fn add(&self, managed: &Managed) -> Result<(), String> {
        let address: Address = self.url.parse().map_err(|error| format!("{error}"))?;
        let given = GivenMember::read(self.member.clone(), managed.pools.clone())?;
        let name = given.member.name().to_owned();
        let pool = managed.pool(&address, given.pool);
        let added = managed.balancer.add(given.member, pool);
        added.map_err(|error| error.to_string())?;
        managed.upgrades.set(&name, given.upgrade);
        Ok(())
    }
}

/// What an added member has for itself: what it has like all others comes from the configuration.
fn own_settings(managed: &Managed, mut is: Object) -> Object {
    let all = pool_object(&managed.pools, managed.pools.max_connections());
    is.retain(|key, value| all.get(key) != Some(value));
    is
}

/// The same with what it has like all others.
fn whole_settings(managed: &Managed, own: &Object) -> Object {
    let mut all = pool_object(&managed.pools, managed.pools.max_connections());
    all.extend(own.clone());
    all
}

/// What differs.
fn differences(was: &Object, is: &Object) -> Changed {
    let keys = was.keys().chain(is.keys());
    let keys: BTreeSet<&String> = keys.collect();
    let value = |object: &Object, key: &str| object.get(key).cloned().unwrap_or_default();
    let changes = keys.into_iter().filter_map(|key| {
        let change = Change {
            was: value(was, key),
            is: value(is, key),
        };
        (change.was != change.is).then(|| (key.clone(), change))
    });
    changes.collect()
}

/// What the configuration says, changed; keys of which it says something new are taken out of
/// the changes, and told.
fn merged(configured: &Object, changed: &mut Changed) -> (Object, Vec<String>) {
    let mut is = configured.clone();
    let mut ended = Vec::new();
    changed.retain(|key, change| {
        let now = configured.get(key).cloned().unwrap_or_default();
        if now == change.was {
            is.insert(key.clone(), change.is.clone());
            return true;
        }
        if now != change.is {
            ended.push(key.clone());
        }
        false
    });
    (is, ended)
}

fn parse(text: &[u8]) -> Result<Kept, String> {
    // The version first: what else is there may be different in another one.
    let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(format!(
                "has version {version}, this program reads {VERSION}"
            ));
        }
        None => return Err("has no version".into()),
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_refuses_the_start_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        // Reading a directory fails, whoever asks.
        std::fs::create_dir(&path).unwrap();
        let error = Store::open(Some(path.clone())).unwrap_err();
        assert!(error.contains("state.json"), "{error}");
        assert!(path.is_dir());
        // Another file, at a path that was mistyped.
        let key = directory.path().join("shop.key");
        std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let error = Store::open(Some(key.clone())).unwrap_err();
        assert!(
            error.contains("shop.key: it holds something else"),
            "{error}"
        );
        assert!(key.exists());
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = Store::open(Some(socket.clone())).unwrap_err();
        assert!(error.contains("socket: this is no regular file"), "{error}");
        assert!(socket.exists());
        // What a loss of power may leave.
        for left in [&b""[..], b"\0\0\0", b" {\"version\": 1, \"bal"] {
            std::fs::write(&key, left).unwrap();
            let store = Store::open(Some(key.clone())).unwrap();
            let problem = store.file().unwrap().problem().unwrap();
            assert!(problem.contains("shop.key.broken"), "{problem}");
        }
        let none = directory.path().join("none.json");
        let store = Store::open(Some(none)).unwrap();
        assert_eq!(store.file().unwrap().problem(), None);
    }
}
