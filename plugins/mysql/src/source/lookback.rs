//! Instants before other instants.

use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};
use std::time::Duration;

/// The instant `lookback` before `watermark`.
pub(crate) fn before(watermark: &CursorValue, lookback: Duration) -> Result<CursorValue, ConnectorError> {
    let micros = i64::try_from(lookback.as_micros()).unwrap_or(i64::MAX);
    match watermark {
        CursorValue::Timestamp(at) => Ok(CursorValue::Timestamp(at.saturating_sub(micros).max(YEAR_ONE))),
        CursorValue::Date(day) => {
            let days = i32::try_from(lookback.as_secs().div_ceil(86_400)).unwrap_or(i32::MAX);
            Ok(CursorValue::Date(day.saturating_sub(days).max(-719_162)))
        }
        // A zero date is the least of all.
        CursorValue::Text(text) if text.starts_with("0000-00-00") => Ok(watermark.clone()),
        _ => Err(ConnectorError::new(ErrorKind::BadConfiguration, "`lookback` needs a cursor that is a date or a timestamp")
            .with_help("name a `DATETIME`, `TIMESTAMP` or `DATE` column as `cursor`, or leave `lookback` out")),
    }
}

/// 0001-01-01T00:00:00: the server knows no earlier instants.
const YEAR_ONE: i64 = -62_135_596_800_000_000;

/// The earlier of two instants.
pub(crate) fn earlier(a: CursorValue, b: CursorValue) -> CursorValue {
    match (&a, &b) {
        (CursorValue::Timestamp(x), CursorValue::Timestamp(y)) if x < y => a,
        (CursorValue::Date(x), CursorValue::Date(y)) if x < y => a,
        (CursorValue::Text(_), _) => a,
        _ => b,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]
    use super::*;

    #[test]
    fn a_lookback_goes_back_by_instants_and_whole_days() {
        let minute = Duration::from_secs(60);
        assert_eq!(before(&CursorValue::Timestamp(90_000_000), minute).unwrap(), CursorValue::Timestamp(30_000_000));
        assert_eq!(before(&CursorValue::Date(10), minute).unwrap(), CursorValue::Date(9));
        assert_eq!(before(&CursorValue::Timestamp(YEAR_ONE), minute).unwrap(), CursorValue::Timestamp(YEAR_ONE));
        assert!(before(&CursorValue::Int(5), minute).is_err());
    }
}
