//! A host with several addresses, of which a web server takes one or the other.

use super::report::Report;
use super::{ExplainArgs, verdict};
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Looks at each address, if there are several, and tells when only some answer.
pub(super) async fn look(args: &ExplainArgs, report: &mut Report) {
    let shown = args.target.address.to_string();
    let Some(authority) = shown.strip_prefix("ajp://") else {
        return;
    };
    let all: Vec<SocketAddr> = match &args.resolve[..] {
        [] => match lookup_host(authority).await {
            Ok(found) => found.collect(),
            Err(_) => return,
        },
        given => given.to_vec(),
    };
    if all.len() < 2 {
        return;
    }
    let (mut dead, mut alive) = (Vec::new(), Vec::new());
    for address in all {
        let text = match timeout(args.timeout, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                alive.push(address.to_string());
                "accepts".to_owned()
            }
            Ok(Err(error)) => {
                dead.push(address.to_string());
                error.to_string()
            }
            Err(_) => {
                dead.push(address.to_string());
                format!("nothing within {:?}", args.timeout)
            }
        };
        report.step("address", format!("{address}: {text}"));
    }
    if !dead.is_empty() && !alive.is_empty() {
        report.remark(verdict::some_addresses(&dead, &alive));
    }
}
