//! All files of one httpd as it reads them: `Include` followed, conditions decided, macros
//! written out.

use super::lines::{Definitions, Directive, define, expanded, raw};
use crate::config::{Place, Text};
use crate::exit::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How deep files may include each other, and macros use each other.
const MAX_DEPTH: usize = 30;

/// So many lines all uses of macros may write. Macros that use macros could write any number.
pub(crate) const MOST_MACRO_LINES: usize = 100_000;

/// Modules that are part of httpd's program on Debian and elsewhere: no `LoadModule` names them.
const BUILT_IN: [&str; 8] = [
    "core",
    "so",
    "http",
    "unixd",
    "version",
    "watchdog",
    "log_config",
    "logio",
];

/// A section that is open where a directive stands.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// In lower case, without the angle bracket.
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) place: Place,
    /// Differs from that of every other section, also of those that a macro wrote on one line.
    pub(crate) id: usize,
}

/// A directive and the sections around it, the outermost first.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) place: Place,
    pub(crate) sections: Rc<[Section]>,
}

impl Item {
    /// The innermost open section of this name.
    pub(crate) fn open(&self, name: &str) -> Option<&Section> {
        self.sections.iter().rev().find(|open| open.name == name)
    }

    /// The argument at this index, or an empty text.
    pub(crate) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// The virtual host that this belongs to.
    pub(crate) fn virtual_host(&self) -> Option<&Section> {
        self.open("virtualhost")
    }

    /// What tells its virtual host from the others.
    pub(crate) fn site(&self) -> Option<usize> {
        self.virtual_host().map(|section| section.id)
    }
}

/// What httpd made of its files.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) items: Vec<Item>,
    /// `Include` of a file that is not there.
    pub(crate) missing: Vec<(Place, String)>,
    /// Lines that httpd does not start with, and why.
    pub(crate) broken: Vec<(Place, String)>,
    /// Loaded modules, without `mod_` and `_module`. Empty: the files do not load any, so they
    /// are a part of a configuration.
    pub(crate) modules: BTreeSet<String>,
    /// Files read, in their order.
    pub(crate) files: Vec<PathBuf>,
    server_root: Option<PathBuf>,
}

impl Tree {
    /// Reads files in their order, as if one included all of them.
    pub(crate) fn read(files: &[PathBuf], defines: &[String]) -> Result<Self, Failure> {
        let mut reader = Reader::default();
        for name in defines {
            let (name, value) = name.split_once('=').unwrap_or((name, ""));
            reader.defined.insert(name.to_owned(), value.to_owned());
        }
        for file in files {
            reader.base = file.parent().map(Path::to_owned).unwrap_or_default();
            reader.file(file, 0)?;
        }
        Ok(reader.tree)
    }

    /// The directives of this name, in lower case.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Item> + 'a {
        self.items.iter().filter(move |item| item.name == name)
    }

    /// A file that the configuration names: `ServerRoot` is where relative paths begin.
    pub(crate) fn path(&self, name: &str, base: &Path) -> PathBuf {
        let root = self.server_root.as_deref().unwrap_or(base);
        root.join(name)
    }
}

/// What `Use` writes out.
pub(crate) struct Macro {
    parameters: Vec<String>,
    body: Vec<Directive>,
}

/// A section that has to be closed: its name in lower case, and where it begins.
struct OpenSection {
    name: String,
    place: Place,
}

#[derive(Default)]
struct Reader {
    tree: Tree,
    defined: Definitions,
    sections: Vec<Section>,
    /// As they are written: these, and conditions that hold.
    written: Vec<OpenSection>,
    /// How many were opened so far.
    opened: usize,
    /// The sections that are open and not read.
    skipped: Vec<OpenSection>,
    macros: BTreeMap<String, Macro>,
    recorded: Option<(OpenSection, (String, Macro))>,
    /// Lines that macros have written.
    macro_lines: usize,
    /// Where relative paths begin when there is no `ServerRoot`.
    base: PathBuf,
}

impl Reader {
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            let text = format!("{}: Include goes deeper than httpd follows", path.display());
            return Err(Failure::usage(text));
        }
        let text = Text::read(path)?;
        self.tree.files.push(path.to_owned());
        let (written, skipped) = (self.written.len(), self.skipped.len());
        self.all(raw(&text), depth)?;
        // Each file closes what it opens.
        let recorded = self.recorded.take().map(|(begin, _)| begin);
        let left = self.written.drain(written.min(self.written.len())..);
        let left = left.chain(self.skipped.drain(skipped.min(self.skipped.len())..));
        for OpenSection { name, place } in left.chain(recorded) {
            let why = format!("<{name}> is not closed, and httpd does not start with it");
            self.tree.broken.push((place, why));
        }
        Ok(())
    }

    fn all(&mut self, directives: Vec<Directive>, depth: usize) -> Result<(), Failure> {
        for directive in directives {
            self.directive(directive, depth)?;
        }
        Ok(())
    }

    fn directive(&mut self, mut directive: Directive, depth: usize) -> Result<(), Failure> {
        let name = directive.name.to_ascii_lowercase();
        if self.recorded.is_some() {
            self.record(&name, directive);
            return Ok(());
        }
        if !self.skipped.is_empty() {
            self.skip(&name, &directive.place);
            return Ok(());
        }
        for arg in &mut directive.args {
            *arg = expanded(arg, &self.defined);
        }
        let Directive { args, place, .. } = directive;
        if name.starts_with('\u{feff}') {
            let why = "a byte order mark stands before it: httpd takes it for a part of the name, \
                       and does not start with it";
            self.tree.broken.push((place.clone(), why.to_owned()));
        }
        if let Some(section) = name.strip_prefix('<') {
            self.section(section, args, place);
            return Ok(());
        }
        match (&*name, &args[..]) {
            ("define", _) => define(args, &mut self.defined),
            ("undefine", [name]) => {
                self.defined.remove(name);
            }
            ("loadmodule", [module, ..]) => {
                self.tree.modules.insert(plain_module(module).to_owned());
            }
            ("serverroot", [root]) if !root.contains("${") => {
                self.tree.server_root = Some(root.into());
            }
            ("include" | "includeoptional", [pattern]) => {
                self.include(pattern, &place, name == "include", depth)?;
            }
            ("use", [called, values @ ..]) => {
                let body = self.macros.get(&called.to_ascii_lowercase());
                if let Some(body) = body.filter(|_| depth < MAX_DEPTH) {
                    self.macro_lines = self.macro_lines.saturating_add(body.lines());
                    if self.macro_lines > MOST_MACRO_LINES {
                        let text =
                            format!("{place}: macros write more than {MOST_MACRO_LINES} lines");
                        return Err(Failure::usage(text));
                    }
                    let body = body.with(values);
                    self.all(body, depth.saturating_add(1))?;
                }
            }
            _ => self.tree.items.push(Item {
                name,
                args,
                place,
                sections: self.sections.clone().into(),
            }),
        }
        Ok(())
    }

    fn section(&mut self, name: &str, args: Vec<String>, place: Place) {
        if let Some(name) = name.strip_prefix('/') {
            if self.written.last().is_some_and(|open| open.name == name) {
                self.written.pop();
            } else {
                let why = format!("</{name}> closes nothing, and httpd does not start with it");
                self.tree.broken.push((place, why));
            }
            if self.sections.last().is_some_and(|open| open.name == name) {
                self.sections.pop();
            }
            return;
        }
        let first = args.first().map_or("", String::as_str);
        let (negated, what) = match first.strip_prefix('!') {
            Some(what) => (true, what),
            None => (false, first),
        };
        let holds = match name {
            "ifdefine" => self.defined.contains_key(what) != negated,
            "ifmodule" => self.is_loaded(what) != negated,
            "iffile" => self.tree.path(what, &self.base).exists() != negated,
            // Any httpd that is still in use.
            "ifversion" => !first.starts_with('<'),
            "macro" => {
                let begin = OpenSection {
                    name: name.to_owned(),
                    place,
                };
                self.recorded = Some((begin, Macro::begin(args)));
                return;
            }
            _ => {
                self.written.push(OpenSection {
                    name: name.to_owned(),
                    place: place.clone(),
                });
                let name = name.to_owned();
                let id = self.opened;
                self.opened = id.saturating_add(1);
                self.sections.push(Section {
                    name,
                    args,
                    place,
                    id,
                });
                return;
            }
        };
        let name = name.to_owned();
        if holds {
            self.written.push(OpenSection { name, place });
        } else {
            self.skipped.push(OpenSection { name, place });
        }
    }

    fn is_loaded(&self, module: &str) -> bool {
        let name = plain_module(module);
        self.tree.modules.is_empty() || self.tree.modules.contains(name) || BUILT_IN.contains(&name)
    }

    fn skip(&mut self, name: &str, place: &Place) {
        if let Some(name) = name.strip_prefix("</") {
            if self.skipped.last().is_some_and(|open| open.name == name) {
                self.skipped.pop();
            }
        } else if let Some(name) = name.strip_prefix('<') {
            self.skipped.push(OpenSection {
                name: name.to_owned(),
                place: place.clone(),
            });
        }
    }

    fn record(&mut self, name: &str, directive: Directive) {
        if name == "</macro" {
            if let Some((_, (name, body))) = self.recorded.take() {
                self.macros.insert(name, body);
            }
        } else if let Some((_, (_, body))) = &mut self.recorded {
            body.push(directive);
        }
    }

    fn include(
        &mut self,
        pattern: &str,
        place: &Place,
        is_needed: bool,
        depth: usize,
    ) -> Result<(), Failure> {
        let path = self.tree.path(pattern, &self.base);
        let found = included(&path);
        let is_pattern = pattern.contains(['*', '?', '[']);
        if found.is_empty() && is_needed && !is_pattern {
            self.tree.missing.push((place.clone(), pattern.to_owned()));
        }
        for path in found {
            self.file(&path, depth.saturating_add(1))?;
        }
        Ok(())
    }
}

/// The files that `Include` of this path means, which may be a directory or have stars.
pub(crate) fn included(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if path.is_dir() {
        collect(path, &mut found);
    } else if let Ok(paths) = glob::glob(&path.to_string_lossy()) {
        for path in paths.filter_map(Result::ok) {
            if path.is_dir() {
                collect(&path, &mut found);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// All files below a directory, in the order of their names, as httpd reads it.
fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

impl Macro {
    /// An empty one of `<Macro name parameters>`, and its name in lower case.
    pub(crate) fn begin(args: Vec<String>) -> (String, Self) {
        let mut parts = args.into_iter();
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let empty = Self {
            parameters: parts.collect(),
            body: Vec::new(),
        };
        (name, empty)
    }

    pub(crate) fn push(&mut self, directive: Directive) {
        self.body.push(directive);
    }

    /// How many lines it writes, those of macros that it uses not counted.
    pub(crate) fn lines(&self) -> usize {
        self.body.len()
    }

    /// Its lines for these values.
    pub(crate) fn with(&self, values: &[String]) -> Vec<Directive> {
        let mut body = self.body.clone();
        for directive in &mut body {
            for text in std::iter::once(&mut directive.name).chain(&mut directive.args) {
                for (parameter, value) in self.parameters.iter().zip(values) {
                    *text = text.replace(parameter, value);
                }
            }
        }
        body
    }
}

/// `mod_proxy_ajp.c` and `proxy_ajp_module` are `proxy_ajp`.
fn plain_module(name: &str) -> &str {
    let name = name.strip_suffix("_module").unwrap_or(name);
    let name = name.strip_suffix(".c").unwrap_or(name);
    name.strip_prefix("mod_").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and arguments of what is left of a configuration.
    fn read(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("httpd.conf");
        std::fs::write(dir.path().join("more.conf"), "Timeout 5\n").unwrap();
        std::fs::write(&path, text).unwrap();
        let tree = Tree::read(&[path], &[]).unwrap();
        let shown = |item: &Item| format!("{} {}", item.name, item.args.join(" "));
        let missing = tree
            .missing
            .iter()
            .map(|(_, name)| format!("missing {name}"));
        tree.items.iter().map(shown).chain(missing).collect()
    }

    #[test]
    fn conditions_are_decided() {
        let text = "\
            Define HERE value\n\
            <IfDefine HERE>\nA ${HERE}\n</IfDefine>\n\
            <IfDefine !HERE>\n<IfModule x>\nB\n</IfModule>\nB\n</IfDefine>\n\
            LoadModule proxy_module modules/mod_proxy.so\n\
            <IfModule mod_proxy.c>\nC\n</IfModule>\n\
            <IfModule proxy_ajp_module>\nD\n</IfModule>\n\
            <IfModule !proxy_ajp_module>\nE\n</IfModule>\n\
            <IfVersion < 2.4>\nF\n</IfVersion>\n";
        assert_eq!(read(text), ["a value", "c ", "e "]);
    }

    #[test]
    fn what_httpd_does_not_start_with_is_told() {
        let broken = |text: &str| -> Vec<String> {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("httpd.conf");
            std::fs::write(&path, text).unwrap();
            let tree = Tree::read(&[path], &[]).unwrap();
            let shown = |(place, why): (Place, String)| format!("{} {why}", place.line);
            tree.broken.into_iter().map(shown).collect()
        };
        let right = "<IfDefine !X>\n<Location /a>\n<IfModule x>\nA\n</IfModule>\n</Location>\n\
            </IfDefine>\n<IfDefine X>\n<Location /b>\n</Location>\n</IfDefine>\n\
            <Macro M>\n<Location /c>\n</Location>\n</Macro>\nUse M\n";
        assert_eq!(broken(right), [""; 0]);
        for (text, told) in [
            (
                "A\n<VirtualHost *:80>\nB\n",
                "2 <virtualhost> is not closed",
            ),
            ("<IfDefine !X>\nB\n", "1 <ifdefine> is not closed"),
            (
                "<IfDefine X>\n<Location /a>\n</IfDefine>\n",
                "1 <ifdefine> is not closed",
            ),
            ("<Macro M>\nB\n", "1 <macro> is not closed"),
            ("B\n</Location>\n", "2 </location> closes nothing"),
            (
                "\u{feff}<Location /a>\n</Location>\n",
                "1 a byte order mark",
            ),
        ] {
            let broken = broken(text);
            assert!(
                broken.iter().any(|line| line.starts_with(told)),
                "{text}: {broken:?}"
            );
        }
    }

    /// What would be of any length is refused, or left as it is written.
    #[test]
    fn what_is_written_out_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("httpd.conf");
        let uses = |number: usize| {
            format!(
                "<Macro M{}>\n{}</Macro>\n",
                number + 1,
                format!("Use M{number}\n").repeat(10)
            )
        };
        let macros: String = (0..20).map(uses).collect();
        std::fs::write(&path, format!("<Macro M0>\nA\n</Macro>\n{macros}Use M20\n")).unwrap();
        let Err(Failure::Message { text, .. }) = Tree::read(&[path], &[]) else {
            panic!("it is read");
        };
        assert!(
            text.ends_with("macros write more than 100000 lines"),
            "{text}"
        );
        let tenfold = |number: usize| {
            format!(
                "Define d{} {}\n",
                number + 1,
                format!("${{d{number}}}").repeat(10)
            )
        };
        let defines: String = (0..30).map(tenfold).collect();
        let left = read(&format!("Define d0 0123456789\n{defines}A ${{d30}}\n"));
        let [left] = &left[..] else {
            panic!("{left:?}");
        };
        assert!(left.len() < 100_000, "{}", left.len());
    }

    #[test]
    fn files_and_macros_are_written_out() {
        let text = "\
            Include more.conf\nInclude m*.conf\nInclude none.conf\nIncludeOptional no.conf\n\
            <Macro Site $name $port>\nProxyPass /$name ajp://127.0.0.1:$port/$name\n</Macro>\n\
            Use Site shop 8009\n";
        assert_eq!(
            read(text),
            [
                "timeout 5",
                "timeout 5",
                "proxypass /shop ajp://127.0.0.1:8009/shop",
                "missing none.conf"
            ]
        );
    }
}
