//! The engine: plans and runs SQL within one memory limit.

use crate::checks::{self, CheckOutcome, CheckRequest};
use crate::dedup::one_row_per_key;
use crate::error::sql_error;
use crate::execute::{self, Job};
use crate::output::{Output, OutputProblem};
use crate::session::{self, Effort, Joins, Surroundings};
use crate::spill_folder::SpillFolder;
use crate::statement::{self, Allowed};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProviderList, TableProvider};
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use futures::stream::BoxStream;
use indexmap::IndexMap;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::{Dedup, TableName};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// How many of the largest users of memory an out-of-memory message of DataFusion names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(5).expect("five is not zero");

/// The most that footers of files may take.
const METADATA_CACHE_BYTES: usize = 16 << 20;

/// Settings of one engine.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// What all queries of the engine may hold in memory together.
    pub memory_limit_bytes: u64,
    /// Where rows go that do not fit; created readable by its owner only.
    pub spill_dir: PathBuf,
    /// How many partitions of one query run at once.
    pub parallelism: usize,
}

/// One shared runtime (memory pool, disk manager); cheap to clone.
#[derive(Clone)]
pub struct SqlEngine {
    runtime: Arc<RuntimeEnv>,
    /// Lives until the last query that may spill is gone.
    _spill: Arc<SpillFolder>,
    effort: Effort,
    memory_limit_bytes: u64,
    now: DateTime<Utc>,
}

/// One table that SQL can read, registered as `layer.name`.
pub struct SqlInput {
    /// Its full name.
    pub name: TableName,
    /// Its rows at the pinned version.
    pub provider: Arc<dyn TableProvider>,
}

/// What a Silver or Gold table needs to be computed.
pub struct TransformRequest {
    /// The table.
    pub table: TableName,
    /// Its SELECT, rendered.
    pub sql: String,
    /// Every table that the SELECT reads.
    pub inputs: Vec<SqlInput>,
    /// `types`: output columns that are cast, strictly.
    pub types: IndexMap<String, String>,
    /// `key`: must be output columns.
    pub key: Vec<String>,
    /// `dedup`: keeps one row per key.
    pub dedup: Option<Dedup>,
}

/// A planned query.
pub struct Transform {
    /// The columns, in the types that sinks take: see `output.rs`.
    pub schema: SchemaRef,
    /// The rows; nothing is computed before the first poll, dropping it cancels.
    pub stream: BoxStream<'static, Result<RecordBatch, ConnectorError>>,
}

impl SqlEngine {
    /// Makes the runtime and its folder for temporary files; `now()` in SQL is this moment unless [`Self::with_now`] says otherwise.
    ///
    /// # Errors
    /// When the folder for temporary files cannot be made.
    pub fn new(options: SqlOptions) -> Result<Self, ConnectorError> {
        let spill = SpillFolder::create(&options.spill_dir)?;
        let limit = usize::try_from(options.memory_limit_bytes).unwrap_or(usize::MAX);
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill.path().to_owned()])).with_max_temp_directory_size(u64::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(limit), NAMED_CONSUMERS)))
            .with_disk_manager_builder(disk)
            // Footers of files are cached outside the pool.
            .with_metadata_cache_limit((limit / 32).min(METADATA_CACHE_BYTES))
            .build_arc()
            .map_err(|error| sql_error("the SQL engine", error))?;
        let effort = Effort::full(options.parallelism, options.memory_limit_bytes);
        Ok(Self { runtime, _spill: Arc::new(spill), effort, memory_limit_bytes: options.memory_limit_bytes, now: Utc::now() })
    }

    /// The same engine, whose SQL sees `now` as the current time: every table of a run says the same.
    #[must_use]
    pub fn with_now(mut self, now: DateTime<Utc>) -> Self {
        self.now = now;
        self
    }

    /// Plans one SELECT over pinned inputs.
    ///
    /// # Errors
    /// When the text is not exactly one SELECT, when it does not fit the inputs' columns, or when `types` or `key` do not fit its output.
    /// Errors of rows come from the stream.
    pub async fn transform(&self, request: TransformRequest) -> Result<Transform, ConnectorError> {
        let subject = format!("SQL of `{}`", request.table);
        let statement = statement::parse(&request.sql, Allowed::Select).map_err(|problem| problem.into_error(&subject))?;
        let catalogs = session::catalogs(&request.inputs)?;
        let state = self.state(Surroundings::Tables, Arc::clone(&catalogs));
        let plan = statement::plan(&state, statement).await.map_err(|error| sql_error(&subject, error))?;
        let plan = match &request.dedup {
            Some(dedup) => one_row_per_key(plan, &subject, &request.key, dedup)?,
            None => plan,
        };
        let job = self.job(subject, plan, Surroundings::Tables, catalogs);
        let physical = job.physical_plan(&state).await?;
        let output = Output::of_table(&job.subject, &physical.schema(), &request.types, &request.key).map_err(|problems| first_of(problems, &job.subject))?;
        Ok(execute::transform(job, physical, output))
    }

    /// Runs all checks of a table in one pass (plus one grouped query per `unique`) over the rows of `table`, in the order of the request.
    ///
    /// # Errors
    /// When a check does not fit the table's columns, is of a kind that is not run here, or when the rows cannot be read.
    /// A check that fails is an outcome, not an error.
    pub async fn check(&self, request: CheckRequest) -> Result<Vec<CheckOutcome>, ConnectorError> {
        checks::run(self, request).await
    }

    /// `karat query`: any read-only SELECT, SHOW, DESCRIBE or EXPLAIN over named tables.
    ///
    /// # Errors
    /// As [`Self::transform`], and when the statement would change something.
    pub async fn query(&self, sql: &str, inputs: Vec<SqlInput>) -> Result<Transform, ConnectorError> {
        let subject = "query".to_owned();
        let statement = statement::parse(sql, Allowed::ReadOnly).map_err(|problem| problem.into_error(&subject))?;
        let catalogs = session::catalogs(&inputs)?;
        let state = self.state(Surroundings::InformationSchema, Arc::clone(&catalogs));
        let plan = statement::plan(&state, statement).await.map_err(|error| sql_error(&subject, error))?;
        let job = self.job(subject, plan, Surroundings::InformationSchema, catalogs);
        let physical = job.physical_plan(&state).await?;
        let output = Output::of_query(&job.subject, &physical.schema());
        Ok(execute::transform(job, physical, output))
    }

    /// How a SELECT would be run, as text: the logical plan, then the physical one.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn explain(&self, sql: &str, inputs: Vec<SqlInput>) -> Result<String, ConnectorError> {
        let subject = "query".to_owned();
        let statement = statement::parse(sql, Allowed::ReadOnly).map_err(|problem| problem.into_error(&subject))?;
        let catalogs = session::catalogs(&inputs)?;
        let state = self.state(Surroundings::Tables, Arc::clone(&catalogs));
        let plan = statement::plan(&state, statement).await.map_err(|error| sql_error(&subject, error))?;
        let logical = state.optimize(&plan).map_err(|error| sql_error(&subject, error))?;
        let physical = self.job(subject, plan, Surroundings::Tables, catalogs).physical_plan(&state).await?;
        Ok(format!("{}\n\n{}", logical.display_indent(), displayable(physical.as_ref()).indent(false)))
    }

    pub(crate) fn state(&self, surroundings: Surroundings, catalogs: Arc<dyn CatalogProviderList>) -> SessionState {
        self.state_with(self.effort, surroundings, catalogs)
    }

    pub(crate) fn frugal_state(&self, joins: Joins, surroundings: Surroundings, catalogs: Arc<dyn CatalogProviderList>) -> SessionState {
        self.state_with(self.effort.frugal(joins), surroundings, catalogs)
    }

    pub(crate) fn job(&self, subject: String, plan: LogicalPlan, surroundings: Surroundings, catalogs: Arc<dyn CatalogProviderList>) -> Job {
        Job { engine: self.clone(), subject, plan, surroundings, catalogs }
    }

    pub(crate) fn memory_limit_bytes(&self) -> u64 {
        self.memory_limit_bytes
    }

    fn state_with(&self, effort: Effort, surroundings: Surroundings, catalogs: Arc<dyn CatalogProviderList>) -> SessionState {
        session::running(session::config(effort, surroundings), Arc::clone(&self.runtime), catalogs, self.now)
    }
}

/// One error for all: a run stops at the first, and lint has shown the others.
fn first_of(problems: Vec<OutputProblem>, subject: &str) -> ConnectorError {
    let first = problems.into_iter().next().map(|problem| problem.into_error(subject));
    first.unwrap_or_else(|| ConnectorError::new(ErrorKind::Bug, format!("{subject}: the output was refused without a reason")))
}
