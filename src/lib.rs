//! AJP/1.3 (Apache JServ Protocol) for Rust.
#![cfg_attr(docsrs, feature(doc_cfg))]
pub mod proto;
pub mod wire;
