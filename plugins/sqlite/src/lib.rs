//! SQLite as a source.
//!
//! Knows SQLite's catalogue, its loose types and its snapshots; must not know how a run is scheduled or where rows go.
//! Read next: `schema.rs` (which declared type is read as what), then `keyset.rs` (what "new since last time" means), `snapshot.rs` (how several
//! readers see the same rows).

mod brake;
mod client;
mod config;
mod describe;
mod error;
mod keyset;
mod parallel;
mod reader;
mod schema;
mod snapshot;
mod source;
mod spelling;
mod stored;
mod windows;

pub use config::SqliteConfig;

use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Sink, Source};
use karat_spec::Capabilities;
use std::sync::Arc;

/// The plugin: `type: sqlite`.
#[derive(Debug, Clone, Copy)]
pub struct Sqlite;

/// The one value of it.
pub static SQLITE: Sqlite = Sqlite;

impl Connector for Sqlite {
    type Config = SqliteConfig;

    const NAME: &'static str = "sqlite";

    const DESCRIPTION: &'static str = "SQLite database files: read with exact types, by snapshot, by keyset or by windows.";

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source_strategies: ["full", "id", "timestamp", "hybrid", "window", "diff"].map(str::to_owned).to_vec(),
            source_objects: ["table", "query"].map(str::to_owned).to_vec(),
            serial_commits: true,
            settles_late_commits: false,
            parallel_writers: false,
            ..Capabilities::default()
        }
    }

    fn source(&self, config: SqliteConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(source::SqliteSource::new(context.root.join(config.path))))
    }

    fn sink(&self, _config: SqliteConfig, _context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Unsupported, "plugin `sqlite` is a source, not a sink").with_help("write to a `delta` or `files` connection"))
    }
}
