//! Commits: how rows and the position that covers them become durable in one step.

use crate::{Position, WindowBounds};
use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identifies a stream of commits: this table of this pipeline from this source object into this target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(String);

impl StreamId {
    /// The stream of one table: stable across runs, machines and renames of the project's folder.
    #[must_use]
    pub fn new(pipeline: &str, table: &str) -> Self {
        Self(format!("{pipeline}/{table}"))
    }

    /// As stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A fresh start of a target, counted from 1: a full refresh or an incompatible change begins the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// What a sink remembers of the newest commit of a stream. The sink is the truth, state is a cache of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// The stream.
    pub stream: StreamId,
    /// The generation.
    pub generation: Generation,
    /// Committed batches of this stream and generation, from 1.
    pub seq: u64,
    /// The lease under which it was committed.
    pub epoch: u64,
    /// The attempt that committed it; unique.
    pub attempt: String,
    /// Where the batch began.
    pub lo: Position,
    /// Where it ended: everything up to here is durable and visible.
    pub hi: Position,
    /// Rows the batch added.
    pub rows: u64,
}

/// One commit to make: takes effect only if the newest record of the stream is exactly `(seq - 1, lo)` of the same generation.
///
/// The first commit of a generation has `seq` 1 and `lo` [`Position::Start`], and takes effect only if the newest record is of the generation
/// before it, or if there is none: a late commit of an older generation never follows it. Every load in `Replace` mode writes a new generation.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitRequest {
    /// What the record will say.
    pub record: CommitRecord,
    /// The run, for the sink's own history.
    pub run_id: String,
    /// In `Window` mode, the rows that the staged ones replace; `None` in all other modes.
    pub window: Option<WindowBounds>,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The version readers can pin.
    pub version: String,
    /// Rows added, after rows that were there already were left out.
    pub rows_written: u64,
    /// Rows replaced or removed.
    pub rows_removed: u64,
    /// Files added.
    pub files: u64,
    /// Bytes added.
    pub bytes: u64,
    /// True when an earlier try of the same attempt had already taken effect.
    pub was_already_applied: bool,
}

/// What a target holds.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one value per table and run: an allocation would cost more than it saves")]
pub enum TargetState {
    /// No table there.
    Absent,
    /// A table.
    Present {
        /// The newest commit of the asked stream; `None` when the table was not written by it.
        record: Option<CommitRecord>,
        /// The version readers can pin.
        version: String,
        /// Rows, where the sink knows without reading.
        rows: Option<u64>,
        /// Its columns.
        schema: SchemaRef,
    },
}
