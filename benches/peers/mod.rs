//! The web servers that benches compare: how they are started, loaded and measured.

pub(crate) mod counted;
pub(crate) mod process;
mod start;
pub(crate) mod wrk;

pub(crate) use start::*;
