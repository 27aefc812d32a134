//! Graph, schemas and state to an explicit plan of what a run will do.
//!
//! Pure: no I/O, no clock, no plugin code. What sources, targets and state say comes in as values.
//! Read next: [`RunPlan`], then `build.rs`, `copy.rs` and `transform.rs`.

mod build;
mod check;
mod copy;
mod ddl;
mod ends;
mod estimate;
mod explanations;
mod findings;
mod guarantee;
mod input;
mod judge;
mod known;
mod lock;
mod lossy;
mod model;
mod predicate;
pub mod render;
mod transform;
mod work;

#[cfg(test)]
mod tests;

pub use build::build;
pub use copy::reads_declared_columns;
pub use explanations::explanations;
pub use findings::default_level;
pub use input::{PlanInput, PlanOptions, Schemas, Targets};
pub use known::{KnownCopies, columns, known_copies};
pub use lock::{Change, ChangeKind, LockedSources, capture, changes, locked_sources, may_be_table, origin};
pub use model::{ChunkPlan, Guarantee, LayoutPlan, RunPlan, SchedulePlan, StageKind, TablePlan, TargetPlan, json_schema};
pub use work::{CheckWork, CopyWork, GuardWork, StageWork, TransformWork};
