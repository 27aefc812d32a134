//! Running a plan: rows as a stream, one second try when memory runs out, panics as errors.

use crate::engine::{SqlEngine, Transform};
use crate::error::{self, sql_error};
use crate::output::Output;
use crate::session::{Joins, Surroundings};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::CatalogProviderList;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, StreamExt, stream};
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::ByteSize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// A logical plan and all that is needed to plan it a second time.
pub(crate) struct Job {
    pub(crate) engine: SqlEngine,
    /// What messages call it: ``SQL of `silver.trades` ``.
    pub(crate) subject: String,
    pub(crate) plan: LogicalPlan,
    pub(crate) surroundings: Surroundings,
    pub(crate) catalogs: Arc<dyn CatalogProviderList>,
}

impl Job {
    /// Optimises the plan for `state`.
    pub(crate) async fn physical_plan(&self, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>, ConnectorError> {
        let planned = AssertUnwindSafe(state.create_physical_plan(&self.plan)).catch_unwind().await;
        planned.map_err(|_| error::panicked(&self.subject))?.map_err(|error| sql_error(&self.subject, error))
    }

    fn start(&self, physical: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream, ConnectorError> {
        let state = self.engine.state(self.surroundings, Arc::clone(&self.catalogs));
        execute_stream(physical, state.task_ctx()).map_err(|error| sql_error(&self.subject, error))
    }

    /// Plans again with few partitions and small batches, so that fewer operators share the limit, and with sorted joins, which spill,
    /// unless the query holds a `NOT IN` that they would answer wrongly.
    async fn start_again(&self) -> Result<SendableRecordBatchStream, ConnectorError> {
        let joins = self.frugal_joins().map_err(|error| sql_error(&self.subject, error))?;
        let state = self.engine.frugal_state(joins, self.surroundings, Arc::clone(&self.catalogs));
        let physical = self.physical_plan(&state).await?;
        execute_stream(physical, state.task_ctx()).map_err(|error| sql_error(&self.subject, error))
    }

    fn frugal_joins(&self) -> Result<Joins, DataFusionError> {
        let state = self.engine.state(self.surroundings, Arc::clone(&self.catalogs));
        let (mut any, mut null_aware) = (false, false);
        state.optimize(&self.plan)?.apply_with_subqueries(|plan| {
            if let LogicalPlan::Join(join) = plan {
                any = true;
                null_aware |= join.null_aware;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if any && !null_aware { Joins::Sorted } else { Joins::Hashed })
    }

    fn out_of_memory(&self, cause: ConnectorError) -> ConnectorError {
        let limit = ByteSize(self.engine.memory_limit_bytes());
        ConnectorError::new(ErrorKind::OutOfMemory, format!("{} needs more memory than the limit of {limit}", self.subject))
            .with_source(cause)
            .with_help("raise `--memory-limit`, or join and group fewer rows at once: the smaller side of a join and the rows of a window must fit")
    }
}

/// Where the rows of a job stand. One value per stream, so its size does not matter.
enum Progress {
    Planned(Job, Arc<dyn ExecutionPlan>),
    /// The second try has the job no more: it is not tried a third time.
    Running {
        job: Job,
        stream: SendableRecordBatchStream,
        tries_left: bool,
    },
    Done,
}

/// The rows of `job`, cast to `output`.
///
/// When memory runs out before the first rows have left, the job is planned again, more frugally; rows that a reader already has
/// cannot be taken back, so later it is an error.
pub(crate) fn transform(job: Job, physical: Arc<dyn ExecutionPlan>, output: Output) -> Transform {
    let schema = Arc::clone(output.schema());
    let subject = job.subject.clone();
    let rows = stream::unfold((Progress::Planned(job, physical), output), |(progress, output)| async move {
        let (item, progress) = next(progress, &output).await;
        item.map(|item| (item, (progress, output)))
    });
    // A panic inside an operator must not look like the end of the rows.
    let guarded = AssertUnwindSafe(rows).catch_unwind().map(move |item| item.unwrap_or_else(|_| Err(error::panicked(&subject))));
    Transform { schema, stream: guarded.boxed() }
}

/// All rows of `job` at once; for results of a few rows.
pub(crate) async fn collect(job: Job) -> Result<Vec<RecordBatch>, ConnectorError> {
    let state = job.engine.state(job.surroundings, Arc::clone(&job.catalogs));
    let physical = job.physical_plan(&state).await?;
    let output = Output::of_query(&job.subject, &physical.schema());
    let mut stream = transform(job, physical, output).stream;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

async fn next(mut progress: Progress, output: &Output) -> (Option<Result<RecordBatch, ConnectorError>>, Progress) {
    loop {
        match progress {
            Progress::Done => return (None, Progress::Done),
            Progress::Planned(job, physical) => match job.start(physical) {
                Ok(stream) => progress = Progress::Running { job, stream, tries_left: true },
                Err(error) => return (Some(Err(error)), Progress::Done),
            },
            Progress::Running { job, mut stream, tries_left } => match stream.next().await {
                None => return (None, Progress::Done),
                Some(Ok(batch)) if batch.num_rows() == 0 => progress = Progress::Running { job, stream, tries_left },
                Some(Ok(batch)) => match output.cast(&batch) {
                    Ok(batch) => return (Some(Ok(batch)), Progress::Running { job, stream, tries_left: false }),
                    Err(error) => return (Some(Err(error)), Progress::Done),
                },
                Some(Err(error)) => {
                    let error = sql_error(&job.subject, error);
                    if error.kind() != ErrorKind::OutOfMemory {
                        return (Some(Err(error)), Progress::Done);
                    }
                    if !tries_left {
                        return (Some(Err(job.out_of_memory(error))), Progress::Done);
                    }
                    drop(stream);
                    tracing::warn!(subject = job.subject, "memory limit reached, planning again with fewer partitions");
                    match job.start_again().await {
                        Ok(stream) => progress = Progress::Running { job, stream, tries_left: false },
                        Err(error) => return (Some(Err(error)), Progress::Done),
                    }
                }
            },
        }
    }
}
