//! Which type of the server is read as which Arrow type, and in which form the server sends it: the one table.
//!
//! Types whose binary form holds exactly what their text says are read in it. All others are turned into text by the server. Read next: the table in
//! the plugin's README.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use std::sync::Arc;

/// The binary form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wire {
    /// One byte.
    Boolean,
    /// Two bytes, big-endian.
    Int16,
    /// Four bytes.
    Int32,
    /// Eight bytes.
    Int64,
    /// Four bytes without a sign.
    Oid,
    /// IEEE 754, four bytes.
    Float32,
    /// IEEE 754, eight bytes.
    Float64,
    /// Base 10,000 digits with weight, sign and scale.
    Numeric,
    /// Text in UTF-8.
    Text,
    /// A version byte, then text.
    Jsonb,
    /// Sixteen bytes.
    Uuid,
    /// Bytes as they are.
    Bytes,
    /// Days since 2000-01-01.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 2000-01-01, in UTC or without a zone.
    Timestamp,
    /// Microseconds, days, months.
    Interval,
    /// Dimensions, then values.
    List(Box<Wire>),
}

/// A type as the catalogue has it, domains already replaced by what is below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeFacts {
    /// Its number.
    pub(crate) oid: u32,
    /// Its parameters, such as precision and scale; -1 for none. For arrays: those of the elements.
    pub(crate) modifier: i32,
    /// True for enumerations.
    pub(crate) is_enum: bool,
    /// The elements of a true array.
    pub(crate) element: Option<Box<TypeFacts>>,
}

/// How a type is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Native {
    /// The Arrow type; [`DataType::Null`] where the server declares none that is exact.
    pub(crate) data_type: DataType,
    /// What is sent.
    pub(crate) wire: Wire,
    /// The expression that makes it so, with `$` for the column.
    pub(crate) cast: Option<&'static str>,
}

impl Native {
    fn direct(data_type: DataType, wire: Wire) -> Self {
        Self { data_type, wire, cast: None }
    }

    fn text() -> Self {
        Self { data_type: DataType::Utf8, wire: Wire::Text, cast: Some("$::text") }
    }
}

/// An array of anything as a list of what its elements print.
pub(crate) const TEXT_LIST: &str = "$::text::text[]";

/// The greatest precision of a decimal.
const GREATEST_PRECISION: i32 = 76;

/// How a column of this type is read.
pub(crate) fn native(facts: &TypeFacts) -> Native {
    if let Some(element) = &facts.element {
        let element = native(&TypeFacts { modifier: facts.modifier, ..(**element).clone() });
        let list = |data_type| DataType::List(Arc::new(Field::new("item", data_type, true)));
        return match (element.cast, element.data_type) {
            (Some(_), _) => Native { data_type: list(DataType::Utf8), wire: Wire::List(Box::new(Wire::Text)), cast: Some(TEXT_LIST) },
            (None, DataType::Null) => Native::direct(DataType::Null, Wire::List(Box::new(element.wire))),
            (None, data_type) => Native::direct(list(data_type), Wire::List(Box::new(element.wire))),
        };
    }
    if facts.is_enum {
        return Native::direct(DataType::Utf8, Wire::Text);
    }
    match facts.oid {
        16 => Native::direct(DataType::Boolean, Wire::Boolean),
        21 => Native::direct(DataType::Int16, Wire::Int16),
        23 => Native::direct(DataType::Int32, Wire::Int32),
        20 => Native::direct(DataType::Int64, Wire::Int64),
        26 => Native::direct(DataType::Int64, Wire::Oid),
        700 => Native::direct(DataType::Float32, Wire::Float32),
        701 => Native::direct(DataType::Float64, Wire::Float64),
        1700 => Native::direct(decimal(facts.modifier), Wire::Numeric),
        // text, varchar, char(n), name, json
        25 | 1043 | 1042 | 19 | 114 => Native::direct(DataType::Utf8, Wire::Text),
        3802 => Native::direct(DataType::Utf8, Wire::Jsonb),
        2950 => Native::direct(DataType::Utf8, Wire::Uuid),
        17 => Native::direct(DataType::Binary, Wire::Bytes),
        1082 => Native::direct(DataType::Date32, Wire::Date),
        1083 => Native::direct(DataType::Time64(TimeUnit::Microsecond), Wire::Time),
        1114 => Native::direct(DataType::Timestamp(TimeUnit::Microsecond, None), Wire::Timestamp),
        1184 => Native::direct(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Wire::Timestamp),
        // The cast to text always adds a mask; what everybody sees is what the type prints.
        869 => Native { cast: Some("pg_catalog.textin(pg_catalog.inet_out($))"), ..Native::text() },
        1186 => Native::direct(DataType::Interval(IntervalUnit::MonthDayNano), Wire::Interval),
        _ => Native::text(),
    }
}

/// `numeric(p,s)`. A negative scale is whole numbers with zeros at the end; a scale above the precision is a small fraction.
fn decimal(modifier: i32) -> DataType {
    if modifier < 4 {
        return DataType::Null;
    }
    let packed = modifier - 4;
    let precision = (packed >> 16) & 0xffff;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    let digits = precision.max(scale) - scale.min(0);
    let (Ok(digits), Ok(scale)) = (u8::try_from(digits), i8::try_from(scale.max(0))) else { return DataType::Null };
    match i32::from(digits) {
        ..=38 => DataType::Decimal128(digits, scale),
        39..=GREATEST_PRECISION => DataType::Decimal256(digits, scale),
        _ => DataType::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use karat_plugin_api::DeclaredType;

    fn numeric(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    fn check(oid: u32, modifier: i32, expected: Option<&str>) {
        let found = native(&TypeFacts { oid, modifier, is_enum: false, element: None });
        let name = Some(&found.data_type).filter(|data_type| **data_type != DataType::Null).and_then(DeclaredType::name_of);
        assert_eq!(name.as_deref(), expected, "{oid} {modifier}");
    }

    #[test]
    fn a_numeric_is_as_exact_as_it_is_declared() {
        check(1700, numeric(18, 4), Some("decimal(18,4)"));
        check(1700, numeric(38, 0), Some("decimal(38,0)"));
        check(1700, numeric(76, 10), Some("decimal(76,10)"));
        check(1700, numeric(5, -2), Some("decimal(7,0)"));
        check(1700, numeric(3, 5), Some("decimal(5,5)"));
        check(1700, numeric(77, 0), None);
        check(1700, numeric(1000, 1000), None);
        check(1700, -1, None);
    }

    #[test]
    fn what_has_no_exact_arrow_type_is_read_as_the_servers_text() {
        for oid in [142, 790, 829, 1266, 1560, 3614, 4072, 99_999] {
            assert_eq!(native(&TypeFacts { oid, modifier: -1, is_enum: false, element: None }), Native::text(), "{oid}");
        }
    }

    #[test]
    fn arrays_are_lists_of_what_their_elements_are() {
        let array =
            |oid, modifier| native(&TypeFacts { oid: 1, modifier, is_enum: false, element: Some(Box::new(TypeFacts { oid, modifier: -1, is_enum: false, element: None })) });
        assert_eq!(DeclaredType::name_of(&array(1700, numeric(10, 2)).data_type).as_deref(), Some("list<decimal(10,2)>"));
        assert_eq!(array(1700, -1).data_type, DataType::Null);
        assert_eq!(array(869, -1).cast, Some(TEXT_LIST));
    }
}
