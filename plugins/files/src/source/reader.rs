//! One read: a thread of its own, file after file, batches through a bounded channel.

use super::ledger::{self, Work};
use super::listing::Subject;
use super::{csv, ndjson, parquet, require_files};
use crate::config::{FileFormat, FilesConfig};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::StreamExt;
use futures::stream;
use karat_plugin_api::cells::Batcher;
use karat_plugin_api::{BatchStream, ConnectorError, ErrorKind, Position, ReadRequest, ReadStrategy, SourceBatch, SourceRead};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many batches wait between the reader and whoever takes them.
const WAITING_BATCHES: usize = 2;

type Item = Result<SourceBatch, ConnectorError>;

/// A read that was checked, and lists the files when it is polled.
pub(crate) struct FilesRead {
    subject: Subject,
    config: Arc<FilesConfig>,
    request: ReadRequest,
    schema: SchemaRef,
}

impl FilesRead {
    /// Refuses columns that this format cannot give.
    pub(crate) fn new(subject: Subject, config: Arc<FilesConfig>, request: ReadRequest) -> Result<Self, ConnectorError> {
        let schema = match config.format {
            FileFormat::Parquet => {
                Arc::new(Schema::new(request.columns.iter().map(|choice| Field::new(&choice.name, choice.data_type.clone(), choice.nullable)).collect::<Vec<_>>()))
            }
            FileFormat::Csv | FileFormat::Ndjson => Arc::clone(Batcher::new(&label(&subject), &request.columns, 1, 1)?.schema()),
        };
        Ok(Self { subject, config, request, schema })
    }
}

fn label(subject: &Subject) -> String {
    format!("files `{}`", subject.pattern())
}

impl SourceRead for FilesRead {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn into_stream(self: Box<Self>) -> BatchStream {
        // The thread starts with the first poll; it ends when it finds that nobody takes its batches any more.
        stream::once(async move { start(*self) })
            .flat_map(|started| match started {
                Ok(batches) => stream::unfold(Some(batches), next).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }
}

fn start(read: FilesRead) -> Result<Receiver<Item>, ConnectorError> {
    let (sender, batches) = channel(WAITING_BATCHES);
    std::thread::Builder::new()
        .name("files-read".into())
        .spawn(move || {
            if let Err(Halt::Failed(error)) = run(&read, &sender) {
                // Nobody listening any more is how a dropped stream looks from here.
                let _unheard = sender.blocking_send(Err(error));
            }
        })
        .map_err(|error| ConnectorError::new(ErrorKind::OutOfMemory, "cannot start a thread that reads files").with_source(error))?;
    Ok(batches)
}

async fn next(batches: Option<Receiver<Item>>) -> Option<(Item, Option<Receiver<Item>>)> {
    let mut batches = batches?;
    match batches.recv().await {
        Some(item) => {
            let is_last = matches!(item, Err(_) | Ok(SourceBatch::End { .. }));
            Some((item, (!is_last).then_some(batches)))
        }
        None => Some((Err(ConnectorError::new(ErrorKind::Bug, "the thread that reads files ended without saying why")), None)),
    }
}

/// Why a read stops before its end.
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

/// Where rows go; batches run on from file to file.
pub(crate) struct Rows<'a> {
    /// Rows of text files.
    pub(crate) batcher: Batcher,
    out: &'a Sender<Item>,
    schema: SchemaRef,
    sent: u64,
    batch_rows: u64,
}

impl Rows<'_> {
    /// Columns of all batches.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Sends the collected rows if there are enough.
    #[inline]
    pub(crate) fn flush_when_full(&mut self) -> Result<(), Halt> {
        if self.batcher.is_full() { self.flush(None) } else { Ok(()) }
    }

    fn flush(&mut self, position: Option<Position>) -> Result<(), Halt> {
        match self.batcher.take()? {
            Some(batch) => self.send(batch, position),
            None => Ok(()),
        }
    }

    /// Sends a batch that another reader made, cut where a multiple of the batch size is reached.
    pub(crate) fn send_whole(&mut self, batch: RecordBatch) -> Result<(), Halt> {
        let mut at = 0;
        while at < batch.num_rows() {
            let room = self.batch_rows - self.sent % self.batch_rows;
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(batch.num_rows() - at);
            self.send(batch.slice(at, length), None)?;
            at += length;
        }
        Ok(())
    }

    fn send(&mut self, batch: RecordBatch, position: Option<Position>) -> Result<(), Halt> {
        self.sent += batch.num_rows() as u64;
        self.out.blocking_send(Ok(SourceBatch::Rows { batch, position })).map_err(|_| Halt::Unwanted)
    }
}

fn run(read: &FilesRead, out: &Sender<Item>) -> Result<(), Halt> {
    let request = &read.request;
    let listing = read.subject.list()?;
    require_files(&read.subject, &listing, &request.strategy)?;
    let Work { unread, mut ledger } = ledger::work(&listing, &request.strategy)?;
    let batch_rows = request.batch_rows.max(1);
    let mut sent = 0;
    let mut batcher = match read.config.format {
        FileFormat::Parquet => Batcher::new("", &[], batch_rows, 1)?,
        FileFormat::Csv | FileFormat::Ndjson => Batcher::new(&label(&read.subject), &request.columns, batch_rows, request.batch_bytes)?,
    };
    for file in unread {
        batcher.set_label(format!("file `{}`", file.path));
        let mut rows = Rows { batcher, out, schema: Arc::clone(&read.schema), sent, batch_rows: batch_rows as u64 };
        let hash = match read.config.format {
            FileFormat::Parquet => parquet::read_guarded(file, request, &mut rows)?,
            FileFormat::Csv => csv::read(file, &read.config, request, &mut rows)?,
            FileFormat::Ndjson => ndjson::read(file, &read.config, request, &mut rows)?,
        };
        ledger.insert(file.path.clone(), ledger::identity(file, hash));
        // A batch that is at least half full may end here, and be a place to resume from.
        if matches!(request.strategy, ReadStrategy::NewFiles { .. }) && rows.batcher.rows() * 2 >= batch_rows {
            rows.flush(Some(ledger::position(ledger.clone())))?;
        }
        sent = rows.sent;
        batcher = rows.batcher;
    }
    let mut rows = Rows { batcher, out, schema: Arc::clone(&read.schema), sent, batch_rows: batch_rows as u64 };
    rows.flush(None)?;
    let position = ledger::position(ledger);
    out.blocking_send(Ok(SourceBatch::End { rows: rows.sent, position, future_rows: 0, skipped_rows: 0 })).map_err(|_| Halt::Unwanted)
}
