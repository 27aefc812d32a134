//! The lower bound of a lookback, in the spelling of the stored watermark, so that the database compares like with like.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::DateTime;
use karat_plugin_api::cells::parse_instant;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};
use std::time::Duration;

/// The value `lookback` before `watermark`, never later than that.
pub(crate) fn before(watermark: &CursorValue, data_type: Option<&DataType>, lookback: Duration) -> Result<CursorValue, ConnectorError> {
    match (watermark, data_type) {
        (CursorValue::Text(text), _) => earlier_text(text, lookback).map(CursorValue::Text).ok_or_else(no_instant),
        (CursorValue::Int(number), Some(DataType::Timestamp(unit, _))) => {
            let per_unit = match unit {
                // Whole numbers in a `timestamp` column are seconds; see the connection's page.
                TimeUnit::Second | TimeUnit::Microsecond => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Nanosecond => 1,
            };
            let units = i64::try_from(lookback.as_nanos().div_ceil(per_unit)).unwrap_or(i64::MAX);
            Ok(CursorValue::Int(number.saturating_sub(units)))
        }
        _ => Err(no_instant()),
    }
}

fn no_instant() -> ConnectorError {
    ConnectorError::new(ErrorKind::BadConfiguration, "`lookback` needs a cursor that is a timestamp")
        .with_help("name a timestamp column as `cursor`, declare the column in `types` as `timestamp` (seconds) or `timestamp(3)` (milliseconds), or leave `lookback` out")
}

fn earlier_text(text: &str, lookback: Duration) -> Option<String> {
    let instant = parse_instant(text.as_bytes()).ok()?;
    let nanos = i128::from(instant.seconds) * 1_000_000_000 + i128::from(instant.nanos) - i128::try_from(lookback.as_nanos()).ok()?;
    // Nothing is before the year 0 in text of four-digit years.
    let nanos = nanos.max(-62_167_219_200_000_000_000);
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = nanos.rem_euclid(1_000_000_000);
    let clock = DateTime::from_timestamp(seconds, 0)?;
    let mut out = clock.format("%Y-%m-%d").to_string();
    if instant.time_bytes > 0 {
        out.push_str(text.get(10..11)?);
        out.push_str(&clock.format(if instant.time_bytes == 5 { "%H:%M" } else { "%H:%M:%S" }).to_string());
    }
    if instant.fraction_digits > 0 {
        let digits = format!("{rest:09}{}", "0".repeat(instant.fraction_digits.saturating_sub(9)));
        out.push('.');
        out.push_str(digits.get(..instant.fraction_digits)?);
    }
    out.push_str(text.get(instant.clock_bytes..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, seconds: u64, expected: &str) {
        assert_eq!(earlier_text(text, Duration::from_secs(seconds)).as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn the_bound_is_spelled_like_the_watermark() {
        check("2026-03-01 00:00:10", 15, "2026-02-28 23:59:55");
        check("2026-03-01T00:00:10.250Z", 15, "2026-02-28T23:59:55.250Z");
        check("2026-03-01 00:00:10.1234567890+02:00", 1, "2026-03-01 00:00:09.1234567890+02:00");
        check("2026-03-01", 1, "2026-02-28");
        check("2026-03-01 00:00", 90, "2026-02-28 23:58");
        check("0000-01-01 00:00:01", 3600, "0000-01-01 00:00:00");
    }

    #[test]
    fn other_cursors_have_no_lookback() {
        assert!(before(&CursorValue::Text("abc".into()), None, Duration::from_secs(1)).is_err());
        assert!(before(&CursorValue::Int(5), Some(&DataType::Int64), Duration::from_secs(1)).is_err());
        assert_eq!(before(&CursorValue::Int(5), Some(&DataType::Timestamp(TimeUnit::Millisecond, None)), Duration::from_secs(1)).unwrap(), CursorValue::Int(-995));
    }

    proptest! {
        #[test]
        fn the_bound_is_never_later_and_never_much_earlier(seconds in 0_i64..4_000_000_000, nanos in 0_u32..1_000_000_000, digits in 0_usize..=9, lookback in 0_u64..1_000_000_000_000) {
            let at = DateTime::from_timestamp(seconds, nanos).unwrap();
            let fraction = format!("{nanos:09}");
            let text = if digits == 0 { at.format("%Y-%m-%d %H:%M:%S").to_string() } else { format!("{}.{}", at.format("%Y-%m-%d %H:%M:%S"), &fraction[..digits]) };
            let parsed = parse_instant(text.as_bytes()).unwrap();
            let bound = parse_instant(earlier_text(&text, Duration::from_millis(lookback)).unwrap().as_bytes()).unwrap();
            let distance = i128::from(parsed.seconds - bound.seconds) * 1_000_000_000 + i128::from(parsed.nanos) - i128::from(bound.nanos);
            let asked = i128::from(lookback) * 1_000_000;
            prop_assert!(distance >= asked && distance - asked < 10_i128.pow(9 - digits as u32), "{} {}", distance, asked);
        }
    }
}
