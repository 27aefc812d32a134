//! YAML text to a typed model with byte-exact positions; total: it collects findings and never fails.
//!
//! Knows the language of `PRODUCT`: keys, defaults, environment, templates, `for_each`. Must not know tables' columns, SQL or plugins' code;
//! what plugins can do arrives as data in a [`Catalog`]. Does no I/O: texts come in as a [`SourceSet`].
//! Read next: [`parse`], then `model/`.

mod catalog;
pub mod model;
mod source_set;
mod spans;

pub use catalog::{Capabilities, Catalog, PluginManifest};
pub use model::{ProjectSpec, TableSpec};
pub use source_set::{Environment, SourceSet};
pub use spans::{Piece, SpanIndex, SqlText};
