//! PostgreSQL, as source and target.
//!
//! Knows PostgreSQL's catalogue, types, snapshots and binary COPY; must not know how a run is scheduled.
//! Read next: `schema.rs` (which type is read as what), then `source/keyset/mod.rs` (what "new since last time" means).

mod client;
mod config;
mod endpoint;
mod error;
mod schema;
mod sink;
mod source;
mod spelling;

pub use config::{PostgresConfig, SslMode};

use karat_plugin_api::{ConnectContext, Connector, ConnectorError, Sink, Source};
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
            source_strategies: ["full", "id", "timestamp", "hybrid", "window", "diff"].map(str::to_owned).to_vec(),
            source_objects: ["table", "query"].map(str::to_owned).to_vec(),
            load_modes: ["append", "upsert", "replace", "window"].map(str::to_owned).to_vec(),
            atomic_position: true,
            settles_late_commits: true,
            parallel_writers: false,
            ..Capabilities::default()
        }
    }

    fn source(&self, config: PostgresConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        let client = client::Client::new(&config, &context.root, client::Purpose::Read)?;
        Ok(Arc::new(source::PostgresSource::new(client)))
    }

    fn sink(&self, config: PostgresConfig, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        let client = client::Client::new(&config, &context.root, client::Purpose::Write)?;
        Ok(Arc::new(sink::PostgresSink::new(client)))
    }
}
