//! The sockets that a unit of systemd opens, as a check of the configuration sees them: only the
//! service itself is given the sockets, so a check reads the file that they are described in.

use super::config::Config;
use super::front::ListenAddress;
use super::inherited::{Choice, chosen};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

/// Which address takes which socket.
type Taken = Vec<(ListenAddress, Option<ListenAddress>)>;

/// Which listener takes which socket of this unit, and a line for each.
///
/// # Errors
/// Why the file cannot be read, or all sockets that nobody would accept from.
pub(super) fn check(path: &Path, config: &Config) -> Result<(Vec<String>, Taken), String> {
    let name = path.display();
    let text = crate::files::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let (given, only_v6) = read(&text).map_err(|(line, why)| format!("{name}:{line}: {why}"))?;
    let Choice { taken, unused } = chosen(config, &given);
    let is_v6 = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => address.is_ipv6(),
        ListenAddress::Unix(_) => false,
    };
    let takes_others = |(wanted, given): &&(ListenAddress, Option<ListenAddress>)| {
        only_v6 && !is_v6(wanted) && given.as_ref().is_some_and(is_v6)
    };
    if let Some((wanted, _)) = taken.iter().find(takes_others) {
        return Err(format!(
            "{name}: the socket for {wanted} takes clients of IPv6 alone (BindIPv6Only=)"
        ));
    }
    if unused.is_empty() {
        let lines = taken.iter().map(|(wanted, given)| match given {
            Some(given) => format!("gateway: {wanted} takes the socket {given} of {name}"),
            None => format!("gateway: {wanted} opens a socket of its own"),
        });
        return Ok((lines.collect(), taken));
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

/// What the unit listens at, and whether sockets of IPv6 are for that alone; or the line that is wrong
/// and why.
fn read(text: &str) -> Result<(Vec<ListenAddress>, bool), (usize, String)> {
    let (mut is_socket, mut only_v6) = (false, false);
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
        if value.ends_with('\\') {
            let why = format!("{key}= goes on in the next line, which is not read here");
            return Err((number, why));
        }
        match key {
            "BindIPv6Only" => only_v6 = value == "ipv6-only",
            "Accept" if matches!(value, "yes" | "true" | "1" | "on") => {
                let why = "Accept= starts a process for each connection".to_owned();
                return Err((number, why));
            }
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
    Ok((given, only_v6))
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
            Ok((given, _)) => {
                let given: Vec<_> = given.iter().map(ToString::to_string).collect();
                given.join(" ")
            }
            Err((line, why)) => format!("{line}: {why}"),
        }
    }

    #[test]
    fn streams_of_the_section_are_read() {
        let text = "[Unit]\nListenStream=1\n[Socket]\n# ListenStream=2\nListenStream = 80\n\
                    ListenStream=127.0.0.1:81\nListenStream=[::1]:82\nListenStream=/run/a\n";
        assert_eq!(shown(text), "[::]:80 127.0.0.1:81 [::1]:82 unix:/run/a");
        let again = format!("{text}ListenStream=\nListenStream=83\n");
        assert_eq!(shown(&again), "[::]:83");
    }

    #[test]
    fn what_cannot_be_listened_at_is_told_with_its_line() {
        for (value, why) in [
            ("ListenStream=@abstract", "2: @abstract is no port"),
            ("ListenStream=%t/ajp", "2: %t/ajp has a specifier"),
            ("ListenStream=70000", "2: 70000 is no port"),
            ("ListenStream=80 \\", "2: ListenStream= goes on"),
            ("Accept=yes", "2: Accept= starts"),
            ("ListenDatagram=53", "2: ListenDatagram= opens"),
        ] {
            let shown = shown(&format!("[Socket]\n{value}\n"));
            assert!(shown.starts_with(why), "{value}: {shown}");
        }
    }
}
