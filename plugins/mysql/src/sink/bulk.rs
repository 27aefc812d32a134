//! Rows on their way into a table: a task per connection spells batches and streams them to the server.
//!
//! `LOAD DATA LOCAL` where the server allows it, else `INSERT` with many rows. What was sent counts only when the server has counted as many rows,
//! and none of them with a warning.

use crate::client::quote;
use crate::sink::encode::{Rows, Spelling, Written, append_rows, assignment};
use crate::sink::live::TableName;
use crate::sink::session::{Done, Session, idents};
use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use karat_plugin_api::{ConnectorError, ErrorKind};
use mysql_async::InfileData;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Bytes that are handed to the driver at once.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of one `LOAD DATA`: it is one transaction of the server, which must neither fill its logs nor be too small to be fast.
const STATEMENT_BYTES: u64 = 64 << 20;
/// Batches that wait for a connection.
const QUEUE_BATCHES: usize = 2;
/// Bytes of one `INSERT`.
const INSERT_BYTES: usize = 1 << 20;

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// The table.
    pub(crate) table: TableName,
    /// Its columns, in the order of the batches.
    pub(crate) columns: Vec<Written>,
    /// A leading column that numbers the rows.
    pub(crate) ordinal: Option<String>,
    /// Only the connection that made the table sees it.
    pub(crate) is_private: bool,
}

impl Destination {
    fn load_statement(&self) -> String {
        let mut fields: Vec<String> = self.ordinal.iter().map(|name| quote(name)).collect();
        let mut sets = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let variable = format!("@karat_{at}");
            match assignment(&column.kind, &variable) {
                None => fields.push(quote(&column.name)),
                Some(expression) => {
                    sets.push(format!("{} = {expression}", quote(&column.name)));
                    fields.push(variable);
                }
            }
        }
        let sets = if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
        format!(
            "LOAD DATA LOCAL INFILE 'karat' INTO TABLE {} CHARACTER SET binary FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){sets}",
            self.table.sql(),
            fields.join(", ")
        )
    }

    fn insert_statement(&self) -> String {
        let names = self.ordinal.iter().map(String::as_str).chain(self.columns.iter().map(|column| column.name.as_str()));
        format!("INSERT INTO {} ({}) VALUES ", self.table.sql(), idents(names))
    }
}

/// A batch, and how many rows of the load came before it.
struct Job {
    batch: RecordBatch,
    rows_before: u64,
}

/// One connection that takes batches.
pub(crate) struct Lane {
    jobs: mpsc::Sender<Job>,
    /// One task; dropping the lane ends it, and its connection with it.
    task: JoinSet<Result<(Session, Sent), ConnectorError>>,
}

/// What a lane wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Sent {
    fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }
}

impl Lane {
    /// Starts taking batches on this connection.
    pub(crate) fn start(session: Session, destination: Arc<Destination>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_BATCHES);
        let mut task = JoinSet::new();
        task.spawn(drain(session, destination, queue));
        Self { jobs, task }
    }

    /// Hands over a batch; waits while the server is behind.
    pub(crate) async fn send(&mut self, batch: RecordBatch, rows_before: u64) -> Result<(), ConnectorError> {
        match self.jobs.send(Job { batch, rows_before }).await {
            Ok(()) => Ok(()),
            // The task ended although batches were still to come: it says why.
            Err(_) => Err(self.outcome().await.err().unwrap_or_else(|| ConnectorError::new(ErrorKind::Bug, "a writing connection ended early"))),
        }
    }

    /// Waits until the server has all rows, and gives the connection back.
    pub(crate) async fn finish(self) -> Result<(Session, Sent), ConnectorError> {
        let Self { jobs, mut task } = self;
        drop(jobs);
        joined(&mut task).await
    }

    async fn outcome(&mut self) -> Result<(Session, Sent), ConnectorError> {
        joined(&mut self.task).await
    }
}

async fn joined(task: &mut JoinSet<Result<(Session, Sent), ConnectorError>>) -> Result<(Session, Sent), ConnectorError> {
    match task.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(ConnectorError::new(ErrorKind::Bug, "a writing task broke down").with_source(error)),
        None => Err(ConnectorError::new(ErrorKind::Bug, "a writing task was asked twice")),
    }
}

async fn drain(mut session: Session, destination: Arc<Destination>, mut queue: mpsc::Receiver<Job>) -> Result<(Session, Sent), ConnectorError> {
    let mut sent = Sent::default();
    let action = format!("write rows of `{}`", destination.table);
    let mut carried: Option<(Job, usize)> = None;
    loop {
        let (job, next) = match carried.take() {
            Some(carried) => carried,
            None => match queue.recv().await {
                Some(job) => (job, 0),
                None => return Ok((session, sent)),
            },
        };
        if !session.can_load {
            sent.add(insert_all(&mut session, &destination, &action, job).await?);
            continue;
        }
        let feed = Arc::new(Mutex::new(Feed { destination: Arc::clone(&destination), job: Some(job), next, queue, sent: Sent::default(), refusal: None }));
        let outcome = session.load(&action, &destination.load_statement(), stream(Arc::clone(&feed))).await;
        let Some(feed) = Arc::into_inner(feed) else {
            // The server did not ask for the data: it refused the statement, or is gone.
            return Err(outcome.err().unwrap_or_else(|| ConnectorError::new(ErrorKind::Bug, "the driver keeps the data of a statement that ended")));
        };
        let feed = feed.into_inner().unwrap_or_else(PoisonError::into_inner);
        // A value that cannot be spelled ends the stream; the driver only knows that it ended.
        if let Some(refusal) = feed.refusal {
            return Err(refusal);
        }
        settle(&destination, outcome?, feed.sent.rows)?;
        sent.add(feed.sent);
        queue = feed.queue;
        // The statement may have been full in the middle of a batch.
        carried = feed.job.map(|job| (job, feed.next));
    }
}

/// Duplicates are skipped silently by `LOAD DATA LOCAL`, so the server's count must be ours.
fn settle(destination: &Destination, done: Done, rows: u64) -> Result<(), ConnectorError> {
    if done.skipped == 0 && done.affected == rows {
        return Ok(());
    }
    Err(ConnectorError::new(
        ErrorKind::BadData,
        format!("{} of {rows} rows were left out by `{}`: they have the key of another row", rows - done.affected.min(rows), destination.table),
    )
    .with_help("the key is not unique at the source: choose another `key`, or use `load: { mode: upsert }` with one"))
}

/// What a running `LOAD DATA` takes its bytes from.
struct Feed {
    destination: Arc<Destination>,
    job: Option<Job>,
    next: usize,
    queue: mpsc::Receiver<Job>,
    sent: Sent,
    refusal: Option<ConnectorError>,
}

impl Feed {
    /// The next bytes of the present batch, if there is one.
    fn piece(&mut self) -> Option<io::Result<Bytes>> {
        let job = self.job.as_ref()?;
        let mut out = Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 3));
        let ordinal = self.destination.ordinal.is_some().then_some(job.rows_before);
        let how = Rows { from: self.next, rows_before: job.rows_before, ordinal, spelling: Spelling::Load, most_bytes: PIECE_BYTES };
        match append_rows(&job.batch, &self.destination.columns, how, &mut out) {
            Ok(next) => {
                self.sent.rows += (next - self.next) as u64;
                self.sent.bytes += out.len() as u64;
                self.next = next;
                if next == job.batch.num_rows() {
                    self.job = None;
                    self.next = 0;
                }
                Some(Ok(Bytes::from(out)))
            }
            Err(refusal) => {
                let text = refusal.to_string();
                self.refusal = Some(refusal);
                Some(Err(io::Error::other(text)))
            }
        }
    }
}

fn stream(feed: Arc<Mutex<Feed>>) -> InfileData {
    let pieces = futures::stream::unfold((feed, Bytes::new()), |(feed, mut rest)| async move {
        loop {
            // A single value may be larger than the server takes in one packet.
            if !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(PIECE_BYTES));
                return Some((Ok(piece), (feed, rest)));
            }
            let next = std::future::poll_fn(|context| {
                let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
                if feed.sent.bytes >= STATEMENT_BYTES || feed.refusal.is_some() {
                    return std::task::Poll::Ready(None);
                }
                loop {
                    if let Some(piece) = feed.piece() {
                        return std::task::Poll::Ready(Some(piece));
                    }
                    match feed.queue.poll_recv(context) {
                        std::task::Poll::Ready(Some(job)) => feed.job = Some(job),
                        std::task::Poll::Ready(None) => return std::task::Poll::Ready(None),
                        std::task::Poll::Pending => return std::task::Poll::Pending,
                    }
                }
            })
            .await?;
            match next {
                Ok(bytes) => rest = bytes,
                Err(error) => return Some((Err(error), (feed, rest))),
            }
        }
    });
    pieces.boxed()
}

async fn insert_all(session: &mut Session, destination: &Destination, action: &str, job: Job) -> Result<Sent, ConnectorError> {
    let head = destination.insert_statement();
    let room = INSERT_BYTES.min(session.most_packet_bytes / 2).saturating_sub(head.len()).max(1);
    let mut sent = Sent::default();
    let mut from = 0;
    while from < job.batch.num_rows() {
        let mut literals = Vec::with_capacity(room + (room >> 3));
        let ordinal = destination.ordinal.is_some().then_some(job.rows_before);
        let how = Rows { from, rows_before: job.rows_before, ordinal, spelling: Spelling::Literals, most_bytes: room };
        let next = append_rows(&job.batch, &destination.columns, how, &mut literals)?;
        // Literals are ASCII: numbers, dates and hexadecimal digits.
        let statement = format!("{head}{}", String::from_utf8_lossy(&literals));
        let done = session.run(action, &statement).await?;
        sent.rows += (next - from) as u64;
        sent.bytes += literals.len() as u64;
        if done.affected != (next - from) as u64 {
            return Err(ConnectorError::new(ErrorKind::Corrupt, format!("cannot {action}: the server says it stored {} of {} rows", done.affected, next - from)));
        }
        from = next;
    }
    Ok(sent)
}
