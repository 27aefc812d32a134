//! The log of a Delta table: how a version is appended.

use crate::action::{Action, Add, Format, KaratInfo, MetaData, Protocol, Remove, Stats, Txn};
use crate::replay::{self, HASH_TAG, TableState, version_path};
use crate::{checkpoint_write, schema, url_path};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use karat_lake::{ChainStep, CommitLog, CommitOutcome, DataFile, TableChange, TableSnapshot, chain_step, create_if_absent, sync_folder};
use karat_plugin_api::{ConnectorError, ErrorKind, Generation};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The Delta log of all tables of a connection. Remembers each table's newest version, so that a commit reads only what is new.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeltaLog {
    known: Arc<Mutex<HashMap<PathBuf, Arc<TableState>>>>,
}

impl DeltaLog {
    fn load_newest(&self, folder: &Path) -> Result<Option<Arc<TableState>>, ConnectorError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned();
        let state = replay::load(folder, None, known.as_deref())?.map(Arc::new);
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &state {
            Some(state) => all.insert(folder.to_path_buf(), Arc::clone(state)),
            None => all.remove(folder),
        };
        Ok(state)
    }

    fn append(&self, folder: &Path, change: &TableChange) -> Result<CommitOutcome, ConnectorError> {
        loop {
            let state = self.load_newest(folder)?;
            let newest = state.as_ref().and_then(|state| state.records.get(&change.record.stream)).cloned();
            let version = state.as_ref().map(|state| state.version.to_string());
            match (chain_step(newest.as_ref(), &change.record), version) {
                (ChainStep::AlreadyApplied, Some(version)) => return Ok(CommitOutcome::AlreadyApplied { version }),
                (ChainStep::Extends, version) if version == change.base => {}
                _ => return Ok(CommitOutcome::Conflict { newest }),
            }
            if let Some(state) = &state {
                check(folder, state, change, newest.is_some())?;
            }
            let next = state.as_ref().map_or(0, |state| state.version + 1);
            let content = content(state.as_deref(), change)?;
            if create_if_absent(&version_path(folder, next), content.as_bytes())? {
                self.sum_up(folder, next);
                return Ok(CommitOutcome::Applied { version: next.to_string() });
            }
        }
    }

    /// Writes a checkpoint where one is due. The version stands without it, so a failure is only told.
    fn sum_up(&self, folder: &Path, version: u64) {
        let written = match self.load_newest(folder) {
            Ok(Some(state)) if state.version == version && checkpoint_write::is_due(&state) => checkpoint_write::write(folder, &state, now_ms()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(table = %folder.display(), version, error = %error.chain(), "no checkpoint was written; the table is complete without it");
        }
    }
}

fn check(folder: &Path, state: &TableState, change: &TableChange, has_record: bool) -> Result<(), ConnectorError> {
    state.check_writable(folder)?;
    if state.is_append_only() && !change.remove.is_empty() {
        return Err(ConnectorError::new(ErrorKind::Refused, format!("Delta table `{}` is declared append-only, but this load removes files", folder.display()))
            .with_help("set `load.mode: append`, or unset the table property `delta.appendOnly`"));
    }
    let app_id = Txn::app_id(&change.record);
    if let Some(Txn { version, .. }) = state.txns.get(&app_id)
        && !has_record
    {
        return Err(ConnectorError::new(
            ErrorKind::Refused,
            format!("Delta table `{}` holds batch {version} of this pipeline, but the version that says at which position was cleaned up", folder.display()),
        )
        .with_help("restore the file of `_delta_log`, or load the table anew with `--full-refresh`"));
    }
    Ok(())
}

/// The lines of the next version.
fn content(state: Option<&TableState>, change: &TableChange) -> Result<String, ConnectorError> {
    let now = now_ms();
    let mut actions = vec![commit_info(change, now)?];
    let protocol = protocol_for(&change.schema);
    let must_upgrade = state.is_none_or(|state| protocol.min_reader_version > state.protocol.min_reader_version);
    if must_upgrade {
        actions.push(Action { protocol: Some(protocol), ..Action::default() });
    }
    let schema_string = schema::to_delta(&change.schema).to_string();
    let is_same = |state: &TableState| state.schema == change.schema && state.meta_data.partition_columns == change.partition_columns;
    if !state.is_some_and(is_same) {
        let meta_data = match state {
            Some(state) => MetaData { schema_string, partition_columns: change.partition_columns.clone(), ..state.meta_data.clone() },
            None => MetaData {
                id: uuid::Uuid::now_v7().to_string(),
                name: None,
                description: None,
                format: Format::default(),
                schema_string,
                partition_columns: change.partition_columns.clone(),
                configuration: BTreeMap::new(),
                created_time: Some(now),
            },
        };
        actions.push(Action { meta_data: Some(meta_data), ..Action::default() });
    }
    let version = i64::try_from(change.record.seq).map_err(|_| ConnectorError::new(ErrorKind::Bug, "a batch number above 2^63"))?;
    actions.push(Action { txn: Some(Txn { app_id: Txn::app_id(&change.record), version, last_updated: Some(now) }), ..Action::default() });
    actions.extend(change.remove.iter().map(|file| Action { remove: Some(remove(file, now)), ..Action::default() }));
    for file in &change.add {
        actions.push(Action { add: Some(add_action(file, &change.schema)?), ..Action::default() });
    }
    let mut text = String::new();
    for action in &actions {
        text.push_str(&to_json(action)?);
        text.push('\n');
    }
    Ok(text)
}

fn protocol_for(schema: &SchemaRef) -> Protocol {
    if !schema::has_local_timestamps(schema) {
        return Protocol { min_reader_version: 1, min_writer_version: 2, reader_features: None, writer_features: None };
    }
    let feature = |name: &str| name.to_owned();
    Protocol {
        min_reader_version: 3,
        min_writer_version: 7,
        reader_features: Some(vec![feature("timestampNtz")]),
        writer_features: Some(vec![feature("timestampNtz"), feature("appendOnly"), feature("invariants")]),
    }
}

fn commit_info(change: &TableChange, now: i64) -> Result<Action, ConnectorError> {
    let karat = serde_json::to_value(KaratInfo { record: change.record.clone(), run_id: change.run_id.clone() }).map_err(json_error)?;
    let mode = if change.is_replace { "Overwrite" } else { "Append" };
    let info = json!({
        "timestamp": now,
        "operation": "WRITE",
        "operationParameters": {"mode": mode, "partitionBy": to_json(&change.partition_columns)?},
        "isBlindAppend": change.remove.is_empty() && !change.is_replace,
        "engineInfo": format!("karat/{}", env!("CARGO_PKG_VERSION")),
        "operationMetrics": {"numFiles": change.add.len().to_string(), "numOutputRows": change.add.iter().map(|file| file.rows).sum::<u64>().to_string()},
        "karat": karat,
    });
    Ok(Action { commit_info: Some(info), ..Action::default() })
}

/// How the log names a file of a table with these columns.
pub(crate) fn add_action(file: &DataFile, schema: &SchemaRef) -> Result<Add, ConnectorError> {
    let mut stats = Stats { num_records: Some(file.rows), ..Stats::default() };
    for (name, column) in &file.stats {
        let is_nested = schema.field_with_name(name).is_ok_and(|field| field.data_type().is_nested());
        if is_nested {
            continue;
        }
        if let Some(min) = &column.min {
            stats.min_values.insert(name.clone(), min.clone());
        }
        if let Some(max) = &column.max {
            stats.max_values.insert(name.clone(), max.clone());
        }
        if let Some(nulls) = column.null_count {
            stats.null_count.insert(name.clone(), json!(nulls));
        }
    }
    Ok(Add {
        path: url_path::encode(&file.path),
        partition_values: file.partition_values.clone(),
        size: file.size,
        modification_time: file.modified_ms,
        data_change: true,
        stats: Some(to_json(&stats)?),
        stats_parsed: None,
        tags: file.xxh3.as_ref().map(|hash| BTreeMap::from([(HASH_TAG.to_owned(), Some(hash.clone()))])),
        deletion_vector: None,
    })
}

fn remove(file: &DataFile, now: i64) -> Remove {
    Remove {
        path: url_path::encode(&file.path),
        deletion_timestamp: Some(now),
        data_change: true,
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone()),
        size: Some(file.size),
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, ConnectorError> {
    serde_json::to_string(value).map_err(json_error)
}

fn json_error(error: serde_json::Error) -> ConnectorError {
    ConnectorError::new(ErrorKind::Bug, "a version cannot be written as JSON").with_source(error)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ConnectorError::new(ErrorKind::Bug, "reading a Delta log broke down").with_source(error))?
}

#[async_trait]
impl CommitLog for DeltaLog {
    fn data_prefix(&self, _generation: Generation) -> String {
        String::new()
    }

    fn declares_partition_columns(&self) -> bool {
        true
    }

    fn storage_schema(&self, schema: &SchemaRef) -> Result<SchemaRef, ConnectorError> {
        schema::storage_schema(schema)
    }

    async fn prepare(&self, folder: &Path) -> Result<(), ConnectorError> {
        let log = folder.join("_delta_log");
        blocking(move || {
            // From now on data files without a version are leftovers of this engine, not of a table whose log was lost.
            fs::create_dir_all(&log).map_err(|error| ConnectorError::io("create folder", &log, error))?;
            log.ancestors().skip(1).take(2).filter(|folder| folder.is_dir()).try_for_each(sync_folder)
        })
        .await
    }

    async fn load(&self, folder: &Path, version: Option<&str>) -> Result<Option<TableSnapshot>, ConnectorError> {
        let wanted = match version {
            None => None,
            Some(text) => Some(text.parse::<u64>().map_err(|_| ConnectorError::new(ErrorKind::NotFound, format!("`{text}` is not a version of table `{}`", folder.display())))?),
        };
        let (log, folder) = (self.clone(), folder.to_path_buf());
        blocking(move || {
            let state = match wanted {
                None => log.load_newest(&folder)?,
                Some(version) => {
                    let known = log.known.lock().unwrap_or_else(PoisonError::into_inner).get(&folder).cloned();
                    replay::load(&folder, Some(version), known.as_deref())?.map(Arc::new)
                }
            };
            Ok(state.map(|state| state.snapshot()))
        })
        .await
    }

    async fn commit(&self, folder: &Path, change: TableChange) -> Result<CommitOutcome, ConnectorError> {
        let (log, folder) = (self.clone(), folder.to_path_buf());
        // Once started this finishes, even when nobody waits any more.
        blocking(move || log.append(&folder, &change)).await
    }
}
