//! `ajp completions` and `ajp man`: what packagers install beside the tool.

use crate::Program;
use crate::exit::{Exit, Failure};
use crate::ui;
use clap::{Args, CommandFactory};
use std::path::PathBuf;

pub(crate) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ajp completions bash > /usr/share/bash-completion/completions/ajp
  ajp completions zsh > /usr/share/zsh/site-functions/_ajp
  ajp completions fish > ~/.config/fish/completions/ajp.fish";

pub(crate) const MAN_EXAMPLES: &str = "\
Examples:
  ajp man | man -l -                            read it
  ajp man --dir /usr/local/share/man/man1       ajp.1, ajp-get.1 and so on";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut out = Vec::new();
        clap_complete::generate(self.shell, &mut Program::command(), "ajp", &mut out);
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
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        if let Some(dir) = &self.dir {
            clap_mangen::generate_to(Program::command(), dir)
                .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
            return Ok(Exit::Done);
        }
        let mut out = Vec::new();
        clap_mangen::Man::new(Program::command())
            .render(&mut out)
            .map_err(|error| Failure::output(&error))?;
        ui::print(&String::from_utf8_lossy(&out))?;
        Ok(Exit::Done)
    }
}
