//! The sink: folders of Parquet files whose commits stand in a log of their own.
//!
//! Read next: `../commit_log.rs` for what makes the files a table.

use crate::commit_log::FilesLog;
use crate::config::{FileFormat, FilesConfig};
use karat_lake::LakeSink;
use karat_plugin_api::{ConnectContext, ConnectorError, ErrorKind};
use std::path::Path;

/// The tables below the connection's folder.
pub(crate) fn lake_sink(config: &FilesConfig, context: &ConnectContext) -> Result<LakeSink<FilesLog>, ConnectorError> {
    if config.format != FileFormat::Parquet {
        return Err(ConnectorError::new(ErrorKind::Unsupported, "a `files` connection writes Parquet only").with_help("leave `format` out, or write to another connection"));
    }
    if config.path.is_empty() {
        return Err(ConnectorError::new(ErrorKind::BadConfiguration, "`path` of a `files` connection is empty").with_help("name a folder, such as `out`"));
    }
    let root = context.root.join(Path::new(&config.path));
    let root = std::path::absolute(&root).map_err(|error| ConnectorError::io("resolve", &root, error))?;
    Ok(LakeSink::new(FilesLog::default(), root))
}
