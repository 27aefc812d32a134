//! How rows arrive in the target, and how its files are laid out.

use super::{ByteSize, Count, Duration, Percent};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;
use std::fmt;

/// How much is read at once (`chunk`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Rows per page, or `auto`; default 50 000.
    pub rows: Option<ChunkRows>,
    /// Bytes per page; whichever of `rows` and `bytes` comes first.
    pub bytes: Option<ByteSize>,
    /// Partitions read at once; default 1.
    pub parallel: Option<Count>,
}

/// Rows per page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkRows {
    /// Adapts to the width of the row and to the measured speed.
    Auto,
    /// This many.
    Rows(Count),
}

/// How rows arrive in the target (`load`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The load mode; the default follows from the strategy.
    pub mode: Option<LoadMode>,
    /// Rows per transaction, for database targets.
    pub transaction_rows: Option<Count>,
    /// How long one transaction may take, for database targets; default 2s.
    pub max_transaction: Option<Duration>,
    /// Parallel writers, for database targets.
    pub workers: Option<Count>,
    /// Drops secondary indexes while loading and builds them again, for database targets.
    pub disable_indexes: Option<bool>,
    /// Takes a table lock while loading, for database targets.
    pub table_lock: Option<bool>,
}

/// How rows arrive in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// Rows are added.
    Append,
    /// Rows are added; a row with the same `key` is replaced.
    Upsert,
    /// A new generation is written beside the old one and swapped in atomically.
    Replace,
    /// One window is deleted and inserted in one commit.
    Window,
    /// Whole partitions are replaced.
    ReplacePartitions,
    /// Slowly changing dimension of type 2: `valid_from`, `valid_to`, `is_current`.
    Scd2,
}

impl LoadMode {
    /// The name as written in YAML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
            Self::Replace => "replace",
            Self::Window => "window",
            Self::ReplacePartitions => "replace_partitions",
            Self::Scd2 => "scd2",
        }
    }

    /// All load modes, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Append, Self::Upsert, Self::Replace, Self::Window, Self::ReplacePartitions, Self::Scd2];
}

/// How files are laid out (`layout`), for file and lake targets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Partition transforms: a column, `identity(c)`, `day(c)`, `month(c)` or `year(c)`.
    pub partition_by: Option<Vec<PartitionTransform>>,
    /// Hash buckets.
    pub bucket_by: Option<BucketBy>,
    /// Columns that rows are sorted by inside a file.
    pub sort_by: Option<Vec<String>>,
    /// A file closes when it holds this many rows; default 50 000.
    pub min_file_rows: Option<Count>,
    /// A file closes when it holds about this many bytes; default 128MiB.
    pub target_file_bytes: Option<ByteSize>,
    /// `zstd(1)` to `zstd(22)`, `snappy`, `lz4`, `gzip` or `none`; default `zstd(3)`.
    pub compression: Option<Compression>,
}

/// Hash buckets of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketBy {
    /// The hashed columns.
    pub columns: Vec<String>,
    /// How many buckets.
    pub buckets: Count,
    /// The hash function.
    pub hash: Option<String>,
}

/// One partition transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionTransform {
    /// The column's own value.
    Identity(String),
    /// The UTC day of a date or timestamp.
    Day(String),
    /// The UTC month of a date or timestamp.
    Month(String),
    /// The UTC year of a date or timestamp.
    Year(String),
}

/// How Parquet pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard with its level, 1 to 22.
    Zstd(u8),
    /// Snappy.
    Snappy,
    /// LZ4 raw blocks.
    Lz4,
    /// Gzip at its default level.
    Gzip,
    /// No compression.
    None,
}

/// What a change of the source's columns does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChanges {
    /// Additive and widening changes reach the target; others stop the table.
    Evolve,
    /// Any change stops the table.
    Freeze,
    /// New columns are not taken; other changes stop the table.
    IgnoreNewColumns,
}

/// What a run refuses to destroy (`guard`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The new generation may hold at most this much less than the old one; default 50%.
    pub max_shrink: Option<Percent>,
    /// At most this share of the rows may be deleted; default 20%.
    pub max_delete: Option<Percent>,
    /// Whether an empty read may replace a table that holds rows; default false.
    pub allow_empty: Option<bool>,
}

impl PartitionTransform {
    /// Reads `day(created_at)` or a plain column name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some((function, rest)) = text.split_once('(') else {
            return (!text.is_empty() && !text.contains(')')).then(|| Self::Identity(text.to_owned()));
        };
        let column = rest.strip_suffix(')')?.trim().to_owned();
        if column.is_empty() || column.contains(['(', ')']) {
            return None;
        }
        match function.trim() {
            "identity" => Some(Self::Identity(column)),
            "day" => Some(Self::Day(column)),
            "month" => Some(Self::Month(column)),
            "year" => Some(Self::Year(column)),
            _ => None,
        }
    }

    /// The column it reads.
    #[must_use]
    pub fn column(&self) -> &str {
        match self {
            Self::Identity(column) | Self::Day(column) | Self::Month(column) | Self::Year(column) => column,
        }
    }
}

impl fmt::Display for PartitionTransform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(column) => write!(out, "identity({column})"),
            Self::Day(column) => write!(out, "day({column})"),
            Self::Month(column) => write!(out, "month({column})"),
            Self::Year(column) => write!(out, "year({column})"),
        }
    }
}

impl Compression {
    /// Reads `zstd(3)`, `snappy`, …; `zstd` alone is level 3.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "zstd" => Some(Self::Zstd(3)),
            "snappy" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            "gzip" => Some(Self::Gzip),
            "none" => Some(Self::None),
            _ => {
                let level = text.strip_prefix("zstd(")?.strip_suffix(')')?.parse().ok()?;
                (1..=22).contains(&level).then_some(Self::Zstd(level))
            }
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd(level) => write!(out, "zstd({level})"),
            Self::Snappy => out.write_str("snappy"),
            Self::Lz4 => out.write_str("lz4"),
            Self::Gzip => out.write_str("gzip"),
            Self::None => out.write_str("none"),
        }
    }
}

macro_rules! written_as_text {
    // Expands to Serialize (as `Display` prints), Deserialize (as `parse` reads) and a string JSON Schema with `pattern` and `x-scalar`.
    ($name:ident, $expected:literal, $scalar:literal, $pattern:literal, [$($example:literal),+]) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom(concat!("expected ", $expected)))
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "examples": [$($example),+], "x-scalar": $scalar, "title": $expected})
            }
        }
    };
}
written_as_text!(
    PartitionTransform,
    "a column, `identity(c)`, `day(c)`, `month(c)` or `year(c)`",
    "partition_transform",
    "^\\s*([^()]+|(identity|day|month|year)\\s*\\([^()]+\\))\\s*$",
    ["day(created_at)", "country"]
);
written_as_text!(
    Compression,
    "`zstd(1)` to `zstd(22)`, `snappy`, `lz4`, `gzip` or `none`",
    "compression",
    "^(zstd(\\(([1-9]|1[0-9]|2[0-2])\\))?|snappy|lz4|gzip|none)$",
    ["zstd(3)"]
);

impl Serialize for ChunkRows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Rows(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ChunkRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.as_str() == Some("auto") {
            return Ok(Self::Auto);
        }
        value.as_u64().filter(|rows| *rows > 0).map(|rows| Self::Rows(Count(rows))).ok_or_else(|| D::Error::custom("expected a number of rows above 0, or `auto`"))
    }
}

impl JsonSchema for ChunkRows {
    fn schema_name() -> Cow<'static, str> {
        "ChunkRows".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 1, "pattern": "^([0-9]+(_[0-9]+)*|auto)$", "examples": [50000, "auto"], "x-scalar": "chunk_rows", "title": "a number of rows above 0, or `auto`"})
    }
}
