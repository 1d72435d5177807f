//! What a web server claims about a request, beyond what HTTP says.

use super::text::{ip_address, text};
use super::tls_facts::TlsFacts;
use crate::wire::{Attribute, Span};
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
#[derive(Clone, Default)]
pub struct RequestClaims {
    /// The packet, of which most claims are parts: a packet is counted once and not once for
    /// each of them.
    pub(super) packet: Bytes,
    pub(super) remote_addr: Span,
    pub(super) remote_host: Span,
    pub(super) remote_port: Option<u16>,
    pub(super) local_addr: Span,
    pub(super) server_name: Span,
    pub(super) server_port: Option<u16>,
    pub(super) is_tls: bool,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) remote_user: Span,
    pub(super) auth_type: Span,
    /// Whether user and kind of authentication are to be believed.
    pub(super) trust_user: bool,
    pub(super) route: Span,
    pub(super) activation: Span,
    pub(super) attributes: Vec<(Span, Span)>,
}

impl RequestClaims {
    fn part(&self, span: Span) -> Option<&[u8]> {
        span.get(&self.packet)
    }

    /// A part that holds nothing but ASCII, as was checked when the packet was read.
    fn ascii(&self, span: Span) -> Option<&str> {
        std::str::from_utf8(self.part(span)?).ok()
    }

    /// A handle to a part, which keeps the packet.
    #[cfg(feature = "client")]
    pub(super) fn shared(&self, span: Span) -> Option<Bytes> {
        Some(self.packet.slice_ref(self.part(span)?))
    }

    /// The address of the HTTP client as text, without port.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&str> {
        self.ascii(self.remote_addr)
    }

    /// The address of the HTTP client, if it is an IP address; without the zone that httpd adds to a
    /// link-local one, as in `fe80::1%eth0`.
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        ip_address(self.remote_addr()?)
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
        self.ascii(self.remote_host)
    }

    /// The TCP port of the HTTP client (`AJP_REMOTE_PORT`).
    #[must_use]
    pub fn remote_port(&self) -> Option<u16> {
        self.remote_port
    }

    /// The address of the web server that the HTTP client connected to (`AJP_LOCAL_ADDR`).
    #[must_use]
    pub fn local_addr(&self) -> Option<&str> {
        self.ascii(self.local_addr)
    }

    /// The virtual host as the web server sees it. The `Host` header is in the headers.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.ascii(self.server_name)
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
        self.part(self.remote_user).map(text)
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
        self.part(self.auth_type).map(text)
    }

    /// The route part of the session id, as the web server's balancer saw it.
    #[must_use]
    pub fn route(&self) -> Option<Cow<'_, str>> {
        self.part(self.route).map(text)
    }

    /// The state that the web server's balancer gives this container: `ACT`, `DIS` or `STP`
    /// (`JK_LB_ACTIVATION`).
    #[must_use]
    pub fn activation(&self) -> Option<Cow<'_, str>> {
        self.part(self.activation).map(text)
    }

    /// Further request attributes that the server accepts
    /// ([`AttributePolicy`](crate::server::AttributePolicy)), name and value, in wire order.
    pub fn attributes(
        &self,
    ) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + DoubleEndedIterator {
        self.attributes.iter().map(|&(name, value)| {
            let part = |span| self.part(span).unwrap_or_default();
            (part(name), part(value))
        })
    }

    /// The value of a further request attribute, the last one if the name is repeated.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut all = self.attributes();
        let (_, value) = all.rfind(|(known, _)| *known == name.as_bytes())?;
        Some(text(value))
    }
}

/// Two are the same if they say the same, wherever in a packet that stands.
impl PartialEq for RequestClaims {
    fn eq(&self, other: &Self) -> bool {
        let said = |claims: &Self| {
            let parts = [
                claims.remote_addr,
                claims.remote_host,
                claims.local_addr,
                claims.server_name,
                claims.remote_user,
                claims.auth_type,
                claims.route,
                claims.activation,
            ];
            let numbers = (claims.remote_port, claims.server_port);
            (parts, numbers, claims.is_tls, claims.trust_user)
        };
        let ((a, a_numbers, a_tls, a_trust), (b, b_numbers, b_tls, b_trust)) =
            (said(self), said(other));
        a.map(|span| self.part(span)) == b.map(|span| other.part(span))
            && (a_numbers, a_tls, a_trust) == (b_numbers, b_tls, b_trust)
            && self.tls == other.tls
            && self.attributes().eq(other.attributes())
    }
}

impl Eq for RequestClaims {}

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
