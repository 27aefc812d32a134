//! Which declared type is read as which Arrow type, and which type a column is made with: one table.
//!
//! | declared | read as | because |
//! |---|---|---|
//! | `TINYINT`, also `TINYINT(1)`; `SMALLINT`, `MEDIUMINT`, `INT`, `BIGINT`, each also `UNSIGNED` | whole number of that width and sign | `types: {c: boolean}` takes 0 and 1 only |
//! | `DECIMAL(p,s)`, `NUMERIC` | `decimal(p,s)`, up to 65 digits | exact |
//! | `FLOAT`, `DOUBLE` | `real`, `double` | the binary protocol keeps every bit |
//! | `BIT(1)`; `BIT(n)` | `boolean`; `bigint unsigned` | |
//! | `CHAR`, `VARCHAR`, `TINYTEXT` to `LONGTEXT`, `ENUM`, `SET`, `JSON`, `UUID`, `INET4`, `INET6`, `XMLTYPE` | `text` | the server gives UTF-8, whatever the column's character set |
//! | `BINARY`, `VARBINARY`, `TINYBLOB` to `LONGBLOB`, `VECTOR` | `binary` | |
//! | `DATE` | `date` | zero and partial dates are refused; `types: {c: text}` reads them |
//! | `DATETIME(n)` | `timestamp` | as for `DATE` |
//! | `TIMESTAMP(n)` | `timestamptz` | sessions are in UTC |
//! | `TIME(n)` | `text` | it goes from -838:59:59 to 838:59:59; `types: {c: time}` takes times of day |
//! | `YEAR` | `smallint` | |
//! | `GEOMETRY` and its kinds | `binary` | WKB; with a reference system it is EWKB |

use arrow::datatypes::{DataType, TimeUnit};

/// One column as the catalogue declares it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    /// `DATA_TYPE`, in lower case.
    pub(crate) name: &'a str,
    /// `COLUMN_TYPE`: with length, sign and members.
    pub(crate) full: &'a str,
    /// `NUMERIC_PRECISION`.
    pub(crate) precision: Option<u32>,
    /// `NUMERIC_SCALE`.
    pub(crate) scale: Option<u32>,
}

/// The Arrow type of a declared type; [`DataType::Null`] where `types` must say.
pub(crate) fn arrow_type(declared: Declared<'_>) -> DataType {
    let unsigned = declared.full.contains("unsigned");
    let whole = |signed: DataType, other: DataType| if unsigned { other } else { signed };
    match declared.name {
        "tinyint" => whole(DataType::Int8, DataType::UInt8),
        "smallint" => whole(DataType::Int16, DataType::UInt16),
        "mediumint" | "int" | "integer" => whole(DataType::Int32, DataType::UInt32),
        "bigint" => whole(DataType::Int64, DataType::UInt64),
        "decimal" | "numeric" => decimal(declared.precision, declared.scale).unwrap_or(DataType::Null),
        "float" => DataType::Float32,
        "double" | "real" => DataType::Float64,
        "bit" if declared.precision == Some(1) => DataType::Boolean,
        "bit" => DataType::UInt64,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" | "json" | "uuid" | "inet4" | "inet6" | "xmltype" | "time" => DataType::Utf8,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => DataType::Binary,
        "date" => DataType::Date32,
        "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "year" => DataType::Int16,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" => DataType::Binary,
        _ => DataType::Null,
    }
}

/// The Arrow type of an exact number.
pub(crate) fn decimal(precision: Option<u32>, scale: Option<u32>) -> Option<DataType> {
    let precision = u8::try_from(precision?).ok().filter(|precision| (1..=65).contains(precision))?;
    let scale = i8::try_from(scale.unwrap_or(0)).ok()?;
    Some(if precision <= 38 { DataType::Decimal128(precision, scale) } else { DataType::Decimal256(precision, scale) })
}

/// The server's form of a geometry (reference system, then WKB) as WKB, or as EWKB when it names a reference system; `None` for what is no geometry.
pub(crate) fn geometry_from_server(value: &[u8]) -> Option<Vec<u8>> {
    let (srid, wkb) = value.split_first_chunk::<4>()?;
    let (head, body) = wkb.split_first_chunk::<5>()?;
    if *srid == [0; 4] {
        return Some(wkb.to_vec());
    }
    // The server writes little-endian geometries only; the flag says that a reference system follows the type.
    let mut out = Vec::with_capacity(value.len());
    out.extend_from_slice(&head[..4]);
    out.push(head[4] | 0x20);
    out.extend_from_slice(srid);
    out.extend_from_slice(body);
    (head[0] == 1).then_some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]
    use super::*;
    use karat_plugin_api::DeclaredType;

    fn check(name: &str, full: &str, numbers: (Option<u32>, Option<u32>), expected: Option<&str>) {
        let found = arrow_type(Declared { name, full, precision: numbers.0, scale: numbers.1 });
        assert_eq!(Some(found).filter(|found| *found != DataType::Null).and_then(|found| DeclaredType::name_of(&found)).as_deref(), expected, "{full}");
    }

    #[test]
    fn declared_types_are_read_as_the_table_says() {
        check("tinyint", "tinyint(1)", (Some(3), Some(0)), Some("tinyint"));
        check("bigint", "bigint(20) unsigned zerofill", (Some(20), Some(0)), Some("bigint unsigned"));
        check("mediumint", "mediumint unsigned", (Some(7), Some(0)), Some("int unsigned"));
        check("decimal", "decimal(65,30)", (Some(65), Some(30)), Some("decimal(65,30)"));
        check("bit", "bit(1)", (Some(1), None), Some("boolean"));
        check("bit", "bit(64)", (Some(64), None), Some("bigint unsigned"));
        check("timestamp", "timestamp(6)", (None, None), Some("timestamptz"));
        check("datetime", "datetime", (None, None), Some("timestamp"));
        check("time", "time(6)", (None, None), Some("text"));
        check("year", "year(4)", (None, None), Some("smallint"));
        check("point", "point", (None, None), Some("binary"));
        check("novelty", "novelty", (None, None), None);
    }

    #[test]
    fn a_geometry_keeps_its_reference_system() {
        let point = [1, 1, 0, 0, 0, 9, 9];
        assert_eq!(geometry_from_server(&[&[0, 0, 0, 0][..], &point].concat()).unwrap(), point);
        assert_eq!(geometry_from_server(&[&[230, 16, 0, 0][..], &point].concat()).unwrap(), [1, 1, 0, 0, 0x20, 230, 16, 0, 0, 9, 9]);
        assert_eq!(geometry_from_server(b"short"), None);
    }
}
