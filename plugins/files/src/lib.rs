//! Files as a source and as a sink.
//!
//! The source reads Parquet, CSV and NDJSON from a local disk; the sink writes Parquet with a commit log of its own. This crate must not know how a
//! run is scheduled. Read next: `source/mod.rs`.

mod config;
mod source;

pub use config::{CsvOptions, FileCompression, FileFormat, FilesConfig};

use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Sink, Source};
use karat_spec::Capabilities;
use std::sync::Arc;

/// The plugin: `type: files`.
#[derive(Debug, Clone, Copy)]
pub struct Files;

/// The one value of it.
pub static FILES: Files = Files;

impl Connector for Files {
    type Config = FilesConfig;

    const NAME: &'static str = "files";

    const DESCRIPTION: &'static str = "Files in a local folder: reads Parquet, CSV and NDJSON, writes Parquet with a commit log.";

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source_strategies: vec!["full".to_owned()],
            source_objects: vec!["path".to_owned()],
            load_modes: ["append", "upsert", "replace"].map(str::to_owned).to_vec(),
            layout: true,
            atomic_position: true,
            declared_types_only: false,
            serial_commits: false,
        }
    }

    fn source(&self, config: FilesConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(source::FilesSource::new(config, context)?))
    }

    fn sink(&self, _config: FilesConfig, _context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Unsupported, "plugin `files` does not write in this build").with_help("write to a `delta` connection"))
    }
}
