//! MySQL and MariaDB, as source and target.
//!
//! Knows the servers' protocol, catalogue, types and snapshots; must not know how a run is scheduled.
//! Read next: `schema.rs` (which declared type is read as what), then `source/keyset.rs` (what "new since last time" means), `sink/mod.rs` (how rows become visible).

mod client;
mod config;
mod error;
mod schema;
mod sink;
mod source;
mod wire;

pub use config::{MysqlConfig, SslMode};

use karat_plugin_api::{ConnectContext, Connector, ConnectorError, Sink, Source};
use karat_spec::Capabilities;
use std::sync::Arc;

/// The plugin: `type: mysql`.
#[derive(Debug, Clone, Copy)]
pub struct Mysql;

/// The one value of it.
pub static MYSQL: Mysql = Mysql;

impl Connector for Mysql {
    type Config = MysqlConfig;

    const NAME: &'static str = "mysql";

    const DESCRIPTION: &'static str = "MySQL and MariaDB, as source and target.";

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source_strategies: ["full", "id", "timestamp", "hybrid", "window", "diff"].map(str::to_owned).to_vec(),
            source_objects: ["table", "query"].map(str::to_owned).to_vec(),
            load_modes: ["append", "upsert", "replace", "window"].map(str::to_owned).to_vec(),
            atomic_position: true,
            settles_late_commits: true,
            parallel_writers: true,
            ..Capabilities::default()
        }
    }

    fn source(&self, config: MysqlConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(source::MysqlSource::new(config.server(&context.root)?)))
    }

    fn sink(&self, config: MysqlConfig, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(sink::MysqlSink::new(config.server(&context.root)?)))
    }
}
