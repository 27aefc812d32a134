//! YAML text to a typed model with byte-exact positions; total: it collects findings and never fails.
//!
//! Knows the language of `PRODUCT`: keys, defaults, environment, templates, `for_each`. Must not know tables' columns, SQL or plugins' code;
//! what plugins can do arrives as data in a [`Catalog`]. Does no I/O: texts come in as a [`SourceSet`].
//! Read next: [`parse`], then `model/`.

mod address;
mod catalog;
mod codes;
mod connection;
mod for_each;
mod left_out;
mod lock;
mod merge;
pub mod model;
mod names;
mod pages;
mod parse;
mod pipeline;
mod positions;
mod project;
mod reader;
mod schedule;
mod schema_documents;
mod shape;
mod source_set;
mod spans;
mod table;
mod template;
mod yaml;

pub use catalog::{Capabilities, Catalog, PluginManifest};
pub use left_out::LeftOut;
pub use lock::{LOCK_FILE, Lock, lock_schema, lock_text, read_lock, yaml_text};
pub use model::{ProjectSpec, TableSpec};
pub use pages::explanations;
pub use parse::parse;
pub use schema_documents::{SchemaDocument, schema_documents};
pub use source_set::{Environment, SourceSet};
pub use spans::{Piece, SpanIndex, SqlText, pointer_part};
