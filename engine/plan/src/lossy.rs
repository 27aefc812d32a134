//! Which `types` overrides lose something of a value without saying so.

use arrow_schema::{DataType, TimeUnit};

/// What is lost when values of `from` become `to`; `None` when nothing is, or when a value that does not fit stops the run.
pub(crate) fn loss(from: &DataType, to: &DataType) -> Option<String> {
    if from == to || is_text(to) {
        return None;
    }
    match (from, to) {
        (DataType::Float32 | DataType::Float64, to) if to.is_integer() => Some("digits after the point are cut off".into()),
        (DataType::Float64, DataType::Float32) => Some("a `real` keeps about 7 of 15 digits".into()),
        (DataType::Float32 | DataType::Float64, DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) => Some(format!("digits after the {scale}th place are rounded")),
        (DataType::Decimal128(_, from) | DataType::Decimal256(_, from), DataType::Decimal128(_, to) | DataType::Decimal256(_, to)) if to < from => {
            Some(format!("{from} digits after the point become {to}"))
        }
        (DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale), to) if to.is_integer() && *scale > 0 => Some("digits after the point are cut off".into()),
        (DataType::Decimal128(..) | DataType::Decimal256(..), DataType::Float32 | DataType::Float64) => Some("a binary fraction is not the same number".into()),
        (from, DataType::Float32) if bits(from).is_some_and(|bits| bits > 24) => Some("a `real` is exact only up to 2^24".into()),
        (from, DataType::Float64) if bits(from).is_some_and(|bits| bits > 53) => Some("a `double` is exact only up to 2^53".into()),
        (DataType::Timestamp(..), DataType::Date32) => Some("the time of day is cut off".into()),
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => Some("an instant becomes a time without a zone".into()),
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) if digits(*to) < digits(*from) => Some(format!("{} digits of a second become {}", digits(*from), digits(*to))),
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn bits(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(8),
        DataType::Int16 | DataType::UInt16 => Some(16),
        DataType::Int32 | DataType::UInt32 => Some(32),
        DataType::Int64 | DataType::UInt64 => Some(64),
        _ => None,
    }
}

fn digits(unit: TimeUnit) -> u32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::loss;
    use karat_plugin_api::DeclaredType;

    #[test]
    fn only_overrides_that_change_values_silently_are_lossy() {
        let is_lossy = |from: &str, to: &str| loss(DeclaredType::parse(from).expect("a type").data_type(), DeclaredType::parse(to).expect("a type").data_type()).is_some();
        for (from, to) in
            [("double", "bigint"), ("decimal(18,4)", "decimal(18,2)"), ("bigint", "double"), ("timestamp", "date"), ("timestamptz", "timestamp"), ("timestamp", "timestamp(3)")]
        {
            assert!(is_lossy(from, to), "{from} to {to}");
        }
        // A number too large for a narrower integer stops the run: nothing is lost silently.
        for (from, to) in [("int", "double"), ("bigint", "int"), ("double", "text"), ("text", "timestamp"), ("decimal(18,2)", "decimal(20,4)"), ("int", "decimal(10,0)")] {
            assert!(!is_lossy(from, to), "{from} to {to}");
        }
    }
}
