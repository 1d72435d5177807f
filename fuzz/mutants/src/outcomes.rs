//! What became of the mutants, in a file that a later run goes on with.

use crate::Result;
use crate::list::Mutant;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A test fails.
    Caught,
    /// A test does not end.
    Hangs,
    /// All tests that reach it pass.
    Missed,
    /// No test reaches it.
    Unreached,
    DoesNotBuild,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Caught,
        Self::Hangs,
        Self::Missed,
        Self::Unreached,
        Self::DoesNotBuild,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Hangs => "hangs",
            Self::Missed => "missed",
            Self::Unreached => "unreached",
            Self::DoesNotBuild => "unviable",
        }
    }

    fn is_noticed(self) -> bool {
        !matches!(self, Self::Missed | Self::Unreached)
    }
}

pub struct Outcomes {
    file: PathBuf,
    known: BTreeMap<String, Outcome>,
}

impl Outcomes {
    pub fn read(root: &Path) -> Result<Self> {
        let file = root.join("outcomes");
        let mut known = BTreeMap::new();
        for line in fs::read_to_string(&file).unwrap_or_default().lines() {
            let (word, name) = line.split_once('\t').ok_or("outcomes: no tab")?;
            let mut all = Outcome::ALL.into_iter();
            let outcome = all.find(|outcome| outcome.word() == word);
            let outcome = outcome.ok_or("outcomes: not a word of ours")?;
            known.insert(name.to_owned(), outcome);
        }
        Ok(Self { file, known })
    }

    pub fn of(&self, mutant: &Mutant) -> Option<Outcome> {
        self.known.get(&mutant.name).copied()
    }

    pub fn forget_missed(&mut self) -> Result<()> {
        self.known.retain(|_, outcome| outcome.is_noticed());
        let lines = self.known.iter();
        let lines = lines.map(|(name, outcome)| format!("{}\t{name}\n", outcome.word()));
        fs::write(&self.file, lines.collect::<String>())?;
        Ok(())
    }

    pub fn note(&mut self, mutant: &Mutant, outcome: Outcome) -> Result<()> {
        let line = format!("{}\t{}\n", outcome.word(), mutant.name);
        if !outcome.is_noticed() {
            let at = mutant.line;
            print!("{at}: {line}");
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).open(&self.file);
        file?.write_all(line.as_bytes())?;
        self.known.insert(mutant.name.clone(), outcome);
        Ok(())
    }

    /// Says how many came to what; whether none was missed.
    pub fn report(&self, mutants: &[Mutant]) -> bool {
        let count = |wanted: Option<Outcome>| {
            let all = mutants.iter();
            all.filter(|mutant| self.of(mutant) == wanted).count()
        };
        for outcome in Outcome::ALL {
            println!("{:9} {}", outcome.word(), count(Some(outcome)));
        }
        println!("{:9} {}", "not tried", count(None));
        count(Some(Outcome::Missed)) + count(Some(Outcome::Unreached)) == 0
    }
}
