//! Which type a column gets, in which binary form its values are sent, and which Arrow values a column can hold: the one table of the target side.

use crate::schema::{Native, TypeFacts, Wire, native};
use arrow::datatypes::{DataType, TimeUnit};

/// The number of the type `text`.
const TEXT: u32 = 25;

/// One column that rows are sent to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The name.
    pub(crate) column: String,
    /// What is sent.
    pub(crate) form: Form,
}

/// The binary form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Boolean,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    Numeric,
    Text,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Time,
    Timestamp,
    Interval,
    /// An array, and the number of its element type.
    List(Box<Form>, u32),
}

/// How a column takes values of an Arrow type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intake {
    /// In its own binary form.
    Direct(Form),
    /// As text or texts, which the server reads as it reads what people write.
    Cast(Form),
}

/// How a column of the type `facts` takes values of `from`; `None` when it cannot hold all of them exactly.
pub(crate) fn intake(facts: &TypeFacts, from: &DataType) -> Option<Intake> {
    let from = value_type(from);
    let native = native(facts);
    if native.cast.is_some() {
        return match from {
            DataType::List(item) | DataType::LargeList(item) if facts.element.is_some() && is_text(item.data_type()) => Some(Intake::Cast(Form::List(Box::new(Form::Text), TEXT))),
            _ => is_text(from).then_some(Intake::Cast(Form::Text)),
        };
    }
    let element = facts.element.as_ref().map(|element| TypeFacts { modifier: facts.modifier, ..(**element).clone() });
    direct(&native, element.as_ref(), from).map(Intake::Direct).or_else(|| (native.data_type == DataType::Null && is_text(from)).then_some(Intake::Cast(Form::Text)))
}

fn direct(native: &Native, element: Option<&TypeFacts>, from: &DataType) -> Option<Form> {
    use DataType as T;
    let (form, holds) = match &native.wire {
        Wire::Boolean => (Form::Boolean, *from == T::Boolean),
        Wire::Int16 => (Form::Int16, matches!(from, T::Int8 | T::UInt8 | T::Int16)),
        Wire::Int32 => (Form::Int32, matches!(from, T::Int8 | T::UInt8 | T::Int16 | T::UInt16 | T::Int32)),
        Wire::Int64 => (Form::Int64, matches!(from, T::Int8 | T::UInt8 | T::Int16 | T::UInt16 | T::Int32 | T::UInt32 | T::Int64)),
        Wire::Oid => (Form::Oid, matches!(from, T::UInt8 | T::UInt16 | T::UInt32 | T::Int64)),
        Wire::Float32 => (Form::Float32, matches!(from, T::Float16 | T::Float32 | T::Int8 | T::UInt8 | T::Int16 | T::UInt16)),
        Wire::Float64 => (Form::Float64, matches!(from, T::Float16 | T::Float32 | T::Float64 | T::Int8 | T::UInt8 | T::Int16 | T::UInt16 | T::Int32 | T::UInt32)),
        Wire::Numeric => (Form::Numeric, digits(from).is_some_and(|needed| has_room(&native.data_type, needed))),
        Wire::Text => (Form::Text, is_text(from)),
        Wire::Jsonb => (Form::Jsonb, is_text(from) || is_nested(from)),
        Wire::Uuid => (Form::Uuid, is_text(from) || *from == T::FixedSizeBinary(16)),
        Wire::Bytes => (Form::Bytes, matches!(from, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))),
        Wire::Date => (Form::Date, matches!(from, T::Date32 | T::Date64)),
        Wire::Time => (Form::Time, matches!(from, T::Time32(_) | T::Time64(_))),
        Wire::Timestamp => {
            let has_zone = matches!(native.data_type, T::Timestamp(_, Some(_)));
            (Form::Timestamp, matches!(from, T::Timestamp(_, zone) if zone.is_some() == has_zone))
        }
        Wire::Interval => (Form::Interval, matches!(from, T::Interval(_) | T::Duration(_))),
        Wire::List(_) => {
            let (T::List(item) | T::LargeList(item)) = from else { return None };
            let element = element?;
            let inner = match intake(element, item.data_type())? {
                Intake::Direct(Form::List(..)) | Intake::Cast(_) => return None,
                Intake::Direct(form) => form,
            };
            (Form::List(Box::new(inner), element.oid), true)
        }
    };
    holds.then_some(form)
}

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        DataType::RunEndEncoded(_, value) => value.data_type(),
        plain => plain,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Map(..))
}

/// Digits before and after the point that values of an exact type need.
fn digits(data_type: &DataType) -> Option<(i16, i16)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), i16::from(*scale).max(0))
        }
        _ => return None,
    })
}

/// True when a numeric column has room for so many digits; one without parameters has room for all.
fn has_room(column: &DataType, (whole, fraction): (i16, i16)) -> bool {
    match digits(column) {
        Some((whole_room, fraction_room)) => whole <= whole_room && fraction <= fraction_room,
        None => *column == DataType::Null,
    }
}

/// The type of a column that is made for values of an Arrow type, where nothing says better: the smallest that holds all of them.
pub(crate) fn column_type(from: &DataType) -> Option<String> {
    use DataType as T;
    Some(match value_type(from) {
        T::Boolean => "boolean".into(),
        T::Int8 | T::UInt8 | T::Int16 => "smallint".into(),
        T::UInt16 | T::Int32 => "integer".into(),
        T::UInt32 | T::Int64 => "bigint".into(),
        T::UInt64 => "numeric(20,0)".into(),
        T::Float16 | T::Float32 => "real".into(),
        T::Float64 => "double precision".into(),
        exact @ (T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..)) => {
            let (whole, fraction) = digits(exact)?;
            format!("numeric({},{fraction})", (whole.max(0) + fraction).max(1))
        }
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => "text".into(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "bytea".into(),
        T::Date32 | T::Date64 => "date".into(),
        T::Time32(TimeUnit::Second) => "time(0)".into(),
        T::Time32(_) => "time(3)".into(),
        T::Time64(_) => "time".into(),
        T::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => "(0)",
                TimeUnit::Millisecond => "(3)",
                TimeUnit::Microsecond | TimeUnit::Nanosecond => "",
            };
            format!("timestamp{digits} {} time zone", if zone.is_some() { "with" } else { "without" })
        }
        T::Interval(_) | T::Duration(_) => "interval".into(),
        nested if is_nested(nested) => "jsonb".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;
    use arrow::datatypes::Field;
    use karat_plugin_api::DeclaredType;
    use std::sync::Arc;

    fn facts(oid: u32) -> TypeFacts {
        TypeFacts { oid, modifier: -1, is_enum: false, element: None }
    }

    fn check(oid: u32, from: &str, expected: Option<Form>) {
        let from = DeclaredType::parse(from).unwrap();
        let found = intake(&facts(oid), from.data_type());
        assert_eq!(found, expected.map(Intake::Direct), "{oid} {from:?}");
    }

    #[test]
    fn a_column_takes_only_what_it_can_hold_exactly() {
        check(21, "tinyint unsigned", Some(Form::Int16));
        check(21, "int", None);
        check(20, "int unsigned", Some(Form::Int64));
        check(20, "bigint unsigned", None);
        check(1700, "bigint unsigned", Some(Form::Numeric));
        check(700, "double", None);
        check(701, "real", Some(Form::Float64));
        check(1184, "timestamp", None);
        check(1184, "timestamptz(9)", Some(Form::Timestamp));
        check(3802, "struct<a: int>", Some(Form::Jsonb));
        check(25, "int", None);
        let short = TypeFacts { modifier: ((10 << 16) | 2) + 4, ..facts(1700) };
        assert_eq!(intake(&short, &DataType::Decimal128(10, 2)), Some(Intake::Direct(Form::Numeric)));
        assert_eq!(intake(&short, &DataType::Decimal128(11, 2)), None);
        assert_eq!(intake(&short, &DataType::Decimal128(10, 3)), None);
    }

    #[test]
    fn what_has_no_binary_form_of_ours_is_cast_from_text() {
        assert_eq!(intake(&facts(869), &DataType::Utf8), Some(Intake::Cast(Form::Text)));
        assert_eq!(intake(&facts(1700), &DataType::Utf8), Some(Intake::Cast(Form::Text)));
        assert_eq!(intake(&facts(869), &DataType::Int64), None);
    }

    #[test]
    fn arrays_take_lists_of_what_their_elements_take() {
        let array = TypeFacts { element: Some(Box::new(facts(23))), ..facts(1007) };
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        assert_eq!(intake(&array, &list(DataType::Int16)), Some(Intake::Direct(Form::List(Box::new(Form::Int32), 23))));
        assert_eq!(intake(&array, &list(DataType::Int64)), None);
    }

    #[test]
    fn every_type_of_the_language_has_a_column_type_that_holds_it() {
        for (name, expected) in [
            ("boolean", "boolean"),
            ("tinyint unsigned", "smallint"),
            ("int unsigned", "bigint"),
            ("bigint unsigned", "numeric(20,0)"),
            ("decimal(38,10)", "numeric(38,10)"),
            ("decimal(76,0)", "numeric(76,0)"),
            ("text", "text"),
            ("binary", "bytea"),
            ("date", "date"),
            ("time(3)", "time(3)"),
            ("timestamp", "timestamp without time zone"),
            ("timestamptz(3)", "timestamp(3) with time zone"),
            ("interval", "interval"),
            ("list<int>", "jsonb"),
        ] {
            assert_eq!(column_type(DeclaredType::parse(name).unwrap().data_type()).as_deref(), Some(expected), "{name}");
        }
    }
}
