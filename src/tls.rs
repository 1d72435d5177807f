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

#[cfg(feature = "client")]
use crate::client::{Connect, Connecting, Transport};
#[cfg(feature = "server")]
use crate::server::{Accepted, Listener};
#[cfg(feature = "client")]
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
#[cfg(feature = "client")]
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, RootCertStore};
#[cfg(feature = "server")]
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use std::fmt;
#[cfg(feature = "server")]
use std::io;
use std::path::Path;
use std::sync::Arc;
#[cfg(feature = "server")]
use tokio::io::{AsyncRead, AsyncWrite};
pub use tokio_rustls::rustls;

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
    /// When a file cannot be read, holds no PEM, or holds nothing of this kind.
    pub fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, pem::Error> {
        Ok(Self {
            chain: certificates(chain.as_ref())?,
            key: PrivateKeyDer::from_pem_file(key)?,
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
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(pem::Error::NoItemsFound);
    }
    Ok(certificates)
}

/// The authorities in a PEM file.
///
/// # Errors
/// When the file cannot be read or holds no certificate. One that rustls does not take for an
/// authority's is left out.
pub fn roots_from_pem_file(path: impl AsRef<Path>) -> Result<RootCertStore, pem::Error> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path.as_ref())?);
    if added == 0 {
        return Err(pem::Error::NoItemsFound);
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A configuration for [`TlsListener`]: TLS 1.2 and 1.3 with this identity. With authorities as
/// `clients` only peers that have a certificate of theirs are let in.
///
/// # Errors
/// When key and certificate do not belong together, or the authorities are unusable.
#[cfg(feature = "server")]
pub fn server_config(
    identity: Identity,
    clients: impl Into<Option<RootCertStore>>,
) -> Result<Arc<ServerConfig>, Error> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match clients.into() {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(identity.chain, identity.key)?;
    Ok(Arc::new(config))
}

/// A configuration for [`TlsConnector`]: TLS 1.2 and 1.3 with containers that have a certificate
/// of these authorities, to which this identity is shown if they ask for one.
///
/// # Errors
/// When key and certificate do not belong together.
#[cfg(feature = "client")]
pub fn client_config(
    roots: RootCertStore,
    identity: impl Into<Option<Identity>>,
) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity.into() {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
    };
    Ok(Arc::new(config))
}

/// A [`Listener`] whose connections are TLS.
///
/// It accepts raw connections of `L`; each handshake runs in its connection's own task, within
/// [`ServerTimeouts::with_handshake`](crate::server::ServerTimeouts::with_handshake). One that
/// fails is a [`ServerError::Handshake`](crate::server::ServerError::Handshake) of that connection.
#[cfg(feature = "server")]
pub struct TlsListener<L> {
    listener: L,
    acceptor: tokio_rustls::TlsAcceptor,
}

#[cfg(feature = "server")]
impl<L: Listener> TlsListener<L> {
    /// TLS over the connections of another listener.
    pub fn new(listener: L, config: Arc<ServerConfig>) -> Self {
        Self {
            listener,
            acceptor: config.into(),
        }
    }

    fn handshaking(&self, io: L::Io) -> Handshaking<L::Io> {
        Handshaking {
            io,
            acceptor: self.acceptor.clone(),
        }
    }
}

#[cfg(feature = "server")]
impl<L> Listener for TlsListener<L>
where
    L: Listener + Sync,
    L::Io: AsyncRead + AsyncWrite + Unpin,
{
    type Io = Handshaking<L::Io>;
    type Peer = L::Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Peer) {
        let (io, peer) = self.listener.accept().await;
        (self.handshaking(io), peer)
    }

    async fn close(self) -> Vec<(Self::Io, Self::Peer)> {
        let acceptor = self.acceptor;
        let waiting = self.listener.close().await.into_iter();
        let handshaking = |io| Handshaking {
            io,
            acceptor: acceptor.clone(),
        };
        waiting.map(|(io, peer)| (handshaking(io), peer)).collect()
    }
}

#[cfg(feature = "server")]
impl<L: fmt::Debug> fmt::Debug for TlsListener<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsListener").field(&self.listener).finish()
    }
}

/// An accepted connection before its TLS handshake.
#[cfg(feature = "server")]
pub struct Handshaking<Io> {
    io: Io,
    acceptor: tokio_rustls::TlsAcceptor,
}

#[cfg(feature = "server")]
impl<Io> Accepted for Handshaking<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = tokio_rustls::server::TlsStream<Io>;

    async fn handshake(self) -> io::Result<Self::Stream> {
        // On the heap: a connection's task is spared its size once it is done.
        Box::pin(self.acceptor.accept(self.io)).await
    }
}

#[cfg(feature = "server")]
impl<Io> fmt::Debug for Handshaking<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshaking")
    }
}

/// Opens TLS connections to a container: another connector's connections, and a handshake over
/// each. The pool's connect limit is for both together.
#[cfg(feature = "client")]
pub struct TlsConnector<C> {
    inner: C,
    name: ServerName<'static>,
    tls: tokio_rustls::TlsConnector,
}

#[cfg(feature = "client")]
impl<C: Connect> TlsConnector<C> {
    /// TLS over what `inner` opens, such as an [`Address`](crate::client::Address). `name` is
    /// what the container's certificate must be for.
    pub fn new(inner: C, name: ServerName<'static>, config: Arc<ClientConfig>) -> Self {
        Self {
            inner,
            name,
            tls: config.into(),
        }
    }
}

#[cfg(feature = "client")]
impl<C: Connect> Connect for TlsConnector<C> {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let transport = self.inner.connect().await?;
            let stream = self.tls.connect(self.name.clone(), transport).await?;
            Ok(Transport::new(stream))
        })
    }

    fn describe(&self) -> String {
        format!("{} over TLS", self.inner.describe())
    }
}

#[cfg(feature = "client")]
impl<C: Connect> fmt::Debug for TlsConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsConnector")
            .field(&self.describe())
            .finish()
    }
}
