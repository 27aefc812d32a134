//! Values of statistics and partitions as text and JSON, both ways and exact: what cannot be exact is left out.

use crate::ColumnStats;
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use datafusion::common::ScalarValue;
use serde_json::{Number, Value};

const DATE: &str = "%Y-%m-%d";
const EPOCH_DAYS: i32 = 719_163;

/// Which side of a range a value bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Min,
    Max,
}

/// The JSON form of a bound; `None` when the type has none or the value would not be exact.
pub(crate) fn bound_to_json(value: &ScalarValue) -> Option<Value> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => Value::from(*v),
        ScalarValue::Int16(Some(v)) => Value::from(*v),
        ScalarValue::Int32(Some(v)) => Value::from(*v),
        ScalarValue::Int64(Some(v)) => Value::from(*v),
        ScalarValue::UInt8(Some(v)) => Value::from(*v),
        ScalarValue::UInt16(Some(v)) => Value::from(*v),
        ScalarValue::UInt32(Some(v)) => Value::from(*v),
        ScalarValue::UInt64(Some(v)) => Value::from(*v),
        ScalarValue::Float32(Some(v)) => Value::Number(Number::from_f64(f64::from(*v))?),
        ScalarValue::Float64(Some(v)) => Value::Number(Number::from_f64(*v)?),
        ScalarValue::Decimal128(Some(_), ..) => decimal_to_json(value)?,
        ScalarValue::Utf8(Some(_)) | ScalarValue::Date32(Some(_)) | ScalarValue::TimestampMicrosecond(Some(_), _) => Value::String(value_to_text(value)?),
        _ => return None,
    })
}

/// The value of a bound read from a log, never tighter than what the writer saw.
pub(crate) fn bound_from_json(value: &Value, data_type: &DataType, bound: Bound) -> Option<ScalarValue> {
    match (data_type, value) {
        (DataType::Timestamp(TimeUnit::Microsecond, zone), Value::String(text)) => {
            let micros = micros_of(text)?;
            // Other writers cut to milliseconds, which makes a maximum too small.
            let is_cut = text.split_once('.').is_none_or(|(_, fraction)| fraction.chars().take_while(char::is_ascii_digit).count() <= 3);
            let widened = if bound == Bound::Max && is_cut { micros.checked_add(999)? } else { micros };
            Some(ScalarValue::TimestampMicrosecond(Some(widened), zone.clone()))
        }
        (DataType::Utf8 | DataType::Date32, Value::String(text)) => text_to_value(Some(text), data_type),
        (DataType::Decimal128(precision, scale), Value::Number(number)) => {
            let text = number_text(number);
            // JSON numbers pass through binary floating point: only so many digits are exact.
            if text.chars().filter(char::is_ascii_digit).count() > 15 {
                return None;
            }
            let unscaled = arrow::compute::kernels::cast_utils::parse_decimal::<Decimal128Type>(&text, *precision, *scale).ok()?;
            Some(ScalarValue::Decimal128(Some(unscaled), *precision, *scale))
        }
        (
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64,
            Value::Number(number),
        ) => ScalarValue::try_from_string(number.to_string(), data_type).ok(),
        _ => None,
    }
}

/// The bounds of a column in one file; both `None` when the log has none that can be trusted.
pub(crate) fn bounds(stats: Option<&ColumnStats>, data_type: &DataType) -> (Option<ScalarValue>, Option<ScalarValue>) {
    let Some(stats) = stats else { return (None, None) };
    let read = |value: &Option<Value>, bound| value.as_ref().and_then(|value| bound_from_json(value, data_type, bound));
    (read(&stats.min, Bound::Min), read(&stats.max, Bound::Max))
}

/// The text of a partition value; `None` for NULL and for types that no partition can have.
pub(crate) fn value_to_text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(Some(text)) => Some(text.clone()),
        ScalarValue::Boolean(Some(v)) => Some(v.to_string()),
        ScalarValue::Int8(Some(v)) => Some(v.to_string()),
        ScalarValue::Int16(Some(v)) => Some(v.to_string()),
        ScalarValue::Int32(Some(v)) => Some(v.to_string()),
        ScalarValue::Int64(Some(v)) => Some(v.to_string()),
        ScalarValue::UInt8(Some(v)) => Some(v.to_string()),
        ScalarValue::UInt16(Some(v)) => Some(v.to_string()),
        ScalarValue::UInt32(Some(v)) => Some(v.to_string()),
        ScalarValue::UInt64(Some(v)) => Some(v.to_string()),
        ScalarValue::Date32(Some(days)) => {
            let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS)?)?;
            (0..=9999).contains(&date.year()).then(|| date.format(DATE).to_string())
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let at = DateTime::from_timestamp_micros(*micros)?;
            let zone = if zone.is_some() { "Z" } else { "" };
            (0..=9999).contains(&at.year()).then(|| format!("{}{zone}", at.format("%Y-%m-%dT%H:%M:%S%.6f")))
        }
        ScalarValue::Decimal128(Some(unscaled), precision, scale) => Some(Decimal128Type::format_decimal(*unscaled, *precision, *scale)),
        _ => None,
    }
}

/// The value that a partition's text stands for; `None` when it is not one of that type.
pub(crate) fn text_to_value(text: Option<&str>, data_type: &DataType) -> Option<ScalarValue> {
    let Some(text) = text else { return ScalarValue::try_from(data_type).ok() };
    match data_type {
        DataType::Utf8 => Some(ScalarValue::Utf8(Some(text.to_owned()))),
        DataType::Date32 => {
            let date = NaiveDate::parse_from_str(text, DATE).ok()?;
            Some(ScalarValue::Date32(Some(date.num_days_from_ce() - EPOCH_DAYS)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => Some(ScalarValue::TimestampMicrosecond(Some(micros_of(text)?), zone.clone())),
        _ => ScalarValue::try_from_string(text.to_owned(), data_type).ok(),
    }
}

fn micros_of(text: &str) -> Option<i64> {
    let plain = text.strip_suffix('Z').unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(plain, format) {
            return Some(at.and_utc().timestamp_micros());
        }
    }
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros())
}

fn decimal_to_json(value: &ScalarValue) -> Option<Value> {
    let text = value_to_text(value)?;
    let number = Number::from_f64(text.parse().ok()?)?;
    let exact = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    (number_text(&number) == exact).then_some(Value::Number(number))
}

/// Digits without exponent and without a trailing `.0`.
fn number_text(number: &Number) -> String {
    if number.is_f64() { number.as_f64().map(|value| value.to_string()).unwrap_or_default() } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(value: ScalarValue) -> Option<ScalarValue> {
        bound_from_json(&bound_to_json(&value)?, &value.data_type(), Bound::Min)
    }

    #[test]
    fn bounds_survive_the_log_or_are_left_out() {
        let exact = [
            ScalarValue::Int64(Some(i64::MIN)),
            ScalarValue::UInt64(Some(u64::MAX)),
            ScalarValue::Utf8(Some("äö\"".into())),
            ScalarValue::Date32(Some(-1)),
            ScalarValue::TimestampMicrosecond(Some(-1), None),
            ScalarValue::TimestampMicrosecond(Some(1_717_200_000_123_456), Some("UTC".into())),
            ScalarValue::Decimal128(Some(-12_340), 18, 3),
            ScalarValue::Decimal128(Some(7), 5, 0),
        ];
        for value in exact {
            assert_eq!(round_trip(value.clone()), Some(value));
        }

        assert_eq!(bound_to_json(&ScalarValue::Decimal128(Some(12_345_678_901_234_567_891), 38, 4)), None);
        assert_eq!(bound_to_json(&ScalarValue::Float64(Some(f64::NAN))), None);
    }

    #[test]
    fn a_maximum_cut_to_milliseconds_is_widened() {
        let max = bound_from_json(&Value::from("2024-06-01T00:00:00.123Z"), &DataType::Timestamp(TimeUnit::Microsecond, None), Bound::Max);

        assert_eq!(max, Some(ScalarValue::TimestampMicrosecond(Some(1_717_200_000_123_999), None)));
    }
}
