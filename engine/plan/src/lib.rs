//! Graph, schemas and state to an explicit plan of what a run will do.
//!
//! Pure: no I/O, no clock, no plugin code. What sources and state say comes in as values.
//! Read next: [`RunPlan`], then `build.rs`.

mod model;
mod work;

pub use model::{ChunkPlan, Guarantee, LayoutPlan, RunPlan, SchedulePlan, StageKind, TablePlan, TargetPlan};
pub use work::{CheckWork, CopyWork, GuardWork, StageWork, TransformWork};
