//! httpd's configuration.
//!
//! - `lines`: continuations, quotes, comments, `${name}`.
//! - `tree`: all files of a server, with `Include`, conditions and macros.

mod lines;
mod tree;

pub(crate) use lines::{Definitions, Directive, define, expanded, is_httpd, raw};
pub(crate) use tree::{Item, MOST_MACRO_LINES, Macro, Tree, included};
