//! What a run needs from outside: connections, state, SQL, time, and somebody who listens.

use crate::{Failpoints, Observer, RetryPolicy};
use chrono::{DateTime, Utc};
use karat_lake::LakeTables;
use karat_plugin_api::{ConnectorError, Sink, Source, TargetObject};
use karat_spec::model::TableName;
use karat_sql::SqlEngine;
use karat_state::{Owner, StateStore};
use std::sync::Arc;

/// What a run needs from outside.
#[derive(Clone)]
pub struct Services {
    /// Sources, sinks and lakes by name.
    pub connections: Arc<dyn Connections>,
    /// The project's state.
    pub state: StateStore,
    /// Transforms and checks.
    pub sql: SqlEngine,
    /// The time for people: reports and history. No position depends on it.
    pub clock: Arc<dyn Clock>,
    /// Who hears what happens.
    pub observer: Arc<dyn Observer>,
    /// Who takes the lease; its `run_id` is the run's.
    pub owner: Owner,
    /// What the user chose.
    pub options: RunOptions,
}

/// What the user chose for one run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Stages at once, at least 1.
    pub jobs: usize,
    /// Memory that batches and open writers of all stages together may hold, about, in bytes; SQL has its own pool.
    pub memory_limit_bytes: u64,
    /// Stops at the first failed table instead of going on with independent ones.
    pub fail_fast: bool,
    /// How often and how fast a stage is tried again after a transient error.
    pub retry: RetryPolicy,
    /// Places where a test makes the run fail.
    pub failpoints: Failpoints,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { jobs: 2, memory_limit_bytes: 256 << 20, fail_fast: false, retry: RetryPolicy::default(), failpoints: Failpoints::default() }
    }
}

/// Opens connections by the pipeline that names them. Opening is cheap and cached: it is asked for once per stage.
pub trait Connections: Send + Sync {
    /// A connection as a source.
    ///
    /// # Errors
    /// When the plugin is no source, or its settings do not work.
    fn source(&self, pipeline: usize, name: &str) -> Result<Arc<dyn Source>, ConnectorError>;

    /// A connection as a sink.
    ///
    /// # Errors
    /// When the plugin is no sink, or its settings do not work.
    fn sink(&self, pipeline: usize, name: &str) -> Result<Arc<dyn Sink>, ConnectorError>;

    /// The readable side of a lake; `None` when SQL cannot read this plugin.
    ///
    /// # Errors
    /// When its settings do not work.
    fn lake(&self, pipeline: usize, name: &str) -> Result<Option<Arc<dyn LakeTables>>, ConnectorError>;

    /// Where a table of the project is written; `None` when there is no such table.
    fn home(&self, table: &TableName) -> Option<Home>;
}

/// Where a table of the project is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Index of the pipeline that defines it.
    pub pipeline: usize,
    /// The connection.
    pub connection: String,
    /// The table there, if the user named one.
    pub table: Option<String>,
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

impl<F: Fn() -> DateTime<Utc> + Send + Sync> Clock for F {
    fn now(&self) -> DateTime<Utc> {
        self()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The target a table is written to: the one the user named, or the sink's own name for it.
pub(crate) fn target_of(sink: &dyn Sink, table: &TableName, named: Option<&str>) -> TargetObject {
    match named {
        Some(name) => TargetObject { table: name.to_owned() },
        None => sink.default_target(table),
    }
}
