//! httpd's configuration.
//!
//! - `lines`: continuations, quotes, comments, `${name}`.
//! - `tree`: all files of a server, with `Include`, conditions and macros.

mod lines;
mod tree;

pub(crate) use lines::{Defined, Directive, define, expanded, raw};
pub(crate) use tree::{Item, Macro, Tree, included};
