//! The sockets that a unit of systemd opens, as a check of the configuration sees them: only the
//! service itself is given the sockets, so a check reads the file that they are described in.

use super::config::Config;
use super::front::ListenAddress;
use super::inherited::{Choice, chosen};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

/// Which listener takes which socket of this unit, a line for each.
///
/// # Errors
/// Why the file cannot be read, or all sockets that nobody would accept from.
pub(super) fn check(path: &Path, config: &Config) -> Result<Vec<String>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let given = read(&text).map_err(|(line, why)| format!("{name}:{line}: {why}"))?;
    let Choice { taken, unused } = chosen(config, &given);
    if unused.is_empty() {
        let lines = taken.into_iter().map(|(wanted, given)| match given {
            Some(given) => format!("gateway: {wanted} takes the socket {given} of {name}"),
            None => format!("gateway: {wanted} opens a socket of its own"),
        });
        return Ok(lines.collect());
    }
    let lines: Vec<_> = unused
        .iter()
        .map(|given| {
            format!(
                "{name}: it opens {given}, and no listener of the configuration has this address: \
                 who connects to it would wait and never be answered"
            )
        })
        .collect();
    Err(lines.join("\n"))
}

/// What the unit listens at, or the line that is wrong and why.
fn read(text: &str) -> Result<Vec<ListenAddress>, (usize, String)> {
    let mut is_socket = false;
    let mut given = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.starts_with('[') {
            is_socket = line == "[Socket]";
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_socket) else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        match key {
            // It takes back those before.
            "ListenStream" if value.is_empty() => given.clear(),
            "ListenStream" => given.push(address(value).map_err(|why| (number, why))?),
            "ListenDatagram" | "ListenSequentialPacket" | "ListenFIFO" | "ListenNetlink" => {
                let why = format!("{key}= opens what the gateway cannot listen at");
                return Err((number, why));
            }
            _ => {}
        }
    }
    Ok(given)
}

/// An address as `ListenStream=` has it.
fn address(value: &str) -> Result<ListenAddress, String> {
    if value.contains('%') {
        return Err(format!(
            "{value} has a specifier, which only systemd can resolve"
        ));
    }
    if value.starts_with('/') {
        return Ok(ListenAddress::Unix(value.into()));
    }
    let tcp = match value.parse() {
        // For all addresses, IPv4 included.
        Ok(port) => Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        Err(_) => value.parse().ok(),
    };
    tcp.map(ListenAddress::Tcp)
        .ok_or_else(|| format!("{value} is no port, no address with a port and no path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match read(text) {
            Ok(given) => given.iter().map(|one| format!("{one} ")).collect(),
            Err((line, why)) => format!("{line}: {why}"),
        }
    }

    #[test]
    fn streams_of_the_section_are_read() {
        let text = "[Unit]\nListenStream=1\n[Socket]\n# ListenStream=2\nListenStream = 80\n\
                    ListenStream=127.0.0.1:81\nListenStream=[::1]:82\nListenStream=/run/a\n";
        assert_eq!(shown(text), "[::]:80 127.0.0.1:81 [::1]:82 unix:/run/a ");
        let again = format!("{text}ListenStream=\nListenStream=83\n");
        assert_eq!(shown(&again), "[::]:83 ");
    }

    #[test]
    fn what_cannot_be_listened_at_is_told_with_its_line() {
        for (value, why) in [
            ("ListenStream=@abstract", "2: @abstract is no port"),
            ("ListenStream=%t/ajp", "2: %t/ajp has a specifier"),
            ("ListenStream=70000", "2: 70000 is no port"),
            ("ListenDatagram=53", "2: ListenDatagram= opens"),
        ] {
            let shown = shown(&format!("[Socket]\n{value}\n"));
            assert!(shown.starts_with(why), "{value}: {shown}");
        }
    }
}
