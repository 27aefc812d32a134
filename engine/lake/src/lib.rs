//! Tables made of Parquet files: writing data files, committing them through a log, reading them with DataFusion.
//!
//! Shared by every sink whose tables are folders of files. A plugin brings its [`CommitLog`] (what makes a set of files a table);
//! this crate brings the rest: row accumulation, partitioning, Parquet settings, statistics, upsert, and a pruning `TableProvider`.
//! Besides `sql` the only crate that names DataFusion. Must not know any log format, YAML, or how runs are scheduled.
//! Read next: [`CommitLog`], then `sink.rs`.

mod chain;
mod conform;
mod data_file;
mod difference;
mod durable;
mod encode;
mod existing;
mod file_column;
mod intake;
mod load;
mod log;
mod memory_table;
mod once;
mod partition;
mod provider;
mod rewrite;
mod row_hash;
mod side_by_side;
mod sink;
mod small_files;
mod statistics;
mod tables;
mod upsert;
mod value_text;
mod window;
mod writer;

pub use chain::{ChainStep, chain_step};
pub use durable::{create_if_absent, replace_file, sync_folder};
pub use log::{ColumnStats, CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot};
pub use memory_table::{Scannable, memory_table};
pub use sink::LakeSink;
pub use tables::{LakePlugin, LakeTable, LakeTables};
