//! The web servers, each before the same container.

use crate::load::Kind;
use crate::peers::{self, Peer, Start};
use crate::servers::Server;
use crate::support::httpd::Httpd;
use crate::{Backend, THREADS};
use std::path::Path;

/// How a web server is started for this.
pub(crate) fn plain(backend: &Backend, kind: Kind) -> Start<'_> {
    Start {
        tls: kind.is_tls().then_some(&backend.certificates),
        http2: kind == Kind::Http2,
        counted: None,
    }
}

pub(crate) fn floor(name: &'static str, server: Server) -> Peer {
    let addr = server.address.parse().unwrap();
    Peer::running(name, addr, server.pid(), server)
}

pub(crate) async fn gateway(program: Option<&Path>, backend: &Backend, start: Start<'_>) -> Peer {
    let config = format!(
        "[[balancer]]\nname = \"lab\"\n[[balancer.member]]\nurl = \"ajp://{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://lab/\"\n",
        backend.ajp
    );
    peers::gateway(program, &config, backend.secret.as_deref(), start).await
}

pub(crate) async fn mod_proxy_ajp(backend: &Backend, start: Start<'_>) -> Peer {
    let secret = backend.secret.as_deref();
    let secret = secret.map(|secret| format!("secret={secret}"));
    let httpd = Httpd::builder().proxy_ajp("/", backend.ajp, &secret.unwrap_or_default());
    peers::httpd("mod_proxy_ajp", httpd, THREADS, start).await
}

pub(crate) async fn mod_jk(backend: &Backend, start: Start<'_>) -> Peer {
    let httpd = peers::mod_jk(backend.ajp, backend.secret.as_deref(), THREADS, "");
    peers::httpd("mod_jk", httpd, THREADS, start).await
}

/// What AJP tells of each request beside HTTP, and the gateway and httpd tell in headers too.
pub(crate) const FORWARDED: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; \
    proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Real-Port $remote_port; \
    proxy_set_header X-Local-Address $server_addr;";

/// With more headers.
pub(crate) async fn nginx(
    name: &'static str,
    backend: &Backend,
    headers: &str,
    start: Start<'_>,
) -> Peer {
    let upstream = format!("server {}; keepalive {THREADS};", backend.http);
    peers::nginx(name, &upstream, headers, start).await
}
