//! The commit log of a table of plain Parquet files: `_karat/g=<generation>/<number>.json`, each entry made by create-if-absent and chained by hash.
//!
//! The newest generation that has an entry is the table: beginning one is the same compare-and-set as any other commit, so there is no pointer that
//! could be torn. Within a generation numbers are dense and each entry names the hash of the one before: holes and edits are noticed.

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use karat_lake::{ChainStep, CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot, chain_step, create_if_absent};
use karat_plugin_api::{CommitRecord, ConnectorError, DeclaredType, ErrorKind, Generation, StreamId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The only format of entries so far.
const FORMAT: u32 = 1;

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    format: u32,
    record: CommitRecord,
    run_id: String,
    columns: Vec<ColumnEntry>,
    add: Vec<DataFile>,
    remove: Vec<String>,
    prev_sha256: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ColumnEntry {
    name: String,
    #[serde(rename = "type")]
    declared: String,
}

/// A table at one entry.
#[derive(Debug, Clone)]
struct TableState {
    generation: u64,
    number: u64,
    schema: SchemaRef,
    files: BTreeMap<String, Arc<DataFile>>,
    records: BTreeMap<StreamId, CommitRecord>,
    hash: String,
}

/// The log of all tables of a connection. Remembers each table's newest entry, so that a commit reads only what is new.
#[derive(Debug, Clone, Default)]
pub(crate) struct FilesLog {
    known: Arc<Mutex<HashMap<PathBuf, Arc<TableState>>>>,
}

impl TableState {
    fn version(&self) -> String {
        format!("{}.{}", self.generation, self.number)
    }

    fn snapshot(&self) -> TableSnapshot {
        TableSnapshot {
            version: self.version(),
            schema: Arc::clone(&self.schema),
            partition_columns: Vec::new(),
            files: self.files.values().cloned().collect(),
            records: self.records.clone(),
        }
    }

    /// The state after the next entry.
    fn next(mut self, entry: Entry, hash: String, folder: &Path) -> Result<Self, ConnectorError> {
        if entry.format > FORMAT {
            return Err(ConnectorError::new(ErrorKind::Unsupported, format!("table `{}` was written by a newer version of this program", folder.display())).with_help("update it"));
        }
        if self.number > 0 && entry.prev_sha256.as_deref() != Some(&self.hash) {
            return Err(corrupt(folder, &format!("entry {} does not follow the one before it", self.number + 1)));
        }
        self.schema = schema_of(&entry.columns, folder)?;
        for path in &entry.remove {
            self.files.remove(path);
        }
        for file in entry.add {
            let is_inside = file.path.split('/').all(|name| !matches!(name, "" | "." | ".."));
            if !is_inside {
                return Err(corrupt(folder, &format!("`{}` is not the path of a data file inside the table", file.path)));
            }
            self.files.insert(file.path.clone(), Arc::new(file));
        }
        self.records.insert(entry.record.stream.clone(), entry.record);
        self.number += 1;
        self.hash = hash;
        Ok(self)
    }
}

impl FilesLog {
    fn load_newest(&self, folder: &Path) -> Result<Option<Arc<TableState>>, ConnectorError> {
        let Some(generation) = generations(folder)?.last().copied() else { return Ok(None) };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned();
        let start = match known {
            Some(known) if known.generation == generation && is_still_there(folder, &known)? => known,
            _ => Arc::new(empty(generation)),
        };
        let state = Arc::new(replay(folder, start.as_ref().clone(), None)?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf(), Arc::clone(&state));
        Ok(Some(state))
    }

    fn append(&self, folder: &Path, change: &TableChange) -> Result<CommitOutcome, ConnectorError> {
        loop {
            let state = self.load_newest(folder)?;
            let newest = state.as_ref().and_then(|state| state.records.get(&change.record.stream)).cloned();
            let version = state.as_ref().map(|state| state.version());
            match (chain_step(newest.as_ref(), &change.record), version) {
                (ChainStep::AlreadyApplied, Some(version)) => return Ok(CommitOutcome::AlreadyApplied { version }),
                (ChainStep::Extends, version) if version == change.base => {}
                _ => return Ok(CommitOutcome::Conflict { newest }),
            }
            let generation = state.as_ref().map_or(change.record.generation.0, |state| state.generation.max(change.record.generation.0));
            let previous = state.filter(|state| state.generation == generation);
            let number = previous.as_ref().map_or(1, |state| state.number + 1);
            let content = content(change, previous.as_deref())?;
            if create_if_absent(&entry_path(folder, generation, number), &content)? {
                return Ok(CommitOutcome::Applied { version: format!("{generation}.{number}") });
            }
        }
    }
}

fn content(change: &TableChange, previous: Option<&TableState>) -> Result<Vec<u8>, ConnectorError> {
    let columns = change.schema.fields().iter().map(|field| Ok(ColumnEntry { name: field.name().clone(), declared: type_name(field)? }));
    let entry = Entry {
        format: FORMAT,
        record: change.record.clone(),
        run_id: change.run_id.clone(),
        columns: columns.collect::<Result<_, ConnectorError>>()?,
        add: change.add.clone(),
        remove: if previous.is_some() { change.remove.iter().map(|file| file.path.clone()).collect() } else { Vec::new() },
        prev_sha256: previous.map(|state| state.hash.clone()),
    };
    serde_json::to_vec_pretty(&entry).map_err(|error| ConnectorError::new(ErrorKind::Bug, "a commit cannot be written as JSON").with_source(error))
}

fn empty(generation: u64) -> TableState {
    TableState { generation, number: 0, schema: Arc::new(Schema::empty()), files: BTreeMap::new(), records: BTreeMap::new(), hash: String::new() }
}

/// Follows the chain to its end, or to entry `last`.
fn replay(folder: &Path, mut state: TableState, last: Option<u64>) -> Result<TableState, ConnectorError> {
    if state.number == 0 {
        check_dense(folder, state.generation)?;
    }
    while last.is_none_or(|last| state.number < last) {
        let Some(content) = read_entry(folder, state.generation, state.number + 1)? else { break };
        let hash = sha256(&content);
        let entry = serde_json::from_slice(&content).map_err(|error| corrupt(folder, &format!("entry {} is cut off or damaged", state.number + 1)).with_source(error))?;
        state = state.next(entry, hash, folder)?;
    }
    Ok(state)
}

/// Generations that have an entry.
fn generations(folder: &Path) -> Result<BTreeSet<u64>, ConnectorError> {
    let mut found = BTreeSet::new();
    for name in names(&folder.join("_karat"))? {
        if let Some(generation) = name.strip_prefix("g=").and_then(|number| number.parse().ok())
            && !numbers(folder, generation)?.is_empty()
        {
            found.insert(generation);
        }
    }
    Ok(found)
}

fn numbers(folder: &Path, generation: u64) -> Result<BTreeSet<u64>, ConnectorError> {
    let names = names(&folder.join(format!("_karat/g={generation}")))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".json").filter(|number| number.len() == 20)?.parse().ok()).collect())
}

fn check_dense(folder: &Path, generation: u64) -> Result<(), ConnectorError> {
    let numbers = numbers(folder, generation)?;
    match (1..).zip(&numbers).find(|(expected, found)| expected != *found) {
        None => Ok(()),
        Some((missing, _)) => Err(corrupt(folder, &format!("entry {missing} is missing")).with_help("restore the missing file of `_karat` from a backup")),
    }
}

fn names(folder: &Path) -> Result<Vec<String>, ConnectorError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ConnectorError::io("read folder", folder, error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(|error| ConnectorError::io("read folder", folder, error))
}

fn entry_path(folder: &Path, generation: u64, number: u64) -> PathBuf {
    folder.join(format!("_karat/g={generation}/{number:020}.json"))
}

fn read_entry(folder: &Path, generation: u64, number: u64) -> Result<Option<Vec<u8>>, ConnectorError> {
    let path = entry_path(folder, generation, number);
    match fs::read(&path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConnectorError::io("read", &path, error)),
    }
}

/// False when the table was exchanged since it was remembered.
fn is_still_there(folder: &Path, state: &TableState) -> Result<bool, ConnectorError> {
    Ok(read_entry(folder, state.generation, state.number)?.is_some_and(|content| sha256(&content) == state.hash))
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn type_name(field: &Field) -> Result<String, ConnectorError> {
    let refused = || {
        ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{}`, which Parquet files here cannot hold", field.name(), field.data_type()))
            .with_help(format!("set `types: {{{}: text}}`, or cast it in the query", field.name()))
    };
    DeclaredType::name_of(field.data_type()).filter(|name| !name.contains("interval")).ok_or_else(refused)
}

/// The type that a column's name in the log stands for: what is read back is what was written.
fn stored(field: &Field) -> Result<Field, ConnectorError> {
    let name = type_name(field)?;
    let declared = DeclaredType::parse(&name)
        .map_err(|error| ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{name}`, which cannot be stored", field.name())).with_source(error))?;
    Ok(Field::new(field.name(), declared.data_type().clone(), true))
}

fn schema_of(columns: &[ColumnEntry], folder: &Path) -> Result<SchemaRef, ConnectorError> {
    let field = |column: &ColumnEntry| {
        let declared = DeclaredType::parse(&column.declared).map_err(|error| corrupt(folder, &format!("column `{}` has no type", column.name)).with_source(error))?;
        Ok(Field::new(&column.name, declared.data_type().clone(), true))
    };
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>, ConnectorError>>()?)))
}

fn corrupt(folder: &Path, what: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Corrupt, format!("the commit log of table `{}` contradicts itself: {what}", folder.display()))
}

/// Runs file work off the async threads. Once started it finishes, even when nobody waits any more.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ConnectorError::new(ErrorKind::Bug, "reading a commit log broke down").with_source(error))?
}

#[async_trait]
impl CommitLog for FilesLog {
    fn data_prefix(&self, generation: Generation) -> String {
        format!("data/g={}/", generation.0)
    }

    fn declares_partition_columns(&self) -> bool {
        false
    }

    fn storage_schema(&self, schema: &SchemaRef) -> Result<SchemaRef, ConnectorError> {
        Ok(Arc::new(Schema::new(schema.fields().iter().map(|field| stored(field)).collect::<Result<Vec<_>, _>>()?)))
    }

    async fn prepare(&self, folder: &Path) -> Result<(), ConnectorError> {
        let log = folder.join("_karat");
        // From now on data files without an entry are leftovers of this engine, not of a table whose log was lost.
        blocking(move || fs::create_dir_all(&log).map_err(|error| ConnectorError::io("create folder", &log, error))).await
    }

    async fn load(&self, folder: &Path, version: Option<&str>) -> Result<Option<TableSnapshot>, ConnectorError> {
        let unknown = |text: &str| ConnectorError::new(ErrorKind::NotFound, format!("table `{}` has no version `{text}`", folder.display()));
        let wanted = match version {
            None => None,
            Some(text) => {
                let (generation, number) = text.split_once('.').ok_or_else(|| unknown(text))?;
                Some((generation.parse::<u64>().map_err(|_| unknown(text))?, number.parse::<u64>().map_err(|_| unknown(text))?))
            }
        };
        let (log, owned) = (self.clone(), folder.to_path_buf());
        let state = blocking(move || {
            let Some((generation, number)) = wanted else {
                let state = log.load_newest(&owned)?;
                if state.is_none() && owned.join("data").is_dir() && !owned.join("_karat").is_dir() {
                    return Err(ConnectorError::new(ErrorKind::Refused, format!("`{}` holds data files, but no `_karat`", owned.display()))
                        .with_help("restore the folder `_karat` from a backup, or move the data files away"));
                }
                return Ok(state.map(|state| state.snapshot()));
            };
            Ok(Some(replay(&owned, empty(generation), Some(number))?).filter(|state| state.number == number && number > 0).map(|state| state.snapshot()))
        })
        .await?;
        match (version, state) {
            (Some(text), None) => Err(unknown(text)),
            (_, state) => Ok(state),
        }
    }

    async fn commit(&self, folder: &Path, change: TableChange) -> Result<CommitOutcome, ConnectorError> {
        let (log, folder) = (self.clone(), folder.to_path_buf());
        blocking(move || log.append(&folder, &change)).await
    }
}
