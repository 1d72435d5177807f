//! What a Forward Request tells beyond HTTP.

use super::prepared::Prepared;
use super::tls_facts::TlsFacts;
use crate::Secret;
use crate::wire::Attribute;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Facts about a request that `http::Request` has no place for. A request extension, in
/// both roles.
///
/// In the container they are claims of the web server: the server checked that it may
/// make them (see [`Trust`](crate::server::Trust)) before it attached them.
///
/// ```
/// use ajp::mapping::RequestFacts;
/// let facts = RequestFacts::new().remote(([192, 0, 2, 10], 51234).into()).server("app.example", 443).tls_on();
/// assert_eq!(facts.remote_ip(), Some([192, 0, 2, 10].into()));
/// assert_eq!(facts.remote_port(), Some(51234));
/// assert!(facts.is_ssl());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RequestFacts {
    pub(super) remote_addr: Option<Bytes>,
    pub(super) remote_host: Option<Bytes>,
    pub(super) remote_port: Option<u16>,
    pub(super) local_addr: Option<Bytes>,
    pub(super) server_name: Option<Bytes>,
    pub(super) server_port: Option<u16>,
    pub(super) is_ssl: bool,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) remote_user: Option<Bytes>,
    pub(super) auth_type: Option<Bytes>,
    pub(super) user_trusted: bool,
    pub(super) route: Option<Bytes>,
    pub(super) activation: Option<Bytes>,
    pub(super) secret: Option<Secret>,
    pub(super) attributes: Vec<(Bytes, Bytes)>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) prepared: Prepared,
}

/// Text of unknown charset: UTF-8 if it is valid UTF-8, else Latin-1. AJP defines none
/// (protocol chapter [packets](crate::docs::protocol::packets#strings)).
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// The text of a field whose bytes were checked to be ASCII.
fn ascii(field: Option<&Bytes>) -> Option<&str> {
    field.and_then(|bytes| std::str::from_utf8(bytes).ok())
}

pub(super) fn owned(value: impl Into<String>) -> Bytes {
    Bytes::from(value.into())
}

impl Default for RequestFacts {
    /// No facts.
    fn default() -> Self {
        Self::NONE
    }
}

impl RequestFacts {
    pub(super) const NONE: Self = Self {
        remote_addr: None,
        remote_host: None,
        remote_port: None,
        local_addr: None,
        server_name: None,
        server_port: None,
        is_ssl: false,
        tls: None,
        remote_user: None,
        auth_type: None,
        user_trusted: false,
        route: None,
        activation: None,
        secret: None,
        attributes: Vec::new(),
        headers: Vec::new(),
        prepared: Prepared::NONE,
    };

    /// No facts.
    #[must_use]
    pub fn new() -> Self {
        Self::NONE
    }

    /// The facts of a connection that this web server has accepted: who opened it, and where.
    /// The local port becomes the port of the virtual host, as httpd does it; what the `Host`
    /// header says stays in the headers.
    ///
    /// With axum, `remote` is what `ConnectInfo` gives:
    ///
    /// ```
    /// use ajp::client::{Client, Error, ResponseBody};
    /// use ajp::mapping::RequestFacts;
    /// use axum::extract::{ConnectInfo, Request, State};
    /// use axum::http::Response;
    /// use std::net::SocketAddr;
    ///
    /// async fn forward(
    ///     State((client, local)): State<(Client, SocketAddr)>,
    ///     ConnectInfo(remote): ConnectInfo<SocketAddr>,
    ///     mut request: Request,
    /// ) -> Response<axum::body::Body> {
    ///     request.extensions_mut().insert(RequestFacts::from_connection(remote, local));
    ///     match client.send(request).await {
    ///         Ok(response) => response.map(axum::body::Body::new),
    ///         Err(error) => {
    ///             let mut response = Response::default();
    ///             *response.status_mut() = error.suggested_status();
    ///             response
    ///         }
    ///     }
    /// }
    /// # fn example(state: (Client, SocketAddr)) {
    /// let app = axum::Router::new().fallback(forward).with_state(state);
    /// let service = app.into_make_service_with_connect_info::<SocketAddr>();
    /// # }
    /// ```
    #[must_use]
    pub fn from_connection(remote: SocketAddr, local: SocketAddr) -> Self {
        let mut facts = Self::new().remote(remote).local(local.ip());
        facts.server_port = Some(local.port());
        facts
    }

    /// The address of the HTTP client as text, without port.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&str> {
        ascii(self.remote_addr.as_ref())
    }

    /// The address of the HTTP client, if it is an IP address.
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        self.remote_addr()?.parse().ok()
    }

    /// The name of the HTTP client, if the web server looked it up.
    #[must_use]
    pub fn remote_host(&self) -> Option<&str> {
        ascii(self.remote_host.as_ref())
    }

    /// The TCP port of the HTTP client (`AJP_REMOTE_PORT`).
    #[must_use]
    pub fn remote_port(&self) -> Option<u16> {
        self.remote_port
    }

    /// The address of the web server that the HTTP client connected to (`AJP_LOCAL_ADDR`).
    #[must_use]
    pub fn local_addr(&self) -> Option<&str> {
        ascii(self.local_addr.as_ref())
    }

    /// The virtual host as the web server sees it. The `Host` header is in the headers.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        ascii(self.server_name.as_ref())
    }

    /// The port of the virtual host; `None` when the web server does not know it.
    #[must_use]
    pub fn server_port(&self) -> Option<u16> {
        self.server_port
    }

    /// Whether the HTTP client's connection is TLS.
    #[must_use]
    pub fn is_ssl(&self) -> bool {
        self.is_ssl
    }

    /// Facts about that TLS connection, if any were sent.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_deref()
    }

    /// The user that the web server has authenticated. In the container this is `None`
    /// unless the server was told to trust it
    /// ([`ServerConfig::with_trust_remote_user`](crate::server::ServerConfig::with_trust_remote_user)).
    #[must_use]
    pub fn remote_user(&self) -> Option<Cow<'_, str>> {
        if self.user_trusted {
            self.asserted_user()
        } else {
            None
        }
    }

    /// The user that the web server names, whether or not it is to be trusted. Some web servers
    /// copy it from the request without a check (protocol chapter
    /// [codes](crate::docs::protocol::codes#attributes)).
    #[must_use]
    pub fn asserted_user(&self) -> Option<Cow<'_, str>> {
        self.remote_user.as_deref().map(text)
    }

    /// How the web server authenticated the user, such as `Basic`.
    #[must_use]
    pub fn auth_type(&self) -> Option<Cow<'_, str>> {
        self.auth_type.as_deref().map(text)
    }

    /// The route part of the session id, as the balancer saw it.
    #[must_use]
    pub fn route(&self) -> Option<Cow<'_, str>> {
        self.route.as_deref().map(text)
    }

    /// The balancer's state of this container: `ACT`, `DIS` or `STP` (`JK_LB_ACTIVATION`).
    #[must_use]
    pub fn activation(&self) -> Option<Cow<'_, str>> {
        self.activation.as_deref().map(text)
    }

    /// Further request attributes, name and value, in wire order.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.attributes
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The value of a further request attribute, the last one if the name is repeated.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.attributes.iter().rfind(|(known, _)| known == name)?;
        Some(text(value))
    }

    /// Sets address and port of the HTTP client.
    #[must_use]
    pub fn remote(mut self, address: SocketAddr) -> Self {
        // An IPv4 client of a dual-stack socket is shown as what it is.
        self.remote_addr = Some(owned(address_text(address.ip())));
        self.remote_port = Some(address.port());
        self.unprepared()
    }

    /// Sets the name of the HTTP client. Without it a container may look the address up, if it
    /// is told to.
    #[must_use]
    pub fn with_remote_host(mut self, name: impl Into<String>) -> Self {
        self.remote_host = Some(owned(name));
        self
    }

    /// Sets the address of the web server that the HTTP client connected to.
    #[must_use]
    pub fn local(mut self, address: IpAddr) -> Self {
        self.local_addr = Some(owned(address_text(address)));
        self.unprepared()
    }

    /// Sets name and port of the virtual host. By default they are taken from the request.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>, port: u16) -> Self {
        self.server_name = Some(owned(name));
        self.server_port = Some(port);
        self
    }

    /// Says that the HTTP client's connection is TLS.
    #[must_use]
    pub fn tls_on(mut self) -> Self {
        self.is_ssl = true;
        self
    }

    /// Says that the HTTP client's connection is TLS, with what is known about it.
    #[must_use]
    pub fn tls_facts(mut self, tls: TlsFacts) -> Self {
        self.is_ssl = true;
        self.tls = Some(Box::new(tls));
        self
    }

    /// Sets the user that this web server has authenticated, and how.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, auth_type: impl Into<String>) -> Self {
        self.remote_user = Some(owned(name));
        self.auth_type = Some(owned(auth_type));
        self.user_trusted = true;
        self
    }

    /// Sets the route.
    #[must_use]
    pub fn with_route(mut self, route: impl Into<String>) -> Self {
        self.route = Some(owned(route));
        self
    }

    /// Sets the activation state: `ACT`, `DIS` or `STP`.
    #[must_use]
    pub fn with_activation(mut self, state: impl Into<String>) -> Self {
        self.activation = Some(owned(state));
        self
    }

    /// Sends this secret instead of the one of the pool. The container's side never has it.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Adds a header to those of the request, such as `X-Forwarded-Proto`: for less than it
    /// costs to put it into them, and whatever their `Connection` names. It takes the place
    /// of none; what concerns one HTTP connection only, `Host` and `Content-Length` are left
    /// out. The container has it among the other headers, not here.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self.unprepared()
    }

    /// Adds a request attribute. Containers refuse names that they do not expect; never
    /// take a name from the request.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes
            .push((Bytes::from(name.into()), Bytes::from(value.into())));
        self.unprepared()
    }

    /// Writes what is the same in every packet once: headers, ports and addresses, attributes.
    /// Worth it for facts that more than two requests are sent with, such as all of one
    /// connection. It changes nothing else; setting any of these again undoes it.
    ///
    /// ```
    /// use ajp::mapping::RequestFacts;
    /// let (remote, local) = (([192, 0, 2, 10], 51234).into(), ([192, 0, 2, 1], 443).into());
    /// let facts = RequestFacts::from_connection(remote, local).with_attribute("SHIB_mail", "bob@app.example");
    /// assert_eq!(facts, facts.clone().prepared());
    /// ```
    #[must_use]
    pub fn prepared(mut self) -> Self {
        self.prepared = Prepared::new(&self);
        self
    }

    fn unprepared(mut self) -> Self {
        self.prepared = Prepared::NONE;
        self
    }
}

impl fmt::Debug for RequestFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are left out by the same rules as in packets.
        let attributes: Vec<_> = self
            .attributes()
            .map(|(name, value)| Attribute::Named {
                name,
                value: Some(value),
            })
            .collect();
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("RequestFacts")
            .field("remote_addr", &self.remote_addr())
            .field("remote_host", &self.remote_host())
            .field("remote_port", &self.remote_port)
            .field("local_addr", &self.local_addr())
            .field("server_name", &self.server_name())
            .field("server_port", &self.server_port)
            .field("is_ssl", &self.is_ssl)
            .field("tls", &self.tls)
            .field("user", &self.asserted_user())
            .field("user_trusted", &self.user_trusted)
            .field("auth_type", &self.auth_type())
            .field("route", &self.route())
            .field("activation", &self.activation())
            .field("secret", &self.secret)
            .field("attributes", &attributes)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// An address as text; an IPv4 address that came as IPv6 as what it is. The formatting of the
/// standard library takes ten times as long, for every request.
fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address.to_canonical() else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for part in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        for (digit, least) in [(part / 100, 100), (part / 10 % 10, 10), (part % 10, 0)] {
            if part >= least {
                text.push(char::from(b'0'.wrapping_add(digit)));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for number in 0..=u8::MAX {
            let address = IpAddr::from([number, 255 - number, 0, number ^ 0x55]);
            assert_eq!(address_text(address), address.to_string());
        }
        for text in ["::1", "2001:db8::7"] {
            assert_eq!(address_text(text.parse().unwrap()), text);
        }
        assert_eq!(
            address_text("::ffff:192.0.2.7".parse().unwrap()),
            "192.0.2.7"
        );
    }

    #[test]
    fn debug_leaves_secrets_out() {
        let secret = "open-sesame";
        let facts = RequestFacts::new()
            .with_secret(Secret::new(secret).unwrap())
            .with_attribute("API_TOKEN", secret)
            .with_attribute("SHIB_mail", "bob@app.example")
            .with_header(
                http::header::AUTHORIZATION,
                HeaderValue::from_static(secret),
            )
            .tls_facts(TlsFacts::new().with_session_id(secret));
        let text = format!("{facts:?} {facts:#?}");
        assert!(!text.contains(secret), "{text}");
        assert!(text.contains("SHIB_mail") && text.contains("bob@app.example"));
    }

    #[test]
    fn a_connection_tells_both_ends() {
        let (remote, local) = ("[::ffff:192.0.2.10]:51234", "[2001:db8::1]:8443");
        let facts = RequestFacts::from_connection(remote.parse().unwrap(), local.parse().unwrap());
        assert_eq!(facts.remote_addr(), Some("192.0.2.10"));
        assert_eq!(facts.remote_port(), Some(51234));
        assert_eq!(facts.local_addr(), Some("2001:db8::1"));
        assert_eq!(
            (facts.server_name(), facts.server_port()),
            (None, Some(8443))
        );
        assert!(!facts.is_ssl() && facts.remote_host().is_none());
    }
}
