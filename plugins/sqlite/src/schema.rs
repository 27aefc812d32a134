//! Which declared type is read as which Arrow type: one table.
//!
//! | declared, in any case | read as | because |
//! |---|---|---|
//! | `BOOL`, `BOOLEAN` | `boolean` | cells are 0, 1, or the words |
//! | `DECIMAL(p,s)`, `NUMERIC(p,s)`, `DEC(p,s)` | `decimal(p,s)` | 1 ≤ p ≤ 76 |
//! | `DECIMAL`, `NUMERIC`, `NUMBER` without precision, `ANY`, no type, any other word | none: `types` must say | a guess could lose digits |
//! | `DATE` | `date` | text only |
//! | `TIME`, `TIME(n)` | `time(n)` | text only |
//! | `DATETIME`, `TIMESTAMP`, with `(n)` | `timestamp(n)` | text, or whole seconds (see the connection's page) |
//! | `TIMESTAMPTZ`, `DATETIMEOFFSET`, `TIMESTAMP WITH TIME ZONE` | `timestamptz(n)` | as above; without an offset it is UTC |
//! | `REAL`, `DOUBLE`, `DOUBLE PRECISION`, `FLOAT` | `double` | SQLite stores eight bytes, whatever the name |
//! | `TEXT`, `CLOB`, `STRING`, `UUID`, `JSON`, all that contain `CHAR` | `text` | lengths are not enforced by SQLite |
//! | `BLOB`, `BINARY`, `VARBINARY`, `BYTEA`, `JSONB` | `binary` | |
//! | all that contain `INT`, also `SMALLINT`, `TINYINT`, `UNSIGNED BIG INT` | `bigint` | SQLite stores up to eight bytes, whatever the name |

use arrow::datatypes::DataType;
use karat_plugin_api::DeclaredType;

/// The Arrow type of a declared type; [`DataType::Null`] where `types` must say.
pub(crate) fn arrow_type(declared: &str) -> DataType {
    let upper = declared.to_ascii_uppercase();
    let (name, parameters) = match upper.split_once('(') {
        Some((name, rest)) => {
            let (inside, tail) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{} {}", name.trim(), tail.trim()), Some(inside.trim().to_owned()))
        }
        None => (upper, None),
    };
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let with = |language: &str| match &parameters {
        Some(parameters) => format!("{language}({parameters})"),
        None => language.to_owned(),
    };
    let language = match name.as_str() {
        "BOOL" | "BOOLEAN" => "boolean".to_owned(),
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" => with("decimal"),
        "DATE" => "date".to_owned(),
        "TIME" | "TIME WITHOUT TIME ZONE" => with("time"),
        "DATETIME" | "DATETIME2" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => with("timestamp"),
        "TIMESTAMPTZ" | "DATETIMEOFFSET" | "TIMESTAMP WITH TIME ZONE" => with("timestamptz"),
        "REAL" | "DOUBLE" | "DOUBLE PRECISION" | "FLOAT" => "double".to_owned(),
        "TEXT" | "CLOB" | "STRING" | "UUID" | "JSON" => "text".to_owned(),
        "BLOB" | "BINARY" | "VARBINARY" | "BYTEA" | "JSONB" => "binary".to_owned(),
        other if other.contains("INT") && !other.contains("POINT") && !other.contains("INTERVAL") => "bigint".to_owned(),
        other if other.contains("CHAR") => "text".to_owned(),
        _ => return DataType::Null,
    };
    DeclaredType::parse(&language).map_or(DataType::Null, |parsed| parsed.data_type().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declared: &str, expected: Option<&str>) {
        let name = Some(arrow_type(declared)).filter(|data_type| *data_type != DataType::Null).and_then(|data_type| DeclaredType::name_of(&data_type));
        assert_eq!(name.as_deref(), expected, "{declared}");
    }

    #[test]
    fn declared_types_are_read_as_the_table_says() {
        for (declared, expected) in [
            ("INTEGER", "bigint"),
            ("int", "bigint"),
            ("UNSIGNED BIG INT", "bigint"),
            ("SMALLINT", "bigint"),
            ("TINYINT(1)", "bigint"),
            ("Boolean", "boolean"),
            ("DECIMAL(10, 5)", "decimal(10,5)"),
            ("numeric(18,0)", "decimal(18,0)"),
            ("NUMERIC(40,2)", "decimal(40,2)"),
            ("VARCHAR(255)", "text"),
            ("NATIVE CHARACTER(70)", "text"),
            ("nvarchar(100)", "text"),
            ("JSON", "text"),
            ("DOUBLE PRECISION", "double"),
            ("float", "double"),
            ("DATE", "date"),
            ("DATETIME", "timestamp"),
            ("TIMESTAMP(3)", "timestamp(3)"),
            ("timestamp with time zone", "timestamptz"),
            ("TIMESTAMP(3) WITH TIME ZONE", "timestamptz(3)"),
            ("TIME", "time"),
            ("BLOB", "binary"),
        ] {
            check(declared, Some(expected));
        }
    }

    #[test]
    fn what_declares_no_exact_type_is_left_to_the_user() {
        for declared in ["", "NUMERIC", "DECIMAL", "ANY", "POINT", "INTERVAL", "DECIMAL(99,2)", "GEOMETRY", "DECIMAL(5,9)"] {
            check(declared, None);
        }
    }
}
