//! Chapters for who runs this: what to set, what to watch, what goes wrong and why.
//!
//! - [`security`]: Ghostcat, secrets, attributes, smuggling.
//! - [`pool_size`]: one formula.
//! - [`timeouts`]: every name of mod_jk and mod_proxy, and ours.
//! - [`failover`]: what is sent again, and what never is.
//! - [`packet_size`]: 8192 or 65536, and heads that do not fit.
//! - [`attributes`]: Shibboleth and other request attributes.
//! - [`tls`]: client certificates and ciphers.
//! - [`text`]: bytes that are not ASCII.
//! - [`observability`]: stats, hooks, spans.
//! - [`websocket`]: why not, and what instead.
//! - [`migration`]: from httpd or mod_jk to the gateway, and off AJP.
//!
//! Only text: nothing in here is compiled into a program. All code in it is tested.
#![allow(clippy::doc_markdown, reason = "names of other programs")]

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("pool_size.md")]
pub mod pool_size {}

#[doc = include_str!("timeouts.md")]
pub mod timeouts {}

#[doc = include_str!("failover.md")]
pub mod failover {}

#[doc = include_str!("packet_size.md")]
pub mod packet_size {}

#[doc = include_str!("attributes.md")]
pub mod attributes {}

#[doc = include_str!("tls.md")]
pub mod tls {}

#[doc = include_str!("text.md")]
pub mod text {}

#[doc = include_str!("observability.md")]
pub mod observability {}

#[doc = include_str!("websocket.md")]
pub mod websocket {}

#[doc = include_str!("migration.md")]
pub mod migration {}
