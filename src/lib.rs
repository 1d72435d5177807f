//! AJP/1.3 (Apache JServ Protocol) for Rust: the codec, a pooled client and a server.
//!
//! AJP carries parsed HTTP requests from a **web server** (Apache httpd, a proxy) to a
//! **servlet container** (Tomcat). "Client" and "server" are only the Rust roles here: our
//! client speaks as the web server, our server as the container.
//!
//! # Which part is for whom
//!
//! | you write | take | feature | code |
//! |---|---|---|---|
//! | a proxy or gateway | `client::Client` over a `client::Pool` | `client`, `retry` | [a client](#a-client) |
//! | a proxy to several containers | `balancer::Balancer` | `balancer` | [several containers](#several-containers) |
//! | an application or container | `server::serve` with any tower service | `server` | [a server](#a-server) |
//! | a relay or test tool | [`wire`] and [`proto`] | none | [the codec alone](#the-codec-alone) |
//! | a tool that shows recorded packets | [`dump`] | none | [`dump`] |
//!
//! # The codec alone
//!
//! ```
//! use ajp::wire::{CPING, CPONG, ContainerCodec, FromWebServer, PacketSize, ToContainer, ToWebServer};
//! use bytes::BytesMut;
//!
//! let mut codec = ContainerCodec::new(PacketSize::DEFAULT);
//! let mut received = BytesMut::from(&CPING[..]);
//! let packet = codec.decode_packet(&mut received)?;
//! assert_eq!(packet, Some(FromWebServer::Message(ToContainer::CPing)));
//! let mut answer = BytesMut::new();
//! codec.encode_packet(ToWebServer::CPong, &mut answer)?;
//! assert_eq!(answer, CPONG[..]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//!
//! Each layer uses only those to its left:
//!
//! ```text
//! wire <- proto <- net <- client, server <- balancer, tls <- mapping <- metrics, tower, proxy
//! wire <- dump
//! ```
//!
//! - [`wire`]: bytes to packets and back, as checked views over one `Bytes`.
//! - [`proto`]: who may send what when; both sides of one exchange without IO.
//! - [`dump`]: a recorded connection, packet by packet, for human readers.
//! - `client`: the web server's connections and their pool.
//! - `server`: the container's side of a connection; whom to believe.
//! - `balancer`: several containers; which of them serves a request.
//! - `mapping`: mapping to the `http` crate, and the streaming bodies.
//! - `tls`: AJP inside TLS, with rustls.
//! - `tower` (internal): the client as a service, and `serve`. What it offers is exported
//!   from `client` and `server`.
//! - `proxy`: what every HTTP proxy has to decide beside AJP: whom to believe about a client,
//!   hosts, and what a container says of its own paths.
//! - `metrics`: what happened, as numbers for any exporter of the `metrics` crate.
//!
//! The protocol itself, packet by packet and peer by peer, is described in [`docs::protocol`].
//! Chapters about security, sizes, timeouts, failover, attributes, TLS and moving from httpd
//! are in [`docs`].
//!
//! # A client and a server
//!
#![cfg_attr(
    all(feature = "client", feature = "server"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Where only one role is built, parts that both share stay unused.
#![cfg_attr(
    not(all(feature = "balancer", feature = "server")),
    allow(dead_code, unused_imports)
)]

#[cfg(feature = "balancer")]
pub mod balancer;
#[cfg(feature = "client")]
pub mod client;
#[cfg(any(feature = "client", feature = "server"))]
mod common;
#[cfg(any(doc, doctest))]
pub mod docs;
pub mod dump;
#[cfg(any(feature = "client", feature = "server"))]
mod host;
#[cfg(any(feature = "client", feature = "server"))]
pub mod mapping;
#[cfg(all(feature = "metrics", any(feature = "client", feature = "server")))]
pub mod metrics;
#[cfg(any(feature = "client", feature = "server"))]
mod net;
pub mod proto;
#[cfg(any(feature = "client", feature = "server"))]
pub mod proxy;
mod secret;
#[cfg(feature = "server")]
pub mod server;
#[cfg(all(feature = "rustls", any(feature = "client", feature = "server")))]
pub mod tls;
#[cfg(any(feature = "client", feature = "server"))]
mod tower;
#[cfg(any(feature = "client", feature = "server"))]
mod trace;
pub mod wire;

pub use secret::{InvalidSecret, Secret};
