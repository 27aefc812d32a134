//! What `karat.lock` says of sources: captured from their catalogues, believed where nobody can be asked, compared with what they say now.

mod capture;
mod drift;
mod explanations;
mod locked;
mod type_text;

pub(crate) use capture::chosen_columns;
pub use capture::{capture, origin};
pub(crate) use drift::column_changes;
pub use drift::{Change, ChangeKind, changes};
pub(crate) use explanations::PAGES;
pub use locked::{LockedSources, locked_sources, may_be_table};
