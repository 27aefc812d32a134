//! The keys of a connection.

use karat_plugin_api::{ConnectorError, ErrorKind};
use schemars::JsonSchema;
use serde::Deserialize;

/// Files in one folder and its subfolders.
///
/// As a source, a table's `from.path` is a glob below the folder: `*` stays within a folder name or file name, `**` crosses folders. Files are read in
/// the order of their paths. Hidden files, and folders whose name begins with `_` or `.`, are left out; links to folders are not followed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The folder, relative to the project.
    pub path: String,
    /// How the files are written. Default: `parquet`.
    #[serde(default)]
    pub format: FileFormat,
    /// How CSV and NDJSON files are compressed. Default: `auto`, by the ending `.gz` or `.zst`. Parquet compresses inside.
    #[serde(default)]
    pub compression: FileCompression,
    /// How CSV is written.
    #[serde(default)]
    pub csv: CsvOptions,
}

/// How files are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Apache Parquet; columns and types come from the files.
    #[default]
    Parquet,
    /// Text with a delimiter; columns and types are those of the table's `types`.
    Csv,
    /// One JSON object per line; columns and types are those of the table's `types`, a missing key is NULL.
    Ndjson,
}

/// How files are compressed as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileCompression {
    /// By the file's ending: `.gz`, `.zst`, else not at all.
    #[default]
    Auto,
    /// Not at all, whatever the ending.
    None,
    /// gzip, whatever the ending.
    Gzip,
    /// Zstandard, whatever the ending.
    Zstd,
}

/// How CSV is written.
///
/// Quotes follow RFC 4180: a quoted field may hold delimiters and line ends, and a quote is written twice. A field that is quoted is never NULL.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// One ASCII character between fields. Default: `,`.
    pub delimiter: String,
    /// Whether the first record names the columns. With names, their order does not matter; without, the fields are the table's `types` in order. Default: true.
    pub header: bool,
    /// One ASCII character around fields, or nothing when quotes mean nothing. Default: `"`.
    pub quote: String,
    /// Unquoted fields that mean NULL, exactly. Default: the empty field.
    pub null_values: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: ",".into(), header: true, quote: "\"".into(), null_values: vec![String::new()] }
    }
}

impl CsvOptions {
    /// The byte between fields.
    pub(crate) fn delimiter_byte(&self) -> Result<u8, ConnectorError> {
        one_byte(&self.delimiter)?.filter(|byte| !matches!(byte, b'\n' | b'\r')).ok_or_else(|| not_one("delimiter"))
    }

    /// The byte around fields, if there is one.
    pub(crate) fn quote_byte(&self) -> Result<Option<u8>, ConnectorError> {
        one_byte(&self.quote)
    }
}

fn one_byte(text: &str) -> Result<Option<u8>, ConnectorError> {
    match text.as_bytes() {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(not_one("delimiter` and `quote")),
    }
}

fn not_one(key: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadConfiguration, format!("`{key}` of a `files` connection is one ASCII character"))
        .with_help("write for example `delimiter: \";\"`, or `\"\\t\"` for a tab")
}
