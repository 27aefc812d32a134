//! What a source promises.

use crate::{ConnectorError, FileIdentity, Position, SourceSchema, WindowBounds};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::stream::BoxStream;
use karat_spec::model::{NullCursor, Window};
use std::time::Duration;

/// What is read from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceObject {
    /// A table, as the user wrote it.
    Table(String),
    /// A query in the source's own dialect.
    Query(String),
    /// Files that match this glob, relative to the connection's path.
    Files(String),
}

/// One column to read, as which type.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnChoice {
    /// The name at the source.
    pub name: String,
    /// The Arrow type the batches must have.
    pub data_type: DataType,
    /// Whether NULL may occur.
    pub nullable: bool,
}

/// What orders rows by age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorExpr {
    /// A column.
    Column(String),
    /// An expression in the source's own dialect.
    Sql(String),
}

/// Which rows a read delivers.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadStrategy {
    /// All rows of one consistent snapshot. For files: all files.
    Full,
    /// Rows after a position, ordered by `(cursor, tie…)`.
    Keyset {
        /// What orders rows.
        cursor: CursorExpr,
        /// Columns that break ties, in order; empty for a unique cursor or without a key. A cursor counts as unique only where the catalogue
        /// proves it (primary key, unique index); then rows at the watermark are not looked at again. In all other cases they may be delivered again.
        tie: Vec<String>,
        /// Where the last run ended; [`Position::Start`] for the first.
        after: Position,
        /// How far below the watermark rows are read again.
        lookback: Option<Duration>,
        /// What happens to rows without a cursor value.
        null_cursor: NullCursor,
    },
    /// Whole windows of a date or timestamp column, in order, all of one consistent snapshot: the newest `refresh_last` of those that `after`
    /// covers, and all behind them. Their bounds follow each other without a gap and end unbounded, so windows that are empty now are covered, too.
    Windows {
        /// A date or timestamp column.
        cursor: String,
        /// What a window spans.
        unit: Window,
        /// Where the last run ended; [`Position::Start`] for the first, which begins unbounded.
        after: Position,
        /// How many of the windows up to `after` are read again; at least 1, because the newest one was not over when it was read.
        refresh_last: u64,
        /// What happens to rows without a cursor value: with `AlwaysReread` they belong to the last window of every read.
        null_cursor: NullCursor,
    },
    /// Files that are not in this ledger.
    NewFiles {
        /// What was read already, sorted by path.
        known: Vec<FileIdentity>,
    },
}

/// What happens to columns that a file or object has, and the request does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtraColumns {
    /// The read fails: somebody should decide. For sources whose columns exist only by declaration.
    #[default]
    Refuse,
    /// They are left out, because the user selected columns or asked for that.
    Ignore,
}

/// One read.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// What to read.
    pub object: SourceObject,
    /// The columns, in the order of the batches. All are in the schema that [`Source::describe`] gave, or declared by the user.
    pub columns: Vec<ColumnChoice>,
    /// What happens to columns that are not among them; only files look at it.
    pub extra_columns: ExtraColumns,
    /// Which rows.
    pub strategy: ReadStrategy,
    /// Rows per batch, at most. A batch never crosses a multiple of this count, so that files can close on exact row counts.
    pub batch_rows: usize,
    /// Bytes per batch, about.
    pub batch_bytes: usize,
    /// Readers at once, at most; only for [`ReadStrategy::Full`] and [`ReadStrategy::Windows`].
    pub parallel: usize,
}

/// One step of a read.
#[derive(Debug)]
pub enum SourceBatch {
    /// Rows, and the position that covers them and all before them.
    Rows {
        /// 1 to `batch_rows` rows in the columns of the request.
        batch: RecordBatch,
        /// Resume here once all rows so far are durable. `None` where a read cannot resume in the middle (a full snapshot, a file).
        position: Option<Position>,
    },
    /// The rows since the last such step are a whole window; only for [`ReadStrategy::Windows`], and the last step before the end.
    WindowEnd {
        /// The window. It begins where the one before ended.
        bounds: WindowBounds,
        /// Resume here once the window is durable.
        position: Position,
    },
    /// The proven end: the protocol's own terminator was seen.
    End {
        /// Rows delivered by this read.
        rows: u64,
        /// Where the next run starts; equals the request's position when nothing is new.
        position: Position,
        /// Rows whose cursor lies in the future of the source's clock: delivered, but they do not move the watermark.
        future_rows: u64,
        /// Rows that were compared and skipped because an earlier run delivered them.
        skipped_rows: u64,
    },
}

/// Rows of one read, in order. A stream that ends without [`SourceBatch::End`] is an error of the source.
///
/// Dropping it cancels the read at the source.
pub type BatchStream = BoxStream<'static, Result<SourceBatch, ConnectorError>>;

/// A connected source. One value serves many concurrent reads.
#[async_trait]
pub trait Source: Send + Sync {
    /// What the catalogue says of an object: columns with types, keys, indexes, estimates. Reads no rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] names the nearest existing object in its help.
    async fn describe(&self, object: &SourceObject) -> Result<SourceSchema, ConnectorError>;

    /// Where this read would end, if that can be said without reading rows; `None` where it cannot.
    ///
    /// A read whose answer equals the `committed` position has nothing new and may be left out; that position also spares work, such as hashing
    /// a file again that has not changed since.
    ///
    /// # Errors
    /// As [`Source::read`].
    async fn probe(&self, _request: &ReadRequest, _committed: &Position) -> Result<Option<Position>, ConnectorError> {
        Ok(None)
    }

    /// Opens one consistent read. Nothing is read before the stream is polled.
    ///
    /// # Errors
    /// When the request cannot work; errors while reading come through the stream.
    async fn read(&self, request: ReadRequest) -> Result<Box<dyn SourceRead>, ConnectorError>;
}

/// One opened read.
pub trait SourceRead: Send {
    /// Columns and types of all batches.
    fn schema(&self) -> SchemaRef;

    /// The rows. To be called once.
    fn into_stream(self: Box<Self>) -> BatchStream;
}
