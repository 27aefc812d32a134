//! One read: a thread of its own, one session in one snapshot, batches through a bounded channel.

use super::catalogue::{Described, describe, require_column};
use super::collect::{Collector, CollectorOptions};
use super::settle::Readers;
use super::{full, keyset, windows};
use crate::config::Server;
use crate::error::{Fault, wrap};
use crate::wire::{Brake, Parameter, Session};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use futures::stream;
use karat_plugin_api::{BatchStream, ConnectorError, ErrorKind, Position, ReadRequest, ReadStrategy, SourceBatch, SourceRead, WindowBounds};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many batches wait between the reader and whoever takes them.
const WAITING_BATCHES: usize = 2;

/// A snapshot of all tables, in which nothing can be written.
pub(crate) const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

type Item = Result<SourceBatch, ConnectorError>;

/// A read that was checked, and connects when it is polled.
pub(crate) struct MysqlRead {
    pub(crate) server: Server,
    pub(crate) readers: Arc<Readers>,
    pub(crate) request: ReadRequest,
    pub(crate) schema: SchemaRef,
}

impl SourceRead for MysqlRead {
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

/// A read with its thread. Dropping it breaks the connection, and the thread then stops the statement at the server.
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
    fn start(read: MysqlRead) -> Result<Self, ConnectorError> {
        let (sender, batches) = channel(WAITING_BATCHES);
        let brake = Arc::new(Brake::default());
        let thread_brake = Arc::clone(&brake);
        std::thread::Builder::new()
            .name("mysql-read".into())
            .spawn(move || {
                let mut out = Out { sender, rows: 0, delivered: 0 };
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
    /// Rows of them since the last multiple of the asked count.
    delivered: usize,
}

impl Out {
    /// Sends rows; waits while the taker is slow.
    pub(crate) fn rows(&mut self, batch: RecordBatch, position: Option<Position>) -> Result<(), Halt> {
        self.rows += batch.num_rows() as u64;
        self.sender.blocking_send(Ok(SourceBatch::Rows { batch, position })).map_err(|_| Halt::Unwanted)
    }

    /// Sends rows of several readers, cut so that no batch crosses a multiple of `batch_rows`.
    pub(crate) fn cut(&mut self, batch: &RecordBatch, batch_rows: usize) -> Result<(), Halt> {
        let mut from = 0;
        while from < batch.num_rows() {
            let count = (batch.num_rows() - from).min(batch_rows - self.delivered);
            self.rows(batch.slice(from, count), None)?;
            from += count;
            self.delivered = (self.delivered + count) % batch_rows;
        }
        Ok(())
    }

    /// Sends that the rows since the last such step are a whole window.
    pub(crate) fn window_end(&mut self, bounds: WindowBounds, position: Position) -> Result<(), Halt> {
        self.sender.blocking_send(Ok(SourceBatch::WindowEnd { bounds, position })).map_err(|_| Halt::Unwanted)
    }

    /// Sends the proven end.
    pub(crate) fn end(&mut self, position: Position, future_rows: u64, skipped_rows: u64) -> Result<(), Halt> {
        self.sender.blocking_send(Ok(SourceBatch::End { rows: self.rows, position, future_rows, skipped_rows })).map_err(|_| Halt::Unwanted)
    }
}

/// A session, and what messages of it name.
pub(crate) struct Link<'a> {
    pub(crate) session: Session,
    pub(crate) server: &'a Server,
    pub(crate) brake: &'a Brake,
    pub(crate) readers: &'a Readers,
    /// "table `t`", once it is known.
    pub(crate) label: String,
    /// Everything was read: nothing runs there any more.
    pub(crate) is_done: bool,
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        self.readers.remove(self.session.thread);
        if self.is_done {
            self.session.quit();
        } else if self.brake.is_pulled() {
            // A broken connection is noticed when the server next writes to it, which a statement that sorts does much later.
            if let Ok(mut session) = Session::open(self.server, &Brake::default()) {
                // A statement that has ended meanwhile is what is wanted.
                let _ended = session.run(&format!("KILL {}", self.session.thread));
                session.quit();
            }
        }
    }
}

/// One statement, and which columns of its result are remembered.
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) watch: Vec<usize>,
}

impl<'a> Link<'a> {
    /// Connects.
    pub(crate) fn open(server: &'a Server, brake: &'a Brake, readers: &'a Readers) -> Result<Self, ConnectorError> {
        let session = Session::open(server, brake).map_err(|fault| wrap("connect", server, fault))?;
        readers.add(session.thread);
        Ok(Self { session, server, brake, readers, label: "the source".into(), is_done: false })
    }

    /// An error while reading this object.
    pub(crate) fn failed(&self, fault: Fault) -> ConnectorError {
        wrap(&format!("read {}", self.label), self.server, fault)
    }

    /// Runs a statement without a result.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), ConnectorError> {
        self.session.run(sql).map_err(|fault| self.failed(fault))
    }

    /// Reads all rows of a query into `collector`; `each` looks at every row after it was added and may empty the collector.
    pub(crate) fn scan(&mut self, query: &Query, collector: &mut Collector, mut each: impl FnMut(&mut Collector) -> Result<(), Halt>) -> Result<(), Halt> {
        let (server, label) = (self.server, &self.label);
        let failed = |fault: Fault| wrap(&format!("read {label}"), server, fault);
        let mut rows = self.session.rows(&query.sql, &query.parameters).map_err(failed)?;
        collector.bind(rows.columns(), &query.watch)?;
        // `None` is the server's own word that there are no more; a connection that ends is an error here.
        while let Some(row) = rows.next().map_err(failed)? {
            collector.push(row)?;
            each(collector)?;
        }
        if rows.finish().map_err(failed)? > 0 {
            self.tell_warnings()?;
        }
        Ok(())
    }

    /// Passes on that the server had doubts, such as about a text that it took for a number. Its words may hold values, so only the codes are told.
    fn tell_warnings(&mut self) -> Result<(), ConnectorError> {
        let rows = self.session.texts("SHOW WARNINGS LIMIT 100").map_err(|fault| self.failed(fault))?;
        let codes: BTreeSet<String> = rows.into_iter().filter_map(|row| row.into_iter().nth(1).flatten()).collect();
        tracing::warn!(source = %self.label, ?codes, "the server has warnings for what was read; run the query in its client and look at SHOW WARNINGS");
        Ok(())
    }
}

fn run(read: &MysqlRead, out: &mut Out, brake: &Brake) -> Result<(), Halt> {
    let mut link = Link::open(&read.server, brake, &read.readers)?;
    let described = describe(&mut link.session, &read.server, &read.request.object)?;
    link.label.clone_from(&described.label);
    for choice in &read.request.columns {
        require_column(&described, &choice.name)?;
    }
    if !described.has_snapshots {
        tracing::warn!(source = %described.label, "the table's engine has no transactions, so rows that change while it is read may be seen half old and half new");
    }
    match &read.request.strategy {
        ReadStrategy::Full => full::read(&mut link, &described, &read.request, out)?,
        ReadStrategy::Keyset { .. } => keyset::read(&mut link, &described, &read.request, out)?,
        ReadStrategy::Windows { .. } => windows::read(&mut link, &described, &read.request, out)?,
        ReadStrategy::NewFiles { .. } => {
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::Unsupported, "a database has no files to remember")));
        }
    }
    link.is_done = true;
    Ok(())
}

/// A collector for the rows of this request.
pub(crate) fn collector(link: &Link<'_>, described: &Described, request: &ReadRequest) -> Result<Collector, ConnectorError> {
    Collector::new(&CollectorOptions {
        server: link.server,
        label: &described.label,
        choices: &request.columns,
        key: &described.schema.primary_key,
        batch_rows: request.batch_rows,
        batch_bytes: request.batch_bytes,
    })
}
