//! Windows of a calendar: where a day, a week, a month begins and ends, for cursor values of any source.

use crate::CursorValue;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate};
use karat_spec::model::Window;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The rows of a target that one commit replaces: those whose window column lies in `[from, until)`.
///
/// The bounds of one read follow each other without a gap, so that rows which stand between the windows that a source still has are found, too.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowBounds {
    /// The first value inside; `None` for all that came before.
    pub from: Option<CursorValue>,
    /// The first value behind it; `None` for all that may come.
    pub until: Option<CursorValue>,
    /// Whether rows without a value belong to it.
    pub with_null: bool,
}

impl WindowBounds {
    /// Both, when `next` begins where this one ends.
    #[must_use]
    pub fn joined(self, next: Self) -> Self {
        Self { from: self.from, until: next.until, with_null: self.with_null || next.with_null }
    }
}

/// The start of the window that a date or a timestamp lies in; `None` for other values and outside of the calendar (years -262143 to 262142).
#[must_use]
pub fn window_start(value: &CursorValue, unit: Window) -> Option<CursorValue> {
    let day = day_of(value)?;
    let start = match unit {
        Window::Day => day,
        Window::Week => day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))?,
        Window::Month => day.with_day(1)?,
    };
    like(value, start)
}

/// The start of the window after the one that begins at `start`.
#[must_use]
pub fn next_window(start: &CursorValue, unit: Window) -> Option<CursorValue> {
    let day = day_of(start)?;
    let next = match unit {
        Window::Day => day.checked_add_days(Days::new(1))?,
        Window::Week => day.checked_add_days(Days::new(7))?,
        Window::Month => day.checked_add_months(Months::new(1))?,
    };
    like(start, next)
}

/// The start of the window `count` windows before the one that begins at `start`.
#[must_use]
pub fn windows_before(start: &CursorValue, unit: Window, count: u64) -> Option<CursorValue> {
    let day = day_of(start)?;
    let before = match unit {
        Window::Day => day.checked_sub_days(Days::new(count))?,
        Window::Week => day.checked_sub_days(Days::new(count.checked_mul(7)?))?,
        Window::Month => day.checked_sub_months(Months::new(u32::try_from(count).ok()?))?,
    };
    like(start, before)
}

fn day_of(value: &CursorValue) -> Option<NaiveDate> {
    match value {
        CursorValue::Date(days) => DateTime::from_timestamp(i64::from(*days) * 86_400, 0).map(|at| at.date_naive()),
        CursorValue::Timestamp(micros) => DateTime::from_timestamp_micros(*micros).map(|at| at.date_naive()),
        _ => None,
    }
}

fn like(value: &CursorValue, day: NaiveDate) -> Option<CursorValue> {
    let days = day.signed_duration_since(NaiveDate::default()).num_days();
    match value {
        CursorValue::Date(_) => i32::try_from(days).ok().map(CursorValue::Date),
        CursorValue::Timestamp(_) => days.checked_mul(MICROS_PER_DAY).map(CursorValue::Timestamp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> CursorValue {
        like(&CursorValue::Date(0), text.parse().unwrap()).unwrap()
    }

    fn moment(text: &str) -> CursorValue {
        CursorValue::Timestamp(format!("{text}Z").parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros())
    }

    #[test]
    fn windows_start_where_the_calendar_says() {
        for (unit, value, start, next) in [
            (Window::Day, "2024-02-28T23:59:59.999999", "2024-02-28T00:00:00", "2024-02-29T00:00:00"),
            (Window::Week, "2024-03-03T12:00:00", "2024-02-26T00:00:00", "2024-03-04T00:00:00"),
            (Window::Week, "2024-03-04T00:00:00", "2024-03-04T00:00:00", "2024-03-11T00:00:00"),
            (Window::Month, "2023-12-31T00:00:00", "2023-12-01T00:00:00", "2024-01-01T00:00:00"),
            (Window::Month, "1969-12-31T23:59:59.999999", "1969-12-01T00:00:00", "1970-01-01T00:00:00"),
        ] {
            assert_eq!(window_start(&moment(value), unit), Some(moment(start)), "{value}");
            assert_eq!(next_window(&moment(start), unit), Some(moment(next)), "{value}");
            assert_eq!(windows_before(&moment(next), unit, 1), Some(moment(start)), "{value}");
        }
        assert_eq!(window_start(&date("0001-01-31"), Window::Month), Some(date("0001-01-01")));
        assert_eq!(windows_before(&date("2024-03-01"), Window::Month, 14), Some(date("2023-01-01")));
    }

    #[test]
    fn what_is_no_date_has_no_window() {
        for value in [CursorValue::Int(1), CursorValue::Null, CursorValue::Timestamp(i64::MAX), CursorValue::Date(i32::MAX)] {
            assert_eq!(window_start(&value, Window::Month), None, "{value}");
        }
        assert_eq!(windows_before(&date("2024-03-01"), Window::Day, u64::MAX), None);
    }
}
