//! Versions to a table: reads the newest checkpoint and replays what came after it.

use crate::action::{Action, Add, KaratInfo, MetaData, Protocol, Remove, Stats, Txn};
use crate::{checkpoint, schema, url_path};
use arrow::datatypes::SchemaRef;
use karat_lake::{ColumnStats, DataFile, TableSnapshot};
use karat_plugin_api::{CommitRecord, ConnectorError, ErrorKind, StreamId};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Features that a reader of this build understands.
const READER_FEATURES: &[&str] = &["timestampNtz", "vacuumProtocolCheck"];
/// Features that a writer of this build respects.
const WRITER_FEATURES: &[&str] = &["timestampNtz", "appendOnly", "invariants", "vacuumProtocolCheck"];

/// The tag of a file's hash.
pub(crate) const HASH_TAG: &str = "karat.xxh3";

/// A table at one version.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) version: u64,
    pub(crate) protocol: Protocol,
    pub(crate) meta_data: MetaData,
    pub(crate) schema: SchemaRef,
    pub(crate) files: BTreeMap<String, Arc<DataFile>>,
    /// Files that are part of the table no more, by path.
    pub(crate) removed: BTreeMap<String, Remove>,
    /// True when another writer tagged a file: a checkpoint of ours would lose the tag.
    pub(crate) has_foreign_tags: bool,
    pub(crate) txns: BTreeMap<String, Txn>,
    pub(crate) records: BTreeMap<StreamId, CommitRecord>,
    tip: Tip,
}

/// Identifies the newest version's file, so that a table that was exchanged is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tip {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl TableState {
    /// As the engine sees it.
    pub(crate) fn snapshot(&self) -> TableSnapshot {
        TableSnapshot {
            version: self.version.to_string(),
            schema: Arc::clone(&self.schema),
            partition_columns: self.meta_data.partition_columns.clone(),
            files: self.files.values().cloned().collect(),
            records: self.records.clone(),
        }
    }

    /// # Errors
    /// [`ErrorKind::Unsupported`] when writing would break a promise that the table makes.
    pub(crate) fn check_writable(&self, folder: &Path) -> Result<(), ConnectorError> {
        let refused = |what: String| {
            ConnectorError::new(ErrorKind::Unsupported, format!("Delta table `{}` {what}, which this build does not write", folder.display()))
                .with_help("write to another table, or drop the feature from this one")
        };
        match self.protocol.min_writer_version {
            0..=2 => {}
            7 => {
                let features = self.protocol.writer_features.as_deref().unwrap_or_default();
                if let Some(feature) = features.iter().find(|feature| !WRITER_FEATURES.contains(&feature.as_str())) {
                    return Err(refused(format!("uses the writer feature `{feature}`")));
                }
            }
            version => return Err(refused(format!("asks for writer version {version}"))),
        }
        if self.meta_data.schema_string.contains("\"delta.invariants\"") {
            return Err(refused("has column invariants".to_owned()));
        }
        Ok(())
    }

    /// True when rows may never be removed.
    pub(crate) fn is_append_only(&self) -> bool {
        self.meta_data.configuration.get("delta.appendOnly").is_some_and(|value| value.as_deref() == Some("true"))
    }
}

/// The table at its newest version, or at `wanted`. `known` is an earlier answer, from which newer versions are replayed.
pub(crate) fn load(folder: &Path, wanted: Option<u64>, known: Option<&TableState>) -> Result<Option<TableState>, ConnectorError> {
    if let Some(known) = known
        && tip(folder, known.version)? == Some(known.tip)
    {
        match wanted {
            None => return replay_newer(folder, known).map(Some),
            Some(version) if version == known.version => return Ok(Some(known.clone())),
            Some(_) => {}
        }
    }
    let log = folder.join("_delta_log");
    let Some(listing) = checkpoint::Listing::read(&log)? else {
        return match first_data_file(folder)? {
            None => Ok(None),
            Some(file) => Err(ConnectorError::new(ErrorKind::Refused, format!("`{}` holds data files such as `{}`, but no `_delta_log`", folder.display(), file.display()))
                .with_help("restore the folder `_delta_log` from a backup, or move the data files away")),
        };
    };
    let Some(newest) = listing.newest() else { return Ok(None) };
    let version = wanted.unwrap_or(newest);
    if version > newest {
        return Err(ConnectorError::new(ErrorKind::NotFound, format!("table `{}` has no version {version}; the newest is {newest}", folder.display())));
    }
    replay(folder, &listing, version).map(Some)
}

fn replay(folder: &Path, listing: &checkpoint::Listing, version: u64) -> Result<TableState, ConnectorError> {
    let log = folder.join("_delta_log");
    let mut replay = Replay::default();
    let mut next = 0;
    if let Some(checkpoint) = listing.newest_checkpoint(version) {
        for part in checkpoint.parts {
            checkpoint::read(&log.join(part), &mut |action| replay.apply(action, folder))?;
        }
        next = checkpoint.version + 1;
    }
    for at in next..=version {
        if !listing.versions.contains(&at) {
            return Err(corrupt(folder, &format!("version {at} is missing")).with_help("restore the missing file of `_delta_log` from a backup"));
        }
        replay.apply_version(folder, at)?;
    }
    replay.find_records(folder, listing, next)?;
    replay.finish(folder, version)
}

fn replay_newer(folder: &Path, known: &TableState) -> Result<TableState, ConnectorError> {
    let mut version = known.version;
    if !version_path(folder, version + 1).exists() {
        return Ok(known.clone());
    }
    let mut replay = Replay {
        protocol: Some(known.protocol.clone()),
        meta_data: Some(known.meta_data.clone()),
        files: known.files.clone(),
        removed: known.removed.clone(),
        has_foreign_tags: known.has_foreign_tags,
        txns: known.txns.clone(),
        records: known.records.clone(),
    };
    while version_path(folder, version + 1).exists() {
        version += 1;
        replay.apply_version(folder, version)?;
    }
    replay.finish(folder, version)
}

/// The name of a version's file.
pub(crate) fn version_path(folder: &Path, version: u64) -> PathBuf {
    folder.join("_delta_log").join(format!("{version:020}.json"))
}

#[derive(Default)]
struct Replay {
    protocol: Option<Protocol>,
    meta_data: Option<MetaData>,
    files: BTreeMap<String, Arc<DataFile>>,
    removed: BTreeMap<String, Remove>,
    has_foreign_tags: bool,
    txns: BTreeMap<String, Txn>,
    records: BTreeMap<StreamId, CommitRecord>,
}

impl Replay {
    fn apply_version(&mut self, folder: &Path, version: u64) -> Result<(), ConnectorError> {
        for action in read_version(folder, version)? {
            self.apply(action, folder)?;
        }
        Ok(())
    }

    fn apply(&mut self, action: Action, folder: &Path) -> Result<(), ConnectorError> {
        if let Some(protocol) = action.protocol {
            check_readable(&protocol, folder)?;
            self.protocol = Some(protocol);
        }
        if let Some(meta_data) = action.meta_data {
            let mapping = meta_data.configuration.get("delta.columnMapping.mode").and_then(Option::as_deref);
            if mapping.is_some_and(|mode| mode != "none") {
                return Err(unsupported(folder, "columnMapping"));
            }
            self.meta_data = Some(meta_data);
        }
        if let Some(remove) = action.remove {
            let path = decoded(&remove.path, folder)?;
            self.files.remove(&path);
            self.removed.insert(path, remove);
        }
        if let Some(add) = action.add {
            if add.deletion_vector.as_ref().is_some_and(|vector| !vector.is_null()) {
                return Err(unsupported(folder, "deletionVectors"));
            }
            self.has_foreign_tags |= add.tags.iter().flatten().any(|(tag, _)| tag != HASH_TAG);
            let file = data_file(add, folder)?;
            self.removed.remove(&file.path);
            self.files.insert(file.path.clone(), Arc::new(file));
        }
        if let Some(txn) = action.txn {
            self.txns.insert(txn.app_id.clone(), txn);
        }
        if let Some(record) = action.commit_info.and_then(record_of) {
            self.records.insert(record.stream.clone(), record);
        }
        Ok(())
    }

    /// A checkpoint keeps how far each stream is, but not at which position: that stands in the version that said so.
    fn find_records(&mut self, folder: &Path, listing: &checkpoint::Listing, before: u64) -> Result<(), ConnectorError> {
        let is_missing = |records: &BTreeMap<StreamId, CommitRecord>, txns: &BTreeMap<String, Txn>| {
            txns.keys().any(|app_id| app_id.starts_with("karat:") && !records.values().any(|record| same_stream(app_id, record)))
        };
        let mut at = before;
        while at > 0 && is_missing(&self.records, &self.txns) {
            at -= 1;
            if !listing.versions.contains(&at) {
                break;
            }
            for action in read_version(folder, at)? {
                if let Some(record) = action.commit_info.and_then(record_of) {
                    self.records.entry(record.stream.clone()).or_insert(record);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, folder: &Path, version: u64) -> Result<TableState, ConnectorError> {
        let protocol = self.protocol.ok_or_else(|| corrupt(folder, "no version says which protocol it follows"))?;
        let meta_data = self.meta_data.ok_or_else(|| corrupt(folder, "no version says which columns it has"))?;
        // Checkpoints may leave NULL out of a map.
        for file in self.files.values_mut() {
            let is_missing = |column: &&String| !file.partition_values.contains_key(*column);
            let missing: Vec<String> = meta_data.partition_columns.iter().filter(is_missing).cloned().collect();
            if !missing.is_empty() {
                Arc::make_mut(file).partition_values.extend(missing.into_iter().map(|column| (column, None)));
            }
        }
        let schema = schema::from_delta(&meta_data.schema_string)
            .map_err(|what| ConnectorError::new(ErrorKind::Unsupported, format!("Delta table `{}` has {what}, which this build does not read", folder.display())))?;
        let tip = tip(folder, version)?.ok_or_else(|| corrupt(folder, &format!("version {version} is missing")))?;
        Ok(TableState {
            version,
            protocol,
            meta_data,
            schema,
            files: self.files,
            removed: self.removed,
            has_foreign_tags: self.has_foreign_tags,
            txns: self.txns,
            records: self.records,
            tip,
        })
    }
}

/// True when the application is some generation of the record's stream.
fn same_stream(app_id: &str, record: &CommitRecord) -> bool {
    app_id.strip_prefix("karat:").and_then(|rest| rest.rsplit_once(':')).is_some_and(|(stream, _)| stream == record.stream.as_str())
}

fn record_of(commit_info: serde_json::Value) -> Option<CommitRecord> {
    let info = commit_info.get("karat")?.clone();
    serde_json::from_value::<KaratInfo>(info).ok().map(|info| info.record)
}

fn read_version(folder: &Path, version: u64) -> Result<Vec<Action>, ConnectorError> {
    let path = version_path(folder, version);
    let text = fs::read_to_string(&path).map_err(|error| ConnectorError::io("read", &path, error))?;
    if !text.lines().any(|line| !line.trim().is_empty()) {
        return Err(corrupt(folder, &format!("version {version} is empty")));
    }
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).map_err(|error| corrupt(folder, &format!("version {version} is cut off or damaged")).with_source(error)))
        .collect()
}

fn check_readable(protocol: &Protocol, folder: &Path) -> Result<(), ConnectorError> {
    match protocol.min_reader_version {
        0..=2 => Ok(()),
        3 => {
            let features = protocol.reader_features.as_deref().unwrap_or_default();
            match features.iter().find(|feature| !READER_FEATURES.contains(&feature.as_str()) && feature.as_str() != "columnMapping") {
                None => Ok(()),
                Some(feature) => Err(unsupported(folder, feature)),
            }
        }
        version => Err(ConnectorError::new(ErrorKind::Unsupported, format!("Delta table `{}` asks for reader version {version}; this build reads up to 3", folder.display()))),
    }
}

fn unsupported(folder: &Path, feature: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Unsupported, format!("Delta table `{}` uses the feature `{feature}`, which this build does not read", folder.display()))
        .with_help("drop the feature with the program that wrote the table")
}

fn corrupt(folder: &Path, what: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Corrupt, format!("the log of Delta table `{}` contradicts itself: {what}", folder.display()))
}

fn decoded(path: &str, folder: &Path) -> Result<String, ConnectorError> {
    url_path::decode(path).ok_or_else(|| corrupt(folder, &format!("`{path}` is not the path of a data file inside the table")))
}

fn data_file(add: Add, folder: &Path) -> Result<DataFile, ConnectorError> {
    let path = decoded(&add.path, folder)?;
    let stats: Option<Stats> = match (&add.stats, add.stats_parsed) {
        (Some(text), _) => serde_json::from_str(text).ok(),
        (None, Some(parsed)) => serde_json::from_value(parsed).ok(),
        (None, None) => None,
    };
    let rows = match stats.as_ref().and_then(|stats| stats.num_records) {
        Some(rows) => rows,
        None => rows_of(&folder.join(&path))?,
    };
    let stats = stats.unwrap_or_default();
    let mut columns: BTreeMap<String, ColumnStats> = BTreeMap::new();
    for (name, value) in stats.min_values {
        columns.entry(name).or_default().min = Some(value);
    }
    for (name, value) in stats.max_values {
        columns.entry(name).or_default().max = Some(value);
    }
    for (name, value) in stats.null_count {
        columns.entry(name).or_default().null_count = value.as_u64();
    }
    let xxh3 = add.tags.and_then(|mut tags| tags.remove(HASH_TAG)).flatten();
    Ok(DataFile { path, size: add.size, rows, xxh3, modified_ms: add.modification_time, partition_values: add.partition_values, stats: columns })
}

/// Other writers may leave statistics out: the file itself knows.
fn rows_of(path: &Path) -> Result<u64, ConnectorError> {
    let file = File::open(path).map_err(|error| ConnectorError::io("open", path, error))?;
    let reader =
        SerializedFileReader::new(file).map_err(|error| ConnectorError::new(ErrorKind::Corrupt, format!("`{}` is not a Parquet file", path.display())).with_source(error))?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default())
}

fn tip(folder: &Path, version: u64) -> Result<Option<Tip>, ConnectorError> {
    let mut path = version_path(folder, version);
    for candidate in [path.clone(), path.with_extension("checkpoint.parquet")] {
        match fs::metadata(&candidate) {
            Ok(metadata) => return Ok(Some(Tip { inode: metadata.ino(), size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => path = candidate,
            Err(error) => return Err(ConnectorError::io("read", &candidate, error)),
        }
    }
    tracing::debug!(path = %path.display(), "the file of a version is gone");
    Ok(None)
}

/// Some Parquet file below the folder, if there is one.
fn first_data_file(folder: &Path) -> Result<Option<PathBuf>, ConnectorError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConnectorError::io("read folder", folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| ConnectorError::io("read folder", folder, error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| ConnectorError::io("read", &path, error))?;
        if kind.is_file() && path.extension().is_some_and(|extension| extension == "parquet") {
            return Ok(Some(path));
        }
        if kind.is_dir()
            && let Some(found) = first_data_file(&path)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
