//! One read: a task of its own, one snapshot, batches through a bounded channel.

use super::selection::{batch_schema, check_types};
use super::{full, keyset, windows};
use crate::client::Client;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use futures::stream;
use karat_plugin_api::{BatchStream, ConnectorError, ErrorKind, Position, ReadRequest, ReadStrategy, SourceBatch, SourceObject, SourceRead, WindowBounds};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::task::AbortOnDropHandle;

/// How many batches wait between the reader and whoever takes them.
const WAITING_BATCHES: usize = 2;

type Item = Result<SourceBatch, ConnectorError>;

/// A read that was checked, and connects when it is polled.
pub(crate) struct PostgresRead {
    client: Arc<Client>,
    request: ReadRequest,
    schema: SchemaRef,
}

impl PostgresRead {
    /// Refuses what no read could give, before anything is opened.
    pub(crate) fn new(client: Arc<Client>, request: ReadRequest) -> Result<Self, ConnectorError> {
        let label = match &request.object {
            SourceObject::Table(name) => format!("table `{name}`"),
            SourceObject::Query(_) | SourceObject::Files(_) => "the query".to_owned(),
        };
        check_types(&label, &request.columns)?;
        match &request.strategy {
            ReadStrategy::Full => {}
            ReadStrategy::Keyset { after, .. } => keyset::check_position(after)?,
            ReadStrategy::Windows { after, .. } => after.expect_windows()?,
            ReadStrategy::NewFiles { .. } => {
                return Err(ConnectorError::new(ErrorKind::Unsupported, "a `postgres` connection has tables, not files")
                    .with_help("choose the strategy `full`, `id`, `timestamp`, `hybrid`, `window` or `diff`"));
            }
        }
        let schema = batch_schema(&request.columns);
        Ok(Self { client, request, schema })
    }
}

impl SourceRead for PostgresRead {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn into_stream(self: Box<Self>) -> BatchStream {
        // The task starts with the first poll. Dropping the stream ends it, which closes its connections, which ends the queries at the server.
        stream::once(async move { Running::start(*self) }).flat_map(|running| stream::unfold(Some(running), Running::next)).boxed()
    }
}

struct Running {
    batches: Receiver<Item>,
    _task: AbortOnDropHandle<()>,
}

impl Running {
    fn start(read: PostgresRead) -> Self {
        let (sender, batches) = channel(WAITING_BATCHES);
        let task = tokio::spawn(async move {
            let mut out = Out { sender, rows: 0 };
            if let Err(Halt::Failed(error)) = run(&read, &mut out).await {
                // Nobody listening any more is how a dropped stream looks from here.
                let _unheard = out.sender.send(Err(error)).await;
            }
        });
        Self { batches, _task: AbortOnDropHandle::new(task) }
    }

    async fn next(running: Option<Self>) -> Option<(Item, Option<Self>)> {
        let mut running = running?;
        match running.batches.recv().await {
            Some(item) => {
                let is_last = matches!(item, Err(_) | Ok(SourceBatch::End { .. }));
                Some((item, (!is_last).then_some(running)))
            }
            None => Some((Err(ConnectorError::new(ErrorKind::Bug, "the task that reads the database ended without saying why")), None)),
        }
    }
}

async fn run(read: &PostgresRead, out: &mut Out) -> Result<(), Halt> {
    match &read.request.strategy {
        ReadStrategy::Full => full::read(&read.client, &read.request, &read.schema, out).await,
        ReadStrategy::Keyset { .. } => Box::pin(keyset::read(&read.client, &read.request, &read.schema, out)).await,
        ReadStrategy::Windows { .. } => Box::pin(windows::read(&read.client, &read.request, &read.schema, out)).await,
        ReadStrategy::NewFiles { .. } => Err(Halt::Failed(ConnectorError::new(ErrorKind::Unsupported, "a database has no files to remember"))),
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
    pub(crate) async fn rows(&mut self, batch: RecordBatch, position: Option<Position>) -> Result<(), Halt> {
        self.rows += batch.num_rows() as u64;
        self.sender.send(Ok(SourceBatch::Rows { batch, position })).await.map_err(|_| Halt::Unwanted)
    }

    /// Sends the end of a window.
    pub(crate) async fn window_end(&mut self, bounds: WindowBounds, position: Position) -> Result<(), Halt> {
        self.sender.send(Ok(SourceBatch::WindowEnd { bounds, position })).await.map_err(|_| Halt::Unwanted)
    }

    /// Sends the proven end.
    pub(crate) async fn end(&mut self, position: Position, future_rows: u64, skipped_rows: u64) -> Result<(), Halt> {
        self.sender.send(Ok(SourceBatch::End { rows: self.rows, position, future_rows, skipped_rows })).await.map_err(|_| Halt::Unwanted)
    }
}
