//! httpd's configuration.
//!
//! - `lines`: continuations, quotes, comments, `${name}`.

mod lines;

pub(crate) use lines::{Defined, Directive, directives};
