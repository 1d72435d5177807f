//! Tries the mutants of cargo-mutants without building each of them: all are put into the code
//! at the same time, and an environment variable says which one is there. A mutant costs a run
//! of the tests, not a build. `tests/mutants` calls it.
//!
//! ```text
//! ajp-mutants PACKAGE LIST FIRST [arguments of cargo test...]
//! ```
//!
//! `PACKAGE` is a copy of the package that may be changed, `LIST` what `cargo mutants --list
//! --json` says of it, `FIRST` a filter of tests that are run before all others. Outcomes are
//! added to `outcomes` in `PACKAGE`, a line for each; what stands there is not tried again. The
//! order is shuffled, always in the same way: those tried by a run that is broken off are a fair
//! sample of all.
//!
//! A mutant that cannot stand in the code with others, because the compiler evaluates it or its
//! types, is built alone; the environment variable `MUTANTS_ALONE=no` leaves these out.

mod instrument;
mod list;

use list::Mutant;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What `crate::mutant` is.
const QUESTION: &str = "
#[allow(dead_code)]
pub(crate) fn mutant(number: u32) -> bool {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let of_environment = || std::env::var(\"MUTANT\").ok()?.parse().ok();
    *NUMBER.get_or_init(|| of_environment().unwrap_or(0)) == number
}
";

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Caught,
    TimedOut,
    Missed,
    DoesNotBuild,
}

impl Outcome {
    const ALL: [Self; 4] = [
        Self::Caught,
        Self::TimedOut,
        Self::Missed,
        Self::DoesNotBuild,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::TimedOut => "timeout",
            Self::Missed => "missed",
            Self::DoesNotBuild => "unviable",
        }
    }
}

/// The package whose mutants are tried.
struct Package {
    root: PathBuf,
    arguments: Vec<String>,
    first: String,
    /// The files as they are, by their names.
    files: BTreeMap<String, String>,
    limit: Duration,
    outcomes: BTreeMap<String, Outcome>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, list, first, rest @ ..] = &*arguments else {
        eprintln!("ajp-mutants PACKAGE LIST FIRST [arguments of cargo test...]");
        return ExitCode::from(2);
    };
    match run(Path::new(root), Path::new(list), first, rest) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ajp-mutants: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether no mutant was missed.
fn run(root: &Path, list: &Path, first: &str, arguments: &[String]) -> Result<bool> {
    let mutants = list::read(list, root)?;
    let mut package = Package::new(root, first, arguments, &mutants)?;
    let left = package.left(&mutants);
    println!("{} mutants, {} to be tried", mutants.len(), left.len());
    let (together, alone) = package.together(&left)?;
    println!("{} together, {} alone", together.0.len(), alone.len());
    let mut order = together.0;
    order.sort_by_key(|number| shuffled(&mutants[number - 1].name));
    for number in order {
        let outcome = package.test(&together.1, Some(number))?;
        package.note(&mutants[number - 1], outcome)?;
    }
    if std::env::var("MUTANTS_ALONE").as_deref() != Ok("no") {
        for number in alone {
            let outcome = package.alone(&mutants[number - 1])?;
            package.note(&mutants[number - 1], outcome)?;
        }
    }
    package.restore()?;
    Ok(package.report(&mutants))
}

/// A number that is the same in every run and has nothing to do with the place (FNV-1a).
fn shuffled(name: &str) -> u64 {
    let bytes = name.bytes().map(u64::from);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ byte).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Package {
    fn new(root: &Path, first: &str, arguments: &[String], mutants: &[Mutant]) -> Result<Self> {
        let mut names: BTreeSet<&str> = mutants.iter().map(|mutant| &*mutant.file).collect();
        names.insert("src/lib.rs");
        let mut files = BTreeMap::new();
        for name in names {
            files.insert(name.to_owned(), fs::read_to_string(root.join(name))?);
        }
        let mut package = Self {
            root: root.to_owned(),
            arguments: arguments.to_vec(),
            first: first.to_owned(),
            files,
            limit: Duration::from_secs(600),
            outcomes: BTreeMap::new(),
        };
        let known = fs::read_to_string(package.outcomes_file()).unwrap_or_default();
        for line in known.lines() {
            let (word, name) = line.split_once('\t').ok_or("outcomes: no tab")?;
            let mut all = Outcome::ALL.into_iter();
            let outcome = all.find(|outcome| outcome.word() == word);
            let outcome = outcome.ok_or("outcomes: not a word of ours")?;
            package.outcomes.insert(name.to_owned(), outcome);
        }
        Ok(package)
    }

    fn outcomes_file(&self) -> PathBuf {
        self.root.join("outcomes")
    }

    /// The mutants that have not been tried, by number from 1.
    fn left<'a>(&self, mutants: &'a [Mutant]) -> Vec<(usize, &'a Mutant)> {
        let all = (1..).zip(mutants);
        all.filter(|(_, mutant)| !self.outcomes.contains_key(&mutant.name))
            .collect()
    }

    /// Builds the tests with as many mutants as compile together; the numbers of these, the
    /// tests, and the numbers of the others.
    #[allow(clippy::type_complexity, reason = "used once")]
    fn together(
        &mut self,
        mutants: &[(usize, &Mutant)],
    ) -> Result<((Vec<usize>, Vec<PathBuf>), Vec<usize>)> {
        let mut dropped: BTreeSet<usize> = BTreeSet::new();
        loop {
            let mut written = BTreeMap::new();
            for (name, text) in &self.files {
                let those: Vec<(usize, &Mutant)> = mutants
                    .iter()
                    .filter(|(number, mutant)| mutant.file == *name && !dropped.contains(number))
                    .copied()
                    .collect();
                let mut file = instrument::instrument(text, &those)?;
                if name == "src/lib.rs" {
                    file.text += QUESTION;
                }
                fs::write(self.root.join(name), &file.text)?;
                written.insert(name.clone(), file);
            }
            let (tests, errors) = self.build()?;
            if errors.is_empty() {
                let numbers: BTreeSet<usize> = written
                    .values()
                    .flat_map(|file| file.around.iter().flat_map(|(_, those)| those))
                    .copied()
                    .collect();
                let others = mutants.iter().map(|(number, _)| *number);
                let others = others.filter(|number| !numbers.contains(number)).collect();
                let tests = tests.ok_or("cargo failed without an error of the compiler")?;
                self.calibrate(&tests)?;
                return Ok(((numbers.into_iter().collect(), tests), others));
            }
            let before = dropped.len();
            for error in &errors {
                dropped.extend(blamed(&written, error));
            }
            println!(
                "{} errors; {} cannot be with the others",
                errors.len(),
                dropped.len()
            );
            if dropped.len() == before {
                let text: Vec<&str> = errors.iter().map(|error| &*error.text).collect();
                return Err(format!("it does not compile:\n{}", text.join("\n")).into());
            }
        }
    }

    /// The tests, or what the compiler says.
    fn build(&self) -> Result<(Option<Vec<PathBuf>>, Vec<CompileError>)> {
        let output = Command::new("cargo")
            .args(["test", "--no-run", "--quiet", "--message-format=json"])
            .args(&self.arguments)
            .current_dir(&self.root)
            .env("RUSTFLAGS", "-Awarnings")
            .stderr(Stdio::null())
            .output()?;
        let (mut tests, mut errors) = (Vec::new(), Vec::new());
        for line in String::from_utf8(output.stdout)?.lines() {
            match serde_json::from_str(line)? {
                Message::Artifact {
                    executable: Some(path),
                } => tests.push(path),
                Message::Diagnosed { message } if message.level == "error" => {
                    let mut spans = message.spans.into_iter();
                    let place = spans.find(|span| span.is_primary);
                    let text = message.rendered.unwrap_or(message.message);
                    // Of the last one, which only counts, there is no place.
                    if let Some(place) = place {
                        errors.push(CompileError { place, text });
                    }
                }
                _ => {}
            }
        }
        Ok((output.status.success().then_some(tests), errors))
    }

    /// The tests must pass as they are; how long they take says what is too long.
    fn calibrate(&mut self, tests: &[PathBuf]) -> Result<()> {
        let start = Instant::now();
        if self.test(tests, None)? != Outcome::Missed {
            return Err("the tests fail without any mutant".into());
        }
        let time = start.elapsed();
        println!("the tests take {time:.1?}");
        self.limit = (time * 3).max(Duration::from_secs(10));
        Ok(())
    }

    /// Runs the tests until one fails: those of the folder itself first.
    fn test(&self, tests: &[PathBuf], mutant: Option<usize>) -> Result<Outcome> {
        for own in [true, false] {
            for test in tests {
                let is_lib = test.file_name().is_some_and(|name| {
                    // As cargo names it: the package, and a hash.
                    name.to_string_lossy().starts_with("ajp-")
                });
                let filter: &[&str] = match (is_lib, own) {
                    (true, true) => &[&self.first],
                    (true, false) => &["--skip", &self.first],
                    (false, true) => continue,
                    (false, false) => &[],
                };
                match self.one(test, filter, mutant)? {
                    Outcome::Missed => {}
                    noticed => return Ok(noticed),
                }
            }
        }
        Ok(Outcome::Missed)
    }

    fn one(&self, test: &Path, filter: &[&str], mutant: Option<usize>) -> Result<Outcome> {
        let mut command = Command::new("bash");
        // A mutant may ask for all the memory there is.
        command.args(["-c", "ulimit -v 8000000; exec \"$@\"", "bash"]);
        command.arg(test).args(filter).current_dir(&self.root);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(number) = mutant {
            command.env("MUTANT", number.to_string());
        }
        let start = Instant::now();
        let mut child = command.spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                let passed = status.success();
                return Ok(if passed {
                    Outcome::Missed
                } else {
                    Outcome::Caught
                });
            }
            if start.elapsed() > self.limit {
                child.kill()?;
                child.wait()?;
                return Ok(Outcome::TimedOut);
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// A mutant in the code as it is, built for itself.
    fn alone(&self, mutant: &Mutant) -> Result<Outcome> {
        self.restore()?;
        let mut text = self.files.get(&mutant.file).ok_or("no such file")?.clone();
        text.replace_range(mutant.range.clone(), &format!("{} ", mutant.replacement));
        fs::write(self.root.join(&mutant.file), text)?;
        match self.build()? {
            (Some(tests), errors) if errors.is_empty() => self.test(&tests, None),
            _ => Ok(Outcome::DoesNotBuild),
        }
    }

    /// The files as they were.
    fn restore(&self) -> Result<()> {
        for (name, text) in &self.files {
            fs::write(self.root.join(name), text)?;
        }
        Ok(())
    }

    fn note(&mut self, mutant: &Mutant, outcome: Outcome) -> Result<()> {
        let line = format!("{}\t{}\n", outcome.word(), mutant.name);
        if outcome == Outcome::Missed {
            print!("{line}");
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.outcomes_file());
        file?.write_all(line.as_bytes())?;
        self.outcomes.insert(mutant.name.clone(), outcome);
        Ok(())
    }

    /// Says how many came to what; whether none was missed.
    fn report(&self, mutants: &[Mutant]) -> bool {
        let outcomes = mutants.iter().map(|mutant| self.outcomes.get(&mutant.name));
        let count = |wanted: Option<Outcome>| {
            let outcomes = outcomes.clone();
            outcomes
                .filter(|outcome| outcome.copied() == wanted)
                .count()
        };
        for outcome in Outcome::ALL {
            println!("{:9} {}", outcome.word(), count(Some(outcome)));
        }
        println!("{:9} {}", "not tried", count(None));
        count(Some(Outcome::Missed)) == 0
    }
}

/// The mutants that an error of the compiler comes from.
fn blamed(files: &BTreeMap<String, instrument::Instrumented>, error: &CompileError) -> Vec<usize> {
    let Some(file) = files.get(&error.place.file_name) else {
        return Vec::new();
    };
    let line = error.place.line_start;
    let of_its_code = file.lines.iter().filter(|(_, lines)| lines.contains(&line));
    let of_its_code: Vec<usize> = of_its_code.map(|(number, _)| *number).collect();
    if !of_its_code.is_empty() {
        return of_its_code;
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
    innermost.flat_map(|(_, those)| those.clone()).collect()
}

struct CompileError {
    place: Place,
    text: String,
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
