//! `ajp lint`: configuration files that disagree, found before users do.
//!
//! - `read`: files to a farm.
//! - `farm`: what all of them together say.
//! - `rule`: what a rule and a finding is.
//! - `check`: the rules by subject.
//! - `output`: text, JSON, SARIF.

mod check;
mod farm;
mod output;
mod read;
mod rule;

use crate::exit::{Exit, Failure, codes};
use crate::ui;
use clap::Args;
use output::Format;
use rule::Severity;
use std::path::PathBuf;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp lint /etc/apache2/apache2.conf /etc/tomcat10/server.xml     both sides at once
  ajp lint site.conf jvm1/server.xml jvm2/server.xml              a farm
  ajp lint workers.properties uriworkermap.properties server.xml  mod_jk
  ajp lint gateway.toml standalone.xml                            the gateway and WildFly
  ajp lint --format sarif site.conf server.xml > lint.sarif       for a code host
  ajp lint --explain AJP601                                       one rule, with its source
  ajp lint --rules                                                all rules

What a file is is known by its name and by what is in it. Include, Define, conditions and macros of
httpd are followed; ${{...}} of Tomcat comes from catalina.properties beside server.xml and from
--property. A rule that would need a value that is not known finds nothing. Secrets are compared and
never shown.

{}",
        codes(Some("found something of --fail-on or worse"), &[])
    )
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct LintArgs {
    /// Configuration files of web servers and containers
    #[arg(value_name = "FILE", required_unless_present_any = ["explain", "rules"])]
    files: Vec<PathBuf>,
    /// How to show what was found
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The least severity that makes the exit code 1
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "warning")]
    fail_on: Severity,
    /// Leave out a rule, may be repeated
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// As httpd -D, may be repeated
    #[arg(short = 'D', long = "define", value_name = "NAME[=VALUE]")]
    defines: Vec<String>,
    /// A system property of the container, may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// How many web servers have these files
    #[arg(long, value_name = "N", default_value_t = 1)]
    web_servers: u64,
    /// Tell all about a rule
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// List all rules
    #[arg(long)]
    rules: bool,
}

impl LintArgs {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let rules = check::rules();
        if self.rules {
            ui::print(&output::list(&rules))?;
            return Ok(Exit::Done);
        }
        let named = |code: &str| {
            let is = |rule: &&&rule::Rule| {
                rule.code.eq_ignore_ascii_case(code) || rule.name.eq_ignore_ascii_case(code)
            };
            rules.iter().find(is).ok_or_else(|| {
                Failure::usage(format!("{code} is no rule; ajp lint --rules lists them"))
            })
        };
        if let Some(code) = &self.explain {
            ui::print(&output::rule(named(code)?))?;
            return Ok(Exit::Done);
        }
        let allowed = self
            .allow
            .iter()
            .map(|code| named(code).map(|rule| rule.code));
        let allowed = allowed.collect::<Result<Vec<_>, _>>()?;
        let farm = read::farm(&read::Sources {
            files: &self.files,
            defines: &self.defines,
            properties: &self.properties,
            web_servers: self.web_servers,
        })?;
        let mut findings = check::check(&farm);
        findings.retain(|finding| !allowed.contains(&finding.rule.code));
        ui::print(&self.format.show(&findings))?;
        let fails = findings
            .iter()
            .any(|finding| finding.rule.severity >= self.fail_on);
        Ok(if fails { Exit::No } else { Exit::Done })
    }
}
