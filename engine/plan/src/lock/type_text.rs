//! Types in `karat.lock`: as the language names them, or as Arrow does where the language has no name.

use arrow_schema::DataType;
use karat_plugin_api::DeclaredType;

/// The text of a type; `None` where no type is exact, or none that a text can say.
pub(super) fn write(data_type: &DataType) -> Option<String> {
    if *data_type == DataType::Null {
        return None;
    }
    let named = DeclaredType::name_of(data_type).filter(|name| DeclaredType::parse(name).is_ok_and(|parsed| is_same_shape(parsed.data_type(), data_type)));
    named.or_else(|| Some(data_type.to_string()).filter(|text| text.parse::<DataType>().is_ok_and(|parsed| parsed == *data_type)))
}

/// The type that a text says.
pub(super) fn read(text: &str) -> Option<DataType> {
    DeclaredType::parse(text).ok().map(|declared| declared.data_type().clone()).or_else(|| text.parse().ok())
}

/// A name of a field may hold what separates fields, so that a text says another structure than it was made from.
fn is_same_shape(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.name() == other.name() && is_same_shape(one.data_type(), other.data_type()))
        }
        (DataType::List(one), DataType::List(other)) => is_same_shape(one.data_type(), other.data_type()),
        (DataType::Struct(_) | DataType::List(_), _) | (_, DataType::Struct(_) | DataType::List(_)) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use arrow_schema::{DataType, Field, TimeUnit};
    use std::sync::Arc;

    #[test]
    fn types_are_written_by_name_and_read_again() {
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        let odd = DataType::Struct(vec![field("a: int, b", DataType::Utf8)].into());
        for (data_type, expected) in [
            (DataType::Int64, Some("bigint")),
            (DataType::Utf8View, Some("text")),
            (DataType::Decimal256(60, 4), Some("decimal(60,4)")),
            (DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), Some("timestamptz(9)")),
            (DataType::List(Arc::new(field("item", DataType::Int32))), Some("list<int>")),
            (DataType::Struct(vec![field("a", DataType::Int32)].into()), Some("struct<a: int>")),
            (DataType::FixedSizeBinary(16), Some("FixedSizeBinary(16)")),
            (DataType::Null, None),
        ] {
            assert_eq!(write(&data_type).as_deref(), expected, "{data_type}");
        }
        let text = write(&odd);
        assert!(text.as_deref().and_then(read).is_none_or(|read| read == odd), "{text:?}");
        assert_eq!(read("FixedSizeBinary(16)"), Some(DataType::FixedSizeBinary(16)));
        assert_eq!(read("nonsense"), None);
    }
}
