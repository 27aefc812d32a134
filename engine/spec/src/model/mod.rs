//! The typed model: what the user wrote, merged with defaults, expanded and rendered.

mod cdc;
mod check;
mod connection;
mod load;
mod lock;
mod project;
mod scalar;
mod schema_doc;
mod table;

pub use cdc::{Cdc, Deletes, NullCursor, Strategy, Window};
pub use check::{Check, CheckKind, MaxFailed, OnFail};
pub use connection::{ConnectionSpec, Settings};
pub use load::{BucketBy, Chunk, ChunkRows, Compression, Guard, Layout, Load, LoadMode, PartitionTransform, SchemaChanges};
pub use lock::{LockDocument, LockedColumn, LockedFrom, LockedTable};
pub use project::{LintLevel, LintSettings, PipelineSpec, ProjectSpec, Schedule, Secrets, StateSettings, VarUse};
pub use scalar::{ByteSize, COUNT_PATTERN, Count, DURATION_PATTERN, Duration, PERCENT_PATTERN, Percent, SIZE_PATTERN};
pub use schema_doc::{Defaults, PipelineDocument, ProjectDocument};
pub use table::{BronzeTable, Dedup, From, Incremental, KeepRow, Layer, SqlTable, TableDefinition, TableName, TableSpec, To, UnitTest};
