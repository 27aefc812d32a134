//! All rows of one snapshot, by one reader or several that share it.

use super::copy::{Copying, Fill, Rows};
use super::reader::{Halt, Out};
use super::selection::Selection;
use super::snapshot::{Snapshot, join};
use crate::client::{Client, Session};
use crate::error::wrap;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use karat_plugin_api::{ConnectorError, ErrorKind, Position, ReadRequest};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;

/// Least and greatest number of blocks that a reader takes at once.
const RANGE_BLOCKS: Range<u64> = 128..8_192;

/// Servers from this version on scan a range of blocks without looking at the others.
const SCANS_RANGES: u32 = 140_000;

type Item = Result<RecordBatch, ConnectorError>;

/// What the readers of one read have in common.
struct Job {
    label: String,
    schema: SchemaRef,
    selection: Selection,
    from: String,
    batch_rows: usize,
    batch_bytes: usize,
    /// Blocks per range; the last range is open, in case the table has grown.
    range_blocks: u64,
    ranges: u64,
    next: AtomicU64,
}

/// Reads everything.
pub(crate) async fn read(client: &Arc<Client>, request: &ReadRequest, schema: &SchemaRef, out: &mut Out) -> Result<(), Halt> {
    let mut snapshot = Snapshot::take(client, &request.object).await?;
    let selection = Selection::new(&snapshot.described, &request.columns)?;
    let label = snapshot.described.label.clone();
    let from = snapshot.described.from.clone();
    let blocks = match snapshot.described.heap {
        Some(table) if request.parallel > 1 && snapshot.session.version >= SCANS_RANGES => {
            snapshot.number(&format!("pg_catalog.pg_relation_size({table}::oid) / pg_catalog.current_setting('block_size')::int8")).await?
        }
        _ => None,
    };
    let blocks = blocks.and_then(|blocks| u64::try_from(blocks).ok()).unwrap_or(0);
    let readers = request.parallel.min(usize::try_from(blocks / RANGE_BLOCKS.start).unwrap_or(usize::MAX)).max(1);
    if readers == 1 {
        let mut rows = Rows::new(&label, schema, &selection, request.batch_rows, request.batch_bytes)?;
        let mut copying = Copying::start(&mut snapshot.session, &label, &format!("SELECT {} FROM {from}", selection.sql())).await?;
        loop {
            let fill = copying.fill(&mut rows).await?;
            if let Some(filled) = rows.take()? {
                out.rows(filled.batch, None).await?;
            }
            if fill == Fill::End {
                break;
            }
        }
        drop(copying);
    } else {
        let range_blocks = (blocks / (readers as u64 * 8)).clamp(RANGE_BLOCKS.start, RANGE_BLOCKS.end);
        let job = Job {
            label,
            schema: Arc::clone(schema),
            selection,
            from,
            batch_rows: request.batch_rows.max(1),
            batch_bytes: request.batch_bytes,
            range_blocks,
            ranges: blocks.div_ceil(range_blocks).max(1),
            next: AtomicU64::new(0),
        };
        snapshot = read_together(client, snapshot, job, readers, out).await?;
    }
    snapshot.end(client).await?;
    out.end(Position::Snapshot { rows: out.rows, digest: None }, 0, 0).await
}

async fn read_together(client: &Arc<Client>, mut snapshot: Snapshot, job: Job, readers: usize, out: &mut Out) -> Result<Snapshot, Halt> {
    let exported = snapshot.export().await?;
    let mut sessions = Vec::new();
    for _ in 1..readers {
        match client.session().await {
            Ok(mut session) => {
                join(&mut session, &exported).await?;
                sessions.push(session);
            }
            Err(error) if error.kind() == ErrorKind::Busy && !sessions.is_empty() => {
                tracing::warn!(source = %job.label, readers = sessions.len() + 1, "the server has no connection left for more readers");
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let job = Arc::new(job);
    let (sender, mut batches) = channel(1);
    let mut tasks = JoinSet::new();
    for session in sessions {
        let (job, sender, client) = (Arc::clone(&job), sender.clone(), Arc::clone(client));
        tasks.spawn(async move {
            let mut session = session;
            let ended = match read_ranges(&mut session, &job, &sender).await {
                Ok(()) => session.execute("COMMIT").await.map_err(|error| wrap("end a snapshot", error)),
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => client.put_back(session),
                Err(error) => report(&sender, error).await,
            }
            None
        });
    }
    let leader = Arc::clone(&job);
    tasks.spawn(async move {
        match read_ranges(&mut snapshot.session, &leader, &sender).await {
            Ok(()) => Some(snapshot),
            Err(error) => {
                report(&sender, error).await;
                None
            }
        }
    });
    let mut splitter = Splitter { batch_rows: job.batch_rows, room: job.batch_rows };
    // The first error ends all readers; the channel closes when the last of them is done.
    while let Some(batch) = batches.recv().await {
        splitter.send(batch?, out).await?;
    }
    let mut snapshot = None;
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("a reader of {} ended without saying why", job.label)).with_source(error))?;
        snapshot = ended.or(snapshot);
    }
    snapshot.ok_or_else(|| Halt::Failed(ConnectorError::new(ErrorKind::Bug, "the reader that holds the snapshot did not give it back")))
}

/// Takes ranges until there are none left.
async fn read_ranges(session: &mut Session, job: &Job, batches: &Sender<Item>) -> Result<(), ConnectorError> {
    let mut rows = Rows::new(&job.label, &job.schema, &job.selection, job.batch_rows, job.batch_bytes)?;
    loop {
        let range = job.next.fetch_add(1, Ordering::Relaxed);
        if range >= job.ranges {
            break;
        }
        let first = range * job.range_blocks;
        let end = if range + 1 == job.ranges { String::new() } else { format!(" AND source.ctid < '({},0)'::tid", first + job.range_blocks) };
        let query = format!("SELECT {} FROM {} WHERE source.ctid >= '({first},0)'::tid{end}", job.selection.sql(), job.from);
        let mut copying = Copying::start(session, &job.label, &query).await?;
        while copying.fill(&mut rows).await? == Fill::Full {
            if let Some(filled) = rows.take()? {
                send(batches, filled.batch).await?;
            }
        }
    }
    match rows.take()? {
        Some(filled) => send(batches, filled.batch).await,
        None => Ok(()),
    }
}

async fn report(batches: &Sender<Item>, error: ConnectorError) {
    // Nobody listening any more is how a dropped stream looks from here.
    let _unheard = batches.send(Err(error)).await;
}

async fn send(batches: &Sender<Item>, batch: RecordBatch) -> Result<(), ConnectorError> {
    batches.send(Ok(batch)).await.map_err(|_| ConnectorError::new(ErrorKind::Cancelled, "nobody takes the rows any more"))
}

/// Cuts batches of several readers so that none crosses a multiple of the asked row count.
struct Splitter {
    batch_rows: usize,
    room: usize,
}

impl Splitter {
    async fn send(&mut self, batch: RecordBatch, out: &mut Out) -> Result<(), Halt> {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = self.room.min(batch.num_rows() - from);
            out.rows(batch.slice(from, rows), None).await?;
            from += rows;
            self.room -= rows;
            if self.room == 0 {
                self.room = self.batch_rows;
            }
        }
        Ok(())
    }
}
