//! Which Arrow types hold every value of another exactly.

use arrow::datatypes::{DataType, TimeUnit};

/// The type in which columns of a file are delivered: one encoding per meaning, and instants in UTC.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.as_ref().map(|_| "UTC".into())),
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        other => other.clone(),
    }
}

/// True when every value of `from` is a value of `to`; both are plain.
pub(crate) fn holds(to: &DataType, from: &DataType) -> bool {
    if to == from {
        return true;
    }
    match (from, to) {
        (DataType::Timestamp(fine, from_zone), DataType::Timestamp(finer, to_zone)) => from_zone.is_some() == to_zone.is_some() && finer >= fine,
        (DataType::Date32, DataType::Timestamp(_, None)) | (DataType::Float32, DataType::Float64) => true,
        (DataType::Time32(fine) | DataType::Time64(fine), DataType::Time32(finer) | DataType::Time64(finer)) => finer >= fine,
        (DataType::Decimal128(p, s) | DataType::Decimal256(p, s), DataType::Decimal128(wider, scale) | DataType::Decimal256(wider, scale)) => {
            scale >= s && i16::from(*wider) - i16::from(*scale) >= i16::from(*p) - i16::from(*s)
        }
        (integer, DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) => {
            digits(integer).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= digits && *scale >= 0)
        }
        (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32, DataType::Float64) => true,
        (from, to) => match (bits(from), bits(to)) {
            (Some((from_signed, from_bits)), Some((to_signed, to_bits))) => {
                if from_signed == to_signed {
                    to_bits >= from_bits
                } else {
                    to_signed && to_bits > from_bits
                }
            }
            _ => false,
        },
    }
}

fn bits(data_type: &DataType) -> Option<(bool, u8)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

fn digits(data_type: &DataType) -> Option<i16> {
    bits(data_type).map(|(signed, bits)| match (signed, bits) {
        (_, 8) => 3,
        (_, 16) => 5,
        (_, 32) => 10,
        (true, _) => 19,
        (false, _) => 20,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lossless_changes_are_widening() {
        let decimal = DataType::Decimal128;
        for (from, to) in [
            (DataType::Int32, DataType::Int64),
            (DataType::UInt32, DataType::Int64),
            (DataType::Int64, decimal(20, 1)),
            (decimal(10, 2), decimal(18, 4)),
            (DataType::Float32, DataType::Float64),
            (DataType::Timestamp(TimeUnit::Millisecond, None), DataType::Timestamp(TimeUnit::Microsecond, None)),
        ] {
            assert!(holds(&to, &from), "{from} to {to}");
            assert!(!holds(&from, &to), "{to} to {from}");
        }
        for (from, to) in [
            (DataType::Int64, DataType::Float64),
            (DataType::Int64, DataType::UInt64),
            (DataType::UInt64, DataType::Int64),
            (decimal(10, 2), decimal(11, 4)),
            (DataType::Utf8, DataType::Int64),
            (DataType::Int64, DataType::Utf8),
            (DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ] {
            assert!(!holds(&to, &from), "{from} to {to}");
        }
    }
}
