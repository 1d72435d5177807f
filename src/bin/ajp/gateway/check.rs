//! `--check`: looks at the configuration without serving it, and at what it names beside its own
//! files. What a check lets pass, the gateway starts with.

use super::front::{Bound, could_be_opened};
use super::inherited::chosen;
use super::{GatewayArgs, manager, socket_unit};
use crate::exit::{Exit, Failure};
use crate::ui;

/// Tells that the configuration is right, or all that is wrong.
pub(super) fn check(args: &GatewayArgs) -> Result<Exit, Failure> {
    let config = args.read().map_err(Failure::usage)?;
    let mut wrong = Vec::new();
    if let Some(path) = &config.access_log {
        if let Err(error) = could_be_opened(path) {
            wrong.push(format!("access log {}: {error}", path.display()));
        }
    }
    let manager = config.manager.as_ref();
    if let Some(state_file) = manager.and_then(|manager| manager.state_file.as_ref()) {
        // Where its directory cannot be written the gateway would start, and say it with each change.
        wrong.extend(manager::can_be_kept(state_file).err());
    }
    let (lines, taken) = match &args.socket_unit {
        Some(unit) => socket_unit::check(unit, &config).map_err(Failure::usage)?,
        None => (Vec::new(), chosen(&config, &[]).taken),
    };
    // Sockets of the service manager are its own affair.
    let own = taken.iter().filter(|(_, given)| given.is_none());
    wrong.extend(own.filter_map(|(address, _)| Bound::could_be(address).err()));
    if !wrong.is_empty() {
        return Err(Failure::usage(wrong.join("\n")));
    }
    match &args.config {
        Some(path) if args.print_config => {
            let text = crate::files::read_to_string(path);
            ui::print(&text.map_err(|error| Failure::usage(error.to_string()))?)?;
        }
        _ => {
            ui::print_line("gateway: the configuration is right")?;
            for line in &lines {
                ui::print_line(line)?;
            }
        }
    }
    Ok(Exit::Done)
}
