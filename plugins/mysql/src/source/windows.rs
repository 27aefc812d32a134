//! Whole windows of a date or timestamp column, in order, all of one snapshot.
//!
//! Windows are found by seeking in an index, never by walking the calendar: an empty year costs one question, and so does a row dated 9999-12-31.
//! Several readers of the same snapshot read ahead, a window each, and what they read is delivered in order. Without an index each seek would read the
//! table, so one reader then takes the rows in order and cuts them where a window ends. Read next: `course.rs` for bounds and positions.

use super::catalogue::{Described, require_column};
use super::collect::{Collector, CollectorOptions};
use super::comparison::Condition;
use super::course::{Clock, Course, number};
use super::full::same_snapshots;
use super::guards::exists;
use super::instant::Stored;
use super::reader::{Halt, Link, Out, Query, SNAPSHOT, collector};
use super::settle;
use super::value::{cursor_value, parameter};
use crate::client::quote;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use karat_plugin_api::{ConnectorError, CursorValue, DeclaredType, ErrorKind, Position, ReadRequest, ReadStrategy, next_window, window_start};
use karat_spec::model::{NullCursor, Window};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Batches of one window that wait to be delivered.
const WAITING_BATCHES: usize = 1;
/// Windows that wait to be delivered, besides those that are being read.
const WAITING_WINDOWS: usize = 1;

/// Reads the windows that the request asks for.
pub(crate) fn read(link: &mut Link<'_>, described: &Described, request: &ReadRequest, out: &mut Out) -> Result<(), Halt> {
    let windows = Windows::new(described, request)?;
    let mut course = windows.course(link)?;
    if windows.index.is_some() && request.parallel > 1 && described.is_table {
        if let Some(mut links) = same_snapshots(link, described, request.parallel)? {
            if let [first, ..] = links.as_mut_slice() {
                windows.refuse_null_rows(first)?;
            }
            windows.read_together(&mut links, &mut course, out)?;
            if let [first, ..] = links.as_mut_slice() {
                windows.null_rows(first, &mut course, out)?;
            }
            links.iter_mut().for_each(|link| link.is_done = true);
            return course.finish(out);
        }
    } else if request.parallel > 1 {
        tracing::info!(source = %described.label, column = %windows.name, "one reader: several need a table with an index that begins with the window's column");
    }
    link.run(SNAPSHOT)?;
    windows.refuse_null_rows(link)?;
    match windows.index {
        Some(_) => windows.read_by_seeking(link, &mut course, out)?,
        None => windows.read_in_order(link, &mut course, out)?,
    }
    windows.null_rows(link, &mut course, out)?;
    course.finish(out)
}

/// What is read.
struct Windows<'a> {
    described: &'a Described,
    request: &'a ReadRequest,
    unit: Window,
    null_cursor: NullCursor,
    after: &'a Position,
    refresh_last: u64,
    /// The column's name, and as SQL.
    name: &'a str,
    column: String,
    may_be_null: bool,
    is_date: bool,
    /// An index whose first column it is.
    index: Option<&'a str>,
    /// The statement up to its condition, and where in it the column stands.
    select: String,
    place: usize,
}

impl<'a> Windows<'a> {
    fn new(described: &'a Described, request: &'a ReadRequest) -> Result<Self, ConnectorError> {
        let ReadStrategy::Windows { cursor, unit, after, refresh_last, null_cursor } = &request.strategy else {
            return Err(ConnectorError::new(ErrorKind::Bug, "a read of windows without a column"));
        };
        require_column(described, cursor)?;
        let column = described.schema.column(cursor).ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "a column that is there and is not"))?;
        if !matches!(column.data_type, DataType::Date32 | DataType::Timestamp(..)) {
            let found = DeclaredType::name_of(&column.data_type).unwrap_or_else(|| column.declared.clone());
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("column `{cursor}` of {} is `{found}`, and windows are of dates or timestamps", described.label))
                .with_help("name a `DATE`, `DATETIME` or `TIMESTAMP` column as `cursor`"));
        }
        let mut selected: Vec<String> = request.columns.iter().map(|choice| quote(&choice.name)).collect();
        let quoted = quote(cursor);
        let place = selected.iter().position(|known| *known == quoted).unwrap_or_else(|| {
            selected.push(quoted.clone());
            selected.len() - 1
        });
        Ok(Self {
            described,
            request,
            unit: *unit,
            null_cursor: *null_cursor,
            after,
            refresh_last: *refresh_last,
            name: cursor,
            column: quoted,
            may_be_null: column.nullable,
            is_date: column.data_type == DataType::Date32,
            index: described.index_for(std::slice::from_ref(cursor)),
            select: format!("SELECT {} FROM {}", selected.join(", "), described.from),
            place,
        })
    }

    fn course(&self, link: &mut Link<'_>) -> Result<Course, ConnectorError> {
        let now = link.session.text("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").map_err(|fault| link.failed(fault))?;
        let now: i64 = now.and_then(|text| text.parse().ok()).ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "the server does not say what time it is"))?;
        let with_null = self.null_cursor == NullCursor::AlwaysReread;
        let settled = settle::earliest_now(link, now)?;
        Course::new(self.unit, self.is_date, Clock { now, settled }, with_null).after(self.after, self.refresh_last)
    }

    /// Rows from `from` on, those without a value never among them.
    fn rows_from(&self, from: Option<&CursorValue>) -> Result<Condition, ConnectorError> {
        match from {
            Some(from) => Ok(Condition::from(&self.column, parameter(from)?)),
            None => Ok(Condition::plain(format!("{} IS NOT NULL", self.column))),
        }
    }

    /// Rows of the window that begins at `start`.
    fn inside(&self, start: &CursorValue) -> Result<Condition, ConnectorError> {
        let condition = self.rows_from(Some(start))?;
        Ok(match self.behind(start) {
            Some(end) => condition.and(Condition { sql: format!("{} < ?", self.column), parameters: vec![parameter(&end)?] }),
            None => condition,
        })
    }

    /// Where the next window begins; `None` behind the last day that the server knows.
    fn behind(&self, start: &CursorValue) -> Option<CursorValue> {
        next_window(start, self.unit).filter(|end| number(end) < number(&greatest(self.is_date)))
    }

    /// The start of the first window from `from` on that holds a row.
    fn seek(&self, link: &mut Link<'_>, from: Option<&CursorValue>) -> Result<Option<CursorValue>, Halt> {
        let hint = self.index.map_or_else(String::new, |index| format!(" FORCE INDEX ({})", quote(index)));
        let condition = self.rows_from(from)?;
        let sql = format!("SELECT {0} FROM {1}{hint} WHERE {2} ORDER BY {0} LIMIT 1", self.column, self.described.from, condition.sql);
        let options = CollectorOptions { server: link.server, label: &self.described.label, choices: &[], key: &[], batch_rows: 2, batch_bytes: 1 << 20 };
        let mut row = Collector::new(&options)?;
        let mut found = None;
        link.scan(&Query { sql, parameters: condition.parameters, watch: vec![0] }, &mut row, |row| {
            let (Some(definition), Some((_, held))) = (row.definition(0), row.watched.first()) else { return Ok(()) };
            found = Some(cursor_value(definition, held.wire())?);
            Ok(())
        })?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(self.window_of(&found)?))
    }

    fn window_of(&self, value: &CursorValue) -> Result<CursorValue, ConnectorError> {
        window_start(value, self.unit).ok_or_else(|| self.no_day())
    }

    fn no_day(&self) -> ConnectorError {
        ConnectorError::new(ErrorKind::BadData, format!("column `{}` of {} holds a zero or partial date, which lies in no window", self.name, self.described.label))
            .with_help("correct the row at the source, or leave it out with a `query`")
    }

    /// Reads rows that meet a condition.
    fn rows(&self, link: &mut Link<'_>, collector: &mut Collector, condition: Condition, mut send: impl FnMut(RecordBatch) -> Result<(), Halt>) -> Result<(), Halt> {
        let query = Query { sql: format!("{} WHERE {}", self.select, condition.sql), parameters: condition.parameters, watch: Vec::new() };
        link.scan(&query, collector, |collector| match collector.is_full() {
            true => collector.take()?.map_or(Ok(()), &mut send),
            false => Ok(()),
        })?;
        collector.take()?.map_or(Ok(()), send)
    }

    fn read_by_seeking(&self, link: &mut Link<'_>, course: &mut Course, out: &mut Out) -> Result<(), Halt> {
        let mut collector = collector(link, self.described, self.request)?;
        let mut from = course.lower().cloned();
        while let Some(start) = self.seek(link, from.as_ref())? {
            course.begin(&start, out)?;
            self.rows(link, &mut collector, self.inside(&start)?, |batch| out.cut(&batch, self.request.batch_rows.max(1)))?;
            from = self.behind(&start);
            if from.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// One statement, whose rows come in order.
    fn read_in_order(&self, link: &mut Link<'_>, course: &mut Course, out: &mut Out) -> Result<(), Halt> {
        let batch_rows = self.request.batch_rows.max(1);
        let mut collector = collector(link, self.described, self.request)?;
        let condition = self.rows_from(course.lower())?;
        let sql = format!("{} WHERE {} ORDER BY {}", self.select, condition.sql, self.column);
        let mut end = Some(i64::MIN);
        link.scan(&Query { sql, parameters: condition.parameters, watch: vec![self.place] }, &mut collector, |collector| {
            let wire = collector.watched.first().and_then(|(_, held)| held.wire()).and_then(Stored::read);
            let value = if self.is_date { wire.and_then(Stored::days).map(CursorValue::Date) } else { wire.and_then(Stored::micros).map(CursorValue::Timestamp) };
            let value = value.ok_or_else(|| self.no_day())?;
            if end.is_some_and(|end| number(&value) >= end) {
                let start = self.window_of(&value)?;
                end = self.behind(&start).as_ref().map(number);
                // The row that begins a window was collected with the rows before it.
                let Some(batch) = collector.take()? else { return Ok(()) };
                let before = batch.num_rows() - 1;
                out.cut(&batch.slice(0, before), batch_rows)?;
                course.begin(&start, out)?;
                return out.cut(&batch.slice(before, 1), batch_rows);
            }
            match collector.is_full() {
                true => collector.take()?.map_or(Ok(()), |batch| out.cut(&batch, batch_rows)),
                false => Ok(()),
            }
        })?;
        collector.take()?.map_or(Ok(()), |batch| out.cut(&batch, batch_rows))
    }

    /// Refuses rows that lie in no window, where nobody said what is to become of them.
    fn refuse_null_rows(&self, link: &mut Link<'_>) -> Result<(), Halt> {
        if self.null_cursor != NullCursor::Error || !self.may_be_null {
            return Ok(());
        }
        if !exists(link, self.described, &self.described.from, &Condition::plain(format!("{} IS NULL", self.column)))? {
            return Ok(());
        }
        let message = format!("rows of {} have no value in `{}`, so they lie in no window", self.described.label, self.name);
        Err(Halt::Failed(ConnectorError::new(ErrorKind::BadData, message).with_help("choose a column that is never NULL, or set `null_cursor: always_reread`")))
    }

    /// Delivers the rows without a value, where they are wanted: they belong to the last window.
    fn null_rows(&self, link: &mut Link<'_>, course: &mut Course, out: &mut Out) -> Result<(), Halt> {
        if self.null_cursor != NullCursor::AlwaysReread || !self.may_be_null {
            return Ok(());
        }
        course.count(out.rows);
        let mut collector = collector(link, self.described, self.request)?;
        self.rows(link, &mut collector, Condition::plain(format!("{} IS NULL", self.column)), |batch| out.cut(&batch, self.request.batch_rows.max(1)))?;
        course.pass_over(out.rows);
        Ok(())
    }

    fn read_together(&self, links: &mut [Link<'_>], course: &mut Course, out: &mut Out) -> Result<(), Halt> {
        let brake = links.first().map(|link| link.brake);
        let (announce, announced) = sync_channel(WAITING_WINDOWS);
        let plan = Arc::new(Mutex::new(Plan { from: course.lower().cloned(), announce: Some(announce) }));
        std::thread::scope(|scope| {
            let readers: Vec<_> = links
                .iter_mut()
                .map(|link| {
                    let plan = Arc::clone(&plan);
                    scope.spawn(move || self.read_ahead(link, &plan))
                })
                .collect();
            // The readers alone hold the plan, so that nothing more is announced once the last of them has ended.
            drop(plan);
            let mut delivered = deliver(announced, course, out, self.request.batch_rows.max(1));
            if let (Err(_), Some(brake)) = (&delivered, brake) {
                brake.pull();
            }
            for reader in readers {
                if reader.join().is_err() && delivered.is_ok() {
                    delivered = Err(silent());
                }
            }
            delivered
        })
    }

    /// Reads one window after the other, whichever is next. Errors go where the rows are waited for.
    fn read_ahead(&self, link: &mut Link<'_>, plan: &Mutex<Plan>) {
        let mut collector = match collector(link, self.described, self.request) {
            Ok(collector) => collector,
            Err(error) => return Plan::end(plan, Err(error.into())),
        };
        while let Some((start, batches)) = self.take_window(link, plan) {
            let read = self
                .inside(&start)
                .map_err(Halt::from)
                .and_then(|inside| self.rows(link, &mut collector, inside, |batch| batches.send(Ok(Some(batch))).map_err(|_| Halt::Unwanted)));
            let is_read = read.is_ok();
            if batches.send(read.map(|()| None)).is_err() || !is_read {
                return;
            }
        }
    }

    /// The next window, which is announced to whoever delivers; `None` when there is none, or when somebody failed.
    fn take_window(&self, link: &mut Link<'_>, plan: &Mutex<Plan>) -> Option<(CursorValue, SyncSender<Step>)> {
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        let announce = plan.announce.take()?;
        let found = self.seek(link, plan.from.as_ref());
        let (last, taken) = match found {
            Ok(Some(start)) => {
                let (batches, delivered) = sync_channel(WAITING_BATCHES);
                announce.send(Ok(Some(Ahead { start: start.clone(), batches: delivered }))).ok()?;
                plan.from = self.behind(&start);
                let taken = Some((start, batches));
                if plan.from.is_some() {
                    plan.announce = Some(announce);
                    return taken;
                }
                (Ok(None), taken)
            }
            Ok(None) => (Ok(None), None),
            Err(halt) => (Err(halt), None),
        };
        announce.send(last).ok()?;
        taken
    }
}

/// The first value that no column of the server can hold: 10000-01-01.
fn greatest(is_date: bool) -> CursorValue {
    if is_date { CursorValue::Date(2_932_897) } else { CursorValue::Timestamp(253_402_300_800_000_000) }
}

/// A batch of a window, or `None` at its end.
type Step = Result<Option<RecordBatch>, Halt>;

/// A window that somebody reads.
struct Ahead {
    start: CursorValue,
    batches: Receiver<Step>,
}

/// Which window is read next.
struct Plan {
    from: Option<CursorValue>,
    /// Where windows are announced in their order, and then that there are no more; nothing follows that, or an error.
    announce: Option<SyncSender<Result<Option<Ahead>, Halt>>>,
}

impl Plan {
    fn end(plan: &Mutex<Self>, how: Result<Option<Ahead>, Halt>) {
        if let Some(announce) = plan.lock().unwrap_or_else(PoisonError::into_inner).announce.take() {
            // Nobody listens any more when the read is over for another reason.
            let _unheard = announce.send(how);
        }
    }
}

/// Delivers the windows in their order, while they are read.
fn deliver(announced: Receiver<Result<Option<Ahead>, Halt>>, course: &mut Course, out: &mut Out, batch_rows: usize) -> Result<(), Halt> {
    while let Some(Ahead { start, batches }) = announced.recv().map_err(|_| silent())?? {
        course.begin(&start, out)?;
        while let Some(batch) = batches.recv().map_err(|_| silent())?? {
            out.cut(&batch, batch_rows)?;
        }
    }
    Ok(())
}

fn silent() -> Halt {
    Halt::Failed(ConnectorError::new(ErrorKind::Bug, "a reader of windows ended without saying why"))
}
