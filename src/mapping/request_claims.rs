//! What a web server claims about a request, beyond what HTTP says.

use super::text::{as_str, text};
use super::tls_facts::TlsFacts;
use crate::wire::Attribute;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What the web server claims about a request beyond what HTTP says: who the HTTP client is,
/// where and how it connected, which user was authenticated. The server puts it into the
/// extensions of every request that it hands to the application.
///
/// All of it comes from a peer that is believed for the reason that
/// [`Trust`](crate::server::Trust) names, so addresses and TLS facts may be relied upon. The
/// user is the exception: [`remote_user`](Self::remote_user) and [`auth_type`](Self::auth_type)
/// are `None` unless the server was told to trust them.
///
/// ```
/// use ajp::server::RequestClaims;
/// use axum::Extension;
///
/// async fn whoami(Extension(claims): Extension<RequestClaims>) -> String {
///     format!("{:?} over TLS: {}", claims.remote_ip(), claims.is_tls())
/// }
/// # let app: axum::Router = axum::Router::new().route("/whoami", axum::routing::get(whoami));
/// ```
///
/// They are never told to another container when the request is passed on:
/// [`RequestFacts::from_trusted_claims`](../client/struct.RequestFacts.html#method.from_trusted_claims)
/// makes facts of what is trusted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestClaims {
    pub(super) remote_addr: Option<Bytes>,
    pub(super) remote_host: Option<Bytes>,
    pub(super) remote_port: Option<u16>,
    pub(super) local_addr: Option<Bytes>,
    pub(super) server_name: Option<Bytes>,
    pub(super) server_port: Option<u16>,
    pub(super) is_tls: bool,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) remote_user: Option<Bytes>,
    pub(super) auth_type: Option<Bytes>,
    /// Whether user and kind of authentication are to be believed.
    pub(super) trust_user: bool,
    pub(super) route: Option<Bytes>,
    pub(super) activation: Option<Bytes>,
    pub(super) attributes: Vec<(Bytes, Bytes)>,
}

impl RequestClaims {
    /// The address of the HTTP client as text, without port.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&str> {
        as_str(self.remote_addr.as_ref())
    }

    /// The address of the HTTP client, if it is an IP address.
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        self.remote_addr()?.parse().ok()
    }

    /// Address and port of the HTTP client, if it is an IP address. The port is 0 when the web
    /// server does not tell it.
    #[must_use]
    pub fn remote_socket_addr(&self) -> Option<SocketAddr> {
        let port = self.remote_port.unwrap_or(0);
        Some(SocketAddr::new(self.remote_ip()?, port))
    }

    /// The name of the HTTP client, if the web server looked it up.
    #[must_use]
    pub fn remote_host(&self) -> Option<&str> {
        as_str(self.remote_host.as_ref())
    }

    /// The TCP port of the HTTP client (`AJP_REMOTE_PORT`).
    #[must_use]
    pub fn remote_port(&self) -> Option<u16> {
        self.remote_port
    }

    /// The address of the web server that the HTTP client connected to (`AJP_LOCAL_ADDR`).
    #[must_use]
    pub fn local_addr(&self) -> Option<&str> {
        as_str(self.local_addr.as_ref())
    }

    /// The virtual host as the web server sees it. The `Host` header is in the headers.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        as_str(self.server_name.as_ref())
    }

    /// The port of the virtual host; `None` when the web server does not know it.
    #[must_use]
    pub fn server_port(&self) -> Option<u16> {
        self.server_port
    }

    /// Whether the HTTP client's connection is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Facts about that TLS connection, if any were sent.
    #[must_use]
    pub fn tls_facts(&self) -> Option<&TlsFacts> {
        self.tls.as_deref()
    }

    /// The user that the web server has authenticated. `None` unless the server was told to
    /// trust it
    /// ([`ServerConfig::with_trust_remote_user`](crate::server::ServerConfig::with_trust_remote_user)).
    #[must_use]
    pub fn remote_user(&self) -> Option<Cow<'_, str>> {
        self.claimed_user().filter(|_| self.trust_user)
    }

    /// The user that the web server names, whether or not it is to be trusted. Some web servers
    /// copy it from the request without a check (protocol chapter
    /// [codes](crate::docs::protocol::codes#attributes)).
    #[must_use]
    pub fn claimed_user(&self) -> Option<Cow<'_, str>> {
        self.remote_user.as_deref().map(text)
    }

    /// How the web server authenticated the user, such as `Basic`. `None` unless the server was
    /// told to trust the user, as with [`remote_user`](Self::remote_user).
    #[must_use]
    pub fn auth_type(&self) -> Option<Cow<'_, str>> {
        self.claimed_auth_type().filter(|_| self.trust_user)
    }

    /// How the user was authenticated as the web server says, whether or not it is to be
    /// trusted.
    #[must_use]
    pub fn claimed_auth_type(&self) -> Option<Cow<'_, str>> {
        self.auth_type.as_deref().map(text)
    }

    /// The route part of the session id, as the web server's balancer saw it.
    #[must_use]
    pub fn route(&self) -> Option<Cow<'_, str>> {
        self.route.as_deref().map(text)
    }

    /// The state that the web server's balancer gives this container: `ACT`, `DIS` or `STP`
    /// (`JK_LB_ACTIVATION`).
    #[must_use]
    pub fn activation(&self) -> Option<Cow<'_, str>> {
        self.activation.as_deref().map(text)
    }

    /// Further request attributes that the server accepts
    /// ([`AttributePolicy`](crate::server::AttributePolicy)), name and value, in wire order.
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
}

impl fmt::Debug for RequestClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of attributes are left out by the same rules as in packets.
        let attribute = |(name, value)| Attribute::Named {
            name,
            value: Some(value),
        };
        let attributes: Vec<_> = self.attributes().map(attribute).collect();
        f.debug_struct("RequestClaims")
            .field("remote_addr", &self.remote_addr())
            .field("remote_host", &self.remote_host())
            .field("remote_port", &self.remote_port)
            .field("local_addr", &self.local_addr())
            .field("server_name", &self.server_name())
            .field("server_port", &self.server_port)
            .field("is_tls", &self.is_tls)
            .field("tls", &self.tls)
            .field("claimed_user", &self.claimed_user())
            .field("claimed_auth_type", &self.claimed_auth_type())
            .field("trust_user", &self.trust_user)
            .field("route", &self.route())
            .field("activation", &self.activation())
            .field("attributes", &attributes)
            .finish_non_exhaustive()
    }
}
