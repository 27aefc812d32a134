//! What a source says of its columns, and the type names of the language.

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;
use thiserror::Error;

/// A table as the source's catalogue describes it; never guessed from rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSchema {
    /// The columns in the source's order.
    pub columns: Vec<Column>,
    /// The primary key's columns in key order; empty when there is none.
    pub primary_key: Vec<String>,
    /// Column lists of the unique and other indexes, in index order.
    pub indexes: Vec<Vec<String>>,
    /// About how many rows, where the catalogue knows.
    pub estimated_rows: Option<u64>,
    /// About how many bytes, where the catalogue knows.
    pub estimated_bytes: Option<u64>,
    /// What identifies this very source and table, so that a restored or exchanged one is noticed.
    pub identity: String,
    /// Whether the source shows this connection who is writing.
    pub sees_writers: SeesWriters,
}

/// Whether a connection is shown the transactions in progress: only then is it known which rows may still be committed late.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SeesWriters {
    /// Nobody has asked the source, or there is nothing to ask.
    #[default]
    Unasked,
    /// It is.
    Yes,
    /// It is not, because of this.
    No(String),
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name as the source spells it.
    pub name: String,
    /// The type as the source declares it.
    pub declared: String,
    /// The Arrow type it is read as. [`DataType::Null`] where the source declares none that is exact: `types` must name one before it can be read.
    pub data_type: DataType,
    /// Whether NULL may occur.
    pub nullable: bool,
}

impl SourceSchema {
    /// The columns as an Arrow schema.
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable)).collect();
        Arc::new(Schema::new(fields))
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A type as `types` and `karat.lock` write it, such as `decimal(18,2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredType {
    text: String,
    data_type: DataType,
}

/// Why a type name is not one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TypeError {
    /// No such type.
    #[error("`{0}` is not a type")]
    UnknownName(String),
    /// The numbers in parentheses do not fit.
    #[error("`{text}`: {reason}")]
    BadParameters {
        /// The whole text.
        text: String,
        /// What does not fit.
        reason: String,
    },
}

/// The names that [`DeclaredType::parse`] knows, without parameters.
pub const TYPE_NAMES: &[&str] = &[
    "boolean",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "tinyint unsigned",
    "smallint unsigned",
    "int unsigned",
    "bigint unsigned",
    "real",
    "double",
    "decimal",
    "text",
    "binary",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "json",
    "uuid",
];

impl DeclaredType {
    /// Reads a type of the language. Timestamps and times are microseconds unless a precision says otherwise.
    ///
    /// # Errors
    /// When the name is unknown or its parameters do not fit.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        parse_type(text.trim()).map(|data_type| Self { text: text.trim().to_owned(), data_type })
    }

    /// The Arrow type.
    #[must_use]
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name the language has for an Arrow type; `None` when it has none.
    #[must_use]
    pub fn name_of(data_type: &DataType) -> Option<String> {
        Some(match data_type {
            DataType::Boolean => "boolean".into(),
            DataType::Int8 => "tinyint".into(),
            DataType::Int16 => "smallint".into(),
            DataType::Int32 => "int".into(),
            DataType::Int64 => "bigint".into(),
            DataType::UInt8 => "tinyint unsigned".into(),
            DataType::UInt16 => "smallint unsigned".into(),
            DataType::UInt32 => "int unsigned".into(),
            DataType::UInt64 => "bigint unsigned".into(),
            DataType::Float32 => "real".into(),
            DataType::Float64 => "double".into(),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
            DataType::Date32 => "date".into(),
            DataType::Time32(unit) | DataType::Time64(unit) => format!("time{}", precision_suffix(*unit)),
            DataType::Timestamp(unit, None) => format!("timestamp{}", precision_suffix(*unit)),
            DataType::Timestamp(unit, Some(_)) => format!("timestamptz{}", precision_suffix(*unit)),
            DataType::Interval(_) => "interval".into(),
            DataType::List(item) => format!("list<{}>", Self::name_of(item.data_type())?),
            DataType::Struct(fields) => {
                let parts: Option<Vec<String>> = fields.iter().map(|field| Some(format!("{}: {}", field.name(), Self::name_of(field.data_type())?))).collect();
                format!("struct<{}>", parts?.join(", "))
            }
            _ => return None,
        })
    }
}

fn precision_suffix(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "(0)",
        TimeUnit::Millisecond => "(3)",
        TimeUnit::Microsecond => "",
        TimeUnit::Nanosecond => "(9)",
    }
}

fn parse_type(text: &str) -> Result<DataType, TypeError> {
    if let Some(inner) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Ok(DataType::List(Arc::new(Field::new("item", parse_type(inner.trim())?, true))));
    }
    if let Some(inner) = text.strip_prefix("struct<").and_then(|rest| rest.strip_suffix('>')) {
        return parse_struct(inner, text);
    }
    let (name, parameters) = match text.split_once('(') {
        Some((name, rest)) => {
            let close = rest.find(')').ok_or_else(|| bad(text, "a closing parenthesis is missing"))?;
            let tail = rest[close + 1..].trim();
            let full = if tail.is_empty() { name.trim().to_owned() } else { format!("{} {tail}", name.trim()) };
            (full, Some(&rest[..close]))
        }
        None => (text.split_whitespace().collect::<Vec<_>>().join(" "), None),
    };
    let plain = |data_type: DataType| if parameters.is_some() { Err(bad(text, "this type takes no parameters")) } else { Ok(data_type) };
    match name.as_str() {
        "boolean" => plain(DataType::Boolean),
        "tinyint" => plain(DataType::Int8),
        "smallint" => plain(DataType::Int16),
        "int" => plain(DataType::Int32),
        "bigint" => plain(DataType::Int64),
        "tinyint unsigned" => plain(DataType::UInt8),
        "smallint unsigned" => plain(DataType::UInt16),
        "int unsigned" => plain(DataType::UInt32),
        "bigint unsigned" => plain(DataType::UInt64),
        "real" => plain(DataType::Float32),
        "double" => plain(DataType::Float64),
        "text" | "json" | "uuid" => plain(DataType::Utf8),
        "binary" => plain(DataType::Binary),
        "date" => plain(DataType::Date32),
        "interval" => plain(DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano)),
        "decimal" => parse_decimal(text, parameters),
        "time" => time_unit(text, parameters).map(|unit| match unit {
            TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
            TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
        }),
        "timestamp" => time_unit(text, parameters).map(|unit| DataType::Timestamp(unit, None)),
        "timestamptz" => time_unit(text, parameters).map(|unit| DataType::Timestamp(unit, Some("UTC".into()))),
        _ => Err(TypeError::UnknownName(text.to_owned())),
    }
}

fn parse_struct(inner: &str, text: &str) -> Result<DataType, TypeError> {
    let mut fields = Vec::new();
    let mut depth = 0_i32;
    let mut start = 0;
    for (at, c) in inner.char_indices().chain(std::iter::once((inner.len(), ','))) {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                let (name, kind) = inner[start..at].split_once(':').ok_or_else(|| bad(text, "a field is written `name: type`"))?;
                fields.push(Field::new(name.trim(), parse_type(kind.trim())?, true));
                start = at + 1;
            }
            _ => {}
        }
    }
    Ok(DataType::Struct(fields.into()))
}

fn parse_decimal(text: &str, parameters: Option<&str>) -> Result<DataType, TypeError> {
    let parameters = parameters.ok_or_else(|| bad(text, "write precision and scale: `decimal(18,2)`"))?;
    let (precision, scale) = parameters.split_once(',').unwrap_or((parameters, "0"));
    let precision: u8 = precision.trim().parse().map_err(|_| bad(text, "the precision is a number from 1 to 76"))?;
    let scale: i8 = scale.trim().parse().map_err(|_| bad(text, "the scale is a number from 0 to the precision"))?;
    if !(1..=76).contains(&precision) {
        return Err(bad(text, "the precision is a number from 1 to 76"));
    }
    if scale < 0 || u8::try_from(scale).unwrap_or(u8::MAX) > precision {
        return Err(bad(text, "the scale is a number from 0 to the precision"));
    }
    Ok(if precision <= 38 { DataType::Decimal128(precision, scale) } else { DataType::Decimal256(precision, scale) })
}

fn time_unit(text: &str, parameters: Option<&str>) -> Result<TimeUnit, TypeError> {
    match parameters.map(str::trim) {
        None | Some("4" | "5" | "6") => Ok(TimeUnit::Microsecond),
        // Parquet has no seconds, so whole seconds are kept as milliseconds.
        Some("0" | "1" | "2" | "3") => Ok(TimeUnit::Millisecond),
        Some("7" | "8" | "9") => Ok(TimeUnit::Nanosecond),
        Some(_) => Err(bad(text, "the precision is a number of digits from 0 to 9")),
    }
}

fn bad(text: &str, reason: &str) -> TypeError {
    TypeError::BadParameters { text: text.to_owned(), reason: reason.to_owned() }
}
