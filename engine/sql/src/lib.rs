//! The only engine crate that knows DataFusion's SQL.
//!
//! Knows how to plan and run one SELECT over pinned inputs within a memory limit, how to check rows, and how to type-check a whole project
//! with no data at hand. Must not know plugins, state, commits or how a run is scheduled.
//! Read next: [`SqlEngine`], then `statement.rs`, `session.rs`, `output.rs`, `checks.rs`.

mod checked_integer;
mod checked_sum;
mod checks;
mod dedup;
mod engine;
mod error;
mod execute;
mod known_filter;
mod offline;
mod output;
mod planning;
mod session;
mod spill_folder;
mod statement;

#[cfg(test)]
mod semantics;

pub use checks::{CheckOutcome, CheckRequest, CheckToRun};
pub use engine::{SqlEngine, SqlInput, SqlOptions, Transform, TransformRequest};
pub use offline::{check_project, explanations};
