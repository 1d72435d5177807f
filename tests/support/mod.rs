//! Real peers for the integration tests: Tomcat, httpd and the clients in front of them.
//!
//! A test binary says `mod support;` and takes what it needs:
//!
//! - [`tomcat::Tomcat`]: a servlet container with the webapp under `webapp/` at `/app`;
//! - [`replication::Cluster`]: Tomcats that share their sessions, with `Cart.java` at `/cart`;
//! - [`httpd::Httpd`]: an httpd that forwards to an AJP port, by `mod_proxy_ajp` or `mod_jk`;
//! - [`gateway::Gateway`]: `ajp gateway` as a process;
//! - [`nginx::Nginx`]: an nginx in front of it, by HTTP or as a stream;
//! - [`http1::Client`]: an HTTP/1.1 client that shows a cut-off body as an error;
//! - [`pcap::Pcap`] and [`tshark`]: TCP streams in a capture file, and what tshark reads in them;
//! - [`random::Random`]: the same random numbers in every run;
//! - [`webdriver::Browser`]: a headless Chromium;
//! - [`need`]: what must be installed. A missing peer fails the test; nothing is ever skipped.
//!
//! Every peer lives in a temporary directory of its own and dies with the value that stands for
//! it, and at the latest with the test process.

#![allow(
    dead_code,
    reason = "every test binary uses its own part of the harness"
)]
#![allow(
    unreachable_pub,
    reason = "the module is private to a test binary, its parts are not to each other"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

pub mod child;
pub mod example;
pub mod gateway;
pub mod http1;
pub mod httpd;
pub mod httpd_conf;
pub mod need;
pub mod nginx;
pub mod pattern;
pub mod pcap;
pub mod ports;
pub mod random;
pub mod replication;
pub mod tls;
pub mod tomcat;
pub mod tomcat_conf;
pub mod tshark;
pub mod webapp;
pub mod webdriver;
