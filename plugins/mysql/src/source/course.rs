//! Where a read of windows stands: bounds that follow each other without a gap, and the position after each.

use super::reader::{Halt, Out};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, WindowBounds, window_start, windows_before};
use karat_spec::model::Window;

const DAY_MICROS: i64 = 86_400_000_000;
/// 0000-01-01, before which the server knows no day.
const FIRST_DAY: i64 = -719_528;

/// What was delivered so far.
#[derive(Debug)]
pub(crate) struct Course {
    unit: Window,
    is_date: bool,
    /// The start of the window of the server's clock; later ones are in the future.
    now: i64,
    /// The start of the newest window that nobody who is in progress can have been too late for; the position does not pass it.
    settled: i64,
    /// Whether the last window takes the rows without a value.
    with_null: bool,
    /// Where the read begins; `None` for the least value there is.
    lower: Option<CursorValue>,
    /// Where the bounds that come next begin.
    from: Option<CursorValue>,
    /// The window whose rows are being delivered.
    open: Option<CursorValue>,
    /// The newest window that is neither in the future of the server's clock nor beyond what is settled.
    through: Option<CursorValue>,
    future_rows: u64,
    /// Rows of the read that were looked at.
    counted: u64,
}

/// What the server's clock said before the snapshot, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: i64,
    /// The earliest time that somebody in progress may have written; `None` when nobody knows.
    pub(crate) settled: Option<i64>,
}

/// A date or an instant as a number: days, or microseconds.
pub(crate) fn number(value: &CursorValue) -> i64 {
    match value {
        CursorValue::Date(days) => i64::from(*days),
        CursorValue::Timestamp(micros) => *micros,
        _ => i64::MIN,
    }
}

/// The same day as a date, or as an instant.
fn day_as(value: &CursorValue, is_date: bool) -> Option<CursorValue> {
    match value {
        CursorValue::Timestamp(micros) if is_date => i32::try_from(micros.div_euclid(DAY_MICROS)).ok().map(CursorValue::Date),
        CursorValue::Date(days) if !is_date => i64::from(*days).checked_mul(DAY_MICROS).map(CursorValue::Timestamp),
        CursorValue::Date(_) | CursorValue::Timestamp(_) => Some(value.clone()),
        _ => None,
    }
}

impl Course {
    /// A read of everything.
    pub(crate) fn new(unit: Window, is_date: bool, clock: Clock, with_null: bool) -> Self {
        let start = |at: i64| day_as(&CursorValue::Timestamp(at), is_date).and_then(|at| window_start(&at, unit)).as_ref().map_or(i64::MIN, number);
        let (now, settled) = (start(clock.now), clock.settled.map_or(i64::MIN, start));
        Self { unit, is_date, now, settled, with_null, lower: None, from: None, open: None, through: None, future_rows: 0, counted: 0 }
    }

    /// The same from a position on: the newest windows that it covers are read again.
    pub(crate) fn after(mut self, position: &Position, refresh_last: u64) -> Result<Self, ConnectorError> {
        let Position::Windows { through } = position else { return Ok(self) };
        // The unit may be another one than when the position was made.
        let through = day_as(through, self.is_date).and_then(|through| window_start(&through, self.unit)).ok_or_else(|| {
            ConnectorError::new(ErrorKind::Refused, "the stored position was not written by the `mysql` plugin")
                .with_help("read the table again from the start: `karat run --full-refresh`")
        })?;
        let first_day = if self.is_date { FIRST_DAY } else { FIRST_DAY * DAY_MICROS };
        self.lower = windows_before(&through, self.unit, refresh_last.saturating_sub(1)).filter(|lower| number(lower) >= first_day);
        self.from.clone_from(&self.lower);
        self.through = Some(through);
        Ok(self)
    }

    /// Where the read begins; `None` for the least value there is.
    pub(crate) fn lower(&self) -> Option<&CursorValue> {
        self.lower.as_ref()
    }

    /// The rows that follow are those of the window that begins here.
    pub(crate) fn begin(&mut self, start: &CursorValue, out: &mut Out) -> Result<(), Halt> {
        if self.open.is_some() {
            self.close(Some(start.clone()), out)?;
        }
        self.open = Some(start.clone());
        Ok(())
    }

    /// Takes note of the rows of the open window.
    pub(crate) fn count(&mut self, rows: u64) {
        if self.open.as_ref().is_some_and(|open| number(open) > self.now) {
            self.future_rows += rows - self.counted;
        }
        self.counted = rows;
    }

    /// Takes note of rows that have no value, and so lie in no future.
    pub(crate) fn pass_over(&mut self, rows: u64) {
        self.counted = rows;
    }

    /// Ends the last window, which goes on for ever, and the read.
    pub(crate) fn finish(mut self, out: &mut Out) -> Result<(), Halt> {
        self.close(None, out)?;
        let position = self.position();
        out.end(position, self.future_rows, 0)
    }

    /// The open window is over.
    fn leave(&mut self) {
        if let Some(open) = self.open.take()
            && number(&open) <= self.now.min(self.settled)
            && self.through.as_ref().is_none_or(|through| number(through) < number(&open))
        {
            self.through = Some(open);
        }
    }

    fn close(&mut self, until: Option<CursorValue>, out: &mut Out) -> Result<(), Halt> {
        self.count(out.rows);
        self.leave();
        let with_null = self.with_null && until.is_none();
        let bounds = WindowBounds { from: std::mem::replace(&mut self.from, until.clone()), until, with_null };
        out.window_end(bounds, self.position())
    }

    fn position(&self) -> Position {
        self.through.clone().map_or(Position::Start, |through| Position::Windows { through })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]
    use super::*;

    const CLOCK: Clock = Clock { now: 0, settled: Some(0) };

    fn lower(unit: Window, is_date: bool, through: CursorValue, refresh_last: u64) -> (Option<CursorValue>, Option<CursorValue>) {
        let course = Course::new(unit, is_date, CLOCK, false).after(&Position::Windows { through }, refresh_last).unwrap();
        (course.lower, course.through)
    }

    #[test]
    fn a_position_says_where_the_next_read_begins_whatever_the_unit_was() {
        // 2024-03-15 and 2024-03-01, 2024-01-01 as days.
        let (mid, march, january) = (19_797, 19_783, 19_723);
        assert_eq!(lower(Window::Month, true, CursorValue::Date(mid), 3), (Some(CursorValue::Date(january)), Some(CursorValue::Date(march))));
        assert_eq!(lower(Window::Month, false, CursorValue::Date(mid), 1).0, Some(CursorValue::Timestamp(i64::from(march) * DAY_MICROS)));
        assert_eq!(lower(Window::Month, true, CursorValue::Timestamp(i64::from(mid) * DAY_MICROS), 1).0, Some(CursorValue::Date(march)));
        assert_eq!(lower(Window::Day, true, CursorValue::Date(mid), u64::MAX).0, None);
        assert_eq!(lower(Window::Month, true, CursorValue::Date(mid), 100_000).0, None);
        let strange = Position::Windows { through: CursorValue::Int(5) };
        assert!(Course::new(Window::Day, true, CLOCK, false).after(&strange, 1).is_err());
    }

    #[test]
    fn the_position_does_not_pass_a_window_that_an_open_transaction_began_in() {
        let day = |days: i64| CursorValue::Date(i32::try_from(days).unwrap());
        let through = |settled: Option<i64>| {
            let mut course = Course::new(Window::Day, true, Clock { now: 10 * DAY_MICROS, settled }, false);
            for days in 7..=12 {
                course.open = Some(day(days));
                course.leave();
            }
            course.through
        };
        assert_eq!(through(Some(10 * DAY_MICROS)), Some(day(10)));
        assert_eq!(through(Some(10 * DAY_MICROS - 1)), Some(day(9)));
        assert_eq!(through(Some(3 * DAY_MICROS)), None);
        assert_eq!(through(None), None);
    }
}
