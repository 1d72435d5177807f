//! The tests: which mutants each of them reaches, and what they say of a mutant.

use crate::outcomes::Outcome;
use crate::{Result, in_parallel};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One test of a test program.
#[derive(Debug)]
struct Test {
    program: PathBuf,
    name: String,
    takes: Duration,
    /// The mutants whose code it runs.
    reaches: BTreeSet<u32>,
}

/// Tests that reach a mutant run until so much time is over, or else all of them.
const MOST_OF_A_MUTANT: Duration = Duration::from_secs(20);

/// A test that takes less is believed when it fails.
const QUICK: Duration = Duration::from_millis(300);

pub struct Suite {
    root: PathBuf,
    /// The quickest first, and of those that take about as long the ones that reach the least.
    tests: Vec<Test>,
}

/// How a run of tests ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Pass,
    Fail,
    TooLate,
}

impl Suite {
    /// Runs every test once by itself, without any mutant.
    pub fn record(root: &Path, programs: &[PathBuf]) -> Result<Self> {
        let mut names = Vec::new();
        for program in programs {
            let listed = Command::new(program)
                .args(["--list", "--format", "terse"])
                .current_dir(root)
                .output()?;
            for line in String::from_utf8(listed.stdout)?.lines() {
                if let Some(name) = line.strip_suffix(": test") {
                    names.push((names.len(), program, name.to_owned()));
                }
            }
        }
        let mut suite = Self {
            root: root.to_owned(),
            tests: Vec::new(),
        };
        let tests = in_parallel(names, |(number, program, name)| {
            suite.record_one(number, program, name)
        })?;
        suite.tests = tests.into_iter().flatten().collect();
        suite.tests.sort_by_key(|test| {
            let about = (test.takes.as_millis() / 16).next_power_of_two();
            (about, test.reaches.len())
        });
        let all: Duration = suite.tests.iter().map(|test| test.takes).sum();
        println!("{} tests take {all:.1?}", suite.tests.len());
        Ok(suite)
    }

    /// What a test reaches, and how long it takes; `None` if it fails.
    fn record_one(&self, number: usize, program: &Path, name: String) -> Result<Option<Test>> {
        let reached = self.root.join(format!("reached-{number}"));
        fs::write(&reached, "")?;
        let start = Instant::now();
        let variable = ("MUTANTS_REACHED", reached.as_os_str());
        let limit = Duration::from_secs(60);
        if self.run(program, &[&name], Some(variable), limit)? != Ends::Pass {
            println!("left out, as it fails without any mutant: {name}");
            return Ok(None);
        }
        let takes = start.elapsed();
        let numbers = fs::read_to_string(&reached)?;
        fs::remove_file(&reached)?;
        let reaches = numbers.lines().map(str::parse);
        Ok(Some(Test {
            program: program.to_owned(),
            name,
            takes,
            reaches: reaches.collect::<std::result::Result<_, _>>()?,
        }))
    }

    /// What the tests that reach a mutant say of it.
    pub fn test(&self, number: u32) -> Result<Outcome> {
        let mut takes = Duration::ZERO;
        let tests = self.tests.iter();
        let reaching = tests.filter(|test| test.reaches.contains(&number));
        let reaching = reaching.take_while(|test| {
            takes += test.takes;
            takes <= MOST_OF_A_MUTANT.max(test.takes)
        });
        let reaching: Vec<&Test> = reaching.collect();
        if reaching.is_empty() {
            return Ok(Outcome::Unreached);
        }
        // A process for each test costs more than most tests. Most mutants are caught by one of
        // the first few, so that later ones may as well run together.
        let (mut rest, mut size) = (&*reaching, 1);
        while !rest.is_empty() {
            let (some, others) = rest.split_at(size.min(rest.len()));
            (rest, size) = (others, size * 2);
            let programs: BTreeSet<&Path> = some.iter().map(|test| &*test.program).collect();
            for program in programs {
                let those = some.iter().filter(|test| test.program == program);
                let names: Vec<&str> = those.clone().map(|test| &*test.name).collect();
                let takes = those.map(|test| test.takes).sum();
                match self.compare(program, &names, number, takes)? {
                    Outcome::Missed => {}
                    noticed => return Ok(noticed),
                }
            }
        }
        Ok(Outcome::Missed)
    }

    /// Whether some tests fail with a mutant and pass without it.
    fn compare(
        &self,
        program: &Path,
        names: &[&str],
        number: u32,
        takes: Duration,
    ) -> Result<Outcome> {
        let limit = limit(takes);
        let number = number.to_string();
        let mutant = Some(("MUTANT", OsStr::new(&number)));
        // A machine that is busy with other things may make any test late: what hangs does so
        // twice, and ends in time without the mutant.
        let mut too_late = 0;
        for _ in 0..5 {
            let with = self.run(program, names, mutant, limit)?;
            match (with, names) {
                (Ends::Pass, _) => return Ok(Outcome::Missed),
                // It did not fail when it was recorded, and has no time to depend on time.
                (Ends::Fail, [_]) if takes < QUICK => return Ok(Outcome::Caught),
                _ => {}
            }
            match (with, self.run(program, names, None, limit)?) {
                (_, Ends::TooLate) => {}
                (Ends::TooLate, Ends::Pass) => too_late += 1,
                (_, Ends::Pass) => return Ok(Outcome::Caught),
                (_, Ends::Fail) => break,
            }
            if too_late == 2 {
                return Ok(Outcome::Hangs);
            }
        }
        println!("fails without any mutant, too: {names:?}");
        Ok(Outcome::Missed)
    }

    /// What all tests of programs say that have one mutant for good.
    pub fn test_all(&self, programs: &[PathBuf]) -> Result<Outcome> {
        let takes = self.tests.iter().map(|test| test.takes).sum();
        for program in programs {
            match self.run(program, &[], None, limit(takes))? {
                Ends::Pass => {}
                Ends::Fail => return Ok(Outcome::Caught),
                Ends::TooLate => return Ok(Outcome::Hangs),
            }
        }
        Ok(Outcome::Missed)
    }

    /// Runs the named tests of a program, or all if none is named.
    fn run(
        &self,
        program: &Path,
        names: &[&str],
        variable: Option<(&str, &OsStr)>,
        limit: Duration,
    ) -> Result<Ends> {
        let mut command = Command::new("bash");
        // A mutant may ask for all the memory there is.
        let limited = "ulimit -v 8000000; exec nice -n 10 \"$@\"";
        command.args(["-c", limited, "bash"]);
        command.arg(program).current_dir(&self.root);
        if !names.is_empty() {
            command.args(["--test-threads=1", "--exact"]).args(names);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Looking for a smaller case that fails would take long and change nothing.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .envs(variable);
        let start = Instant::now();
        let mut child = command.spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                let passed = status.success();
                return Ok(if passed { Ends::Pass } else { Ends::Fail });
            }
            if start.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                return Ok(Ends::TooLate);
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// After which time tests hang that take that long.
fn limit(takes: Duration) -> Duration {
    takes * 4 + Duration::from_secs(4)
}
