//! `ajp import`: the configuration of httpd or mod_jk as one of the gateway.
//!
//! - `plan`: what was understood.
//! - `mounts`, `settle`, `sites`, `scopes`: what the gateway would not take as it was read.
//! - `write`: the TOML of it.
//! - `values`: numbers, times, weights, paths.
//! - `workers`: `workers.properties` and `uriworkermap.properties`.
//! - `httpd`: `ProxyPass`, `BalancerMember`, `<Proxy>` and their like.
//!
//! Nothing is dropped without a word: what has no equal in the gateway is listed with its
//! line and what to do about it.

mod httpd;
mod mounts;
mod plan;
mod scopes;
mod settle;
mod sites;
mod values;
mod workers;
mod write;

use crate::config::Text;
use crate::config::httpd::Tree;
use crate::exit::{Exit, Failure, codes};
use crate::ui;
use clap::Args;
use plan::{Plan, Severity};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp import --httpd /etc/apache2/sites-enabled/app.conf -o gateway.toml
  ajp import --workers workers.properties --uriworkermap uriworkermap.properties > gateway.toml
  ajp import --httpd app.conf --secrets /etc/ajp -o gateway.toml      secrets in files there

The configuration goes to the standard output or to --output; what has no equal, and what to
do about it, to the standard error, and as a comment to its place. Where an exclusion or a rule
of access would be lost, or a header that httpd writes would be the visitor's, nothing is written.

{}",
        codes(
            Some("something has no counterpart in the gateway, and is told"),
            &[]
        )
    )
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ImportArgs {
    /// Configuration of httpd, may be repeated; an Include is read if its file is there
    #[arg(long, value_name = "FILE")]
    httpd: Vec<PathBuf>,
    /// workers.properties of mod_jk
    #[arg(long, value_name = "FILE")]
    workers: Option<PathBuf>,
    /// uriworkermap.properties of mod_jk
    #[arg(long, value_name = "FILE", requires = "workers")]
    uriworkermap: Option<PathBuf>,
    /// Write the secrets to files in this directory, which nobody else can read
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// Write the configuration even if something that was kept out would be let through, or a
    /// header is removed that httpd wrote
    #[arg(long)]
    force: bool,
    /// Write the configuration to a file, which must not exist; -: standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl ImportArgs {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut plan = Plan::default();
        // The gateway may be started elsewhere.
        let secrets = self.secrets.as_deref().map(|dir| {
            std::path::absolute(dir)
                .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))
        });
        let secrets = secrets.transpose()?;
        plan.has_workers = self.workers.is_some();
        plan.has_uri_map = self.uriworkermap.is_some();
        if let Some(path) = &self.workers {
            let text = Text::read(path)?;
            let mut lines = text.text.lines();
            if !lines.any(|line| line.trim_start().starts_with("worker.")) {
                let text = "it has no line that begins with worker. as workers.properties does";
                return Err(Failure::usage(format!("{}: {text}", path.display())));
            }
            let map = self.uriworkermap.as_deref().map(Text::read).transpose()?;
            workers::read(&text, map.as_ref(), &mut plan);
        }
        if !self.httpd.is_empty() {
            let files: Result<Vec<_>, _> = self.httpd.iter().map(|path| Text::read(path)).collect();
            httpd::read(&files?, &mut plan);
            // Where a section begins and ends is not known then, or what it keeps out.
            if let Ok(tree) = Tree::read(&self.httpd, &[]) {
                for (place, why) in tree.broken {
                    plan.open(&place.to_string(), why);
                }
            }
        }
        plan.settle();
        let refuses = |remark: &&plan::Remark| remark.severity >= Severity::Believed;
        if plan.remarks().iter().any(|remark| refuses(&remark)) && !self.force {
            for remark in plan.remarks().iter().filter(refuses) {
                ui::say(&remark.to_string());
            }
            ui::say(
                "ajp: nothing was written: the gateway would let through what was kept out, or \
                 let visitors write what httpd wrote; mend the lines above, or say --force",
            );
            return Ok(Exit::No);
        }
        let output = self.output.as_ref().filter(|path| path.as_os_str() != "-");
        let file = |(name, secret)| {
            let path = secrets.as_ref()?.join(format!("{name}.secret"));
            Some((path, secret))
        };
        let secret_files: Vec<(PathBuf, &str)> = plan.secrets().filter_map(file).collect();
        let paths = secret_files.iter().map(|(path, _)| path);
        // All or nothing: a second run must not find half of them.
        if let Some(path) = paths.chain(output).find(|path| path.exists()) {
            return Err(Failure::usage(format!(
                "{} exists; move it, or name another",
                path.display()
            )));
        }
        let (balancers, maps) = plan.len();
        if (balancers, maps) == (0, 0) {
            for remark in plan.remarks() {
                ui::say(&remark.to_string());
            }
            ui::say("ajp: nothing was written: nothing in these files leads to a container");
            return Ok(Exit::No);
        }
        for (path, secret) in &secret_files {
            create(path, secret.as_bytes())?;
        }
        let text = plan.toml(secrets.as_deref());
        match output {
            Some(path) => create(path, text.as_bytes())?,
            None => ui::print(&text)?,
        }
        for remark in plan.remarks() {
            ui::say(&remark.to_string());
        }
        let lost = plan
            .remarks()
            .iter()
            .filter(|remark| remark.severity > Severity::Left)
            .count();
        ui::say(&format!(
            "ajp: {balancers} balancers, {maps} paths; {lost} settings without an equal"
        ));
        Ok(if lost > 0 { Exit::No } else { Exit::Done })
    }
}

/// Writes a new file that only its owner can read.
fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
