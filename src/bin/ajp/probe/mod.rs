//! Requests that find out how a container takes them: those of `ajp explain`, and those of the
//! gateway when a container refuses what it is sent.
//!
//! - `question`: a request, sent as often as it takes, and how it was taken.
//! - `size`: the longest head that is taken.

mod question;
mod size;

#[cfg(feature = "cli")]
pub(crate) use question::Answer;
pub(crate) use question::Question;
pub(crate) use size::{HeadSize, head_size};
