//! Paths of a site: the patterns that stand in a configuration of the gateway, and the ways in
//! which servers read what a client asks for. The gateway matches by them, `ajp import` writes
//! them.

mod pattern;
mod readings;

#[cfg(feature = "gateway")]
pub(crate) use pattern::{InvalidPattern, below, split_parameters};
pub(crate) use pattern::{Pattern, fault, fault_of_target, template_base};
#[cfg(feature = "gateway")]
pub(crate) use readings::{is_plain, normalised, readings};
