//! The web server's side.

use super::{Identity, provider, rustls};
use crate::client::{Connect, Connecting, Transport};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error, RootCertStore};
use std::fmt;
use std::sync::Arc;

/// A configuration for [`TlsConnector`]: TLS 1.2 and 1.3 with containers that have a certificate
/// of these authorities, to which this identity is shown if they ask for one.
///
/// # Errors
/// When key and certificate do not belong together.
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

/// Opens TLS connections to a container: another connector's connections, and a handshake over
/// each. The pool's connect limit is for both together.
pub struct TlsConnector<C> {
    inner: C,
    name: ServerName<'static>,
    tls: tokio_rustls::TlsConnector,
}

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

impl<C: Connect> fmt::Debug for TlsConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsConnector")
            .field(&self.describe())
            .finish()
    }
}
