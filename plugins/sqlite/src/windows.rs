//! Whole windows of a date or timestamp column, in order, in one scan of one snapshot.
//!
//! A cell of SQLite may hold a date as text or as a whole number, so bounds in SQL only spare work: which window a row belongs to is worked out
//! from its value, exactly as the batch will hold it. The scan goes through the column's own order; where that is not the order of time (texts
//! with different offsets, numbers beside texts) a row would come behind its window, and the read is refused. Windows that nobody is in are
//! never visited.

use crate::client::quote;
use crate::keyset::refused_null_rows;
use crate::reader::{Halt, Out, Place, Query, require_column, select_list};
use crate::snapshot::Session;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Datelike};
use karat_plugin_api::cells::{Batcher, parse_instant};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, WindowBounds, window_start, windows_before};
use karat_spec::model::{NullCursor, Window};
use rusqlite::types::{Value, ValueRef};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads the windows that are to be read again, and all behind them.
pub(crate) fn read(session: &Session, request: &ReadRequest, out: &mut Out) -> Result<(), Halt> {
    let mut windows = Windows::new(session, request)?;
    windows.refuse_floating_point()?;
    let has_null_rows = refused_null_rows(session, &windows.column, windows.is_nullable, windows.null_cursor)?;
    let mut batcher = Batcher::new(&session.described.label, &request.columns, request.batch_rows, request.batch_bytes)?;
    windows.deliver(&mut batcher, out)?;
    if has_null_rows {
        let query = Query { select: windows.select.clone(), from: format!("FROM {} WHERE {} IS NULL", session.described.from, windows.column), values: Vec::new() };
        session.scan(&query, &mut batcher, |batcher, _| if batcher.is_full() { flush(batcher, out) } else { Ok(()) })?;
    }
    flush(&mut batcher, out)?;
    windows.end(None, out)?;
    let position = windows.position();
    out.end(position, windows.future_rows, 0)
}

struct Windows<'a> {
    session: &'a Session,
    unit: Window,
    null_cursor: NullCursor,
    /// The column as SQL.
    column: String,
    data_type: DataType,
    is_nullable: bool,
    select: String,
    /// Where the column stands in a result.
    column_at: usize,
    /// The window of the database's clock.
    now: i64,
    /// Where the window begins whose rows come now; `None` at the start of time.
    from: Option<CursorValue>,
    /// The window whose rows come now, once one has come.
    current: Option<CursorValue>,
    /// The newest delivered window that is not in the future, or what the last run said.
    through: Option<CursorValue>,
    future_rows: u64,
}

impl<'a> Windows<'a> {
    fn new(session: &'a Session, request: &ReadRequest) -> Result<Self, Halt> {
        let ReadStrategy::Windows { cursor, unit, after, refresh_last, null_cursor } = &request.strategy else {
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "a read of windows without a column")));
        };
        let described = &session.described;
        require_column(described, cursor)?;
        let Some(column_at) = request.columns.iter().position(|choice| choice.name == *cursor) else {
            let message = format!("column `{cursor}` of {} is not among those that are read", described.label);
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::BadConfiguration, message).with_help("whoever replaces its windows must have it: name it in `select`, too")));
        };
        let data_type = request.columns[column_at].data_type.clone();
        if !matches!(data_type, DataType::Date32 | DataType::Timestamp(..)) {
            let message = format!("column `{cursor}` of {} has no windows: it is neither a date nor a timestamp", described.label);
            let help = format!("declare it if it holds dates: `types: {{ {cursor}: date }}` or `timestamp`, or name another column in `cdc.cursor`");
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::BadConfiguration, message).with_help(help)));
        }
        let through = match after {
            Position::Windows { through } => Some(through.clone()),
            _ => None,
        };
        if through.as_ref().is_some_and(|through| matches!(through, CursorValue::Date(_)) != (data_type == DataType::Date32)) {
            let message = format!("column `{cursor}` of {} is no longer of the type that its position was taken in", described.label);
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::Refused, message).with_help("read the table again from the start: `karat run --full-refresh`")));
        }
        let again = refresh_last.saturating_sub(1);
        let from = through.as_ref().and_then(|through| windows_before(&window_start(through, *unit)?, *unit, again));
        let now: i64 = session.connection.query_row("SELECT CAST(strftime('%s', 'now') AS INTEGER)", [], |row| row.get(0)).map_err(|error| session.failed(error))?;
        let now = if data_type == DataType::Date32 {
            i32::try_from(now.div_euclid(SECONDS_PER_DAY)).ok().map(CursorValue::Date)
        } else {
            Some(CursorValue::Timestamp(now * MICROS_PER_SECOND))
        };
        let now = now.and_then(|now| window_start(&now, *unit)).as_ref().and_then(number).unwrap_or(i64::MAX);
        Ok(Self {
            session,
            unit: *unit,
            null_cursor: *null_cursor,
            column: quote(cursor),
            data_type,
            is_nullable: described.schema.column(cursor).is_none_or(|column| column.nullable),
            select: select_list(request),
            column_at,
            now,
            from,
            current: None,
            through,
            future_rows: 0,
        })
    }

    /// Julian days compare with neither texts nor seconds, so a bound would leave them out in silence.
    fn refuse_floating_point(&self) -> Result<(), Halt> {
        // In SQLite every number is less than every text.
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {column} < '' AND typeof({column}) = 'real')", self.session.described.from, column = self.column);
        let found: bool = self.session.connection.query_row(&sql, [], |row| row.get(0)).map_err(|error| self.session.failed(error))?;
        if !found {
            return Ok(());
        }
        let message = format!("column {} of {} holds floating-point numbers, of which no window can be told", self.column, self.session.described.label);
        Err(Halt::Failed(ConnectorError::new(ErrorKind::BadData, message).with_help("store ISO 8601 texts or whole seconds, or convert them in `from.query`")))
    }

    /// The rows from the lower bound on, as far as SQL can tell: text may carry an offset of up to a day.
    fn query(&self) -> Query {
        let (object, column) = (&self.session.described.from, &self.column);
        let (condition, values) = match self.from.as_ref().and_then(|from| Some((text_before(from)?, self.stored_number(from)?))) {
            Some((text, number)) => (format!("({column} >= ?1 OR (typeof({column}) = 'integer' AND {column} >= ?2))"), vec![Value::Text(text), Value::Integer(number)]),
            None => (format!("{column} IS NOT NULL"), Vec::new()),
        };
        Query { select: self.select.clone(), from: format!("FROM {object} WHERE {condition} ORDER BY {column}"), values }
    }

    fn deliver(&mut self, batcher: &mut Batcher, out: &mut Out) -> Result<(), Halt> {
        let query = self.query();
        let session = self.session;
        let least = self.from.as_ref().and_then(number);
        session.scan_placed(&query, batcher, |batcher, row| {
            // What has no window does not fit its column either, which is said when it is added.
            let Some(start) = self.window_of(row.get_ref_unwrap(self.column_at)) else { return Ok(Place::Here) };
            let at = number(&start);
            if at < least {
                return Ok(Place::Nowhere);
            }
            match self.current.as_ref().map(number) {
                Some(current) if current == at => {}
                Some(current) if current > at => return Err(Halt::Failed(self.out_of_order())),
                Some(_) => {
                    flush(batcher, out)?;
                    self.end(Some(start.clone()), out)?;
                    self.begin(start);
                }
                None => self.begin(start),
            }
            if at > Some(self.now) {
                self.future_rows += 1;
            }
            if batcher.is_full() {
                flush(batcher, out)?;
            }
            Ok(Place::Here)
        })?;
        flush(batcher, out)
    }

    fn begin(&mut self, start: CursorValue) {
        let at = number(&start);
        if at <= Some(self.now) && self.through.as_ref().and_then(number) < at {
            self.through = Some(start.clone());
        }
        self.current = Some(start);
    }

    /// Ends the window whose rows came, before the one that starts at `until`.
    fn end(&mut self, until: Option<CursorValue>, out: &mut Out) -> Result<(), Halt> {
        let with_null = until.is_none() && self.null_cursor == NullCursor::AlwaysReread;
        let from = std::mem::replace(&mut self.from, until.clone());
        out.window_end(WindowBounds { from, until, with_null }, self.position())
    }

    fn position(&self) -> Position {
        self.through.clone().map_or(Position::Start, |through| Position::Windows { through })
    }

    /// Where the window starts that a cell belongs to; `None` when the cell is no value of the column's type.
    fn window_of(&self, cell: ValueRef<'_>) -> Option<CursorValue> {
        let value = match (cell, &self.data_type) {
            (ValueRef::Text(text), data_type) => {
                let instant = parse_instant(text).ok()?;
                let seconds = instant.seconds - i64::from(instant.offset.unwrap_or(0));
                match data_type {
                    DataType::Date32 => CursorValue::Date(i32::try_from(seconds.div_euclid(SECONDS_PER_DAY)).ok()?),
                    _ => CursorValue::Timestamp(seconds.checked_mul(MICROS_PER_SECOND)?),
                }
            }
            (ValueRef::Integer(number), DataType::Timestamp(unit, _)) => CursorValue::Timestamp(number.div_euclid(per_second(*unit)).checked_mul(MICROS_PER_SECOND)?),
            _ => return None,
        };
        window_start(&value, self.unit)
    }

    /// The whole number that a cell would hold for a moment.
    fn stored_number(&self, value: &CursorValue) -> Option<i64> {
        match (value, &self.data_type) {
            (CursorValue::Timestamp(micros), DataType::Timestamp(unit, _)) => micros.div_euclid(MICROS_PER_SECOND).checked_mul(per_second(*unit)),
            // Whole numbers are no dates: they are found, and refused when they are read.
            _ => Some(i64::MIN),
        }
    }

    fn out_of_order(&self) -> ConnectorError {
        let message = format!("column {} of {} does not stand in the order of time: its values are written in different ways", self.column, self.session.described.label);
        ConnectorError::new(ErrorKind::BadData, message).with_help("write them alike, with one offset from UTC and either as text or as numbers, or convert them in `from.query`")
    }
}

/// The text that stands before all texts of `value` and later, whatever their offset; `None` where texts do not order.
fn text_before(value: &CursorValue) -> Option<String> {
    let seconds = match value {
        CursorValue::Date(days) => i64::from(*days) * SECONDS_PER_DAY,
        CursorValue::Timestamp(micros) => micros.div_euclid(MICROS_PER_SECOND),
        _ => return None,
    };
    let day = DateTime::from_timestamp(seconds - SECONDS_PER_DAY, 0)?;
    (0..=9999).contains(&day.year()).then(|| day.format("%Y-%m-%d").to_string())
}

/// Days or microseconds, whichever the value counts.
fn number(value: &CursorValue) -> Option<i64> {
    match value {
        CursorValue::Date(days) => Some(i64::from(*days)),
        CursorValue::Timestamp(micros) => Some(*micros),
        _ => None,
    }
}

/// What a whole number in a timestamp column counts, in a second; see the connection's page.
fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second | TimeUnit::Microsecond => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn flush(batcher: &mut Batcher, out: &mut Out) -> Result<(), Halt> {
    match batcher.take()? {
        Some(batch) => out.rows(batch, None),
        None => Ok(()),
    }
}
