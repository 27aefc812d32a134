//! `karat.lock` as text: read with positions, written so that equal content is equal bytes.
//!
//! Knows YAML and the shape of the file; must not know what its type names mean, which is for those to judge who know types.

mod read;
mod write;

pub use read::{LOCK_FILE, Lock, lock_schema, read_lock};
pub use write::{lock_text, yaml_text};
