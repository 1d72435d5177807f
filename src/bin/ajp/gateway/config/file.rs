//! The tables of the configuration file, each value read but not yet looked at beside the
//! others.

use super::balancer_tables::{Balancer, Timeouts};
use super::values::{FailStatus, Limit, Positive, Text, Whole};
use crate::gateway::front::{ListenAddress, SocketMode};
use ajp::server::Networks;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) listen: Option<Spanned<Text<SocketAddr>>>,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) max_body: Option<Whole<0, { i64::MAX as u64 }>>,
    pub(crate) trusted_proxies: Vec<Text<Networks>>,
    pub(crate) forwarded: Forwarded,
    pub(crate) header_underscores: bool,
    pub(crate) client_certificate_header: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) limits: Limits,
    pub(crate) listener: Vec<Listener>,
    pub(crate) manager: Option<Manager>,
    pub(crate) balancer: Vec<Balancer>,
    pub(crate) order: Order,
    pub(crate) paths: Paths,
    pub(crate) map: Vec<Map>,
    pub(crate) site: Vec<Site>,
}

/// How the access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// httpd's combined format, with more at its end.
    #[default]
    Combined,
    /// An object on each line.
    Json,
}

/// `[[site]]`: maps for some host names only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    pub(crate) hosts: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) default: bool,
    #[serde(default)]
    pub(crate) order: Order,
    #[serde(default)]
    pub(crate) paths: Paths,
    #[serde(default)]
    pub(crate) map: Vec<Map>,
}

/// Which of several maps that fit a path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// The most specific one.
    #[default]
    Longest,
    /// The first in the file, as httpd does it.
    File,
}

/// What becomes of paths that servers may read in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Paths {
    /// One that could be of another map is refused with 400.
    #[default]
    Strict,
    /// They are brought to their normal form, which is forwarded.
    Normalise,
}

/// Which headers of trusted proxies count where both kinds are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Forwarded {
    #[default]
    #[serde(rename = "x-forwarded")]
    XForwarded,
    #[serde(rename = "forwarded")]
    Forwarded,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) max_connections: Option<Whole<1, 1_000_000>>,
    pub(crate) max_connections_per_address: Option<Whole<1, 1_000_000>>,
    pub(crate) max_head: Option<Whole<8192, 1_048_576>>,
    pub(crate) max_headers: Option<Whole<1, 1000>>,
    pub(crate) head_timeout: Option<Text<Positive>>,
    pub(crate) requests_per_connection: Option<Whole<1, { i64::MAX as u64 }>>,
    pub(crate) body_timeout: Option<Text<Positive>>,
    pub(crate) write_timeout: Option<Text<Positive>>,
    pub(crate) min_rate: Option<Whole<0, 1_000_000_000>>,
    pub(crate) request_buffer: Option<Whole<0, 1_000_000_000>>,
    pub(crate) response_buffer: Option<Whole<0, 1_000_000_000>>,
    pub(crate) buffer_memory: Option<Whole<0, 1_000_000_000_000>>,
    pub(crate) upgrade_connect_timeout: Option<Text<Positive>>,
    pub(crate) upgrade_head_timeout: Option<Text<Positive>>,
    pub(crate) upgrade_idle_timeout: Option<Text<Positive>>,
    pub(crate) upgrades_per_member: Option<Whole<0, 1_000_000>>,
    pub(crate) http2_streams: Option<Whole<1, 10_000>>,
    pub(crate) http2_resets: Option<Whole<1, 10_000>>,
}

/// `[[listener]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    pub(crate) address: Spanned<Text<ListenAddress>>,
    pub(crate) mode: Option<Spanned<Text<SocketMode>>>,
    pub(crate) proxy_protocol: Option<Spanned<bool>>,
    pub(crate) redirect_to_https: Option<Spanned<Whole<1, 65535>>>,
    pub(crate) hsts: Option<Spanned<String>>,
    pub(crate) tls: Option<Spanned<Tls>>,
}

/// `tls = { .. }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) client_ca: Option<PathBuf>,
    #[serde(default)]
    pub(crate) client_certificate: ClientCertificate,
    pub(crate) client_depth: Option<Whole<1, 100>>,
    #[serde(default)]
    pub(crate) min_version: TlsVersion,
    #[serde(default = "yes")]
    pub(crate) http2: bool,
}

/// A certificate with its chain, and its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What is asked of clients that `client_ca` knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientCertificate {
    Optional,
    #[default]
    Required,
}

/// The oldest TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// `[manager]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manager {
    pub(crate) listen: Option<Spanned<Text<SocketAddr>>>,
    #[serde(default)]
    pub(crate) allow_remote: bool,
    pub(crate) changes: Option<Spanned<bool>>,
    pub(crate) token_file: Option<Spanned<PathBuf>>,
    pub(crate) state_file: Option<PathBuf>,
    pub(crate) health_listen: Option<Spanned<Text<SocketAddr>>>,
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
}

/// `[[map]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    pub(crate) path: Spanned<String>,
    pub(crate) to: Spanned<String>,
    #[serde(default = "yes")]
    pub(crate) location: bool,
    #[serde(default = "yes")]
    pub(crate) cookie_path: bool,
    /// All that follows is for this map alone.
    pub(crate) timeout: Option<Text<Limit>>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) stateless: Option<bool>,
    pub(crate) sticky_ignore: Option<bool>,
    pub(crate) member: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) attempts: Option<Whole<1, 1000>>,
    #[serde(default)]
    pub(crate) fail_on_status: Vec<FailStatus>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) max_body: Option<Whole<0, { i64::MAX as u64 }>>,
    pub(crate) request_buffer: Option<Whole<0, 1_000_000_000>>,
    pub(crate) response_buffer: Option<Whole<0, 1_000_000_000>>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub(crate) request_headers: Headers,
    #[serde(default)]
    pub(crate) response_headers: Headers,
}

/// `request_headers = { set = { .. }, remove = [..] }`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Headers {
    pub(crate) set: BTreeMap<Spanned<String>, Spanned<String>>,
    pub(crate) remove: Vec<Spanned<String>>,
}

impl Map {
    /// A map without anything of its own.
    pub(crate) fn new(path: Spanned<String>, to: Spanned<String>) -> Self {
        Self {
            path,
            to,
            location: true,
            cookie_path: true,
            timeout: None,
            timeouts: None,
            stateless: None,
            sticky_ignore: None,
            member: None,
            domain: None,
            attempts: None,
            fail_on_status: Vec::new(),
            idempotent: None,
            max_body: None,
            request_buffer: None,
            response_buffer: None,
            attributes: BTreeMap::new(),
            request_headers: Headers::default(),
            response_headers: Headers::default(),
        }
    }
}

fn yes() -> bool {
    true
}
