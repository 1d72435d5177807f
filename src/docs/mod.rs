//! Chapters for who runs this: what to set, what to watch, what goes wrong and why; and the
//! protocol itself.
//!
//! - [`protocol`]: AJP/1.3 as it is spoken, packet by packet and peer by peer.
//! - [`troubleshooting`]: 403, 503, lost sessions, cut pages, and the way out of each.
//! - [`security`]: whom a container believes: secrets, attributes, client addresses, smuggling.
//! - [`pool_size`]: how many connections a pool may open.
//! - [`timeouts`]: every name of mod_jk and mod_proxy, and ours.
//! - [`failover`]: what is sent again, and what never is.
//! - [`packet_size`]: 8192 or 65536, and heads that do not fit.
//! - [`attributes`]: Shibboleth and other request attributes.
//! - [`tls`]: what a container learns of the visitor's TLS connection.
//! - [`text`]: how bytes that are not ASCII pass.
//! - [`observability`]: what to watch: numbers, hooks, spans.
//! - [`manager`]: the gateway's page, API, state file and drains.
//! - [`websocket`]: why AJP carries none, and what to do instead.
//! - [`conformance`]: who keeps which rule of the protocol.
//! - [`json_output`]: what the commands of `ajp` print for programs.
//! - [`migration`]: from httpd or mod_jk to the gateway, and off AJP.
//!
//! Only text: nothing in here is compiled into a program. All code in it is tested.
#![allow(clippy::doc_markdown, reason = "names of other programs")]
#![cfg_attr(
    not(all(feature = "balancer", feature = "server", feature = "retry")),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "a build without these parts has no chapters about them"
    )
)]

pub mod protocol;

/// Chapters that need the parts they are about.
macro_rules! chapters {
    ($($file:literal pub mod $name:ident {})*) => {$(
        #[cfg(all(feature = "balancer", feature = "server", feature = "retry"))]
        #[doc = include_str!($file)]
        pub mod $name {}
    )*};
}

chapters! {
    "security.md"
    pub mod security {}

    "pool_size.md"
    pub mod pool_size {}

    "timeouts.md"
    pub mod timeouts {}

    "failover.md"
    pub mod failover {}

    "packet_size.md"
    pub mod packet_size {}

    "attributes.md"
    pub mod attributes {}

    "tls.md"
    pub mod tls {}

    "text.md"
    pub mod text {}

    "observability.md"
    pub mod observability {}

    "manager.md"
    pub mod manager {}

    "websocket.md"
    pub mod websocket {}

    "json_output.md"
    pub mod json_output {}

    "migration.md"
    pub mod migration {}
}

#[doc = include_str!("conformance.md")]
pub mod conformance {}

#[doc = include_str!("troubleshooting.md")]
pub mod troubleshooting {}
