//! Rows to files: one open Parquet file per partition, on a thread of its own, so that encoding overlaps with reading.

use crate::DataFile;
use crate::data_file::{NewFile, OpenFile, discard};
use crate::durable::{create_folders, sync_folder};
use crate::encode;
use crate::partition::{Partition, Partitioner, declared_columns};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use karat_plugin_api::{ConnectorError, ErrorKind, FileLayout};
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Open files at once: below what operating systems allow by default.
const MAX_OPEN_FILES: usize = 400;
/// Batches between the reader and the encoder: one waits while one is encoded.
const QUEUE_BATCHES: usize = 2;

/// What a writer needs to know.
#[derive(Debug, Clone)]
pub(crate) struct WriterOptions {
    /// The table's folder.
    pub(crate) folder: PathBuf,
    /// Where data files go, relative to `folder`.
    pub(crate) data_prefix: String,
    /// Makes file names unique.
    pub(crate) attempt: String,
    /// Columns of the rows.
    pub(crate) schema: SchemaRef,
    pub(crate) layout: FileLayout,
    /// Whether identity partition columns leave the files.
    pub(crate) declares_partitions: bool,
    pub(crate) memory_bytes: u64,
}

/// What the writing thread tells while it works.
#[derive(Debug, Default)]
pub(crate) struct WriterGauge {
    /// Files closed because they were full, since the last finish.
    pub(crate) full_files: AtomicU64,
    /// Partitions that got rows since the last finish.
    pub(crate) partitions: AtomicU64,
    /// Memory ran short since the last finish.
    pub(crate) memory_is_full: AtomicBool,
}

/// Writes rows into files; nothing of it is visible before the log says so.
pub(crate) struct FileSetWriter {
    options: WriterOptions,
    file_schema: SchemaRef,
    properties: WriterProperties,
    partitioner: Partitioner,
    open: HashMap<Partition, OpenFile>,
    touched: BTreeSet<String>,
    closed: Vec<DataFile>,
    next_file: u64,
    gauge: Arc<WriterGauge>,
}

impl FileSetWriter {
    pub(crate) fn new(options: WriterOptions, gauge: Arc<WriterGauge>) -> Result<Self, ConnectorError> {
        let declared = if options.declares_partitions { declared_columns(&options.layout.partition_by) } else { Vec::new() };
        let fields: Vec<_> = options.schema.fields().iter().filter(|field| !declared.contains(field.name())).cloned().collect();
        if fields.is_empty() {
            return Err(ConnectorError::new(ErrorKind::SchemaMismatch, "the table has no column besides its partition columns").with_help("leave one out of `layout.partition_by`"));
        }
        let file_schema = Arc::new(Schema::new(fields));
        let properties = encode::properties(&file_schema, options.layout.compression)?;
        let partitioner = Partitioner::new(&options.layout.partition_by, &options.schema, options.declares_partitions)?;
        Ok(Self { options, file_schema, properties, partitioner, open: HashMap::new(), touched: BTreeSet::new(), closed: Vec::new(), next_file: 0, gauge })
    }

    /// Takes rows, closing files that are full.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        for (partition, rows) in self.partitioner.split(batch)? {
            if self.touched.insert(partition.folder.clone()) {
                self.gauge.partitions.fetch_add(1, Ordering::Relaxed);
            }
            self.write_partition(&partition, &rows)?;
        }
        self.shed_memory()
    }

    fn write_partition(&mut self, partition: &Partition, rows: &RecordBatch) -> Result<(), ConnectorError> {
        let full_rows = self.options.layout.min_file_rows.max(1);
        let mut start = 0;
        while start < rows.num_rows() {
            let mut file = match self.open.remove(partition) {
                Some(file) => file,
                None => self.create(partition)?,
            };
            let room = usize::try_from(full_rows.saturating_sub(file.rows())).unwrap_or(usize::MAX).max(1);
            let count = room.min(rows.num_rows() - start);
            file.write(&rows.slice(start, count))?;
            start += count;
            if file.rows() >= full_rows || file.size() >= self.options.layout.target_file_bytes {
                self.closed.push(file.finish()?);
                self.gauge.full_files.fetch_add(1, Ordering::Relaxed);
            } else {
                self.open.insert(partition.clone(), file);
            }
        }
        Ok(())
    }

    fn create(&mut self, partition: &Partition) -> Result<OpenFile, ConnectorError> {
        if self.open.len() >= MAX_OPEN_FILES
            && let Some(largest) = self.largest()
            && let Some(file) = self.open.remove(&largest)
        {
            self.closed.push(file.finish()?);
        }
        let relative_folder = format!("{}{}", self.options.data_prefix, partition.folder);
        create_folders(&self.options.folder.join(&relative_folder))?;
        let relative = format!("{relative_folder}part-{:05}-{}.parquet", self.next_file, self.options.attempt);
        self.next_file += 1;
        OpenFile::create(NewFile {
            folder: &self.options.folder,
            relative,
            partition: partition.clone(),
            schema: self.file_schema.clone(),
            properties: &self.properties,
            sort_by: &self.options.layout.sort_by,
        })
    }

    fn largest(&self) -> Option<Partition> {
        self.open.iter().max_by_key(|(_, file)| file.memory()).map(|(partition, _)| partition.clone())
    }

    /// Keeps what open files hold in memory below the limit, by closing row groups early.
    fn shed_memory(&mut self) -> Result<(), ConnectorError> {
        let limit = usize::try_from(self.options.memory_bytes).unwrap_or(usize::MAX);
        let mut held: usize = self.open.values().map(OpenFile::memory).sum();
        while held > limit {
            self.gauge.memory_is_full.store(true, Ordering::Relaxed);
            let Some(largest) = self.largest() else { break };
            let Some(file) = self.open.get_mut(&largest) else { break };
            let before = file.memory();
            file.flush()?;
            let freed = before.saturating_sub(file.memory());
            if freed == 0 {
                break;
            }
            held -= freed;
        }
        Ok(())
    }

    /// Closes all files and makes them and their names durable; returns them in the order they were opened.
    pub(crate) fn finish(&mut self) -> Result<Vec<DataFile>, ConnectorError> {
        let mut rest: Vec<Partition> = self.open.keys().cloned().collect();
        rest.sort();
        for partition in rest {
            if let Some(file) = self.open.remove(&partition) {
                self.closed.push(file.finish()?);
            }
        }
        let mut files = std::mem::take(&mut self.closed);
        let folders: BTreeSet<PathBuf> = files.iter().filter_map(|file| self.options.folder.join(&file.path).parent().map(Path::to_path_buf)).collect();
        for folder in folders {
            sync_folder(&folder)?;
        }
        files.sort_by(|a, b| file_number(&a.path).cmp(file_number(&b.path)).then_with(|| a.path.cmp(&b.path)));
        self.touched.clear();
        self.gauge.full_files.store(0, Ordering::Relaxed);
        self.gauge.partitions.store(0, Ordering::Relaxed);
        self.gauge.memory_is_full.store(false, Ordering::Relaxed);
        Ok(files)
    }
}

impl Drop for FileSetWriter {
    /// What was not handed out by `finish` was never part of a commit.
    fn drop(&mut self) {
        for (_, file) in self.open.drain() {
            file.discard();
        }
        for file in &self.closed {
            discard(&self.options.folder.join(&file.path));
        }
    }
}

fn file_number(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

enum Command {
    Write(RecordBatch),
    Finish(oneshot::Sender<Vec<DataFile>>),
}

/// A [`FileSetWriter`] on a thread of its own.
pub(crate) struct WriterThread {
    commands: mpsc::Sender<Command>,
    gauge: Arc<WriterGauge>,
    thread: Option<JoinHandle<Result<(), ConnectorError>>>,
}

impl WriterThread {
    /// Starts the thread; it ends when this value is dropped.
    pub(crate) fn start(options: WriterOptions) -> Result<Self, ConnectorError> {
        let gauge = Arc::new(WriterGauge::default());
        let mut writer = FileSetWriter::new(options, Arc::clone(&gauge))?;
        let (commands, mut queue) = mpsc::channel(QUEUE_BATCHES);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(command) = queue.blocking_recv() {
                match command {
                    Command::Write(batch) => writer.write(&batch)?,
                    Command::Finish(reply) => {
                        let folder = writer.options.folder.clone();
                        if let Err(unheard) = reply.send(writer.finish()?) {
                            // Nobody waits any more: these files will never be committed.
                            unheard.iter().for_each(|file| discard(&folder.join(&file.path)));
                        }
                    }
                }
            }
            Ok(())
        });
        Ok(Self { commands, gauge, thread: Some(thread) })
    }

    /// What the thread tells.
    pub(crate) fn gauge(&self) -> &WriterGauge {
        &self.gauge
    }

    /// Hands rows over; waits while the queue is full. Dropping the future loses the batch.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        if self.commands.send(Command::Write(batch)).await.is_err() {
            return Err(self.failure().await);
        }
        Ok(())
    }

    /// Makes all rows so far durable. Dropping the future gives their files up.
    pub(crate) async fn finish(&mut self) -> Result<Vec<DataFile>, ConnectorError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Finish(reply)).await.is_err() {
            return Err(self.failure().await);
        }
        match answer.await {
            Ok(files) => Ok(files),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Why the thread ended.
    async fn failure(&mut self) -> ConnectorError {
        let Some(thread) = self.thread.take() else { return ConnectorError::new(ErrorKind::Bug, "the load had failed before") };
        match thread.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => ConnectorError::new(ErrorKind::Bug, "the writing thread ended early"),
            Err(error) => ConnectorError::new(ErrorKind::Bug, "the writing thread broke down").with_source(error),
        }
    }
}
