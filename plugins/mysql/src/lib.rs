//! MySQL and MariaDB, as source and target.
//!
//! Knows the servers' protocol, catalogue, types and snapshots; must not know how a run is scheduled.
//! Read next: `schema.rs` (which declared type is read as what), then `source/keyset.rs` (what "new since last time" means).

mod client;
mod config;
mod error;
mod schema;

pub use config::{MysqlConfig, SslMode};
