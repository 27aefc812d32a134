//! The typed model to a graph of tables.
//!
//! Knows which table reads which, by SQL and by name, and what is wrong with that; the only crate that names petgraph.
//! Must not know columns or types: that is the SQL engine's work.
//! Read next: [`build`], then `sql_facts.rs` and `table_graph.rs`.

mod build;
mod checked;
mod cycle;
mod explanations;
mod findings;
#[cfg(test)]
mod fixture;
mod layer_names;
mod meant;
mod reference;
pub mod render;
pub mod select;
mod select_shape;
mod sql_facts;
mod table_graph;

pub use build::build;
pub use checked::{CheckedGraph, ErrorsLeft};
pub use explanations::explanations;
pub use reference::{Reference, ReferenceKind};
pub use sql_facts::{SqlFacts, SqlPlace};
pub use table_graph::{Edge, TableGraph, TableIndex};
