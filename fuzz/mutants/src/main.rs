//! Tries the mutants of cargo-mutants without building each of them, and without running tests
//! that cannot notice them. `tests/mutants` calls it.
//!
//! ```text
//! ajp-mutants PACKAGE LIST FEATURES TARGET...
//! ```
//!
//! `PACKAGE` is a copy of the package that may be changed, `LIST` what `cargo mutants --list
//! --json` says of it, `FEATURES` an argument of cargo, and each `TARGET` is `lib` or the name of
//! an integration test.
//!
//! 1. All mutants are put into the code at the same time (`instrument`), each behind a question
//!    whether it is the one that is tried, and the tests are built once (`build`).
//! 2. Each test runs once by itself without any mutant, and the build writes down which mutants
//!    it was asked for (`suite`): only these can change what the test sees. How long it takes is
//!    remembered.
//! 3. For each mutant the tests that reach it run, the quickest first, until one fails, or
//!    20 seconds' worth of them have passed. The failure of tests that are not quick counts if the
//!    same tests pass without the mutant. What takes four times as long as it should, and four seconds more, and does so
//!    again, hangs, and that is noticed too. A mutant that no test reaches is missed without any
//!    run.
//!
//! A mutant that cannot stand in the code with others, because the compiler needs it or its types,
//! is built alone, and all tests run; `MUTANTS_ALONE=no` leaves these out.
//!
//! Outcomes are added to the file `outcomes` in `PACKAGE`, a line for each; what stands there is
//! not tried again. `MUTANTS_AGAIN=yes` tries those again that were missed. `MUTANTS_JOBS` says
//! how many mutants are tried at the same time, 1 if it is not set. The order is shuffled, always
//! in the same way: those tried by a run that is broken off are a fair sample of all.

mod build;
mod instrument;
mod list;
mod outcomes;
mod suite;

use build::Package;
use list::Mutant;
use outcomes::{Outcome, Outcomes};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use suite::Suite;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, list, features, targets @ ..] = &*arguments else {
        eprintln!("ajp-mutants PACKAGE LIST FEATURES TARGET...");
        return ExitCode::from(2);
    };
    match run(Path::new(root), Path::new(list), features, targets) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ajp-mutants: {error}");
            ExitCode::from(2)
        }
    }
}

fn is_set(variable: &str, value: &str) -> bool {
    std::env::var(variable).as_deref() == Ok(value)
}

/// Whether no mutant was missed.
fn run(root: &Path, list: &Path, features: &str, targets: &[String]) -> Result<bool> {
    let mutants = list::read(list, root)?;
    let mut outcomes = Outcomes::read(root)?;
    if is_set("MUTANTS_AGAIN", "yes") {
        outcomes.forget_missed()?;
    }
    let left: Vec<&Mutant> = mutants
        .iter()
        .filter(|mutant| outcomes.of(mutant).is_none())
        .collect();
    println!("{} mutants, {} to be tried", mutants.len(), left.len());
    if left.is_empty() {
        return Ok(outcomes.report(&mutants));
    }
    let package = Package::new(root, features, targets, &left)?;
    let mut together = package.together(&left)?;
    let (count, alone) = (together.mutants.len(), together.alone.len());
    println!("{count} together, {alone} alone");
    for mutant in together.unviable {
        outcomes.note(mutant, Outcome::DoesNotBuild)?;
    }
    let suite = Suite::record(root, &together.programs)?;
    together
        .mutants
        .sort_by_key(|mutant| shuffled(&mutant.name));
    let noted = Mutex::new(outcomes);
    in_parallel(together.mutants, |mutant| {
        let outcome = suite.test(mutant.number)?;
        let mut outcomes = noted.lock().map_err(|_| "a job has panicked")?;
        outcomes.note(mutant, outcome)
    })?;
    let mut outcomes = noted.into_inner()?;
    if !is_set("MUTANTS_ALONE", "no") {
        for mutant in together.alone {
            let outcome = package.alone(mutant, &suite)?;
            outcomes.note(mutant, outcome)?;
        }
    }
    package.restore()?;
    Ok(outcomes.report(&mutants))
}

/// Does something with each item, with some of them at the same time.
fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let jobs: usize = std::env::var("MUTANTS_JOBS").map_or(Ok(1), |text| text.parse())?;
    let (left, done) = (Mutex::new(items.into_iter()), Mutex::new(Vec::new()));
    let job = || -> Result<()> {
        loop {
            let next = left.lock().map_err(|_| "a job has panicked")?.next();
            let Some(item) = next else { return Ok(()) };
            let result = work(item)?;
            done.lock().map_err(|_| "a job has panicked")?.push(result);
        }
    };
    thread::scope(|scope| -> Result<()> {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(job)).collect();
        for job in jobs {
            job.join().map_err(|_| "a job has panicked")??;
        }
        Ok(())
    })?;
    Ok(done.into_inner().map_err(|_| "a job has panicked")?)
}

/// A number that is the same in every run and has nothing to do with the place (FNV-1a).
fn shuffled(name: &str) -> u64 {
    let bytes = name.bytes().map(u64::from);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ byte).wrapping_mul(0x0100_0000_01b3)
    })
}
