//! TLS of a listener: its certificates, and what a handshake tells the containers.

use ajp::mapping::TlsFacts;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion, version,
};

/// What is known of a TLS listener from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// Files with a certificate and its chain, and with its key. The first is taken for names
    /// that none is for.
    pub(crate) certificates: Vec<(PathBuf, PathBuf)>,
    /// File with those whose word about clients is taken.
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether a client without certificate is refused.
    pub(crate) client_required: bool,
    /// How many authorities may stand behind a client's certificate, the trusted one with them.
    pub(crate) client_depth: Option<usize>,
    /// Whether TLS 1.2 is spoken as well.
    pub(crate) tls12: bool,
    /// Whether HTTP/2 is offered.
    pub(crate) http2: bool,
}

/// A file of a TLS listener that cannot be used.
#[derive(Debug)]
pub(crate) struct TlsFault(String);

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsFault {}

fn fault(path: &Path, error: impl fmt::Display) -> TlsFault {
    TlsFault(format!("{}: {error}", path.display()))
}

/// What is wrong with a PEM file, for readers: the library shows lines as numbers.
fn pem_fault(path: &Path, error: &pem::Error, what: &str) -> TlsFault {
    let line = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            let what = line(end_marker);
            let text = format!("the line -----END {what}----- is missing; the file is cut off");
            fault(path, text)
        }
        pem::Error::IllegalSectionStart { line: begin } => {
            let text = format!("the line {:?} begins nothing that PEM has", line(begin));
            fault(path, text)
        }
        pem::Error::Base64Decode(error) => {
            let text = format!("what is between the lines BEGIN and END is no base64: {error}");
            fault(path, text)
        }
        pem::Error::Io(error) => fault(path, error),
        pem::Error::NoItemsFound => fault(path, format!("there is no {what} in it")),
        error => fault(path, error),
    }
}

impl TlsSettings {
    /// What a client must show to be let in, as text to be compared. The listener's own
    /// certificates are no part of it.
    pub(crate) fn terms(&self) -> String {
        let authorities = self.client_ca.as_deref().map(crate::files::read);
        let authorities = authorities.and_then(Result::ok);
        let (required, depth) = (self.client_required, self.client_depth);
        format!("{authorities:?} {required} {depth:?} {}", self.tls12)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsFault> {
        let provider = Arc::new(ring::default_provider());
        let both: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        let versions = both.get(..if self.tls12 { 2 } else { 1 }).unwrap_or(&both);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| TlsFault(error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| fault(path, error))?;
                }
                let mut verifier = WebPkiClientVerifier::builder_with_provider(
                    roots.into(),
                    Arc::clone(&provider),
                );
                if !self.client_required {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| fault(path, error))?;
                builder.with_client_cert_verifier(match self.client_depth {
                    None => verifier,
                    Some(depth) => Arc::new(ToDepth {
                        intermediates: depth.saturating_sub(1),
                        verifier,
                    }),
                })
            }
        };
        let mut keys = Vec::new();
        for (certificate, key) in &self.certificates {
            let chain = certificates(certificate)?;
            keys.push(Arc::new(pair(certificate, chain, key, &provider)?));
        }
        let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
        if self.client_ca.is_some() {
            // A session that is resumed would vouch for its client without a look at the
            // certificate, which may have expired since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = if self.http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A certificate with its key.
fn pair(
    certificate: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsFault> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match key_fault(key) {
        Some(why) => fault(key, why),
        None => pem_fault(key, &error, "key"),
    })?;
    // Else the key would be called one that does not fit its certificate.
    if provider
        .key_provider
        .load_private_key(private.clone_key())
        .is_err()
    {
        let why = "the key is of a kind that is not supported; there are RSA with 2048 bits and \
                   more, P-256, P-384 and Ed25519";
        return Err(fault(key, why));
    }
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            let key = key.display();
            fault(certificate, format!("it is not for the key in {key}"))
        }
        error => fault(certificate, error),
    })
}

/// What is wrong with a file that has no key that can be read, if it can be told: a passphrase has
/// nobody to type it.
fn key_fault(path: &Path) -> Option<&'static str> {
    let text = crate::files::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let is_encrypted =
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED");
    is_encrypted
        .then_some("the key is encrypted; write it without passphrase: openssl pkey -in KEY")
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let failed = |error| pem_fault(path, &error, "certificate");
    let read = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let chain = read.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if chain.is_empty() {
        return Err(fault(path, "there is no certificate in it"));
    }
    Ok(chain)
}

/// Knows clients as another one does, if no more authorities stand between them and the trusted one.
#[derive(Debug)]
struct ToDepth {
    /// So many. A client shows them in their order (RFC 8446, section 4.4.2); those beyond are not
    /// looked at, and a certificate that needs them is one of an unknown authority.
    intermediates: usize,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ToDepth {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let near = intermediates.get(..self.intermediates);
        let near = near.unwrap_or(intermediates);
        self.verifier.verify_client_cert(end_entity, near, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The certificate that is for the name a client asks for, or the first.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let first = self.0.first();
        if self.0.len() < 2 {
            return first.cloned();
        }
        // A name may have certificates of several kinds of key.
        let schemes = hello.signature_schemes();
        let can_check = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        let name = hello.server_name();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let is_for = |pair: &&Arc<CertifiedKey>| {
            let certificate = pair.cert.first().map(ParsedCertificate::try_from);
            let (Some(name), Some(Ok(certificate))) = (&name, certificate) else {
                return false;
            };
            verify_server_name(&certificate, name).is_ok()
        };
        let mut named = self.0.iter().filter(is_for).peekable();
        let own = named.peek().copied();
        let best = named.find(can_check).or(own);
        let any = || self.0.iter().find(can_check).or(first);
        best.or_else(any).cloned()
    }
}

/// What the containers are told of a handshake, as httpd's mod_ssl and mod_proxy_ajp tell it.
/// rustls keeps the session's id to itself; `id` stands for the connection.
pub(crate) fn facts(connection: &ServerConnection, id: &str) -> TlsFacts {
    let mut facts = TlsFacts::new().with_session_id(id);
    if let Some(suite) = connection.negotiated_cipher_suite() {
        let name = suite.suite().as_str().unwrap_or_default();
        let bits = if name.contains("AES_128") { 128 } else { 256 };
        facts = facts.with_cipher(openssl_name(name), bits);
    }
    facts = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => facts.with_protocol("TLSv1.2"),
        Some(ProtocolVersion::TLSv1_3) => facts.with_protocol("TLSv1.3"),
        _ => facts,
    };
    let own = connection.peer_certificates().unwrap_or_default().first();
    facts.with_certificates_der(own)
}

/// The name of a cipher suite in OpenSSL, which is the one that httpd tells.
fn openssl_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = name.strip_prefix("TLS_").unwrap_or(name);
    let name = name.replace("_WITH_", "-").replace("AES_", "AES");
    let name = name.replace("POLY1305_SHA256", "POLY1305");
    name.replace('_', "-")
}

/// 256 random bits.
pub(crate) fn id() -> String {
    let mut bytes = [0; 32];
    let mut text = String::with_capacity(64);
    // Without randomness TLS would not have come this far.
    if getrandom::fill(&mut bytes).is_ok() {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_pem_file_is_said_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem");
        for (text, expected) in [
            ("", "a.pem: there is no certificate in it"),
            (
                "-----BEGIN CERTIFICATE-----\nMIIB\n",
                "a.pem: the line -----END CERTIFICATE----- is missing",
            ),
            (
                "-----BEGIN CERT\n",
                "a.pem: the line \"-----BEGIN CERT\" begins nothing",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                "a.pem: what is between the lines BEGIN and END is no base64",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = certificates(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = certificates(&directory.path().join("none.pem")).unwrap_err();
        assert!(
            error.to_string().contains("none.pem: No such file"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let (pem, key) = (
            directory.path().join("a.pem"),
            directory.path().join("a.key"),
        );
        // 16 bytes that are no key of any kind.
        let unknown = "-----BEGIN PRIVATE KEY-----\nMA4CAQAwBQYDK2VwBAIEAA==\n\
                       -----END PRIVATE KEY-----\n";
        for (text, expected) in [
            (unknown, "a.key: the key is of a kind that is not supported"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "a.key: the key is encrypted",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n\
                 -----END EC PRIVATE KEY-----\n",
                "a.key: the key is encrypted",
            ),
            ("", "a.key: there is no key in it"),
        ] {
            std::fs::write(&key, text).unwrap();
            let error = pair(&pem, Vec::new(), &key, &ring::default_provider()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn names_of_cipher_suites() {
        for (rustls, openssl) in [
            ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            (
                "TLS13_CHACHA20_POLY1305_SHA256",
                "TLS_CHACHA20_POLY1305_SHA256",
            ),
            (
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "ECDHE-RSA-AES256-GCM-SHA384",
            ),
            (
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                "ECDHE-ECDSA-AES128-GCM-SHA256",
            ),
            (
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                "ECDHE-RSA-CHACHA20-POLY1305",
            ),
        ] {
            assert_eq!(openssl_name(rustls), openssl);
        }
    }
}
