//! Loads that a small request on a few connections does not show: bodies through a web server,
//! an application behind httpd, and many clients, members and sessions.
//!
//! ```text
//! cargo bench --bench loads -- bodies --packet-size 65536      # uploads and downloads, about 4 minutes
//! cargo bench --bench loads -- bodies --backend tomcat --work post-10k --packet-size 65536
//! cargo bench --bench loads -- bodies --syscalls               # counted instead of timed
//! cargo bench --bench loads -- containers                      # one application, four ways behind httpd
//! cargo bench --bench loads -- containers --count              # counted instead of timed
//! cargo bench --bench loads -- direct                          # clients, with nothing but Tomcat behind
//! cargo bench --bench loads -- scale                           # growth curves, into benches/results
//! cargo bench --bench loads -- draw                            # the pictures of what is there
//! ```
//!
//! wrk and clients of this program load one after the other in turns; tables show medians. It
//! needs Debian's `wrk`, `nginx-light` and `strace` besides what `tests/run` installs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark of our own data"
)]

#[path = "loads/bodies.rs"]
mod bodies;
#[path = "loads/chart.rs"]
mod chart;
#[path = "loads/clients.rs"]
mod clients;
#[path = "loads/containers.rs"]
mod containers;
#[path = "loads/direct.rs"]
mod direct;
#[allow(dead_code, reason = "each bench uses its part")]
mod peers;
#[path = "loads/scale.rs"]
mod scale;
#[allow(dead_code, reason = "each bench uses its part")]
mod servers;
#[path = "../tests/support/mod.rs"]
mod support;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// This program in place of the gateway that is built
    #[arg(long, global = true)]
    gateway: Option<PathBuf>,
    /// Rounds, of which the medians are shown
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each round
    #[arg(long, global = true, default_value_t = 3)]
    seconds: u32,
    /// Given by cargo
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Uploads and downloads through web servers
    Bodies(bodies::BodiesArgs),
    /// One application behind httpd: in this crate's server, hyper's and Tomcat
    Containers(containers::ContainersArgs),
    /// This crate's client and hyper's, with nothing between them and Tomcat
    Direct(direct::DirectArgs),
    /// How costs grow with clients, members and sessions
    Scale(scale::ScaleArgs),
    /// The pictures of `scale`, of the numbers that are there
    Draw,
}

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    let args = Args::parse();
    let runtime = servers::runtime(2);
    match &args.what {
        // `cargo test --benches` only builds it.
        None => {}
        Some(What::Bodies(what)) => runtime.block_on(bodies::run(&args, what)),
        Some(What::Containers(what)) => runtime.block_on(containers::run(&args, what)),
        Some(What::Direct(what)) => runtime.block_on(direct::run(&args, what)),
        Some(What::Scale(what)) => runtime.block_on(scale::run(&args, what)),
        Some(What::Draw) => scale::draw(),
    }
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
