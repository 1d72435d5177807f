//! The list of mutants that cargo-mutants makes.

use crate::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// A change of one piece of code.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// Its place in the list, from 1.
    pub number: u32,
    /// As cargo-mutants says it, but with a number instead of line and column if there are
    /// several of the name: it stays the same when lines are added elsewhere.
    pub name: String,
    pub line: usize,
    /// Relative to the package.
    pub file: String,
    /// What is replaced, in bytes of the file.
    pub range: Range<usize>,
    pub replacement: String,
    pub genre: Genre,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    file: String,
    span: Span,
    replacement: String,
    genre: Genre,
}

#[derive(Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// Both count from 1; columns are characters.
#[derive(Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// Reads what `cargo mutants --list --json` has written of the package in `root`.
pub fn read(list: &Path, root: &Path) -> Result<Vec<Mutant>> {
    let listed: Vec<Listed> = serde_json::from_str(&fs::read_to_string(list)?)?;
    let mut mutants = Vec::new();
    let mut of_name: BTreeMap<String, u32> = BTreeMap::new();
    for (number, one) in (1..).zip(listed) {
        let text = fs::read_to_string(root.join(&one.file))?;
        let start = offset(&text, one.span.start.line, one.span.start.column - 1);
        let end = offset(&text, one.span.end.line, one.span.end.column - 1);
        // FILE:LINE:COLUMN: WHAT
        let what = one.name.splitn(4, ':').last().unwrap_or_default();
        let mut name = format!("{}:{what}", one.file);
        let same = of_name.entry(name.clone()).or_default();
        *same += 1;
        if *same > 1 {
            name += &format!(" #{same}");
        }
        mutants.push(Mutant {
            number,
            name,
            line: one.span.start.line,
            file: one.file,
            range: start..end,
            replacement: one.replacement,
            genre: one.genre,
        });
    }
    Ok(mutants)
}

/// Where a character is, in bytes: `line` counts from 1, `column` from 0.
pub fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let rest = &text[before..];
    let within = rest.char_indices().nth(column);
    before + within.map_or(rest.len(), |(at, _)| at)
}
