//! What a web server tells the container about a request, beyond what HTTP says.

#[cfg(feature = "server")]
use super::text::ip_address;
use super::text::{as_str, non_empty, text};
use super::tls_facts::TlsFacts;
use crate::Secret;
use crate::wire::Attribute;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What the container is told about a request beyond what HTTP says: who the HTTP client is,
/// where and how it connected, which user was authenticated. The container believes all of it.
///
/// Put it into the extensions of a request, or pass it to
/// [`Client::send_parts`](crate::client::Client::send_parts).
///
/// ```
/// use ajp::client::RequestFacts;
/// let (remote, local) = (([192, 0, 2, 10], 51234).into(), ([192, 0, 2, 1], 443).into());
/// let facts = RequestFacts::from_connection(remote, local).with_tls(true).with_server("app.example", 443);
/// assert_eq!(facts.remote_addr(), "192.0.2.10");
/// assert_eq!(facts.is_tls(), Some(true));
/// ```
///
/// What another web server claimed about a request
/// ([`RequestClaims`](../server/struct.RequestClaims.html)) is a type of its own and is never
/// told to a container, unless
/// [`from_trusted_claims`](../client/struct.RequestFacts.html#method.from_trusted_claims) makes
/// facts of that part of it which is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestFacts {
    pub(super) remote_addr: Bytes,
    /// The same, if it is an address: a balancer wants it for each request.
    pub(super) remote_ip: Option<IpAddr>,
    pub(super) remote_host: Option<Bytes>,
    pub(super) remote_port: Option<u16>,
    pub(super) local_addr: Option<Bytes>,
    pub(super) server_name: Option<Bytes>,
    pub(super) server_port: Option<u16>,
    /// `None`: the scheme of the request's URI says it.
    pub(super) is_tls: Option<bool>,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) remote_user: Option<Bytes>,
    pub(super) auth_type: Option<Bytes>,
    pub(super) route: Option<Bytes>,
    pub(super) activation: Option<Bytes>,
    pub(super) secret: Option<Secret>,
    pub(super) attributes: Vec<(Bytes, Bytes)>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The facts of requests that a program makes itself.
pub(super) static OWN_REQUEST: RequestFacts =
    RequestFacts::with_remote_addr(Bytes::from_static(b"127.0.0.1"), Some(LOCALHOST), None);

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl RequestFacts {
    const fn with_remote_addr(
        remote_addr: Bytes,
        remote_ip: Option<IpAddr>,
        is_tls: Option<bool>,
    ) -> Self {
        Self {
            remote_addr,
            remote_ip,
            remote_host: None,
            remote_port: None,
            local_addr: None,
            server_name: None,
            server_port: None,
            is_tls,
            tls: None,
            remote_user: None,
            auth_type: None,
            route: None,
            activation: None,
            secret: None,
            attributes: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The facts of a request of an HTTP client with this address, whose connection is not TLS
    /// unless [`with_tls`](Self::with_tls) says so.
    ///
    /// An IPv4 address in IPv6 form, as dual-stack sockets show it, is told as IPv4.
    #[must_use]
    pub fn new(remote: IpAddr) -> Self {
        let remote = remote.to_canonical();
        Self::with_remote_addr(address_bytes(remote), Some(remote), Some(false))
    }

    /// The facts of a connection that this web server has accepted: who opened it, and where.
    /// The local port becomes the port of the virtual host, as httpd does it; what the `Host`
    /// header says stays in the headers. The connection is not TLS unless
    /// [`with_tls`](Self::with_tls) says so.
    ///
    /// With axum, `remote` is what `ConnectInfo` gives:
    ///
    /// ```
    /// use ajp::client::{Client, RequestFacts};
    /// use axum::extract::{ConnectInfo, Request, State};
    /// use axum::response::{IntoResponse, Response};
    /// use std::net::SocketAddr;
    ///
    /// async fn forward(
    ///     State((client, local)): State<(Client, SocketAddr)>,
    ///     ConnectInfo(remote): ConnectInfo<SocketAddr>,
    ///     mut request: Request,
    /// ) -> Response {
    ///     request.extensions_mut().insert(RequestFacts::from_connection(remote, local));
    ///     match client.send(request).await {
    ///         Ok(response) => response.map(axum::body::Body::new),
    ///         Err(error) => error.suggested_status().into_response(),
    ///     }
    /// }
    /// # fn example(state: (Client, SocketAddr)) {
    /// let app = axum::Router::new().fallback(forward).with_state(state);
    /// let service = app.into_make_service_with_connect_info::<SocketAddr>();
    /// # }
    /// ```
    #[must_use]
    pub fn from_connection(remote: SocketAddr, local: SocketAddr) -> Self {
        let mut facts = Self::new(remote.ip())
            .with_remote_port(remote.port())
            .with_local_addr(local.ip());
        facts.server_port = Some(local.port());
        facts
    }

    /// The facts of a request that this program makes itself, on behalf of nobody: the
    /// container is told `127.0.0.1` as the client's address, and the scheme of the request's
    /// URI says whether it is TLS.
    ///
    /// Never use it for a request that somebody has sent: what a container allows to its own
    /// machine only, such as Tomcat's manager, would be open to all.
    #[must_use]
    pub fn own_request() -> Self {
        OWN_REQUEST.clone()
    }

    /// What a web server claimed about a request that this program received over AJP, as far as
    /// it is trusted, to be told to another container: the addresses and ports, the virtual
    /// host, the facts about TLS, and the authenticated user if the server was told to trust it
    /// ([`ServerConfig::with_trust_remote_user`](crate::server::ServerConfig::with_trust_remote_user)).
    ///
    /// Route, activation and request attributes stay behind: the first two concern the
    /// container that was asked, and containers refuse attributes that they do not expect. Add
    /// those that the next container shall see with
    /// [`with_attribute`](Self::with_attribute).
    ///
    /// `None` if the web server gave no address of the client: say with
    /// [`new`](Self::new) who it is, or refuse the request.
    ///
    /// ```
    /// use ajp::client::{Client, RequestFacts};
    /// use ajp::server::RequestClaims;
    /// use axum::extract::{Request, State};
    /// use axum::http::StatusCode;
    /// use axum::{Extension, body::Body, response::{IntoResponse, Response}};
    ///
    /// /// Passes a request on that came over AJP.
    /// async fn pass_on(
    ///     State(client): State<Client>,
    ///     Extension(claims): Extension<RequestClaims>,
    ///     mut request: Request,
    /// ) -> Response {
    ///     let Some(facts) = RequestFacts::from_trusted_claims(&claims) else {
    ///         return StatusCode::BAD_REQUEST.into_response();
    ///     };
    ///     request.extensions_mut().insert(facts);
    ///     match client.send(request).await {
    ///         Ok(response) => response.map(Body::new),
    ///         Err(error) => error.suggested_status().into_response(),
    ///     }
    /// }
    /// # fn example(client: Client) { let app: axum::Router = axum::Router::new().fallback(pass_on).with_state(client); }
    /// ```
    #[cfg(feature = "server")]
    #[must_use]
    pub fn from_trusted_claims(claims: &crate::server::RequestClaims) -> Option<Self> {
        let remote_addr = claims.shared(claims.remote_addr)?;
        let remote_ip = as_str(Some(&remote_addr)).and_then(ip_address);
        let trusted = |span| claims.shared(span).filter(|_| claims.trust_user);
        Some(Self {
            remote_host: claims.shared(claims.remote_host),
            remote_port: claims.remote_port,
            local_addr: claims.shared(claims.local_addr),
            server_name: claims.shared(claims.server_name),
            server_port: claims.server_port,
            tls: claims.tls.clone(),
            remote_user: trusted(claims.remote_user),
            auth_type: trusted(claims.auth_type),
            ..Self::with_remote_addr(remote_addr, remote_ip, Some(claims.is_tls))
        })
    }

    /// The address of the HTTP client as text, without port.
    #[must_use]
    pub fn remote_addr(&self) -> &str {
        as_str(Some(&self.remote_addr)).unwrap_or_default()
    }

    /// The address of the HTTP client, if it is one.
    #[cfg(feature = "balancer")]
    pub(super) fn remote_ip(&self) -> Option<IpAddr> {
        self.remote_ip
    }

    /// The TCP port of the HTTP client (`AJP_REMOTE_PORT`).
    #[must_use]
    pub fn remote_port(&self) -> Option<u16> {
        self.remote_port
    }

    /// The name of the HTTP client.
    #[must_use]
    pub fn remote_host(&self) -> Option<&str> {
        as_str(self.remote_host.as_ref())
    }

    /// The address of this web server that the HTTP client connected to (`AJP_LOCAL_ADDR`).
    #[must_use]
    pub fn local_addr(&self) -> Option<&str> {
        as_str(self.local_addr.as_ref())
    }

    /// The virtual host; `None`: as the request says.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        as_str(self.server_name.as_ref())
    }

    /// The port of the virtual host; `None`: as the request says.
    #[must_use]
    pub fn server_port(&self) -> Option<u16> {
        self.server_port
    }

    /// Whether the HTTP client's connection is TLS; `None`: as the scheme of the request's URI
    /// says.
    #[must_use]
    pub fn is_tls(&self) -> Option<bool> {
        self.is_tls
    }

    /// What is known about that TLS connection.
    #[must_use]
    pub fn tls_facts(&self) -> Option<&TlsFacts> {
        self.tls.as_deref()
    }

    /// The user that this web server has authenticated.
    #[must_use]
    pub fn remote_user(&self) -> Option<Cow<'_, str>> {
        self.remote_user.as_deref().map(text)
    }

    /// How this web server has authenticated the user, such as `Basic`.
    #[must_use]
    pub fn auth_type(&self) -> Option<Cow<'_, str>> {
        self.auth_type.as_deref().map(text)
    }

    /// The route part of the session id.
    #[must_use]
    pub fn route(&self) -> Option<Cow<'_, str>> {
        self.route.as_deref().map(text)
    }

    /// Further request attributes, name and value.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.attributes
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Sets the address of the HTTP client, as [`new`](Self::new) does.
    #[must_use]
    pub fn with_remote_ip(mut self, remote: IpAddr) -> Self {
        let remote = remote.to_canonical();
        self.remote_addr = address_bytes(remote);
        self.remote_ip = Some(remote);
        self
    }

    /// Sets the port of the HTTP client. Leave it out where it is not known, as behind a proxy.
    #[must_use]
    pub fn with_remote_port(mut self, port: u16) -> Self {
        self.remote_port = Some(port);
        self
    }

    /// Sets the name of the HTTP client. Without it a container may look the address up, if it
    /// is told to.
    #[must_use]
    pub fn with_remote_host(mut self, name: impl Into<String>) -> Self {
        self.remote_host = non_empty(name);
        self
    }

    /// Sets the address of this web server that the HTTP client connected to.
    #[must_use]
    pub fn with_local_addr(mut self, address: IpAddr) -> Self {
        self.local_addr = Some(address_bytes(address));
        self
    }

    /// Sets name and port of the virtual host. By default they are taken from the request.
    #[must_use]
    pub fn with_server(mut self, name: impl Into<String>, port: u16) -> Self {
        self.server_name = non_empty(name);
        self.server_port = Some(port);
        self
    }

    /// Says whether the HTTP client's connection is TLS, whatever the request's URI says: in
    /// plaintext HTTP a client can write `https://` there too. `false` also takes back what
    /// [`with_tls_facts`](Self::with_tls_facts) has said.
    #[must_use]
    pub fn with_tls(mut self, on: bool) -> Self {
        self.is_tls = Some(on);
        self.tls = self.tls.filter(|_| on);
        self
    }

    /// Says that the HTTP client's connection is TLS, and what is known about it.
    #[must_use]
    pub fn with_tls_facts(mut self, tls: TlsFacts) -> Self {
        self.is_tls = Some(true);
        self.tls = Some(Box::new(tls));
        self
    }

    /// Sets the user that this web server has authenticated, and how. An empty name is no user.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, auth_type: impl Into<String>) -> Self {
        self.remote_user = non_empty(name);
        let is_user = self.remote_user.is_some();
        self.auth_type = non_empty(auth_type).filter(|_| is_user);
        self
    }

    /// Sets the route part of the session id.
    #[must_use]
    pub fn with_route(mut self, route: impl Into<String>) -> Self {
        self.route = non_empty(route);
        self
    }

    /// Sets the activation state that a balancer gives the container: `ACT`, `DIS` or `STP`.
    #[must_use]
    pub fn with_activation(mut self, state: impl Into<String>) -> Self {
        self.activation = non_empty(state);
        self
    }

    /// Sends this secret instead of the one of the pool.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Adds a header to those of the request, such as `X-Forwarded-Proto`. It costs less than
    /// to put it into them, and what their `Connection` header names does not take it away. It
    /// replaces none of them. Headers that concern one HTTP connection only, `Host` and
    /// `Content-Length` are left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a request attribute. Containers refuse names that they do not expect; never
    /// take a name from the request.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes
            .push((Bytes::from(name.into()), Bytes::from(value.into())));
        self
    }
}

#[allow(
    clippy::missing_fields_in_debug,
    reason = "the address is shown as it is told"
)]
impl fmt::Debug for RequestFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of attributes are left out by the same rules as in packets.
        let attribute = |(name, value)| Attribute::Named {
            name,
            value: Some(value),
        };
        let attributes: Vec<_> = self.attributes().map(attribute).collect();
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("RequestFacts")
            .field("remote_addr", &self.remote_addr())
            .field("remote_host", &self.remote_host())
            .field("remote_port", &self.remote_port)
            .field("local_addr", &self.local_addr())
            .field("server_name", &self.server_name())
            .field("server_port", &self.server_port)
            .field("is_tls", &self.is_tls)
            .field("tls", &self.tls)
            .field("remote_user", &self.remote_user())
            .field("auth_type", &self.auth_type())
            .field("route", &self.route())
            .field("activation", &self.activation.as_deref().map(text))
            .field("secret", &self.secret)
            .field("attributes", &attributes)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// An address as text; an IPv4 address in IPv6 form as what it is.
fn address_bytes(address: IpAddr) -> Bytes {
    Bytes::from(address.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_leaves_secrets_out() {
        let secret = "open-sesame";
        let facts = RequestFacts::own_request()
            .with_secret(Secret::new(secret).unwrap())
            .with_attribute("API_TOKEN", secret)
            .with_attribute("SHIB_mail", "bob@app.example")
            .with_header(
                http::header::AUTHORIZATION,
                HeaderValue::from_static(secret),
            )
            .with_tls_facts(TlsFacts::new().with_session_id(secret));
        let text = format!("{facts:?} {facts:#?}");
        assert!(!text.contains(secret), "{text}");
        assert!(text.contains("SHIB_mail") && text.contains("bob@app.example"));
    }

    #[test]
    fn a_connection_tells_both_ends() {
        let (remote, local) = ("[::ffff:192.0.2.10]:51234", "[2001:db8::1]:8443");
        let facts = RequestFacts::from_connection(remote.parse().unwrap(), local.parse().unwrap());
        assert_eq!(facts.remote_addr(), "192.0.2.10");
        assert_eq!(facts.remote_port(), Some(51234));
        assert_eq!(facts.local_addr(), Some("2001:db8::1"));
        assert_eq!(facts.server_name(), None);
        assert_eq!(facts.server_port(), Some(8443));
        assert_eq!(facts.is_tls(), Some(false));
        assert_eq!(facts.remote_host(), None);
    }

    #[test]
    fn what_is_set_empty_is_absent() {
        let facts = RequestFacts::new([192, 0, 2, 10].into());
        let empty = facts
            .clone()
            .with_remote_host("")
            .with_route("")
            .with_activation("")
            .with_user("", "Basic");
        assert_eq!(empty, facts);
        assert_eq!(facts.clone().with_user("bob", "").auth_type(), None);
    }

    #[test]
    fn switching_tls_off_takes_its_facts_back() {
        let facts = RequestFacts::new([192, 0, 2, 10].into());
        let tls = facts
            .clone()
            .with_tls_facts(TlsFacts::new().with_protocol("TLSv1.3"));
        assert_eq!(tls.is_tls(), Some(true));
        assert_eq!(tls.with_tls(false), facts);
    }
}
