//! Builds the tests of a package with its mutants.

use crate::Result;
use crate::instrument::{self, Instrumented};
use crate::list::Mutant;
use crate::outcomes::Outcome;
use crate::suite::Suite;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `crate::mutant` is: whether the mutant of a number is the one that is tried. It writes
/// down for which it is asked, each once, if there is a file for it.
const QUESTION: &str = r#"
#[allow(dead_code)]
pub(crate) fn mutant(number: u32) -> bool {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    struct Asked {
        tried: u32,
        file: Option<std::fs::File>,
        reached: Vec<AtomicBool>,
    }
    static ASKED: std::sync::OnceLock<Asked> = std::sync::OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let tried = || std::env::var("MUTANT").ok()?.parse().ok();
        let open = |path| std::fs::OpenOptions::new().append(true).open(path).unwrap();
        Asked {
            tried: tried().unwrap_or(0),
            file: std::env::var_os("MUTANTS_REACHED").map(open),
            reached: (0..10_000).map(|_| AtomicBool::new(false)).collect(),
        }
    });
    if let Some(mut file) = asked.file.as_ref() {
        if !asked.reached[number as usize].swap(true, Ordering::Relaxed) {
            file.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
    }
    asked.tried == number
}
"#;

/// The package whose mutants are tried.
pub struct Package {
    root: PathBuf,
    features: String,
    targets: Vec<String>,
    /// The files as they are, by their names.
    files: BTreeMap<String, String>,
}

impl Package {
    pub fn new(
        root: &Path,
        features: &str,
        targets: &[String],
        mutants: &[&Mutant],
    ) -> Result<Self> {
        let mut names: BTreeSet<&str> = mutants.iter().map(|mutant| &*mutant.file).collect();
        names.insert("src/lib.rs");
        let mut files = BTreeMap::new();
        for name in names {
            files.insert(name.to_owned(), fs::read_to_string(root.join(name))?);
        }
        Ok(Self {
            root: root.to_owned(),
            features: features.to_owned(),
            targets: targets.to_vec(),
            files,
        })
    }

    /// Builds the tests with as many mutants as compile together. What the compiler says of the
    /// others is in the file `errors`.
    pub fn together<'a>(&self, mutants: &[&'a Mutant]) -> Result<Together<'a>> {
        let mut log = fs::File::create(self.root.join("errors"))?;
        let mut dropped: BTreeSet<u32> = BTreeSet::new();
        let mut unviable: BTreeSet<u32> = BTreeSet::new();
        let mut const_functions: BTreeSet<String> = BTreeSet::new();
        loop {
            let mut written = BTreeMap::new();
            for (name, text) in &self.files {
                let those = mutants.iter().filter(|mutant| mutant.file == *name);
                let those = those.filter(|mutant| !dropped.contains(&mutant.number));
                let those: Vec<&Mutant> = those.copied().collect();
                let mut file = instrument::instrument(text, &those, &const_functions)?;
                if name == "src/lib.rs" {
                    file.text += QUESTION;
                }
                fs::write(self.root.join(name), &file.text)?;
                written.insert(name.clone(), file);
            }
            let errors = match self.build("check", &["lib".to_owned()])? {
                Built::Programs(_) => match self.build("test", &self.targets)? {
                    Built::Programs(programs) => {
                        let numbers: BTreeSet<u32> = written
                            .values()
                            .flat_map(|file| file.placed.iter().copied())
                            .collect();
                        let all = mutants.iter().copied();
                        let (mutants, rest): (Vec<_>, Vec<_>) =
                            all.partition(|mutant| numbers.contains(&mutant.number));
                        let (unviable, alone) = rest
                            .into_iter()
                            .partition(|mutant| unviable.contains(&mutant.number));
                        return Ok(Together {
                            mutants,
                            programs,
                            alone,
                            unviable,
                        });
                    }
                    Built::Errors(errors) => errors,
                },
                Built::Errors(errors) => errors,
            };
            let text: String = errors.iter().map(|error| &*error.text).collect();
            log.write_all(text.as_bytes())?;
            let before = (dropped.len(), const_functions.len());
            for error in &errors {
                if let Some(function) = error.function_of_constant() {
                    const_functions.insert(function.to_owned());
                    continue;
                }
                let (those, is_in_its_code) = blamed(&written, error);
                dropped.extend(&those);
                // A value that does not exist, as `Default::default()` of a type without.
                if is_in_its_code && error.is_of_types() {
                    unviable.extend(&those);
                }
            }
            let now = (dropped.len(), const_functions.len());
            println!(
                "{} errors; {} cannot be with the others, {} functions are evaluated by the compiler",
                errors.len(),
                now.0,
                now.1
            );
            if before == now {
                return Err(format!("it does not compile:\n{text}").into());
            }
        }
    }

    /// Checks the library, or builds tests.
    fn build(&self, command: &str, targets: &[String]) -> Result<Built> {
        let mut cargo = Command::new("cargo");
        cargo
            .arg(command)
            .args(["--quiet", "--message-format=json"]);
        cargo.arg(&self.features);
        if command == "test" {
            cargo.arg("--no-run");
        }
        for target in targets {
            match &**target {
                "lib" => cargo.arg("--lib"),
                test => cargo.args(["--test", test]),
            };
        }
        let output = cargo
            .current_dir(&self.root)
            .stderr(Stdio::null())
            .output()?;
        let (mut programs, mut errors) = (Vec::new(), Vec::new());
        for line in String::from_utf8(output.stdout)?.lines() {
            match serde_json::from_str(line)? {
                Message::Artifact {
                    executable: Some(path),
                } => programs.push(path),
                Message::Diagnosed { message } if message.level == "error" => {
                    let mut spans = message.spans.into_iter();
                    let place = spans.find(|span| span.is_primary);
                    // Of the last one, which only counts, there is no place.
                    if let Some(place) = place {
                        errors.push(CompileError {
                            place,
                            text: message.rendered.unwrap_or(message.message),
                        });
                    }
                }
                _ => {}
            }
        }
        match (output.status.success(), errors.is_empty()) {
            (true, _) => Ok(Built::Programs(programs)),
            (false, false) => Ok(Built::Errors(errors)),
            (false, true) => Err("cargo failed without an error of the compiler".into()),
        }
    }

    /// A mutant in the code as it is, built for itself.
    pub fn alone(&self, mutant: &Mutant, suite: &Suite) -> Result<Outcome> {
        self.restore()?;
        let mut text = self.files.get(&mutant.file).ok_or("no such file")?.clone();
        text.replace_range(mutant.range.clone(), &format!("{} ", mutant.replacement));
        fs::write(self.root.join(&mutant.file), text)?;
        if let Built::Errors(_) = self.build("check", &["lib".to_owned()])? {
            return Ok(Outcome::DoesNotBuild);
        }
        for target in &self.targets {
            let outcome = match self.build("test", std::slice::from_ref(target))? {
                Built::Programs(programs) => suite.test_all(&programs)?,
                Built::Errors(_) => Outcome::DoesNotBuild,
            };
            if outcome != Outcome::Missed {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Missed)
    }

    /// The files as they were.
    pub fn restore(&self) -> Result<()> {
        for (name, text) in &self.files {
            fs::write(self.root.join(name), text)?;
        }
        Ok(())
    }
}

/// What became of the mutants that were to be built together.
pub struct Together<'a> {
    pub mutants: Vec<&'a Mutant>,
    /// The tests, built with them.
    pub programs: Vec<PathBuf>,
    /// Those that have to be built alone.
    pub alone: Vec<&'a Mutant>,
    /// Those that cannot be built at all.
    pub unviable: Vec<&'a Mutant>,
}

/// The mutants that an error of the compiler comes from, and whether it is in their own code.
fn blamed(files: &BTreeMap<String, Instrumented>, error: &CompileError) -> (Vec<u32>, bool) {
    let Some(file) = files.get(&error.place.file_name) else {
        return (Vec::new(), false);
    };
    let line = error.place.line_start;
    let of_its_code = file.lines.iter().filter(|(_, lines)| lines.contains(&line));
    let of_its_code: Vec<u32> = of_its_code.map(|(number, _)| *number).collect();
    if !of_its_code.is_empty() {
        return (of_its_code, true);
    }
    let around = file
        .around
        .iter()
        .filter(|(lines, _)| lines.contains(&line));
    // Arms of one match are apart, and all of them may be to blame.
    let around: Vec<_> = around.collect();
    let least = around.iter().map(|(lines, _)| lines.len()).min();
    let innermost = around
        .iter()
        .filter(|(lines, _)| Some(lines.len()) == least);
    let innermost = innermost.flat_map(|(_, those)| those.clone());
    (innermost.collect(), false)
}

/// What comes of a build.
enum Built {
    Programs(Vec<PathBuf>),
    Errors(Vec<CompileError>),
}

struct CompileError {
    place: Place,
    text: String,
}

impl CompileError {
    /// Whether a type or a function is not what is needed there, or does not exist.
    fn is_of_types(&self) -> bool {
        const CODES: [&str; 7] = [
            "E0061", "E0277", "E0283", "E0308", "E0599", "E0624", "E0790",
        ];
        let code = self
            .text
            .strip_prefix("error[")
            .and_then(|text| text.get(..5));
        code.is_some_and(|code| CODES.contains(&code))
    }

    /// The function without `const` that a constant calls, if that is the error.
    fn function_of_constant(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("cannot call non-const ")?;
        let path = rest.split('`').nth(1)?;
        let name = path.rsplit("::").find(|part| !part.starts_with('<'))?;
        name.split('<').next()
    }
}

/// What cargo and the compiler say.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact { executable: Option<PathBuf> },
    #[serde(rename = "compiler-message")]
    Diagnosed { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    rendered: Option<String>,
    spans: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    file_name: String,
    line_start: usize,
    is_primary: bool,
}
