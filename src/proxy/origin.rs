//! Where a request really comes from.

use super::client_certificate;
use super::client_claims::{is_claim, is_identity, normalised};
use super::forwarded::{self, ForwardedFacts};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Which headers count where trusted proxies send both kinds, or pass one kind on as their
/// clients wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precedence {
    /// The `X-Forwarded-*` headers if there is one of them, otherwise `Forwarded`. Right for
    /// httpd, nginx and most others.
    #[default]
    XForwarded,
    /// `Forwarded` if it is there, otherwise the `X-Forwarded-*` headers. For proxies that
    /// write it, and may pass the others on as a client wrote them.
    Forwarded,
}

/// Whom to believe about the client of a request, and which headers nobody else may write.
///
/// ```
/// use ajp::proxy::{ForwardedRules, Peer};
/// use http::HeaderMap;
/// let rules = ForwardedRules::new().with_trusted_proxies(|address| address.is_loopback());
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.9:4711".parse()?);
/// headers.insert("x_real_ip", "6.6.6.6".parse()?);
/// let peer = Peer::new(([127, 0, 0, 1], 51234).into());
/// let origin = rules.apply(&mut headers, &peer);
/// assert_eq!(origin.client(), Some([203, 0, 113, 9].into()));
/// assert!(headers.is_empty());
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Default)]
pub struct ForwardedRules {
    trusted: Option<Arc<dyn Fn(IpAddr) -> bool + Send + Sync>>,
    precedence: Precedence,
    claims: Vec<String>,
    underscores: bool,
    certificate: Option<String>,
}

impl ForwardedRules {
    /// Nobody is believed, and no header name may hold `_`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The proxies whose word about their clients is taken, such as those of
    /// [`Networks`](../server/struct.Networks.html). They must write the headers of the chosen
    /// [`Precedence`] themselves, or add to them, and not pass on what a client wrote.
    #[must_use]
    pub fn with_trusted_proxies(
        mut self,
        trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.trusted = Some(Arc::new(trusted));
        self
    }

    /// Which of the headers of trusted proxies count. Default [`Precedence::XForwarded`].
    #[must_use]
    pub fn with_precedence(mut self, precedence: Precedence) -> Self {
        self.precedence = precedence;
        self
    }

    /// A further header that only this proxy writes, such as one for the authenticated user: it
    /// is removed from every request, with `_` and `-` taken for the same.
    #[must_use]
    pub fn with_claim(mut self, name: &str) -> Self {
        self.claims.push(normalised(name));
        self
    }

    /// The header in which trusted proxies send the certificate that their client has shown them:
    /// nginx's `$ssl_client_escaped_cert`, httpd's `SSL_CLIENT_CERT`, `HAProxy`'s
    /// `ssl_c_der,base64`, or `Client-Cert` of RFC 9440. It becomes a fact of the client's TLS
    /// ([`Origin::client_certificate`]), and the header is removed from every request. It counts
    /// only where the proxy also says that its client speaks TLS, and where it is there once.
    #[must_use]
    pub fn with_client_certificate_header(mut self, name: &str) -> Self {
        self.certificate = Some(name.to_ascii_lowercase());
        self.with_claim(name)
    }

    /// Whether headers with `_` in their names are passed on. Default not: CGI, WSGI and servlet
    /// applications may take them for the same with `-`. Claims are removed either way.
    #[must_use]
    pub fn with_underscores(mut self, allowed: bool) -> Self {
        self.underscores = allowed;
        self
    }

    /// Finds out where a request comes from, and removes the headers that claim something about
    /// its client or target, each also with `_` in place of `-`. [`Origin`] has what shall take their
    /// place.
    ///
    /// - Whoever sends them: `Forwarded`, `X-Forwarded-*`, `X-Forwarded`, `X-Real-IP`, `X-Client-IP`,
    ///   `X-Cluster-Client-IP`, `X-Remote-IP`, `Client-IP`, `CF-Connecting-IP`, `Fastly-Client-IP`,
    ///   `True-Client-IP`, `X-Original-Host`, `X-Original-URL`, `X-Rewrite-URL`, `X-Scheme`,
    ///   `X-URL-Scheme`, `Front-End-Https`, `Proxy`, and those of [`with_claim`](Self::with_claim).
    /// - Unless a trusted proxy sends them, which may add them for the application: `Remote-User`,
    ///   `X-Remote-User`, `X-Authenticated-User`, `X-WebAuth-User`, `X-Auth-Request-*`,
    ///   `X-MS-Client-Principal*`, `X-Goog-Authenticated-User-*`, `X-Amzn-OIDC-*`, `Client-Cert`,
    ///   `Client-Cert-Chain`, `X-Client-Cert`, `X-Client-Verify`, `X-SSL-*`, `SSL-Client-*`,
    ///   `X-Amzn-MTLS-*`, `Remote-Addr`, `X-Remote-Addr`, `Proxy-Client-IP`, `WL-Proxy-Client-IP`,
    ///   `X-ProxyUser-IP`, `X-Envoy-External-Address`, `X-Original-Forwarded-For`, `X-Original-For`,
    ///   `X-Original-Proto`, `X-Original-URI`, `X-Original-Method`.
    pub fn apply(&self, headers: &mut HeaderMap, peer: &Peer) -> Origin {
        let is_believed = self.believes(peer);
        let origin = if is_believed {
            self.origin(headers, peer)
        } else {
            Origin::direct(peer)
        };
        let remove = |name: &&HeaderName| {
            let name = name.as_str();
            is_claim(name, &self.claims)
                || (!is_believed && is_identity(name))
                || (!self.underscores && name.contains('_'))
        };
        let removed: Vec<_> = headers.keys().filter(remove).cloned().collect();
        for name in removed {
            headers.remove(name);
        }
        origin
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.as_ref().is_some_and(|is| is(address))
    }

    fn believes(&self, peer: &Peer) -> bool {
        match (peer.trusted, peer.address) {
            (Some(trusted), _) => trusted,
            (None, Some(address)) => self.trusts(address.ip()),
            (None, None) => false,
        }
    }

    /// Where a request comes from that a trusted peer has sent.
    fn origin(&self, headers: &HeaderMap, peer: &Peer) -> Origin {
        let is_trusted = |address: IpAddr| self.trusts(address);
        let mut origin = self.told(headers, peer, is_trusted);
        let certificate = self.certificate.as_ref();
        let certificate = certificate.and_then(|name| {
            let mut values = headers.get_all(name.as_str()).iter();
            let only = values.next().filter(|_| values.next().is_none())?;
            client_certificate::read(only.as_bytes())
        });
        if origin.is_tls && certificate.is_some() {
            origin.is_direct = false;
            origin.by_proxy().certificate = certificate;
        }
        origin
    }

    /// What a trusted peer says of its client's address and connection.
    fn told(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Origin {
        let has_x = forwarded::has_x_forwarded(headers);
        let has_forwarded = forwarded::has_forwarded(headers);
        let by_x = match self.precedence {
            Precedence::XForwarded => has_x,
            Precedence::Forwarded => !has_forwarded,
        };
        let said = match (by_x, has_x || has_forwarded) {
            (_, false) => return Origin::direct(peer),
            (true, true) => forwarded::x_forwarded(headers, is_trusted),
            (false, true) => forwarded::forwarded(headers, is_trusted),
        };
        Origin::told(peer, said)
    }
}

impl fmt::Debug for ForwardedRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardedRules")
            .field("trusts_proxies", &self.trusted.is_some())
            .field("precedence", &self.precedence)
            .field("claims", &self.claims)
            .field("underscores", &self.underscores)
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// Who is at the other end of a connection. Made once for each connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// An IPv4 peer of a dual-stack socket as what it is.
    address: Option<SocketAddr>,
    local: Option<SocketAddr>,
    is_tls: bool,
    trusted: Option<bool>,
}

impl Peer {
    /// A peer with this address, over a connection that is not TLS.
    #[must_use]
    pub fn new(remote: SocketAddr) -> Self {
        let address = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        Self {
            address: Some(address),
            ..Self::without_address()
        }
    }

    /// A peer over a Unix socket.
    #[must_use]
    pub fn without_address() -> Self {
        Self {
            address: None,
            local: None,
            is_tls: false,
            trusted: None,
        }
    }

    /// Sets the address that the peer connected to.
    #[must_use]
    pub fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// Says whether the connection is TLS.
    #[must_use]
    pub fn with_tls(mut self, on: bool) -> Self {
        self.is_tls = on;
        self
    }

    /// Says whether the peer is a trusted proxy, whatever its address is.
    #[must_use]
    pub fn with_trust(mut self, trusted: bool) -> Self {
        self.trusted = Some(trusted);
        self
    }
}

/// An address as `X-Forwarded-For` has it.
fn text_of(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// Where a request comes from, as far as somebody says it who is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    client: Option<IpAddr>,
    client_port: Option<u16>,
    is_direct: bool,
    is_tls: bool,
    /// What a trusted proxy has said besides. On the heap: most requests come from none.
    by_proxy: Option<Box<ByProxy>>,
}

/// What only a trusted proxy can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ByProxy {
    host: Option<HeaderValue>,
    port: Option<u16>,
    prefix: Option<HeaderValue>,
    /// The addresses from the client to the peer, if it has named one.
    forwarded_for: Option<HeaderValue>,
    certificate: Option<String>,
}

impl Origin {
    /// The peer is the client.
    fn direct(peer: &Peer) -> Self {
        Self {
            client: peer.address.map(|address| address.ip()),
            client_port: peer.address.map(|address| address.port()),
            is_direct: true,
            is_tls: peer.is_tls,
            by_proxy: None,
        }
    }

    fn by_proxy(&mut self) -> &mut ByProxy {
        self.by_proxy.get_or_insert_default()
    }

    /// The peer is a trusted proxy, and this is its word.
    fn told(peer: &Peer, said: ForwardedFacts) -> Self {
        let mut origin = Self::direct(peer);
        origin.is_direct = false;
        origin.is_tls = said.is_tls.unwrap_or(peer.is_tls);
        *origin.by_proxy() = ByProxy {
            host: said.host,
            port: said.port,
            prefix: said.prefix,
            ..ByProxy::default()
        };
        if said.named.is_empty() && !said.client_is_unknown {
            return origin;
        }
        origin.client = said
            .named
            .last()
            .copied()
            .filter(|_| !said.client_is_unknown);
        origin.client_port = said.port_of_client;
        let mut chain = String::new();
        if said.client_is_unknown {
            chain.push_str("unknown, ");
        }
        for address in said.named.iter().rev() {
            chain.push_str(&address.to_string());
            chain.push_str(", ");
        }
        chain.push_str(&text_of(peer.address.map(|address| address.ip())));
        origin.by_proxy().forwarded_for = HeaderValue::try_from(chain).ok();
        origin
    }

    /// What a web server claims about the client of a request that came over AJP, for a proxy
    /// that passes it on over HTTP.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn from_claims(claims: &crate::server::RequestClaims) -> Self {
        let mut peer = match claims.remote_socket_addr() {
            Some(address) => Peer::new(address),
            None => Peer::without_address(),
        };
        peer.is_tls = claims.is_tls();
        Self {
            client_port: claims.remote_port(),
            ..Self::direct(&peer)
        }
    }

    /// The client's address: that of the peer, or of whom trusted proxies name. `None` when the
    /// last trusted proxy does not say who its client is, or says it in a way that cannot be
    /// read; it is never taken for the proxy itself, which may be allowed more.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The client's port, if it is known.
    #[must_use]
    pub fn client_port(&self) -> Option<u16> {
        self.client_port
    }

    /// Whether all of this is what the connection itself shows: the peer is the client, and no
    /// trusted proxy has said anything of this request. What is known of such a request holds
    /// for all of its connection, TLS facts included; what a proxy says holds for one request.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Whether the client's connection is TLS: as trusted proxies say, or else the peer's.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host that the client asked for, if a trusted proxy says that it was another one than
    /// that of the request.
    #[must_use]
    pub fn host(&self) -> Option<&HeaderValue> {
        self.by_proxy.as_ref()?.host.as_ref()
    }

    /// The certificate that the client has shown to a trusted proxy, as PEM
    /// ([`ForwardedRules::with_client_certificate_header`]).
    #[must_use]
    pub fn client_certificate(&self) -> Option<&str> {
        self.by_proxy.as_ref()?.certificate.as_deref()
    }

    /// The headers that tell all of this to whoever gets the request next: `X-Forwarded-For`
    /// with all addresses from the client to the peer, `-Proto`, `-Host` (`host` is that of the
    /// request), and `-Port` and `-Prefix` if a trusted proxy has said them. Each may be there
    /// only once: [`ForwardedRules::apply`] has removed what the client wrote.
    pub fn headers(
        &self,
        host: Option<&HeaderValue>,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let proto = HeaderValue::from_static(if self.is_tls { "https" } else { "http" });
        let by_proxy = self.by_proxy.as_deref();
        let host = self.host().or(host);
        let chain = by_proxy.and_then(|by_proxy| by_proxy.forwarded_for.clone());
        let alone = || HeaderValue::try_from(text_of(self.client)).ok();
        let port = by_proxy.and_then(|by_proxy| by_proxy.port);
        let prefix = by_proxy.and_then(|by_proxy| by_proxy.prefix.clone());
        [
            (&FOR, chain.or_else(alone)),
            (&PROTO, Some(proto)),
            (&HOST, host.cloned()),
            (&PORT, port.map(HeaderValue::from)),
            (&PREFIX, prefix),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.clone(), value?)))
    }

    /// What a container is told, these [`headers`](Self::headers) among it.
    ///
    /// A client that nobody names becomes `0.0.0.0`, which is no address of anybody's and which
    /// no rule of a container lets in.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn facts(&self, peer: &Peer, host: Option<&HeaderValue>) -> crate::client::RequestFacts {
        let nobody = IpAddr::from([0, 0, 0, 0]);
        let client = self.client.unwrap_or(nobody);
        let mut facts = crate::client::RequestFacts::new(client).with_tls(self.is_tls);
        if let Some(certificate) = self.client_certificate() {
            let tls = crate::mapping::TlsFacts::new();
            facts = facts.with_tls_facts(tls.with_certificate_pem(certificate.to_owned()));
        }
        if let Some(port) = self.client_port {
            facts = facts.with_remote_port(port);
        }
        if let Some(local) = peer.local {
            facts = facts.with_local_addr(local.ip());
        }
        // The host of a request is a part of the buffer that the request was read to, which
        // would stay as long as the facts do.
        let host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        for (name, value) in self.headers(host.as_ref()) {
            facts = facts.with_header(name, value);
        }
        facts
    }
}

#[cfg(test)]
mod tests;
