//! MySQL and MariaDB, as source and target.
//!
//! Knows the servers' protocol, catalogue, types and snapshots; must not know how a run is scheduled.
//! Read next: `schema.rs` (which declared type is read as what), then `source/keyset.rs` (what "new since last time" means).

mod client;
mod config;
mod error;
mod schema;
mod source;
mod wire;

pub use config::{MysqlConfig, SslMode};

use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Sink, Source};
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
            source_strategies: ["full", "id", "timestamp", "hybrid"].map(str::to_owned).to_vec(),
            source_objects: ["table", "query"].map(str::to_owned).to_vec(),
            settles_late_commits: true,
            ..Capabilities::default()
        }
    }

    fn source(&self, config: MysqlConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(source::MysqlSource::new(config.server(&context.root)?)))
    }

    fn sink(&self, _config: MysqlConfig, _context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Unsupported, "plugin `mysql` is a source, not a sink").with_help("write to a `delta` or `files` connection"))
    }
}
