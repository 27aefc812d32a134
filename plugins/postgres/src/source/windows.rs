//! Whole windows of a date or timestamp column: those that exist, in order, all of one snapshot.
//!
//! They are looked up before anything is read: one look at the index for each, so that neither an empty year nor a row dated 9999-12-31 costs more.
//! What lies outside of the calendar (`infinity`, the year 294276) belongs to the last window, which has no end, or to the first, which has no
//! beginning. A transaction that began in an older window and is still open may add to that, so the position does not pass it. Several readers that
//! share the snapshot read windows ahead, each every n-th one; they are delivered in order.

use super::calendar::{Calendar, day_of};
use super::copy::{Copying, Fill, Rows};
use super::reader::{Halt, Out};
use super::selection::Selection;
use super::snapshot::{Snapshot, join};
use super::transactions::Transactions;
use crate::client::{Client, Session};
use crate::error::wrap;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, WindowBounds, windows_before};
use karat_spec::model::NullCursor;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

/// How many batches each reader is ahead of the delivery.
const AHEAD_BATCHES: usize = 2;

/// Rows of a window, or `None` at its end.
type Item = Result<Option<RecordBatch>, ConnectorError>;

/// Reads the windows that the position says to read again, and all behind them.
pub(crate) async fn read(client: &Arc<Client>, request: &ReadRequest, schema: &SchemaRef, out: &mut Out) -> Result<(), Halt> {
    let ReadStrategy::Windows { cursor, unit, after, refresh_last, null_cursor } = &request.strategy else {
        return Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "a read of windows without a cursor")));
    };
    // Before the snapshot: who begins later than this writes no earlier `now()`.
    let mut transactions = Transactions::new(client);
    let settled = transactions.earliest_now().await?;
    transactions.end();
    let mut snapshot = Snapshot::take(client, &request.object).await?;
    let calendar = Calendar::new(&snapshot.described, cursor, *unit)?;
    let (column, _) = snapshot.described.require(cursor)?;
    let has_null_rows = column.nullable && snapshot.null_rows(&calendar.sql, *null_cursor).await?;
    let day_at = |micros: i64| day_of(&CursorValue::Timestamp(micros));
    let mut progress = Progress { through: through(after), settled: settled.and_then(day_at), today: day_at(snapshot.now).unwrap_or(i64::MAX) };
    let lower = progress.through.as_ref().and_then(day_of).and_then(|day| calendar.window_of(day));
    let lower = lower.and_then(|start| windows_before(&start, *unit, refresh_last.saturating_sub(1)));
    let starts = calendar.starts(&mut snapshot, lower.as_ref()).await?;
    let windows = windows(lower, starts, *null_cursor);

    let mut queries = Vec::with_capacity(windows.len());
    let selection = Selection::new(&snapshot.described, &request.columns)?;
    for window in &windows {
        let condition = calendar.condition(&window.bounds, window.bounds.with_null && has_null_rows)?;
        queries.push(format!("SELECT {} FROM {} WHERE {condition}", selection.sql(), snapshot.described.from));
    }
    let label = snapshot.described.label.clone();
    let job = Job { label, schema: Arc::clone(schema), selection, queries, batch_rows: request.batch_rows, batch_bytes: request.batch_bytes };
    let sessions = readers(client, snapshot, request.parallel.min(windows.len())).await?;
    let mut readers = Readers::start(sessions, job);
    let mut future_rows = 0;
    for (at, window) in windows.into_iter().enumerate() {
        let before = out.rows;
        while let Some(batch) = readers.next(at).await? {
            out.rows(batch, None).await?;
        }
        if progress.is_future(&window) {
            future_rows += out.rows - before;
        }
        progress.pass(&window);
        out.window_end(window.bounds, progress.position()).await?;
    }
    readers.end(client).await?;
    out.end(progress.position(), future_rows, 0).await
}

/// One window of a read.
struct Window {
    /// Where the calendar says that it starts; `None` where no row of the calendar is.
    start: Option<CursorValue>,
    bounds: WindowBounds,
}

/// The windows with their bounds, which leave no gap and end unbounded; one that covers all where nothing stands.
fn windows(lower: Option<CursorValue>, starts: Vec<CursorValue>, null_cursor: NullCursor) -> Vec<Window> {
    let count = starts.len().max(1);
    let bounds = |at: usize| WindowBounds {
        from: if at == 0 { lower.clone() } else { starts.get(at).cloned() },
        until: starts.get(at + 1).cloned(),
        with_null: null_cursor == NullCursor::AlwaysReread && at + 1 == count,
    };
    (0..count).map(|at| Window { start: starts.get(at).cloned(), bounds: bounds(at) }).collect()
}

fn through(after: &Position) -> Option<CursorValue> {
    match after {
        Position::Windows { through } => Some(through.clone()),
        Position::Start | Position::Cursor { .. } | Position::Snapshot { .. } | Position::Files { .. } | Position::Inputs { .. } => None,
    }
}

/// How far the delivery is.
struct Progress {
    /// Where the newest delivered window starts that is not in the future, and whose predecessors are over.
    through: Option<CursorValue>,
    /// The day on which the oldest transaction began that is still open, or today: until it ends, a row of that day may come. `None` when nobody knows.
    settled: Option<i64>,
    /// The day of the source's own clock: a row from 2099 must not keep the present windows from being read again.
    today: i64,
}

impl Progress {
    fn is_future(&self, window: &Window) -> bool {
        window.start.as_ref().and_then(day_of).is_some_and(|day| day > self.today)
    }

    fn pass(&mut self, window: &Window) {
        let day = |value: &Option<CursorValue>| value.as_ref().and_then(day_of);
        let start = day(&window.start);
        if !self.is_future(window) && start <= self.settled && start > day(&self.through) {
            self.through.clone_from(&window.start);
        }
    }

    fn position(&self) -> Position {
        self.through.clone().map_or(Position::Start, |through| Position::Windows { through })
    }
}

/// The snapshot's own session, and others that share the snapshot.
async fn readers(client: &Arc<Client>, mut snapshot: Snapshot, wanted: usize) -> Result<Vec<Session>, Halt> {
    if wanted < 2 {
        return Ok(vec![snapshot.session]);
    }
    let exported = snapshot.export().await?;
    let mut sessions = vec![snapshot.session];
    while sessions.len() < wanted {
        match client.session().await {
            Ok(mut session) => {
                join(&mut session, &exported).await?;
                sessions.push(session);
            }
            Err(error) if error.kind() == ErrorKind::Busy => {
                tracing::warn!(source = %snapshot.described.label, readers = sessions.len(), "the server has no connection left for more readers");
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sessions)
}

/// What the readers have in common.
struct Job {
    label: String,
    schema: SchemaRef,
    selection: Selection,
    /// One for each window.
    queries: Vec<String>,
    batch_rows: usize,
    batch_bytes: usize,
}

/// Readers at work. Dropping them ends their connections.
struct Readers {
    /// Each delivers every n-th window, beginning with its own number.
    batches: Vec<Receiver<Item>>,
    tasks: JoinSet<Session>,
}

impl Readers {
    fn start(sessions: Vec<Session>, job: Job) -> Self {
        let (job, count) = (Arc::new(job), sessions.len());
        let mut readers = Self { batches: Vec::new(), tasks: JoinSet::new() };
        for (number, mut session) in sessions.into_iter().enumerate() {
            let (sender, receiver) = channel(AHEAD_BATCHES);
            readers.batches.push(receiver);
            let job = Arc::clone(&job);
            readers.tasks.spawn(async move {
                if let Err(error) = read_windows(&mut session, &job, (number..job.queries.len()).step_by(count), &sender).await {
                    // Nobody listening any more is how a dropped stream looks from here.
                    let _unheard = sender.send(Err(error)).await;
                }
                session
            });
        }
        readers
    }

    /// The next rows of the window with this number; `None` at its end.
    async fn next(&mut self, window: usize) -> Item {
        let reader = window % self.batches.len();
        self.batches[reader].recv().await.unwrap_or_else(|| Err(ConnectorError::new(ErrorKind::Bug, "a reader of windows ended without saying why")))
    }

    /// Ends all transactions. None ends earlier, because the first one holds the lock that keeps the table from being emptied under the others.
    async fn end(mut self, client: &Client) -> Result<(), ConnectorError> {
        let mut sessions = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            sessions.push(ended.map_err(|error| ConnectorError::new(ErrorKind::Bug, "a reader of windows ended without saying why").with_source(error))?);
        }
        for mut session in sessions {
            session.execute("COMMIT").await.map_err(|error| wrap("end a snapshot", error))?;
            client.put_back(session);
        }
        Ok(())
    }
}

async fn read_windows(session: &mut Session, job: &Job, numbers: impl Iterator<Item = usize>, batches: &Sender<Item>) -> Result<(), ConnectorError> {
    let send = async |item| batches.send(Ok(item)).await.map_err(|_| ConnectorError::new(ErrorKind::Cancelled, "nobody takes the rows any more"));
    let mut rows = Rows::new(&job.label, &job.schema, &job.selection, job.batch_rows, job.batch_bytes)?;
    for number in numbers {
        let mut copying = Copying::start(session, &job.label, &job.queries[number]).await?;
        loop {
            let fill = copying.fill(&mut rows).await?;
            if let Some(filled) = rows.take()? {
                send(Some(filled.batch)).await?;
            }
            if fill == Fill::End {
                break;
            }
        }
        // What is counted for files is counted anew in each window.
        rows.count_anew();
        send(None).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_leave_no_gap_and_end_unbounded() {
        let day = |day| Some(CursorValue::Date(day));
        let bounds = |lower: Option<i32>, starts: &[i32], null_cursor| -> Vec<(Option<CursorValue>, Option<CursorValue>, bool)> {
            let starts = starts.iter().map(|day| CursorValue::Date(*day)).collect();
            windows(lower.map(CursorValue::Date), starts, null_cursor).into_iter().map(|window| (window.bounds.from, window.bounds.until, window.bounds.with_null)).collect()
        };
        assert_eq!(bounds(None, &[], NullCursor::Error), [(None, None, false)]);
        assert_eq!(bounds(Some(3), &[], NullCursor::AlwaysReread), [(day(3), None, true)]);
        assert_eq!(bounds(Some(3), &[5, 9], NullCursor::AlwaysReread), [(day(3), day(9), false), (day(9), None, true)]);
        assert_eq!(bounds(None, &[5, 9], NullCursor::Error), [(None, day(9), false), (day(9), None, false)]);
    }

    #[test]
    fn the_position_moves_to_the_newest_window_that_is_neither_in_the_future_nor_behind_an_open_transaction() {
        let window = |day| Window { start: Some(CursorValue::Date(day)), bounds: WindowBounds { from: None, until: None, with_null: false } };
        for (settled, newest) in [(Some(100), Some(100)), (Some(99), Some(40)), (None, None)] {
            let mut progress = Progress { through: None, settled, today: 100 };
            for day in [40, 30, 100, 101] {
                progress.pass(&window(day));
            }
            let expected = newest.map_or(Position::Start, |day| Position::Windows { through: CursorValue::Date(day) });
            assert_eq!(progress.position(), expected, "{settled:?}");
        }
    }
}
