//! PostgreSQL, as source and target.
//!
//! Knows PostgreSQL's catalogue, types, snapshots and binary COPY; must not know how a run is scheduled.
//! Read next: `schema.rs` (which type is read as what), then `source/keyset.rs` (what "new since last time" means).

mod client;
mod config;
mod endpoint;
mod error;
mod schema;
mod source;
mod spelling;

pub use config::{PostgresConfig, SslMode};

use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Sink, Source};
use karat_spec::Capabilities;
use std::sync::Arc;

/// The plugin: `type: postgres`.
#[derive(Debug, Clone, Copy)]
pub struct Postgres;

/// The one value of it.
pub static POSTGRES: Postgres = Postgres;

impl Connector for Postgres {
    type Config = PostgresConfig;

    const NAME: &'static str = "postgres";

    const DESCRIPTION: &'static str = "PostgreSQL databases: read by binary COPY in one snapshot, with exact types and without losing late commits.";

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source_strategies: ["full", "id", "timestamp", "hybrid"].map(str::to_owned).to_vec(),
            source_objects: ["table", "query"].map(str::to_owned).to_vec(),
            settles_late_commits: true,
            ..Capabilities::default()
        }
    }

    fn source(&self, config: PostgresConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        let client = client::Client::new(&config, &context.root, client::Purpose::Read)?;
        Ok(Arc::new(source::PostgresSource::new(client)))
    }

    fn sink(&self, _config: PostgresConfig, _context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Unsupported, "plugin `postgres` is a source, not a sink").with_help("write to a `delta` or `files` connection"))
    }
}
