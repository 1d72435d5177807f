//! What the fuzz targets share: reading their input, a second decoder to compare with, and
//! the checks of what was decoded.

#![forbid(unsafe_code)]

pub mod decoded;
pub mod http_model;
pub mod input;
pub mod mutate;
pub mod packets;
pub mod printed;
pub mod shadow;
pub mod targets;
