//! What is printed when all is ready.

use super::config::Config;
use super::front::ListenAddress;
use ajp::balancer::Balancer;

/// Where a listener is, for a client.
pub(super) fn url(scheme: &str, address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => format!("{scheme}://{address}"),
        ListenAddress::Unix(_) => address.to_string(),
    }
}

/// The one line that is printed when all is ready.
pub(super) fn greeting(
    scheme: &str,
    address: &ListenAddress,
    config: &Config,
    embedded: bool,
) -> String {
    let (to, path) = match (&config.balancers()[..], &config.maps[..]) {
        ([one], [map]) => (members(one), map.pattern.to_string()),
        (balancers, maps) => {
            let names: Vec<_> = balancers
                .iter()
                .map(|balancer| format!("balancer://{}", balancer.name()))
                .collect();
            (
                names.join(","),
                maps.first()
                    .map_or("/".to_owned(), |map| map.pattern.to_string()),
            )
        }
    };
    let (kind, path) = if embedded {
        (" (embedded container)", "/hello")
    } else {
        ("", path.as_str())
    };
    let try_it = match address {
        ListenAddress::Tcp(address) => format!("curl {scheme}://{address}{path}"),
        ListenAddress::Unix(socket) => {
            format!(
                "curl --unix-socket {} {scheme}://localhost{path}",
                socket.display()
            )
        }
    };
    let url = url(scheme, address);
    format!("gateway: {url} -> {to}{kind}; try: {try_it}")
}

/// The names of a balancer's members.
fn members(balancer: &Balancer) -> String {
    let members = balancer.members();
    let names: Vec<_> = members.iter().map(ajp::balancer::Member::name).collect();
    names.join(",")
}
