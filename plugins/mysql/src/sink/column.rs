//! Columns of a target: the type lattice from Arrow to MySQL, and what a column that exists can take.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind};

/// Most characters of a text, and bytes of a binary value, that is part of a key.
pub(crate) const KEY_LENGTH: usize = 255;

/// Which server it is, as far as types and SQL differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// MariaDB rather than MySQL.
    pub(crate) is_mariadb: bool,
}

impl Dialect {
    /// The collation of texts in tables that are made: exact, without padding, so that keys are equal only when their bytes are.
    pub(crate) fn exact_collation(self) -> &'static str {
        if self.is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }
    }

    /// A type that either server of the family declares, as this one takes it; `None` for one that it does not have.
    pub(crate) fn adopt(self, declared: &str) -> Option<String> {
        let lower = declared.trim().to_ascii_lowercase();
        let name = lower.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        match name {
            // As text and bytes they are the same everywhere.
            "vector" | "xmltype" => return None,
            "uuid" | "inet4" | "inet6" if !self.is_mariadb => return None,
            // Only MySQL calls it so, and it knows the longer name as well.
            "geomcollection" => return Some("geometrycollection".to_owned()),
            _ => {}
        }
        let Some((head, collation)) = lower.rsplit_once(" collate ") else { return Some(declared.to_owned()) };
        let is_foreign = if self.is_mariadb { collation.contains("_0900_") } else { collation.contains("uca1400") || collation.contains("_nopad_") };
        if !is_foreign {
            return Some(declared.to_owned());
        }
        // Labels stay as they are spelled; values that differed by a collation differ by their bytes, too.
        let plain = head.rsplit_once(" character set ").map_or(head, |(plain, _)| plain).len();
        Some(format!("{} CHARACTER SET utf8mb4 COLLATE {}", &declared.trim()[..plain], self.exact_collation()))
    }
}

/// What a column stores, as far as writing it must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number from `least` to `most`.
    Whole { least: i128, most: i128 },
    /// A decimal of this many digits, and this many of them after the point.
    Decimal { precision: u8, scale: u8 },
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// Text in a Unicode character set; `None` for any length. `is_unicode` is false when the server must convert it.
    Text { characters: Option<u64>, is_unicode: bool },
    /// A label, or labels.
    Label { is_unicode: bool },
    /// Bytes; `is_fixed` when shorter values would be padded.
    Bytes { length: Option<u64>, is_fixed: bool },
    /// A day.
    Date,
    /// A time or a span of time, with this many digits of a second.
    Time { digits: u8 },
    /// Date and time without a zone.
    DateTime { digits: u8 },
    /// A moment, in UTC on the wire because sessions are.
    Timestamp { digits: u8 },
    /// A year.
    Year,
    /// Bits.
    Bit { bits: u8 },
    /// A JSON document.
    Json,
    /// A UUID or a network address: types of MariaDB that read text.
    TextForm,
    /// A geometry, in the server's own binary form.
    Geometry,
}

/// Reads a column type as `information_schema` spells it; `None` for one that is not known.
pub(crate) fn parse(column_type: &str, charset: Option<&str>) -> Option<Kind> {
    let text = column_type.trim().to_ascii_lowercase();
    let name_end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    let numbers: Vec<u64> = match (rest.find('('), rest.find(')')) {
        (Some(open), Some(close)) if open < close => rest[open + 1..close].split(',').filter_map(|part| part.trim().parse().ok()).collect(),
        _ => Vec::new(),
    };
    let is_unsigned = rest.contains("unsigned") || rest.contains("zerofill");
    let digits = numbers.first().and_then(|digits| u8::try_from(*digits).ok()).unwrap_or(0);
    let is_unicode = charset.is_none_or(|charset| charset.starts_with("utf8"));
    let first = numbers.first().copied();
    Some(match name {
        "tinyint" => whole(8, is_unsigned),
        "smallint" => whole(16, is_unsigned),
        "mediumint" => whole(24, is_unsigned),
        "int" | "integer" => whole(32, is_unsigned),
        "bigint" => whole(64, is_unsigned),
        "decimal" | "numeric" => {
            let part = |at: usize, default: u8| numbers.get(at).and_then(|part| u8::try_from(*part).ok()).unwrap_or(default);
            Kind::Decimal { precision: part(0, 10), scale: part(1, 0) }
        }
        "float" => Kind::Float,
        "double" | "real" => Kind::Double,
        "char" | "varchar" => Kind::Text { characters: first, is_unicode },
        // Text types of a tier hold at least this many characters of four bytes.
        "tinytext" => Kind::Text { characters: Some(63), is_unicode },
        "text" => Kind::Text { characters: Some(16_383), is_unicode },
        "mediumtext" => Kind::Text { characters: Some(4_194_303), is_unicode },
        "longtext" => Kind::Text { characters: None, is_unicode },
        "enum" | "set" => Kind::Label { is_unicode },
        "binary" => Kind::Bytes { length: first.or(Some(1)), is_fixed: true },
        "varbinary" => Kind::Bytes { length: first, is_fixed: false },
        "tinyblob" => Kind::Bytes { length: Some(255), is_fixed: false },
        "blob" => Kind::Bytes { length: Some(65_535), is_fixed: false },
        "mediumblob" => Kind::Bytes { length: Some(16_777_215), is_fixed: false },
        "longblob" => Kind::Bytes { length: None, is_fixed: false },
        "date" => Kind::Date,
        "time" => Kind::Time { digits },
        "datetime" => Kind::DateTime { digits },
        "timestamp" => Kind::Timestamp { digits },
        "year" => Kind::Year,
        "bit" => Kind::Bit { bits: digits.max(1) },
        "json" => Kind::Json,
        "uuid" | "inet4" | "inet6" => Kind::TextForm,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" => Kind::Geometry,
        _ => return None,
    })
}

fn whole(bits: u32, is_unsigned: bool) -> Kind {
    let most = (1_i128 << if is_unsigned { bits } else { bits - 1 }) - 1;
    Kind::Whole { least: if is_unsigned { 0 } else { -most - 1 }, most }
}

/// The type a new column gets for values of an Arrow type.
///
/// # Errors
/// [`ErrorKind::SchemaMismatch`] when no column could hold them.
pub(crate) fn declare(field: &Field, is_key: bool, dialect: Dialect) -> Result<String, ConnectorError> {
    let collation = dialect.exact_collation();
    let exact_text = |length: usize| format!("varchar({length}) CHARACTER SET utf8mb4 COLLATE {collation}");
    Ok(match field.data_type() {
        DataType::Boolean => "tinyint(1)".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::UInt8 => "tinyint unsigned".to_owned(),
        DataType::UInt16 => "smallint unsigned".to_owned(),
        DataType::UInt32 => "int unsigned".to_owned(),
        DataType::UInt64 => "bigint unsigned".to_owned(),
        DataType::Float16 | DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => match decimal_of(*p, *s) {
            Some((precision, scale)) => format!("decimal({precision},{scale})"),
            // More digits than the server's decimals have: exact as text.
            None => exact_text(100),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_key => exact_text(KEY_LENGTH),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => format!("longtext CHARACTER SET utf8mb4 COLLATE {collation}"),
        DataType::FixedSizeBinary(length @ 1..=255) => format!("binary({length})"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) if is_key => format!("varbinary({KEY_LENGTH})"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "longblob".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => format!("time({})", digits_of(*unit)),
        // `timestamp` ends in 2038, so moments are stored as UTC in `datetime`.
        DataType::Timestamp(unit, _) => format!("datetime({})", digits_of(*unit)),
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => exact_text(100),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Struct(_) | DataType::Map(..) => "json".to_owned(),
        DataType::Dictionary(_, value) => return declare(&Field::new(field.name(), value.as_ref().clone(), field.is_nullable()), is_key, dialect),
        other => {
            return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{other}`, which no MySQL column holds", field.name()))
                .with_help(format!("choose another type: `types: {{ {}: text }}`", field.name())));
        }
    })
}

/// Precision and scale as the server counts them; `None` when it has too few digits.
fn decimal_of(precision: u8, scale: i8) -> Option<(u8, u8)> {
    let (precision, scale) = match u8::try_from(scale) {
        Ok(scale) => (precision.max(scale), scale),
        Err(_) => (precision.checked_add(scale.unsigned_abs())?, 0),
    };
    (precision <= 65 && scale <= 30).then_some((precision, scale))
}

fn digits_of(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
    }
}

/// True when a column of this kind holds every value of the Arrow type, or refuses loudly those that it does not.
pub(crate) fn takes(kind: &Kind, data_type: &DataType) -> bool {
    use DataType as T;
    match (kind, data_type) {
        (_, T::Dictionary(_, value)) => takes(kind, value),
        (Kind::Whole { .. } | Kind::Decimal { .. }, T::Boolean) => true,
        (Kind::Bit { .. }, T::Boolean | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64) => true,
        (Kind::Year, whole) if whole.is_integer() => true,
        (Kind::Time { .. }, T::Int64 | T::Time32(_) | T::Time64(_) | T::Duration(_) | T::Utf8) => true,
        (Kind::Whole { least, most }, whole) => range_of(whole).is_some_and(|(low, high)| low >= *least && high <= *most),
        (Kind::Decimal { precision, scale }, T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s)) => {
            i16::from(*scale) >= i16::from(*s) && i16::from(*precision) - i16::from(*scale) >= i16::from(*p) - i16::from(*s)
        }
        (Kind::Decimal { precision, scale }, whole) => range_of(whole).is_some_and(|(low, high)| {
            let digits = u32::from(precision.saturating_sub(*scale)).min(38);
            let most = 10_i128.pow(digits) - 1;
            low >= -most && high <= most
        }),
        (Kind::Float, T::Float16 | T::Float32 | T::Int8 | T::Int16 | T::UInt8 | T::UInt16) => true,
        (Kind::Double, T::Float16 | T::Float32 | T::Float64 | T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32) => true,
        (Kind::Text { .. }, T::Interval(_)) => true,
        (Kind::Text { .. }, T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..)) => true,
        (Kind::Text { .. } | Kind::Label { .. } | Kind::TextForm | Kind::Json, T::Utf8 | T::LargeUtf8 | T::Utf8View) => true,
        (Kind::Json | Kind::Text { .. }, T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::Struct(_) | T::Map(..)) => true,
        (Kind::Bytes { .. } | Kind::Geometry, T::Binary | T::LargeBinary | T::BinaryView) => true,
        (Kind::Bytes { length, .. }, T::FixedSizeBinary(size)) => length.is_none_or(|length| i64::from(*size) <= i64::try_from(length).unwrap_or(i64::MAX)),
        // MariaDB's `uuid` reads text, and its bytes are written as such.
        (Kind::TextForm, T::FixedSizeBinary(16)) => true,
        (Kind::Date, T::Date32 | T::Date64) => true,
        (Kind::DateTime { .. } | Kind::Timestamp { .. }, T::Timestamp(_, Some(_))) => true,
        (Kind::DateTime { .. }, T::Timestamp(_, None) | T::Date32) => true,
        _ => false,
    }
}

/// True when every value that a column of kind `old` can store keeps its meaning in one of kind `new`.
pub(crate) fn widens(old: &Kind, new: &Kind) -> bool {
    let digits = |precision: u8, scale: u8| (i16::from(precision) - i16::from(scale), scale);
    match (old, new) {
        (old, new) if old == new => true,
        (Kind::Whole { least, most }, Kind::Whole { least: low, most: high }) => low <= least && high >= most,
        (Kind::Whole { least, most }, Kind::Decimal { precision, scale }) => {
            let room = 10_i128.pow(u32::from(precision.saturating_sub(*scale)).min(38));
            *least > -room && *most < room
        }
        (Kind::Decimal { precision, scale }, Kind::Decimal { precision: more, scale: finer }) => {
            let (old, new) = (digits(*precision, *scale), digits(*more, *finer));
            new.0 >= old.0 && new.1 >= old.1
        }
        (Kind::Float, Kind::Double) => true,
        (Kind::Text { characters: old, .. }, Kind::Text { characters: new, is_unicode: true }) => new.is_none() || (old.is_some() && new >= old),
        (Kind::Label { .. }, Kind::Text { is_unicode: true, .. }) => true,
        (Kind::Bytes { length: old, is_fixed: false }, Kind::Bytes { length: new, is_fixed: false }) => new.is_none() || (old.is_some() && new >= old),
        (Kind::Time { digits: old }, Kind::Time { digits: new })
        | (Kind::DateTime { digits: old } | Kind::Timestamp { digits: old }, Kind::DateTime { digits: new })
        | (Kind::Timestamp { digits: old }, Kind::Timestamp { digits: new }) => new >= old,
        (Kind::Date, Kind::DateTime { .. }) => true,
        (Kind::Bit { bits: old }, Kind::Bit { bits: new }) => new >= old,
        _ => false,
    }
}

fn range_of(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
        DataType::Int16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        DataType::Int32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        DataType::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        DataType::UInt8 => (0, i128::from(u8::MAX)),
        DataType::UInt16 => (0, i128::from(u16::MAX)),
        DataType::UInt32 => (0, i128::from(u32::MAX)),
        DataType::UInt64 => (0, i128::from(u64::MAX)),
        DataType::Decimal128(precision, scale) if *scale == 0 && *precision <= 38 => {
            let most = 10_i128.checked_pow(u32::from(*precision))? - 1;
            (-most, most)
        }
        _ => return None,
    })
}

/// The type as the language writes it, for messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).unwrap_or_else(|| data_type.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]
    use super::*;

    const MARIADB: Dialect = Dialect { is_mariadb: true };

    #[test]
    fn every_type_the_lattice_declares_takes_its_own_values() {
        let micros = TimeUnit::Microsecond;
        for data_type in [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int64,
            DataType::UInt64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 10),
            DataType::Decimal128(3, -2),
            DataType::Decimal256(76, 40),
            DataType::Utf8,
            DataType::Binary,
            DataType::FixedSizeBinary(16),
            DataType::Date32,
            DataType::Time64(micros),
            DataType::Duration(micros),
            DataType::Timestamp(micros, None),
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::List(Field::new("item", DataType::Int32, true).into()),
        ] {
            let declared = declare(&Field::new("c", data_type.clone(), true), false, MARIADB).unwrap();
            let kind = parse(&declared, Some("utf8mb4")).unwrap();
            assert!(takes(&kind, &data_type), "{data_type} as {declared}");
        }
    }

    #[test]
    fn a_type_of_the_other_server_is_taken_as_this_one_has_it() {
        let mysql = Dialect { is_mariadb: false };
        let adopt = |dialect: Dialect, declared: &str| dialect.adopt(declared);

        assert_eq!(adopt(mysql, "varchar(9) character set utf8mb4 collate utf8mb4_uca1400_ai_ci").unwrap(), "varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin");
        assert_eq!(adopt(MARIADB, "enum('Ä','b') character set utf8mb4 collate utf8mb4_0900_ai_ci").unwrap(), "enum('Ä','b') CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin");
        for (dialect, kept) in [(MARIADB, "varchar(9) character set latin1 collate latin1_nopad_bin"), (mysql, "bigint(20) unsigned"), (MARIADB, "uuid"), (mysql, "json")] {
            assert_eq!(adopt(dialect, kept).as_deref(), Some(kept));
        }
        assert_eq!(adopt(MARIADB, "geomcollection").unwrap(), "geometrycollection");
        assert_eq!((adopt(mysql, "uuid"), adopt(mysql, "vector(3)"), adopt(mysql, "inet6")), (None, None, None));
    }

    #[test]
    fn a_column_that_would_lose_digits_takes_no_such_values() {
        let takes = |declared: &str, data_type: DataType| takes(&parse(declared, None).unwrap(), &data_type);

        assert!(!takes("bigint", DataType::UInt64));
        assert!(takes("bigint(20) unsigned", DataType::UInt64));
        assert!(!takes("decimal(18,2)", DataType::Decimal128(18, 4)));
        assert!(!takes("float", DataType::Float64));
        assert!(!takes("double", DataType::Int64));
        assert!(takes("decimal(20,0)", DataType::UInt64));
        assert!(!takes("timestamp(6)", DataType::Timestamp(TimeUnit::Microsecond, None)));
    }
}
