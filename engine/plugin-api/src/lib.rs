//! The contracts of sources and sinks, and what passes between them.
//!
//! Knows Arrow's types and the shape of a position; must not know DataFusion, any external system, or how a run is scheduled.
//! Every sentence of a contract here is a case of the conformance suite in `testkit`.
//! Read next: [`Source`], [`Sink`], then [`Position`].

pub mod cells;
mod commit;
mod error;
mod plugin;
mod position;
mod schema;
mod sink;
mod source;
mod tail;
mod window;

pub use commit::{CommitRecord, CommitRequest, Committed, Generation, StreamId, TargetState};
pub use error::{ConnectorError, ErrorKind};
pub use plugin::{ConnectContext, Connector, Plugin};
pub use position::{CursorValue, FileIdentity, Position, Tail, Unsettled};
pub use schema::{Column, DeclaredType, SeesWriters, SourceSchema, TYPE_NAMES, TypeError};
pub use sink::{DELETED_AT, FileLayout, Load, LoadRequest, NativeTypes, Sink, Staged, StagedFile, TableLayout, TargetObject, WriteMode, WriteProgress};
pub use source::{BatchStream, ColumnChoice, CursorExpr, ExtraColumns, ReadRequest, ReadStrategy, Source, SourceBatch, SourceObject, SourceRead};
pub use tail::TailDigest;
pub use window::{WindowBounds, next_window, window_start, windows_before};
