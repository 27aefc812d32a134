//! Lists, structs and maps as JSON text, exact to the last digit.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::io::Write;

const NOT_FINITE: &str = "a list or struct holds a number that is infinite or no number, which JSON cannot";

/// Writes the value in `row`. Numbers keep all their digits, instants are ISO 8601, bytes are hexadecimal.
pub(crate) fn write_json(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.extend_from_slice(b"null"),
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            out.push(b'{');
            for (at, field) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_text(field.name(), out)?;
                out.push(b':');
                write_json(parts.column(at), row, out)?;
            }
            out.push(b'}');
        }
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), out)?,
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(row), out)?,
        DataType::FixedSizeList(..) => write_list(&array.as_fixed_size_list().value(row), out)?,
        DataType::Map(..) => write_map(&array.as_map().value(row), out)?,
        DataType::Utf8 => write_text(array.as_string::<i32>().value(row), out)?,
        DataType::LargeUtf8 => write_text(array.as_string::<i64>().value(row), out)?,
        DataType::Utf8View => write_text(array.as_string_view().value(row), out)?,
        DataType::Boolean => out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" }),
        DataType::Float16 if !array.as_primitive::<Float16Type>().value(row).is_finite() => return Err(NOT_FINITE),
        DataType::Float32 if !array.as_primitive::<Float32Type>().value(row).is_finite() => return Err(NOT_FINITE),
        DataType::Float64 if !array.as_primitive::<Float64Type>().value(row).is_finite() => return Err(NOT_FINITE),
        data_type => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).map_err(|_| "a list or struct holds values that have no JSON form")?;
            let text = formatter.value(row).try_to_string().map_err(|_| "a list or struct holds a value out of range")?;
            if data_type.is_numeric() {
                // Writing into memory cannot fail.
                let _infallible = out.write_all(text.as_bytes());
            } else {
                write_text(&text, out)?;
            }
        }
    }
    Ok(())
}

fn write_list(items: &ArrayRef, out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.push(b'[');
    for at in 0..items.len() {
        if at > 0 {
            out.push(b',');
        }
        write_json(items, at, out)?;
    }
    out.push(b']');
    Ok(())
}

/// A map with text keys is an object.
fn write_map(entries: &arrow::array::StructArray, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let keys = ArrayFormatter::try_new(entries.column(0), &FormatOptions::default()).map_err(|_| "a map has keys that have no JSON form")?;
    out.push(b'{');
    for at in 0..entries.len() {
        if at > 0 {
            out.push(b',');
        }
        write_text(&keys.value(at).try_to_string().map_err(|_| "a map has a key out of range")?, out)?;
        out.push(b':');
        write_json(entries.column(1), at, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if text.contains('\0') {
        return Err("a text in a list or struct holds a NUL character, which PostgreSQL cannot store");
    }
    serde_json::to_writer(out, text).map_err(|_| "a text has no JSON form")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};
    use std::sync::Arc;

    fn text(array: ArrayRef, row: usize) -> Result<String, &'static str> {
        let mut out = Vec::new();
        write_json(&array, row, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn nested_values_keep_their_digits_and_their_quotes() {
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None, Some(i64::MAX)]), None, Some(vec![])]));
        let amount: ArrayRef = Arc::new(Decimal128Array::from(vec![10_000_000_000_000_000_000_001_i128, 5, -5]).with_precision_and_scale(38, 2).unwrap());
        let name: ArrayRef = Arc::new(StringArray::from(vec!["a\"b\\\n", "ä", ""]));
        let fields = vec![("l", list.clone()), ("n", amount), ("t", name)].into_iter().map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array));
        let row: ArrayRef = Arc::new(StructArray::from(fields.collect::<Vec<_>>()));

        assert_eq!(text(row.clone(), 0).unwrap(), r#"{"l":[1,null,9223372036854775807],"n":100000000000000000000.01,"t":"a\"b\\\n"}"#);
        assert_eq!(text(row, 1).unwrap(), r#"{"l":null,"n":0.05,"t":"ä"}"#);
        assert_eq!(text(list, 2).unwrap(), "[]");
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        assert!(text(Arc::new(Float64Array::from(vec![f64::NAN])), 0).is_err());
        assert!(text(Arc::new(StringArray::from(vec!["\0"])), 0).is_err());
        assert_eq!(text(Arc::new(Int64Array::from(vec![3])), 0).unwrap(), "3");
    }
}
