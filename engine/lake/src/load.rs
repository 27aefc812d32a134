//! One load into one table: rows to files, files to a version.

use crate::conform::{conform, evolve};
use crate::data_file::discard;
use crate::existing::ValueIndex;
use crate::once::{Identity, LeftOut, leave_out_known};
use crate::partition::declared_columns;
use crate::upsert::{self, Matching};
use crate::writer::{FileSetWriter, WriterGauge, WriterOptions, WriterThread};
use crate::{ChainStep, CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot, chain_step};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use karat_plugin_api::{CommitRecord, CommitRequest, Committed, ConnectorError, ErrorKind, Load, LoadRequest, Staged, StagedFile, WriteMode, WriteProgress};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Tries of one commit while other streams commit to the same table.
const COMMIT_TRIES: usize = 32;

/// An open load of one table.
pub(crate) struct LakeLoad<L> {
    log: Arc<L>,
    described: String,
    request: LoadRequest,
    options: WriterOptions,
    partition_columns: Vec<String>,
    base: Option<Arc<TableSnapshot>>,
    writer: WriterThread,
    intake: Intake,
    /// Files of new rows that this load wrote, by path.
    own: BTreeSet<String>,
    /// Merges so far; names their files.
    merges: u64,
    /// Rows taken since the last commit.
    rows_taken: u64,
    /// Rows handed to a writer since the last commit.
    rows_written: u64,
    pending: Pending,
    /// A commit was sent and not answered: its files may be visible.
    outcome_is_unknown: bool,
}

/// What happens to rows before they are written.
enum Intake {
    /// They are written.
    Direct,
    /// Those that the table holds are left out.
    Once { identity: Identity, left_out: LeftOut, buffer: Buffer },
    /// Those with the same key are replaced.
    Upsert { matching: Matching, unique_in_read: bool, buffer: Buffer },
}

/// Rows that must be compared with the table before they are written.
#[derive(Default)]
struct Buffer {
    batches: Vec<RecordBatch>,
    bytes: u64,
}

impl Buffer {
    fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch.get_array_memory_size() as u64;
        self.batches.push(batch);
    }
}

/// What the next commit changes.
#[derive(Debug, Default)]
struct Pending {
    /// Files of new rows.
    added: Vec<Arc<DataFile>>,
    /// Files of old rows whose neighbours were replaced.
    carried: Vec<Arc<DataFile>>,
    /// Files that go.
    removed: Vec<Arc<DataFile>>,
    /// Old rows that were replaced.
    replaced_rows: u64,
}

/// What one merge wrote.
struct Merged {
    added: Vec<DataFile>,
    carried: Vec<DataFile>,
    removed: Vec<Arc<DataFile>>,
    new_rows: u64,
    replaced_rows: u64,
}

impl<L: CommitLog> LakeLoad<L> {
    pub(crate) async fn begin(log: Arc<L>, folder: PathBuf, described: String, request: LoadRequest) -> Result<Self, ConnectorError> {
        let base = log.load(&folder, None).await?.map(Arc::new);
        let incoming = log.storage_schema(&request.schema)?;
        let partition_columns = if log.declares_partition_columns() { declared_columns(&request.layout.partition_by) } else { Vec::new() };
        let kept = base.as_ref().filter(|base| !replaces(base, &request));
        let schema = match kept {
            Some(base) => {
                check_partitions(base, &partition_columns, &described)?;
                evolve(&base.schema, &incoming, &described)?
            }
            None => incoming,
        };
        let options = WriterOptions {
            folder,
            data_prefix: log.data_prefix(request.generation),
            attempt: file_safe(&request.attempt),
            schema,
            layout: request.layout.clone(),
            declares_partitions: log.declares_partition_columns(),
            memory_bytes: request.memory_bytes,
        };
        log.prepare(&options.folder).await?;
        let writer = WriterThread::start(options.clone())?;
        let intake = intake(&request, &options.schema);
        Ok(Self {
            log,
            described,
            request,
            options,
            partition_columns,
            base,
            writer,
            intake,
            own: BTreeSet::new(),
            merges: 0,
            rows_taken: 0,
            rows_written: 0,
            pending: Pending::default(),
            outcome_is_unknown: false,
        })
    }

    fn progress(&self) -> WriteProgress {
        let gauge = self.writer.gauge();
        let is_partitioned = !self.request.layout.partition_by.is_empty();
        let partitions = if is_partitioned { gauge.partitions.load(Ordering::Relaxed).max(1) } else { 1 };
        let fills_its_files = self.rows_written >= self.request.layout.min_file_rows.saturating_mul(partitions);
        let has_full_file = !is_partitioned && gauge.full_files.load(Ordering::Relaxed) > 0;
        let buffered = match &self.intake {
            Intake::Direct => 0,
            Intake::Once { buffer, .. } | Intake::Upsert { buffer, .. } => buffer.bytes,
        };
        let is_full = gauge.memory_is_full.load(Ordering::Relaxed) || buffered >= self.request.memory_bytes / 2;
        if fills_its_files || has_full_file || is_full { WriteProgress::ReadyToCommit } else { WriteProgress::Accepted }
    }

    /// Files that rows of this load must be compared with.
    fn comparable_files(&self) -> Vec<Arc<DataFile>> {
        let base = self.base.iter().filter(|base| !replaces(base, &self.request)).flat_map(|base| &base.files);
        let removed: BTreeSet<&str> = self.pending.removed.iter().map(|file| file.path.as_str()).collect();
        let skips_own = !matches!(self.intake, Intake::Upsert { unique_in_read: false, .. });
        base.chain(&self.pending.added)
            .chain(&self.pending.carried)
            .filter(|file| !removed.contains(file.path.as_str()))
            .filter(|file| !skips_own || !self.own.contains(&file.path))
            .cloned()
            .collect()
    }

    /// Takes a batch: to the writer, or into the buffer when the table may hold its rows.
    async fn take(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        let (columns, must_buffer) = match &self.intake {
            Intake::Direct => (&[][..], false),
            Intake::Once { identity, .. } => (&identity.columns[..], false),
            Intake::Upsert { matching, unique_in_read, .. } => (&matching.key[..], !unique_in_read),
        };
        let must_compare = must_buffer || (!matches!(self.intake, Intake::Direct) && may_be_in_any(&batch, columns, &self.comparable_files())?);
        if !must_compare {
            self.rows_written += batch.num_rows() as u64;
            return self.writer.write(batch).await;
        }
        let is_over = match &mut self.intake {
            Intake::Direct => false,
            Intake::Once { buffer, .. } | Intake::Upsert { buffer, .. } => {
                buffer.push(batch);
                buffer.bytes >= self.request.memory_bytes
            }
        };
        if is_over { self.settle().await } else { Ok(()) }
    }

    /// Compares the buffered rows with the table, and writes what is new.
    async fn settle(&mut self) -> Result<(), ConnectorError> {
        let files = self.comparable_files();
        let folder = self.options.folder.clone();
        match &mut self.intake {
            Intake::Direct => Ok(()),
            Intake::Once { identity, left_out, buffer } => {
                let batches = std::mem::take(buffer).batches;
                if batches.is_empty() {
                    return Ok(());
                }
                let (identity, mut known) = (identity.clone(), std::mem::take(left_out));
                let (kept, known) = blocking(move || {
                    let candidates = candidates(&batches, &identity.columns, files)?;
                    let kept = leave_out_known(&identity, &folder, &batches, &candidates, &mut known)?;
                    Ok((kept, known))
                })
                .await?;
                *left_out = known;
                for batch in kept {
                    self.rows_written += batch.num_rows() as u64;
                    self.writer.write(batch).await?;
                }
                Ok(())
            }
            Intake::Upsert { matching, buffer, .. } => {
                let batches = std::mem::take(buffer).batches;
                if batches.is_empty() {
                    return Ok(());
                }
                self.merges += 1;
                let options = WriterOptions { attempt: format!("{}-m{}", self.options.attempt, self.merges), ..self.options.clone() };
                let (matching, own) = (matching.clone(), self.own.clone());
                let merged = blocking(move || merge(&matching, options, &batches, files, &own)).await?;
                self.apply(merged);
                Ok(())
            }
        }
    }

    fn apply(&mut self, merged: Merged) {
        self.rows_written += merged.new_rows;
        self.pending.replaced_rows += merged.replaced_rows;
        for file in merged.removed {
            let pending = &mut self.pending;
            let before = pending.added.len() + pending.carried.len();
            pending.added.retain(|known| known.path != file.path);
            pending.carried.retain(|known| known.path != file.path);
            if pending.added.len() + pending.carried.len() < before {
                // Never committed: nobody can have seen it.
                discard(&self.options.folder.join(&file.path));
            } else {
                pending.removed.push(file);
            }
        }
        self.own.extend(merged.added.iter().map(|file| file.path.clone()));
        self.pending.added.extend(merged.added.into_iter().map(Arc::new));
        self.pending.carried.extend(merged.carried.into_iter().map(Arc::new));
    }

    /// True when a column of the table takes a wider type with the next commit.
    fn widens(&self) -> bool {
        let kept = self.base.iter().filter(|base| !replaces(base, &self.request));
        let is_wider = |field: &Arc<Field>| self.options.schema.field_with_name(field.name()).is_ok_and(|new| new.data_type() != field.data_type());
        kept.flat_map(|base| base.schema.fields()).any(is_wider)
    }

    /// Writes the rows of before anew in the wider types: readers count on one type per column.
    async fn widen(&mut self) -> Result<(), ConnectorError> {
        let removed: BTreeSet<&str> = self.pending.removed.iter().map(|file| file.path.as_str()).collect();
        let files: Vec<Arc<DataFile>> = self.base.iter().flat_map(|base| &base.files).filter(|file| !removed.contains(file.path.as_str())).cloned().collect();
        if files.is_empty() {
            return Ok(());
        }
        self.merges += 1;
        let options = WriterOptions { attempt: format!("{}-m{}", self.options.attempt, self.merges), ..self.options.clone() };
        let merged = blocking(move || rewrite(options, files)).await?;
        self.apply(merged);
        Ok(())
    }

    async fn try_commit(&mut self, request: &CommitRequest) -> Result<CommitOutcome, ConnectorError> {
        let is_replace = self.base.as_ref().is_some_and(|base| replaces(base, &self.request));
        let (schema, remove) = match &self.base {
            Some(base) if is_replace => (Arc::clone(&self.options.schema), base.files.clone()),
            Some(base) => (evolve(&base.schema, &self.options.schema, &self.described)?, self.pending.removed.clone()),
            None => (Arc::clone(&self.options.schema), Vec::new()),
        };
        let change = TableChange {
            base: self.base.as_ref().map(|base| base.version.clone()),
            schema,
            partition_columns: self.partition_columns.clone(),
            add: self.pending.added.iter().chain(&self.pending.carried).map(|file| file.as_ref().clone()).collect(),
            remove,
            record: request.record.clone(),
            run_id: request.run_id.clone(),
            is_replace,
        };
        // Until the answer is here, dropping this load must not remove the files.
        self.outcome_is_unknown = true;
        let outcome = self.log.commit(&self.options.folder, change).await;
        self.outcome_is_unknown = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnknownOutcome);
        outcome
    }

    /// Another stream wrote this table first: go on from there, if that cannot matter to what is pending.
    async fn rebase(&mut self, request: &CommitRequest, newest: Option<&CommitRecord>) -> Result<(), ConnectorError> {
        if chain_step(newest, &request.record) == ChainStep::Conflict {
            return Err(conflict(&self.described, request, newest));
        }
        if !matches!(self.intake, Intake::Direct) || self.widens() {
            return Err(ConnectorError::new(ErrorKind::Busy, format!("{} was changed by somebody else while rows were compared with it", self.described)));
        }
        self.base = self.log.load(&self.options.folder, None).await?.map(Arc::new);
        match &self.base {
            Some(base) if !replaces(base, &self.request) => check_partitions(base, &self.partition_columns, &self.described),
            _ => Ok(()),
        }
    }
}

fn intake(request: &LoadRequest, schema: &SchemaRef) -> Intake {
    match &request.mode {
        WriteMode::Append { once_by: Some(columns) } => {
            let identity = Identity { columns: columns.clone(), counts_copies: columns.len() >= request.schema.fields().len(), schema: Arc::clone(schema) };
            Intake::Once { identity, left_out: LeftOut::new(), buffer: Buffer::default() }
        }
        WriteMode::Upsert { key, unique_in_read, order_by } => {
            let matching = Matching { key: key.clone(), order_by: order_by.clone(), schema: Arc::clone(schema) };
            Intake::Upsert { matching, unique_in_read: *unique_in_read, buffer: Buffer::default() }
        }
        WriteMode::Append { once_by: None } | WriteMode::Replace | WriteMode::Window { .. } | WriteMode::Diff { .. } => Intake::Direct,
    }
}

/// True when the next commit of this load makes its rows the whole table.
fn replaces(base: &TableSnapshot, request: &LoadRequest) -> bool {
    let is_new_generation = base.records.get(&request.stream).is_some_and(|newest| newest.generation < request.generation);
    request.mode == WriteMode::Replace || is_new_generation
}

fn check_partitions(base: &TableSnapshot, partition_columns: &[String], described: &str) -> Result<(), ConnectorError> {
    if base.partition_columns == partition_columns {
        return Ok(());
    }
    let (old, new) = (base.partition_columns.join(", "), partition_columns.join(", "));
    Err(ConnectorError::new(ErrorKind::Refused, format!("{described} is partitioned by [{old}], not by [{new}]"))
        .with_help("restore `layout.partition_by`, or load the table anew with `--full-refresh`"))
}

fn may_be_in_any(batch: &RecordBatch, columns: &[String], files: &[Arc<DataFile>]) -> Result<bool, ConnectorError> {
    if files.is_empty() {
        return Ok(false);
    }
    let index = ValueIndex::new(std::slice::from_ref(batch), columns)?;
    for file in files {
        if index.may_be_in(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn candidates(batches: &[RecordBatch], columns: &[String], files: Vec<Arc<DataFile>>) -> Result<Vec<Arc<DataFile>>, ConnectorError> {
    let index = ValueIndex::new(batches, columns)?;
    let mut kept = Vec::new();
    for file in files {
        if index.may_be_in(&file)? {
            kept.push(file);
        }
    }
    Ok(kept)
}

/// Merges rows into the table's files; new rows and the rest of rewritten files go to different files, so that checks see only new rows.
fn merge(matching: &Matching, options: WriterOptions, batches: &[RecordBatch], files: Vec<Arc<DataFile>>, own: &BTreeSet<String>) -> Result<Merged, ConnectorError> {
    let folder = options.folder.clone();
    let candidates = candidates(batches, &matching.key, files)?;
    let plan = upsert::plan(matching, &folder, batches, &candidates)?;
    let mut writer = FileSetWriter::new(options, Arc::new(WriterGauge::default()))?;
    let mut new_rows = 0;
    for batch in &plan.new_rows {
        new_rows += batch.num_rows() as u64;
        writer.write(batch)?;
    }
    let (mine, others): (Vec<_>, Vec<_>) = plan.rewrites.iter().partition(|rewrite| own.contains(&rewrite.file.path));
    for rewrite in &mine {
        copy_rest(&mut writer, rewrite, &folder, &matching.schema)?;
    }
    let added = writer.finish()?;
    let carried = (|| {
        for rewrite in &others {
            copy_rest(&mut writer, rewrite, &folder, &matching.schema)?;
        }
        writer.finish()
    })();
    let carried = carried.inspect_err(|_| added.iter().for_each(|file| discard(&folder.join(&file.path))))?;
    let replaced_rows = others.iter().map(|rewrite| rewrite.dropped.len() as u64).sum();
    let removed = plan.rewrites.iter().map(|rewrite| Arc::clone(&rewrite.file)).collect();
    Ok(Merged { added, carried, removed, new_rows, replaced_rows })
}

/// The rows of `files`, in new files of the writer's types.
fn rewrite(options: WriterOptions, files: Vec<Arc<DataFile>>) -> Result<Merged, ConnectorError> {
    let (folder, schema) = (options.folder.clone(), Arc::clone(&options.schema));
    let mut writer = FileSetWriter::new(options, Arc::new(WriterGauge::default()))?;
    for file in &files {
        copy_rest(&mut writer, &upsert::Rewrite { file: Arc::clone(file), dropped: Vec::new() }, &folder, &schema)?;
    }
    Ok(Merged { added: Vec::new(), carried: writer.finish()?, removed: files, new_rows: 0, replaced_rows: 0 })
}

fn copy_rest(writer: &mut FileSetWriter, rewrite: &upsert::Rewrite, folder: &Path, schema: &SchemaRef) -> Result<(), ConnectorError> {
    for batch in upsert::rest_of(rewrite, folder, schema)? {
        writer.write(&batch?)?;
    }
    Ok(())
}

/// Runs reading and encoding off the async threads. Once started it finishes, even when nobody waits any more.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ConnectorError::new(ErrorKind::Bug, "comparing rows with a table broke down").with_source(error))?
}

#[async_trait]
impl<L: CommitLog> Load for LakeLoad<L> {
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError> {
        let batch = conform(&batch, &self.options.schema)?;
        self.rows_taken += batch.num_rows() as u64;
        if batch.num_rows() > 0 {
            self.take(batch).await?;
        }
        Ok(self.progress())
    }

    async fn stage(&mut self) -> Result<Staged, ConnectorError> {
        self.settle().await?;
        let files = self.writer.finish().await?;
        self.own.extend(files.iter().map(|file| file.path.clone()));
        self.pending.added.extend(files.into_iter().map(Arc::new));
        if self.widens() {
            self.widen().await?;
        }
        let files = self.pending.added.iter().map(|file| StagedFile {
            path: self.options.folder.join(&file.path),
            size: file.size,
            rows: file.rows,
            partition_values: file.partition_values.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        });
        Ok(Staged { rows: self.rows_taken, files: files.collect() })
    }

    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        for _ in 0..COMMIT_TRIES {
            let (version, was_already_applied) = match self.try_commit(&request).await? {
                CommitOutcome::Applied { version } => (version, false),
                CommitOutcome::AlreadyApplied { version } => (version, true),
                CommitOutcome::Conflict { newest } => {
                    self.rebase(&request, newest.as_ref()).await?;
                    continue;
                }
            };
            let pending = std::mem::take(&mut self.pending);
            let replaced = self.base.as_ref().filter(|base| replaces(base, &self.request)).map_or(0, |base| base.files.iter().map(|file| file.rows).sum());
            self.rows_taken = 0;
            self.rows_written = 0;
            self.base = self.log.load(&self.options.folder, None).await?.map(Arc::new);
            let files = || pending.added.iter().chain(&pending.carried);
            return Ok(Committed {
                version,
                rows_written: pending.added.iter().map(|file| file.rows).sum(),
                rows_removed: pending.replaced_rows + replaced,
                files: files().count() as u64,
                bytes: files().map(|file| file.size).sum(),
                was_already_applied,
            });
        }
        Err(ConnectorError::new(ErrorKind::Busy, format!("{} was changed {COMMIT_TRIES} times while this commit was tried", self.described)))
    }
}

impl<L> Drop for LakeLoad<L> {
    fn drop(&mut self) {
        if !self.outcome_is_unknown {
            for file in self.pending.added.iter().chain(&self.pending.carried) {
                discard(&self.options.folder.join(&file.path));
            }
        }
    }
}

fn conflict(described: &str, request: &CommitRequest, newest: Option<&CommitRecord>) -> ConnectorError {
    let found = newest.map_or_else(|| "nothing was committed".to_owned(), |newest| format!("the newest is batch {} at {}", newest.seq, newest.hi));
    let (seq, lo) = request.expects();
    ConnectorError::new(ErrorKind::Conflict, format!("{described}: batch {} was built on batch {seq} at {lo}, but {found}", request.record.seq))
        .with_help("another run of this pipeline wrote to the table; run again")
}

/// The attempt as part of a file name.
fn file_safe(attempt: &str) -> String {
    attempt.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
}
