//! Tables made of Parquet files: writing data files, committing them through a log, reading them with DataFusion.
//!
//! Shared by every sink whose tables are folders of files. A plugin brings its [`CommitLog`] (what makes a set of files a table);
//! this crate brings the rest: row accumulation, partitioning, Parquet settings, statistics, upsert, and a pruning `TableProvider`.
//! Besides `sql` the only crate that names DataFusion. Must not know any log format, YAML, or how runs are scheduled.
//! Read next: [`CommitLog`], then `sink.rs`.

mod log;
mod memory_table;
mod tables;

pub use log::{ColumnStats, CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot};
pub use memory_table::{Scannable, memory_table};
pub use tables::{LakePlugin, LakeTable, LakeTables};
