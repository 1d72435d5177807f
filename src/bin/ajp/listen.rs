//! Where commands listen.

use crate::exit::Failure;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Listens at an address, and tells which port it is if any was asked for.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error| Failure::listen(address, &error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
