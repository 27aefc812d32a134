//! Values of a position: taken out of batches, and written into SQL again.

use crate::spelling::literal;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};
use std::time::Duration;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The value in row `at`.
pub(crate) fn value(column: &dyn Array, at: usize) -> Result<CursorValue, ConnectorError> {
    if column.is_null(at) {
        return Ok(CursorValue::Null);
    }
    Ok(match column.data_type() {
        DataType::Int16 => CursorValue::Int(i64::from(column.as_primitive::<Int16Type>().value(at))),
        DataType::Int32 => CursorValue::Int(i64::from(column.as_primitive::<Int32Type>().value(at))),
        DataType::Int64 => CursorValue::Int(column.as_primitive::<Int64Type>().value(at)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => CursorValue::Timestamp(column.as_primitive::<TimestampMicrosecondType>().value(at)),
        DataType::Date32 => CursorValue::Date(column.as_primitive::<Date32Type>().value(at)),
        DataType::Utf8 => CursorValue::Text(column.as_string::<i32>().value(at).to_owned()),
        other => return Err(ConnectorError::new(ErrorKind::Bug, format!("a position cannot hold a value of {other}"))),
    })
}

/// The value in SQL, as a value of the type `type_name`.
pub(crate) fn written(value: &CursorValue, type_name: &str) -> Result<String, ConnectorError> {
    let text = match value {
        CursorValue::Int(number) => number.to_string(),
        CursorValue::Text(text) => return Ok(format!("{}::{type_name}", literal(text)?)),
        CursorValue::Timestamp(micros) => match DateTime::from_timestamp_micros(*micros).filter(|at| (1..=9999).contains(&at.year())) {
            // The offset is left out of a type without zone by the server, and UTC is both.
            Some(at) => at.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string(),
            None => return Ok(format!("('epoch'::{type_name} + '{micros} microseconds'::interval)")),
        },
        CursorValue::Date(days) => match DateTime::from_timestamp(i64::from(*days) * 86_400, 0).filter(|at| (1..=9999).contains(&at.year())) {
            Some(at) => at.format("%Y-%m-%d").to_string(),
            None => return Ok(format!("('epoch'::{type_name} + ({days}))")),
        },
        CursorValue::Null | CursorValue::UInt(_) | CursorValue::Float(_) | CursorValue::Decimal(..) | CursorValue::Bytes(_) => return Err(foreign()),
    };
    Ok(format!("'{text}'::{type_name}"))
}

/// Refuses values that this plugin does not write.
pub(crate) fn check(value: &CursorValue) -> Result<(), ConnectorError> {
    match value {
        CursorValue::Null => Ok(()),
        other => written(other, "text").map(|_| ()),
    }
}

/// The value `lookback` before `watermark`, never later than that.
pub(crate) fn before(watermark: &CursorValue, lookback: Duration) -> Result<CursorValue, ConnectorError> {
    let micros = i64::try_from(lookback.as_nanos().div_ceil(1_000)).unwrap_or(i64::MAX);
    match watermark {
        CursorValue::Timestamp(at) => Ok(CursorValue::Timestamp(at.saturating_sub(micros).max(EARLIEST_MICROS))),
        CursorValue::Date(day) => {
            let days = i32::try_from(micros.div_euclid(DAY_MICROS).saturating_add(i64::from(micros.rem_euclid(DAY_MICROS) > 0))).unwrap_or(i32::MAX);
            Ok(CursorValue::Date(day.saturating_sub(days).max(EARLIEST_DAY)))
        }
        _ => Err(ConnectorError::new(ErrorKind::BadConfiguration, "`lookback` needs a cursor that is a timestamp or a date")
            .with_help("name a `timestamp`, `timestamptz` or `date` column as `cursor`, or leave `lookback` out")),
    }
}

/// 4713 BC, where the server's calendar begins.
const EARLIEST_DAY: i32 = -2_440_550;
const EARLIEST_MICROS: i64 = -2_440_550 * DAY_MICROS;

/// The earlier of two instants or days.
pub(crate) fn earlier(a: CursorValue, b: CursorValue) -> CursorValue {
    match (&a, &b) {
        (CursorValue::Timestamp(first), CursorValue::Timestamp(second)) if second < first => b,
        (CursorValue::Date(first), CursorValue::Date(second)) if second < first => b,
        _ => a,
    }
}

/// How many rows from the first on are not dated after `micros`; the column is sorted.
pub(crate) fn rows_until(column: &dyn Array, micros: i64) -> usize {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => column.as_primitive::<TimestampMicrosecondType>().values().partition_point(|at| *at <= micros),
        DataType::Date32 => column.as_primitive::<Date32Type>().values().partition_point(|day| i64::from(*day).saturating_mul(DAY_MICROS) <= micros),
        _ => column.len(),
    }
}

fn foreign() -> ConnectorError {
    ConnectorError::new(ErrorKind::Refused, "the stored position was not written by the `postgres` plugin")
        .with_help("read the table again from the start: `karat run --full-refresh`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    #[test]
    fn values_are_written_as_the_server_reads_them() {
        let written = |value, type_name| written(&value, type_name).unwrap();
        assert_eq!(written(CursorValue::Int(-5), "bigint"), "'-5'::bigint");
        assert_eq!(written(CursorValue::Text("o'brien".into()), "text"), "'o''brien'::text");
        assert_eq!(written(CursorValue::Timestamp(-1), "timestamp with time zone"), "'1969-12-31 23:59:59.999999+00'::timestamp with time zone");
        assert_eq!(written(CursorValue::Timestamp(9_000_000_000_000_000_000), "timestamptz"), "('epoch'::timestamptz + '9000000000000000000 microseconds'::interval)");
        assert_eq!(written(CursorValue::Date(0), "date"), "'1970-01-01'::date");
        assert_eq!(written(CursorValue::Date(-800_000), "date"), "('epoch'::date + (-800000))");
    }

    #[test]
    fn a_lookback_is_never_shorter_than_asked() {
        assert_eq!(before(&CursorValue::Timestamp(5), Duration::from_nanos(1_001)).unwrap(), CursorValue::Timestamp(3));
        assert_eq!(before(&CursorValue::Date(5), Duration::from_secs(1)).unwrap(), CursorValue::Date(4));
        assert_eq!(before(&CursorValue::Date(5), Duration::from_secs(86_400)).unwrap(), CursorValue::Date(4));
        assert!(before(&CursorValue::Int(5), Duration::from_secs(1)).is_err());
    }

    #[test]
    fn values_of_other_plugins_are_refused() {
        assert_eq!(check(&CursorValue::Float(0)).unwrap_err().kind(), ErrorKind::Refused);
    }
}
