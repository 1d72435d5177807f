//! Paths of a site: the patterns that stand in a configuration of the gateway, and the ways in
//! which servers read what a client asks for. The gateway matches by them, `ajp import` writes
//! them.

mod pattern;
mod readings;

#[cfg(feature = "cli")]
pub(crate) use pattern::fault;
#[cfg(feature = "gateway")]
pub(crate) use pattern::{InvalidPattern, below, split_parameters, template_base};
pub(crate) use pattern::{Pattern, fault_of_target};
#[cfg(feature = "gateway")]
pub(crate) use readings::{is_plain, normalised, readings};
