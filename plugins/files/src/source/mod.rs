//! Reading files: which ones (`listing`), whether they are new (`ledger`), and what is in them (`csv`, `ndjson`, `parquet`).

mod csv;
mod delimited;
mod json;
mod ledger;
mod listing;
mod ndjson;
mod opened;
mod parquet;
mod reader;
mod record;
mod widening;

use crate::config::{FileFormat, FilesConfig};
use async_trait::async_trait;
use karat_plugin_api::{Column, ConnectContext, ConnectorError, ErrorKind, Position, ReadRequest, ReadStrategy, SeesWriters, Source, SourceObject, SourceRead, SourceSchema};
use listing::{Listing, Subject};
use reader::FilesRead;
use std::path::PathBuf;
use std::sync::Arc;

/// One folder of files.
pub(crate) struct FilesSource {
    folder: PathBuf,
    config: Arc<FilesConfig>,
}

impl FilesSource {
    /// The folder that a connection names. Nothing is opened yet.
    pub(crate) fn new(config: FilesConfig, context: &ConnectContext) -> Result<Self, ConnectorError> {
        if let Some((scheme, _)) = config.path.split_once("://") {
            return Err(
                ConnectorError::new(ErrorKind::Unsupported, format!("this build reads files from a local disk, not from `{scheme}://`")).with_help("name a folder in `path`")
            );
        }
        if config.format == FileFormat::Parquet && config.compression != crate::FileCompression::Auto {
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, "`compression` does not apply to Parquet, which compresses inside").with_help("leave `compression` out"));
        }
        let _checked = (config.csv.delimiter_byte()?, config.csv.quote_byte()?);
        Ok(Self { folder: context.root.join(&config.path), config: Arc::new(config) })
    }

    fn subject(&self, object: &SourceObject) -> Result<Subject, ConnectorError> {
        match object {
            SourceObject::Files(pattern) => Subject::new(&self.folder, pattern),
            SourceObject::Table(_) | SourceObject::Query(_) => {
                Err(ConnectorError::new(ErrorKind::BadConfiguration, "a `files` connection has files, not tables").with_help("write `from: {connection, path}`"))
            }
        }
    }
}

/// Runs blocking work off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ConnectorError::new(ErrorKind::Bug, "work on files did not end").with_source(error))?
}

#[async_trait]
impl Source for FilesSource {
    /// Parquet: the columns of the first file. CSV and NDJSON have no types: the names of the first file's header or object are given as text with
    /// `declared` "untyped", and the table's `types` say what they are.
    async fn describe(&self, object: &SourceObject) -> Result<SourceSchema, ConnectorError> {
        let (subject, config) = (self.subject(object)?, Arc::clone(&self.config));
        blocking(move || {
            let listing = subject.list()?;
            let Some(first) = listing.files.first() else { return Err(subject.nothing_there()) };
            let (columns, estimated_rows) = match config.format {
                FileFormat::Parquet => (parquet::columns(first)?, Some(parquet::estimate(&listing)?)),
                FileFormat::Csv => (untyped(csv::names(first, &config)?), None),
                FileFormat::Ndjson => (untyped(ndjson::names(first, &config)?), None),
            };
            Ok(SourceSchema {
                columns,
                primary_key: Vec::new(),
                indexes: Vec::new(),
                estimated_rows,
                estimated_bytes: Some(listing.files.iter().map(|file| file.size).sum()),
                identity: format!("files:{}", subject.pattern()),
                sees_writers: SeesWriters::Unasked,
            })
        })
        .await
    }

    async fn probe(&self, request: &ReadRequest, committed: &Position) -> Result<Option<Position>, ConnectorError> {
        let (subject, strategy, committed) = (self.subject(&request.object)?, request.strategy.clone(), committed.clone());
        blocking(move || ledger::probe(&subject.list()?, &strategy, &committed)).await.map(Some)
    }

    async fn read(&self, request: ReadRequest) -> Result<Box<dyn SourceRead>, ConnectorError> {
        if let ReadStrategy::Keyset { .. } | ReadStrategy::Windows { .. } = &request.strategy {
            return Err(ConnectorError::new(ErrorKind::Unsupported, "files have no cursor").with_help("leave `cdc` out, or remove `cursor`: files that were read are remembered"));
        }
        let subject = self.subject(&request.object)?;
        Ok(Box::new(FilesRead::new(subject, Arc::clone(&self.config), request)?))
    }
}

fn untyped(names: Vec<String>) -> Vec<Column> {
    names.into_iter().map(|name| Column { name, declared: "untyped".into(), data_type: arrow::datatypes::DataType::Utf8, nullable: true }).collect()
}

impl Subject {
    /// No file where there should be one.
    fn nothing_there(&self) -> ConnectorError {
        ConnectorError::new(ErrorKind::NotFound, format!("no file matches `{}` in `{}`", self.pattern(), self.folder().display()))
            .with_help("`path` is relative to the connection's `path`; `*` stays within one folder, `**` crosses folders; names that begin with `.` are left out")
    }
}

/// Files to read, or an error when there are none and never were.
fn require_files(subject: &Subject, listing: &Listing, strategy: &ReadStrategy) -> Result<(), ConnectorError> {
    let may_be_empty = matches!(strategy, ReadStrategy::NewFiles { known } if !known.is_empty());
    if listing.files.is_empty() && !may_be_empty { Err(subject.nothing_there()) } else { Ok(()) }
}
