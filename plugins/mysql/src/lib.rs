//! MySQL and MariaDB, as source and target.
//!
//! Knows the servers' protocol, catalogue, types and snapshots; must not know how a run is scheduled.
//! Read next: `schema.rs` (which declared type is read as what), then `source/keyset.rs` (what "new since last time" means).

mod client;
mod config;
mod error;
mod schema;
mod sink;

pub use config::{MysqlConfig, SslMode};
use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Plugin, Sink, Source};
use karat_spec::Capabilities;
use std::sync::Arc;

/// The plugin.
pub static PLUGIN: &dyn Plugin = &Mysql;

struct Mysql;

impl Connector for Mysql {
    type Config = MysqlConfig;

    const NAME: &'static str = "mysql";

    const DESCRIPTION: &'static str = "MySQL and MariaDB, as source and target.";

    fn capabilities(&self) -> Capabilities {
        Capabilities { load_modes: ["append", "upsert", "replace"].map(str::to_owned).to_vec(), atomic_position: true, ..Capabilities::default() }
    }

    fn source(&self, _config: MysqlConfig, _context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Unsupported, "not yet"))
    }

    fn sink(&self, config: MysqlConfig, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(sink::MysqlSink::new(config.server(&context.root)?)))
    }
}
