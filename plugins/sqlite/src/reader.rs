//! One read: a thread of its own, one snapshot, batches through a bounded channel.

use crate::brake::{Brake, Pulled};
use crate::client;
use crate::describe::Described;
use crate::keyset;
use crate::parallel;
use crate::snapshot::{self, Session};
use crate::windows;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use futures::stream;
use karat_plugin_api::cells::{Batcher, Misfit};
use karat_plugin_api::{BatchStream, ConnectorError, ErrorKind, Position, ReadRequest, ReadStrategy, SourceBatch, SourceRead, WindowBounds};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Row, params_from_iter};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many batches wait between the reader and whoever takes them.
const WAITING_BATCHES: usize = 2;

type Item = Result<SourceBatch, ConnectorError>;

/// A read that was checked, and opens the database when it is polled.
pub(crate) struct SqliteRead {
    pub(crate) path: PathBuf,
    pub(crate) request: ReadRequest,
    pub(crate) schema: SchemaRef,
}

impl SourceRead for SqliteRead {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn into_stream(self: Box<Self>) -> BatchStream {
        // The thread starts with the first poll, and ends soon after the stream is dropped.
        stream::once(async move { Running::start(*self) })
            .flat_map(|started| match started {
                Ok(running) => stream::unfold(Some(running), Running::next).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }
}

struct Running {
    batches: Receiver<Item>,
    brake: Arc<Brake>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.brake.pull();
    }
}

impl Running {
    fn start(read: SqliteRead) -> Result<Self, ConnectorError> {
        let (sender, batches) = channel(WAITING_BATCHES);
        let brake = Arc::new(Brake::default());
        let thread_brake = Arc::clone(&brake);
        std::thread::Builder::new()
            .name("sqlite-read".into())
            .spawn(move || {
                let mut out = Out { sender, rows: 0 };
                if let Err(Halt::Failed(error)) = run(&read, &mut out, &thread_brake) {
                    // Nobody listening any more is how a dropped stream looks from here.
                    let _unheard = out.sender.blocking_send(Err(error));
                }
            })
            .map_err(|error| ConnectorError::new(ErrorKind::OutOfMemory, "cannot start a thread that reads the database").with_source(error))?;
        Ok(Self { batches, brake })
    }

    async fn next(running: Option<Self>) -> Option<(Item, Option<Self>)> {
        let mut running = running?;
        match running.batches.recv().await {
            Some(item) => {
                let is_last = matches!(item, Err(_) | Ok(SourceBatch::End { .. }));
                Some((item, (!is_last).then_some(running)))
            }
            None => Some((Err(ConnectorError::new(ErrorKind::Bug, "the thread that reads the database ended without saying why")), None)),
        }
    }
}

/// Why a read stops before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Nobody takes the rows any more.
    Unwanted,
    /// It failed.
    Failed(ConnectorError),
}

impl From<Pulled> for Halt {
    fn from(_: Pulled) -> Self {
        Self::Unwanted
    }
}

impl From<ConnectorError> for Halt {
    fn from(error: ConnectorError) -> Self {
        Self::Failed(error)
    }
}

/// Where batches go.
pub(crate) struct Out {
    sender: Sender<Item>,
    /// Rows sent.
    pub(crate) rows: u64,
}

impl Out {
    /// Sends rows; waits while the taker is slow.
    pub(crate) fn rows(&mut self, batch: RecordBatch, position: Option<Position>) -> Result<(), Halt> {
        self.rows += batch.num_rows() as u64;
        self.sender.blocking_send(Ok(SourceBatch::Rows { batch, position })).map_err(|_| Halt::Unwanted)
    }

    /// Says that the rows since the last such step are a whole window.
    pub(crate) fn window_end(&mut self, bounds: WindowBounds, position: Position) -> Result<(), Halt> {
        self.sender.blocking_send(Ok(SourceBatch::WindowEnd { bounds, position })).map_err(|_| Halt::Unwanted)
    }

    /// Sends the proven end.
    pub(crate) fn end(&mut self, position: Position, future_rows: u64, skipped_rows: u64) -> Result<(), Halt> {
        self.sender.blocking_send(Ok(SourceBatch::End { rows: self.rows, position, future_rows, skipped_rows })).map_err(|_| Halt::Unwanted)
    }
}

/// Where a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the batch.
    Here,
    /// It was not asked for.
    Nowhere,
}

/// One SELECT, in two parts, so that the row of an error can be asked for again.
pub(crate) struct Query {
    /// What is selected.
    pub(crate) select: String,
    /// From FROM on.
    pub(crate) from: String,
    /// Bound values.
    pub(crate) values: Vec<Value>,
}

impl Session {
    /// Reads all rows of a query into `batcher`; `each` looks at every row after it was added and may empty the batcher.
    pub(crate) fn scan(&self, query: &Query, batcher: &mut Batcher, each: impl FnMut(&mut Batcher, &Row<'_>) -> Result<(), Halt>) -> Result<(), Halt> {
        self.run(query, batcher, |_, _| Ok(Place::Here), each)
    }

    /// Reads all rows of a query into `batcher`; `place` looks at every row before it is added, and may empty the batcher.
    pub(crate) fn scan_placed(&self, query: &Query, batcher: &mut Batcher, place: impl FnMut(&mut Batcher, &Row<'_>) -> Result<Place, Halt>) -> Result<(), Halt> {
        self.run(query, batcher, place, |_, _| Ok(()))
    }

    #[inline]
    fn run(
        &self,
        query: &Query,
        batcher: &mut Batcher,
        mut place: impl FnMut(&mut Batcher, &Row<'_>) -> Result<Place, Halt>,
        mut each: impl FnMut(&mut Batcher, &Row<'_>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let sql = format!("SELECT {} {}", query.select, query.from);
        let mut statement = self.connection.prepare(&sql).map_err(|error| self.failed(error))?;
        let mut rows = statement.query(params_from_iter(&query.values)).map_err(|error| self.failed(error))?;
        let mut number = 0_u64;
        // `None` is SQLITE_DONE; an interrupted or failed read is an error here.
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            if place(batcher, row)? == Place::Nowhere {
                number += 1;
                continue;
            }
            if let Err(misfit) = push(batcher, row) {
                return Err(Halt::Failed(batcher.explain(&misfit, &self.place(query, number))));
            }
            each(batcher, row)?;
            number += 1;
        }
        Ok(())
    }

    /// Names the row that a query gives as number `number`, from zero.
    fn place(&self, query: &Query, number: u64) -> String {
        let Some(name) = self.described.rowid_name() else { return format!("row {} of this read", number + 1) };
        let sql = format!("SELECT {name} {} LIMIT 1 OFFSET {number}", query.from);
        match self.connection.query_row(&sql, params_from_iter(&query.values), |row| row.get::<_, i64>(0)) {
            Ok(rowid) => format!("the row with rowid {rowid}"),
            Err(_) => format!("row {} of this read", number + 1),
        }
    }
}

fn run(read: &SqliteRead, out: &mut Out, brake: &Brake) -> Result<(), Halt> {
    let sessions = snapshot::open(&read.path, &read.request, brake)?;
    for session in &sessions {
        check_columns(session, &read.request)?;
    }
    match (&read.request.strategy, sessions.as_slice()) {
        (ReadStrategy::Full, [session]) => read_all(session, &read.request, out),
        (ReadStrategy::Full, _) => parallel::read_all(sessions, &read.request, out, brake),
        (ReadStrategy::Keyset { .. }, [session]) => keyset::read(session, &read.request, out),
        (ReadStrategy::Keyset { .. }, _) => Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "rows in order are read by one reader"))),
        (ReadStrategy::Windows { .. }, [session]) => windows::read(session, &read.request, out),
        (ReadStrategy::Windows { .. }, _) => Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "windows are read in order by one reader"))),
        (ReadStrategy::NewFiles { .. }, _) => Err(Halt::Failed(ConnectorError::new(ErrorKind::Unsupported, "a database has no files to remember"))),
    }
}

/// The catalogue may have changed since the plan was made; SQLite would read the name of a missing column as text.
fn check_columns(session: &Session, request: &ReadRequest) -> Result<(), ConnectorError> {
    for choice in &request.columns {
        require_column(&session.described, &choice.name)?;
    }
    Ok(())
}

/// Refuses names that the object does not have.
pub(crate) fn require_column(described: &Described, name: &str) -> Result<(), ConnectorError> {
    if described.schema.column(name).is_some() {
        return Ok(());
    }
    let nearest = described.schema.columns.iter().map(|column| (strsim::jaro_winkler(&column.name, name), &column.name)).max_by(|a, b| a.0.total_cmp(&b.0));
    let error = ConnectorError::new(ErrorKind::SchemaMismatch, format!("{} has no column `{name}`", described.label));
    Err(match nearest {
        Some((likeness, candidate)) if likeness > 0.8 => error.with_help(format!("a column with a similar name exists: `{candidate}`")),
        _ => error.with_help("run `karat lock` to see what changed at the source"),
    })
}

fn read_all(session: &Session, request: &ReadRequest, out: &mut Out) -> Result<(), Halt> {
    let mut batcher = Batcher::new(&session.described.label, &request.columns, request.batch_rows, request.batch_bytes)?;
    let query = Query { select: select_list(request), from: format!("FROM {}", session.described.from), values: Vec::new() };
    session.scan(&query, &mut batcher, |batcher, _| if batcher.is_full() { flush(batcher, out) } else { Ok(()) })?;
    flush(&mut batcher, out)?;
    let rows = out.rows;
    out.end(Position::Snapshot { rows, digest: None }, 0, 0)
}

/// The columns of a request, as SQL.
pub(crate) fn select_list(request: &ReadRequest) -> String {
    let names: Vec<String> = request.columns.iter().map(|choice| client::quote(&choice.name)).collect();
    if names.is_empty() { "1".into() } else { names.join(", ") }
}

fn flush(batcher: &mut Batcher, out: &mut Out) -> Result<(), Halt> {
    match batcher.take()? {
        Some(batch) => out.rows(batch, None),
        None => Ok(()),
    }
}

/// Adds the first columns of a row.
#[inline]
fn push(batcher: &mut Batcher, row: &Row<'_>) -> Result<(), Misfit> {
    let mut bytes = 0;
    for column in batcher.columns() {
        match row.get_ref_unwrap(column.index()) {
            ValueRef::Integer(number) => column.put(|cells| cells.integer(number))?,
            ValueRef::Text(text) => {
                bytes += text.len();
                column.put(|cells| cells.text(text))?;
            }
            ValueRef::Null => column.null()?,
            ValueRef::Real(number) => column.put(|cells| cells.real(number))?,
            ValueRef::Blob(blob) => {
                bytes += blob.len();
                column.put(|cells| cells.bytes(blob))?;
            }
        }
    }
    batcher.end_row(bytes);
    Ok(())
}
