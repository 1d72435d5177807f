//! `ajp completions` and `ajp man`: what packagers install beside the tool.

use crate::exit::{Exit, Failure, codes};
use crate::ui;
use clap::Args;
use clap::builder::Resettable;
use clap_mangen::Man;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) fn completions_help() -> String {
    format!(
        "\
Examples:
  ajp completions bash > /usr/share/bash-completion/completions/ajp
  ajp completions zsh > /usr/share/zsh/site-functions/_ajp
  ajp completions fish > ~/.config/fish/completions/ajp.fish

{}",
        codes(None, &[])
    )
}

pub(crate) fn man_help() -> String {
    format!(
        "\
Examples:
  ajp man | man -l -                            read it
  ajp man --dir /usr/local/share/man/man1       ajp.1, ajp-get.1 and so on

{}",
        codes(None, &[])
    )
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(&self, mut program: clap::Command) -> Result<Exit, Failure> {
        let mut out = Vec::new();
        clap_complete::generate(self.shell, &mut program, "ajp", &mut out);
        ui::print(&String::from_utf8_lossy(&out))?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    pub(crate) fn run(&self, mut program: clap::Command) -> Result<Exit, Failure> {
        program.build();
        if let Some(dir) = &self.dir {
            pages(&program, "ajp", dir).map_err(|error| Failure::file(dir, &error))?;
            return Ok(Exit::Done);
        }
        let page = page(&program).map_err(|error| Failure::output(&error))?;
        ui::print(&String::from_utf8_lossy(&page))?;
        Ok(Exit::Done)
    }
}

/// A page for a command and for each below it.
fn pages(command: &clap::Command, name: &str, dir: &Path) -> io::Result<()> {
    std::fs::write(dir.join(format!("{name}.1")), page(command)?)?;
    for below in command.get_subcommands() {
        if below.get_name() != "help" {
            pages(below, &format!("{name}-{}", below.get_name()), dir)?;
        }
    }
    Ok(())
}

/// One page: what clap knows, and the text behind the help as sections of their own.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let help = command.get_after_help().map(ToString::to_string);
    let command = command.clone().after_help(Resettable::Reset);
    let has_options = command
        .get_arguments()
        .any(|argument| !argument.is_hide_set());
    let has_commands = command.get_subcommands().next().is_some();
    let has_version = command.get_version().is_some();
    let man = Man::new(command);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if has_options {
        man.render_options_section(&mut out)?;
    }
    if has_commands {
        man.render_subcommands_section(&mut out)?;
    }
    out.extend(sections(&help.unwrap_or_default()).into_bytes());
    if has_version {
        man.render_version_section(&mut out)?;
    }
    Ok(out)
}

/// Where a line of the text behind the help belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Notes,
    Examples,
    Exits,
}

/// The parts of a text behind the help. Examples and exit codes keep their lines.
fn sections(help: &str) -> String {
    let (mut examples, mut notes, mut exits) = (Vec::new(), Vec::new(), Vec::new());
    let mut part = Part::Notes;
    let mut lines = help.lines().peekable();
    while let Some(line) = lines.next() {
        let is_last = !lines.peek().is_some_and(|next| next.starts_with(' '));
        match line {
            "Examples:" => part = Part::Examples,
            "Exit code:" => part = Part::Exits,
            // What follows the examples are words, which are not indented.
            "" if part == Part::Examples && is_last => part = Part::Notes,
            line => {
                let line = match line.strip_prefix("Exit code: ") {
                    Some(codes) => {
                        part = Part::Exits;
                        codes
                    }
                    None => line,
                };
                match part {
                    Part::Notes => notes.push(line),
                    Part::Examples => examples.push(line),
                    Part::Exits => exits.push(line),
                }
            }
        }
    }
    let mut out = String::new();
    section(&mut out, "NOTES", &notes, false);
    section(&mut out, "EXAMPLES", &examples, true);
    section(&mut out, "EXIT STATUS", &exits, true);
    out
}

fn section(out: &mut String, heading: &str, lines: &[&str], keeps_lines: bool) {
    let first = lines.iter().position(|line| !line.is_empty());
    let last = lines.iter().rposition(|line| !line.is_empty());
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    let _ = writeln!(out, ".SH \"{heading}\"");
    if keeps_lines {
        out.push_str(".nf\n");
    }
    for line in lines.get(first..=last).unwrap_or_default() {
        if line.is_empty() && !keeps_lines {
            out.push_str(".PP\n");
        } else {
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            // A line that begins so would be a request.
            let guard = if line.starts_with(['.', '\'']) {
                "\\&"
            } else {
                ""
            };
            let _ = writeln!(out, "{guard}{line}");
        }
    }
    if keeps_lines {
        out.push_str(".fi\n");
    }
}
