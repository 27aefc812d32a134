//! Findings: what is wrong, where, why and how to mend it.
//!
//! Knows source files, spans and the renderings of a finding; must not know YAML, tables or plugins.
//! Read next: [`Diagnostic`], then `render/`.

mod diagnostic;
mod explanation;
pub mod render;
mod source;
mod suggest;
mod summary;

pub use diagnostic::{Code, Diagnostic, Edit, Fix, Label, PLACE_OF_RELATED, Related, Severity};
pub use explanation::Explanation;
pub use source::{FileId, LineColumn, SourceFile, SourceMap, Span};
pub use suggest::{did_you_mean, nearest, quoted};
pub use summary::Summary;
