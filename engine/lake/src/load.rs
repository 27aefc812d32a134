//! One load into one table: rows to files, files to a version.

use crate::conform::{conform, evolve};
use crate::data_file::discard;
use crate::difference::Difference;
use crate::intake::{DiffIntake, Intake, candidates, may_be_in_any};
use crate::once::leave_out_known;
use crate::partition::declared_columns;
use crate::rewrite::{Merged, Rewrite, carry};
use crate::small_files::merge_small;
use crate::upsert;
use crate::window::{Clearing, WindowRows};
use crate::writer::{WriterOptions, WriterThread};
use crate::{ChainStep, CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot, chain_step};
use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use async_trait::async_trait;
use karat_plugin_api::{CommitRecord, CommitRequest, Committed, ConnectorError, ErrorKind, Load, LoadRequest, Staged, StagedFile, WriteMode, WriteProgress};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// What the next commit changes.
#[derive(Debug, Default)]
struct Pending {
    /// Files of new rows.
    added: Vec<Arc<DataFile>>,
    /// Files of old rows whose neighbours were replaced.
    carried: Vec<Arc<DataFile>>,
    /// Files that go.
    removed: Vec<Arc<DataFile>>,
    /// Old rows that go or are marked as deleted.
    removed_rows: u64,
    /// The window of the commit is part of this.
    holds_window: bool,
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
        let intake = Intake::of(&request, &options, &described);
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
        let is_full = gauge.memory_is_full.load(Ordering::Relaxed) || self.intake.buffered_bytes() >= self.request.memory_bytes / 2;
        if fills_its_files || has_full_file || is_full { WriteProgress::ReadyToCommit } else { WriteProgress::Accepted }
    }

    /// Files of the table that stay as they are, as far as is known.
    fn untouched_files(&self) -> impl Iterator<Item = &Arc<DataFile>> {
        let removed: BTreeSet<&str> = self.pending.removed.iter().map(|file| file.path.as_str()).collect();
        let base = self.base.iter().filter(|base| !replaces(base, &self.request)).flat_map(|base| &base.files);
        base.filter(move |file| !removed.contains(file.path.as_str()))
    }

    /// Files that rows of this load must be compared with.
    fn comparable_files(&self) -> Vec<Arc<DataFile>> {
        let skips_own = !matches!(self.intake, Intake::Upsert { unique_in_read: false, .. });
        let pending = self.pending.added.iter().chain(&self.pending.carried);
        self.untouched_files().chain(pending).filter(|file| !skips_own || !self.own.contains(&file.path)).cloned().collect()
    }

    /// Names for the files of the next merge.
    fn merge_options(&mut self) -> WriterOptions {
        self.merges += 1;
        WriterOptions { attempt: format!("{}-m{}", self.options.attempt, self.merges), ..self.options.clone() }
    }

    /// Takes a batch: to the writer, or into the buffer when the table may hold its rows.
    async fn take(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        let (columns, must_buffer) = match &self.intake {
            Intake::Direct => (&[][..], false),
            Intake::Diff(_) => return self.take_difference(batch).await,
            Intake::Once { identity, .. } => (&identity.columns[..], false),
            Intake::Upsert { matching, unique_in_read, .. } => (&matching.key[..], !unique_in_read),
        };
        let must_compare = must_buffer || (!matches!(self.intake, Intake::Direct) && may_be_in_any(&batch, columns, &self.comparable_files())?);
        if !must_compare {
            self.rows_written += batch.num_rows() as u64;
            return self.writer.write(batch).await;
        }
        let is_over = match &mut self.intake {
            Intake::Direct | Intake::Diff(_) => false,
            Intake::Once { buffer, .. } | Intake::Upsert { buffer, .. } => {
                buffer.push(batch);
                buffer.bytes >= self.request.memory_bytes
            }
        };
        if is_over { self.settle().await } else { Ok(()) }
    }

    /// The comparison of a diff with the table, which is read when it begins.
    async fn difference(&mut self) -> Result<Option<Box<Difference>>, ConnectorError> {
        let Intake::Diff(state) = &mut self.intake else { return Ok(None) };
        match std::mem::replace(state, DiffIntake::Settled) {
            DiffIntake::Waiting(comparison) => {
                let files = self.comparable_files();
                blocking(move || Difference::read(comparison, files)).await.map(|read| Some(Box::new(read)))
            }
            DiffIntake::Comparing(difference) => Ok(Some(difference)),
            DiffIntake::Settled => Ok(None),
        }
    }

    /// Takes a batch of a diff: what is new or changed goes to the writer.
    async fn take_difference(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        let Some(mut difference) = self.difference().await? else {
            return Err(ConnectorError::new(ErrorKind::Bug, "rows came after all rows of a diff were staged"));
        };
        let (difference, rows) = blocking(move || difference.take(&batch).map(|rows| (difference, rows))).await?;
        self.intake = Intake::Diff(DiffIntake::Comparing(difference));
        self.rows_written += rows.num_rows() as u64;
        if rows.num_rows() > 0 { self.writer.write(rows).await } else { Ok(()) }
    }

    /// Compares the buffered rows with the table, and writes what is new; of a diff, takes away what vanished.
    async fn settle(&mut self) -> Result<(), ConnectorError> {
        match &mut self.intake {
            Intake::Direct => Ok(()),
            Intake::Once { identity, left_out, buffer } => {
                let batches = std::mem::take(buffer).batches;
                if batches.is_empty() {
                    return Ok(());
                }
                let (identity, mut known) = (identity.clone(), std::mem::take(left_out));
                let (files, folder) = (self.comparable_files(), self.options.folder.clone());
                let (kept, known) = blocking(move || {
                    let candidates = candidates(&batches, &identity.columns, files)?;
                    let kept = leave_out_known(&identity, &folder, &batches, &candidates, &mut known)?;
                    Ok((kept, known))
                })
                .await?;
                if let Intake::Once { left_out, .. } = &mut self.intake {
                    *left_out = known;
                }
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
                let matching = matching.clone();
                let (files, options, own) = (self.comparable_files(), self.merge_options(), self.own.clone());
                let merged = blocking(move || {
                    let candidates = candidates(&batches, &matching.key, files)?;
                    upsert::merge(&matching, options, &batches, &candidates, &own)
                });
                self.apply(merged.await?);
                Ok(())
            }
            Intake::Diff(_) => {
                let Some(difference) = self.difference().await? else { return Ok(()) };
                let at = now_micros()?;
                self.rewrite(move || difference.rewrites(at)).await
            }
        }
    }

    /// Rewrites the files that `plan` names and, when anything changes, small ones beside them.
    async fn rewrite(&mut self, plan: impl FnOnce() -> Result<Vec<Rewrite>, ConnectorError> + Send + 'static) -> Result<(), ConnectorError> {
        let (options, has_new_rows) = (self.merge_options(), self.rows_written > 0);
        let files = self.untouched_files().cloned().collect();
        let merged = blocking(move || {
            let mut rewrites = plan()?;
            if has_new_rows || !rewrites.is_empty() {
                merge_small(&mut rewrites, files, &options.layout);
            }
            carry(&options, rewrites)
        });
        self.apply(merged.await?);
        Ok(())
    }

    /// Takes the rows away whose place the staged ones take, as soon as it is known which.
    async fn clear_window(&mut self, request: &CommitRequest) -> Result<(), ConnectorError> {
        let WriteMode::Window { column, key } = &self.request.mode else { return Ok(()) };
        let newest = self.base.as_ref().and_then(|base| base.records.get(&request.record.stream));
        if self.pending.holds_window || chain_step(newest, &request.record) == ChainStep::AlreadyApplied {
            return Ok(());
        }
        let bounds = request.window.as_ref().ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "a window was committed without its bounds"))?;
        let clearing = Clearing {
            window: WindowRows::new(&self.options.schema, column, bounds)?,
            key: key.clone(),
            folder: self.options.folder.clone(),
            schema: Arc::clone(&self.options.schema),
            memory_bytes: self.options.memory_bytes,
        };
        let (files, staged) = (self.untouched_files().cloned().collect(), self.pending.added.clone());
        self.rewrite(move || clearing.plan(files, &staged)).await?;
        self.pending.holds_window = true;
        self.widen().await
    }

    /// Gives up what a window would have cleared: the table is another one now.
    fn restore_window(&mut self) {
        if std::mem::take(&mut self.pending.holds_window) {
            self.pending.removed.clear();
            self.pending.removed_rows = 0;
            for file in self.pending.carried.drain(..) {
                discard(&self.options.folder.join(&file.path));
            }
        }
    }

    fn apply(&mut self, merged: Merged) {
        self.rows_written += merged.new_rows;
        self.pending.removed_rows += merged.removed_rows;
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

    /// True when this load can write rows of the table anew without losing any of their values.
    fn knows_all_columns(&self, table: &TableSnapshot) -> bool {
        table.schema.fields().iter().all(|field| self.options.schema.field_with_name(field.name()).is_ok_and(|own| own.data_type() == field.data_type()))
    }

    /// Writes the rows of before anew where a column takes a wider type: readers count on one type per column.
    async fn widen(&mut self) -> Result<(), ConnectorError> {
        let rewrites: Vec<Rewrite> = if self.widens() { self.untouched_files().cloned().map(Rewrite::whole).collect() } else { Vec::new() };
        if rewrites.is_empty() {
            return Ok(());
        }
        let options = self.merge_options();
        let merged = blocking(move || carry(&options, rewrites)).await?;
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
        let changed = || ConnectorError::new(ErrorKind::Busy, format!("{} was changed by somebody else while rows were compared with it", self.described));
        if !matches!(self.intake, Intake::Direct) || self.widens() {
            return Err(changed());
        }
        self.base = self.log.load(&self.options.folder, None).await?.map(Arc::new);
        match &self.base {
            Some(base) if matches!(self.request.mode, WriteMode::Window { .. }) && !replaces(base, &self.request) && !self.knows_all_columns(base) => Err(changed()),
            Some(base) if !replaces(base, &self.request) => check_partitions(base, &self.partition_columns, &self.described),
            _ => Ok(()),
        }
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
        if !matches!(self.request.mode, WriteMode::Window { .. }) {
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
            self.clear_window(&request).await?;
            let (version, was_already_applied) = match self.try_commit(&request).await? {
                CommitOutcome::Applied { version } => (version, false),
                CommitOutcome::AlreadyApplied { version } => (version, true),
                CommitOutcome::Conflict { newest } => {
                    self.rebase(&request, newest.as_ref()).await?;
                    self.restore_window();
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
                rows_removed: pending.removed_rows + replaced,
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

/// Microseconds since 1970-01-01T00:00:00Z.
fn now_micros() -> Result<i64, ConnectorError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_micros()).ok());
    since.ok_or_else(|| ConnectorError::new(ErrorKind::BadConfiguration, "this machine's clock shows a time before 1970").with_help("set the clock"))
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
