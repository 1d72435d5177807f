//! The tables of the configuration file, each value read but not yet looked at beside the
//! others.

use super::values::{FailStatus, MethodName, Packets, Statuses, Text, Whole};
use crate::front::Network;
use ajp::balancer::{Flags, Sticky, Weight};
use ajp::client::Address;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub listen: Option<Text<SocketAddr>>,
    pub access_log: Option<PathBuf>,
    pub max_body: Option<Whole<0, { i64::MAX as u64 }>>,
    pub trusted_proxies: Vec<Text<Network>>,
    pub manager: Option<Manager>,
    pub balancer: Vec<Balancer>,
    pub map: Vec<Map>,
}

/// `[manager]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manager {
    pub listen: Option<Spanned<Text<SocketAddr>>>,
    #[serde(default)]
    pub allow_remote: bool,
    pub changes: Option<Spanned<bool>>,
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// `[[balancer]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancer {
    pub name: Spanned<String>,
    pub method: Option<Text<MethodName>>,
    pub sticky: Option<Text<Sticky>>,
    pub nofailover: Option<Spanned<bool>>,
    pub retry: Option<Text<Duration>>,
    pub attempts: Option<Whole<1, 1000>>,
    #[serde(default)]
    pub fail_on_status: Vec<FailStatus>,
    pub secret_file: Option<Spanned<PathBuf>>,
    pub packet_size: Option<Packets>,
    pub body_requests: Option<Whole<1, 1000>>,
    pub max_connections: Option<Whole<1, 100_000>>,
    pub connect_timeout: Option<Text<Duration>>,
    pub acquire_timeout: Option<Text<Duration>>,
    pub timeout: Option<Text<Duration>>,
    pub health: Option<Health>,
    #[serde(default)]
    pub member: Vec<Member>,
}

/// `health = { .. }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub check: Spanned<CheckKind>,
    pub interval: Option<Text<Duration>>,
    pub rise: Option<Whole<1, 1000>>,
    pub fall: Option<Whole<1, 1000>>,
    pub path: Option<Spanned<String>>,
    pub status: Option<Spanned<Statuses>>,
    pub body: Option<Spanned<String>>,
}

/// How a member is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    CPing,
    Http,
}

/// `[[balancer.member]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub url: Spanned<Text<Address>>,
    pub route: Option<String>,
    #[serde(default)]
    pub weight: Weight,
    #[serde(default)]
    pub status: Flags,
    pub set: Option<Whole<0, 1000>>,
}

/// `[[map]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    pub path: Spanned<String>,
    pub to: Spanned<String>,
    #[serde(default = "yes")]
    pub location: bool,
    #[serde(default = "yes")]
    pub cookie_path: bool,
}

fn yes() -> bool {
    true
}

/// Reads the tables; an error has the span of what is wrong.
pub fn read(text: &str) -> Result<File, toml::de::Error> {
    toml::from_str(text)
}
