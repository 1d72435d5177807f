//! The container's side.

use super::{Identity, provider, rustls};
use crate::server::{Accepted, Listener};
use rustls::server::WebPkiClientVerifier;
use rustls::{Error, RootCertStore, ServerConfig};
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A configuration for [`TlsListener`]: TLS 1.2 and 1.3 with this identity. With authorities as
/// `clients` only peers that have a certificate of theirs are let in.
///
/// # Errors
/// When key and certificate do not belong together, or the authorities are unusable.
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

/// A [`Listener`] whose connections are TLS.
///
/// It accepts raw connections of `L`; each handshake runs in its connection's own task, within
/// [`ServerTimeouts::with_handshake`](crate::server::ServerTimeouts::with_handshake). One that
/// fails is a [`ServerError::Handshake`](crate::server::ServerError::Handshake) of that connection.
pub struct TlsListener<L> {
    listener: L,
    acceptor: tokio_rustls::TlsAcceptor,
}

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

impl<L: fmt::Debug> fmt::Debug for TlsListener<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsListener").field(&self.listener).finish()
    }
}

/// An accepted connection before its TLS handshake.
pub struct Handshaking<Io> {
    io: Io,
    acceptor: tokio_rustls::TlsAcceptor,
}

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

impl<Io> fmt::Debug for Handshaking<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshaking")
    }
}
