//! AJP inside TLS with rustls: a [`TlsListener`] for the container, a [`TlsConnector`] for the
//! web server.
//!
//! AJP itself has no encryption, and nothing in it says who the peer is but a secret that goes
//! over the wire as it is. Between machines TLS adds both: with certificates on both sides
//! ([`server_config`] with `clients`, [`client_config`] with an [`Identity`]) a container knows
//! that only its web servers can connect, and the secret is no longer the only lock.
//!
//! httpd, `mod_jk` and Tomcat do not speak it by themselves: put a TLS tunnel such as stunnel
//! beside them, or this crate on both sides.
//!
//! The configurations made here use rustls' ring provider, named explicitly, so that no other
//! crate's choice of a process-wide default changes them, with TLS 1.2 and 1.3. Any other
//! rustls configuration can be used as well.
//!
//! ```no_run
//! use ajp::client::{Address, Client, Pool, PoolConfig};
//! use ajp::server::serve;
//! use ajp::tls::{self, Identity, TlsConnector, TlsListener};
//!
//! # async fn example(app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
//! // The container: whoever has a certificate of this authority may connect.
//! let identity = Identity::from_pem_files("server.pem", "server.key")?;
//! let web_servers = tls::roots_from_pem_file("ca.pem")?;
//! let config = tls::server_config(identity, web_servers)?;
//! let listener = tokio::net::TcpListener::bind("10.0.0.2:8010").await?;
//! tokio::spawn(serve(TlsListener::new(listener, config), app).trusted_network());
//!
//! // The web server.
//! let identity = Identity::from_pem_files("client.pem", "client.key")?;
//! let config = tls::client_config(tls::roots_from_pem_file("ca.pem")?, identity)?;
//! let address: Address = "ajp://10.0.0.2:8010".parse()?;
//! let connector = TlsConnector::new(address, "container.example".try_into()?, config);
//! let client = Client::new(Pool::new(connector, PoolConfig::default()));
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! In TLS 1.3 a container looks at the certificate of a web server when that takes the handshake
//! for done. One that is refused fails the first request of each connection, which may have been
//! sent by then, so a POST goes nowhere else. A pool that asks new connections with `CPing`
//! ([`CPingMode::and_on_connect`](../client/struct.CPingMode.html#method.and_on_connect)) finds out
//! before: no request has been sent then, and a balancer gives it to another member.
//!
//! What may not live here: packets and requests, and what a container is told of the TLS of its
//! visitors (see [`TlsFacts`](crate::mapping::TlsFacts)).

#[cfg(feature = "client")]
mod connector;
#[cfg(feature = "server")]
mod listener;

#[cfg(feature = "client")]
pub use connector::{TlsConnector, client_config};
#[cfg(feature = "server")]
pub use listener::{Handshaking, TlsListener, server_config};
pub use tokio_rustls::rustls;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A certificate with its chain, and the private key that belongs to it.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Of what a program has loaded itself; its own certificate comes first in the chain.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// Reads PEM files: one with the certificate and its chain, one with the key.
    ///
    /// # Errors
    /// When a file cannot be read, holds no PEM, or holds nothing of this kind: always
    /// [`pem::Error::Io`], whose text has the path.
    pub fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, pem::Error> {
        Ok(Self {
            chain: certificates(chain.as_ref())?,
            key: of_file(key.as_ref(), PrivateKeyDer::from_pem_file(key.as_ref()))?,
        })
    }
}

impl fmt::Debug for Identity {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates = certificates.and_then(|all: Vec<_>| {
        if all.is_empty() {
            return Err(pem::Error::NoItemsFound);
        }
        Ok(all)
    });
    of_file(path, certificates)
}

/// Says which file it is that something is wrong with: there are several in a configuration.
fn of_file<T>(path: &Path, read: Result<T, pem::Error>) -> Result<T, pem::Error> {
    read.map_err(|error| {
        let (kind, why) = match error {
            pem::Error::Io(error) => (error.kind(), error.to_string()),
            other => (io::ErrorKind::InvalidData, other.to_string()),
        };
        pem::Error::Io(io::Error::new(kind, format!("{}: {why}", path.display())))
    })
}

/// The authorities in a PEM file.
///
/// # Errors
/// When the file cannot be read or holds no certificate: always [`pem::Error::Io`], whose text has
/// the path. One that rustls does not take for an
/// authority's is left out.
pub fn roots_from_pem_file(path: impl AsRef<Path>) -> Result<RootCertStore, pem::Error> {
    let path = path.as_ref();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return of_file(path, Err(pem::Error::NoItemsFound));
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
