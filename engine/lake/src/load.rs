//! One load into one table: rows to files, files to a version.

use crate::conform::{conform, evolve};
use crate::data_file::discard;
use crate::partition::declared_columns;
use crate::writer::{WriterOptions, WriterThread};
use crate::{CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use karat_plugin_api::{CommitRequest, Committed, ConnectorError, ErrorKind, Load, LoadRequest, Staged, StagedFile, WriteMode, WriteProgress};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Tries of one commit while other streams commit to the same table.
const COMMIT_TRIES: usize = 32;

/// An open load of one table.
pub(crate) struct LakeLoad<L> {
    log: Arc<L>,
    folder: PathBuf,
    described: String,
    request: LoadRequest,
    /// Columns of the table after this load.
    schema: SchemaRef,
    partition_columns: Vec<String>,
    base: Option<Arc<TableSnapshot>>,
    writer: WriterThread,
    /// Rows taken since the last commit.
    rows_taken: u64,
    /// Rows handed to the writer since the last commit.
    rows_written: u64,
    /// What the next commit makes visible.
    pending: Pending,
    /// A commit was sent and not answered: its files may be visible.
    outcome_is_unknown: bool,
}

/// Durable files of the next commit.
#[derive(Debug, Default)]
struct Pending {
    files: Vec<DataFile>,
}

impl<L: CommitLog> LakeLoad<L> {
    pub(crate) async fn begin(log: Arc<L>, folder: PathBuf, described: String, request: LoadRequest) -> Result<Self, ConnectorError> {
        if !matches!(request.mode, WriteMode::Replace | WriteMode::Append { once_by: None }) {
            return Err(ConnectorError::new(ErrorKind::Unsupported, format!("{described}: this load mode is not there yet")));
        }
        let base = log.load(&folder, None).await?.map(Arc::new);
        let incoming = log.storage_schema(&request.schema)?;
        let partition_columns = if log.declares_partition_columns() { declared_columns(&request.layout.partition_by) } else { Vec::new() };
        let kept = base.as_ref().filter(|base| !replaces(base, &request));
        let schema = match kept {
            Some(base) => {
                if base.partition_columns != partition_columns {
                    return Err(ConnectorError::new(
                        ErrorKind::Refused,
                        format!("{described} is partitioned by [{}], not by [{}]", base.partition_columns.join(", "), partition_columns.join(", ")),
                    )
                    .with_help("restore `layout.partition_by`, or load the table anew with `--full-refresh`"));
                }
                evolve(&base.schema, &incoming, &described)?
            }
            None => incoming,
        };
        log.prepare(&folder).await?;
        let writer = WriterThread::start(WriterOptions {
            folder: folder.clone(),
            data_prefix: log.data_prefix(request.generation),
            attempt: file_safe(&request.attempt),
            schema: Arc::clone(&schema),
            layout: request.layout.clone(),
            declares_partitions: log.declares_partition_columns(),
            memory_bytes: request.memory_bytes,
        })?;
        Ok(Self {
            log,
            folder,
            described,
            request,
            schema,
            partition_columns,
            base,
            writer,
            rows_taken: 0,
            rows_written: 0,
            pending: Pending::default(),
            outcome_is_unknown: false,
        })
    }

    fn progress(&self) -> WriteProgress {
        let gauge = self.writer.gauge();
        let partitions = if self.request.layout.partition_by.is_empty() { 1 } else { gauge.partitions.load(Ordering::Relaxed).max(1) };
        let fills_its_files = self.rows_written >= self.request.layout.min_file_rows.saturating_mul(partitions);
        let has_full_file = self.request.layout.partition_by.is_empty() && gauge.full_files.load(Ordering::Relaxed) > 0;
        if fills_its_files || has_full_file || gauge.memory_is_full.load(Ordering::Relaxed) { WriteProgress::ReadyToCommit } else { WriteProgress::Accepted }
    }

    async fn try_commit(&mut self, request: &CommitRequest) -> Result<CommitOutcome, ConnectorError> {
        let is_replace = self.base.as_ref().is_some_and(|base| replaces(base, &self.request));
        let schema = match &self.base {
            Some(base) if !is_replace => evolve(&base.schema, &self.schema, &self.described)?,
            _ => Arc::clone(&self.schema),
        };
        let remove = match &self.base {
            Some(base) if is_replace => base.files.clone(),
            _ => Vec::new(),
        };
        let change = TableChange {
            base: self.base.as_ref().map(|base| base.version.clone()),
            schema,
            partition_columns: self.partition_columns.clone(),
            add: self.pending.files.clone(),
            remove,
            record: request.record.clone(),
            run_id: request.run_id.clone(),
            is_replace,
        };
        // Until the answer is here, dropping this load must not remove the files.
        self.outcome_is_unknown = true;
        let outcome = self.log.commit(&self.folder, change).await;
        self.outcome_is_unknown = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnknownOutcome);
        outcome
    }
}

/// True when the next commit of this load makes its rows the whole table.
fn replaces(base: &TableSnapshot, request: &LoadRequest) -> bool {
    let is_new_generation = base.records.get(&request.stream).is_some_and(|newest| newest.generation < request.generation);
    request.mode == WriteMode::Replace || is_new_generation
}

#[async_trait]
impl<L: CommitLog> Load for LakeLoad<L> {
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError> {
        let batch = conform(&batch, &self.schema)?;
        let rows = batch.num_rows() as u64;
        self.writer.write(batch).await?;
        self.rows_taken += rows;
        self.rows_written += rows;
        Ok(self.progress())
    }

    async fn stage(&mut self) -> Result<Staged, ConnectorError> {
        let files = self.writer.finish().await?;
        self.pending.files.extend(files);
        let files = self.pending.files.iter().map(|file| StagedFile {
            path: self.folder.join(&file.path),
            size: file.size,
            rows: file.rows,
            partition_values: file.partition_values.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        });
        Ok(Staged { rows: self.rows_taken, files: files.collect() })
    }

    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        for _ in 0..COMMIT_TRIES {
            let outcome = self.try_commit(&request).await?;
            let (version, was_already_applied) = match outcome {
                CommitOutcome::Applied { version } => (version, false),
                CommitOutcome::AlreadyApplied { version } => (version, true),
                CommitOutcome::Conflict { newest } => {
                    if crate::chain_step(newest.as_ref(), &request.record) == crate::ChainStep::Conflict {
                        return Err(conflict(&self.described, &request, newest.as_ref()));
                    }
                    // Another stream wrote this table: the rows are the same, only the version they are built on is not.
                    self.base = self.log.load(&self.folder, None).await?.map(Arc::new);
                    continue;
                }
            };
            let replaced = self.base.as_ref().filter(|base| replaces(base, &self.request)).map_or(0, |base| base.files.iter().map(|file| file.rows).sum());
            let committed = Committed {
                version,
                rows_written: self.pending.files.iter().map(|file| file.rows).sum(),
                rows_removed: replaced,
                files: self.pending.files.len() as u64,
                bytes: self.pending.files.iter().map(|file| file.size).sum(),
                was_already_applied,
            };
            self.pending = Pending::default();
            self.rows_taken = 0;
            self.rows_written = 0;
            self.base = self.log.load(&self.folder, None).await?.map(Arc::new);
            return Ok(committed);
        }
        Err(ConnectorError::new(ErrorKind::Busy, format!("{} was changed {COMMIT_TRIES} times while this commit was tried", self.described)))
    }
}

impl<L> Drop for LakeLoad<L> {
    fn drop(&mut self) {
        if !self.outcome_is_unknown {
            for file in &self.pending.files {
                discard(&self.folder.join(&file.path));
            }
        }
    }
}

fn conflict(described: &str, request: &CommitRequest, newest: Option<&karat_plugin_api::CommitRecord>) -> ConnectorError {
    let found = newest.map_or_else(|| "nothing was committed".to_owned(), |newest| format!("the newest is batch {} at {}", newest.seq, newest.hi));
    let (seq, lo) = request.expects();
    ConnectorError::new(ErrorKind::Conflict, format!("{described}: batch {} was built on batch {seq} at {lo}, but {found}", request.record.seq))
        .with_help("another run of this pipeline wrote to the table; run again")
}

/// The attempt as part of a file name.
fn file_safe(attempt: &str) -> String {
    attempt.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
}
