//! What a value may look like, and the check of a tree against it.
//!
//! Invariant: a value that the walk returns is one that serde accepts for the type the shape was generated from.

mod compile;
mod describe;
mod scalar;
mod walk;

pub(crate) use compile::{Record, Shape, compile};
pub(crate) use walk::{Dynamic, Walk, any_value, is_misspelt};
