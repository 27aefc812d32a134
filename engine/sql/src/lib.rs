//! The only engine crate that knows DataFusion's SQL.
//!
//! Knows how to plan and run one SELECT over pinned inputs within a memory limit, how to check rows, and how to type-check a whole project
//! with no data at hand. Must not know plugins, state, commits or how a run is scheduled.
//!
//! What SQL means here, where DataFusion leaves it open or gets it wrong: integers and totals that do not fit are errors
//! (`checked_integer.rs`, `checked_sum.rs`, `checked_average.rs`); an integer divided by zero is an error, a float gives infinity; a failed CAST is an error, and
//! TRY_CAST gives NULL; a FILTER counts only rows for which it is true (`known_filter.rs`); `now()` is one moment for a whole run; names
//! without double quotes are read as lower case; rows have no order unless ORDER BY gives one. Memory is bounded by one pool for all queries;
//! what can be sorted or grouped spills to disk, compressed.
//!
//! Read next: [`SqlEngine`], then `statement.rs`, `session.rs`, `output.rs`, `checks.rs`.

mod checked_average;
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
pub use offline::{ColumnReach, Reached, check_project, column_reach, explanations};
