//! Checkpoints are written, so that nobody has to replay every version of a long history.
//!
//! A checkpoint is a cache of the versions up to it: losing one, or failing to write one, loses nothing.
//! Source: the Delta transaction log protocol, section "Checkpoints" (classic checkpoints, one part).

use crate::action::{Action, Remove, Txn};
use crate::log::add_action;
use crate::replay::TableState;
use crate::url_path;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use karat_lake::{create_if_absent, replace_file};
use karat_plugin_api::{ConnectorError, ErrorKind};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Versions between two checkpoints, where `delta.checkpointInterval` says nothing; the value that other writers use.
const INTERVAL: u64 = 10;
/// How long a removed file stays named, so that clean-up by other programs spares readers of older versions: the protocol's one week.
const KEEP_REMOVED_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// Actions per batch: bounds the memory beside the state itself.
const BATCH_ACTIONS: usize = 4_096;

/// True when the table's newest version is one that is summed up.
pub(crate) fn is_due(state: &TableState) -> bool {
    let configured = state.meta_data.configuration.get("delta.checkpointInterval").and_then(|text| text.as_ref()?.parse().ok());
    let interval: u64 = configured.filter(|interval| *interval > 0).unwrap_or(INTERVAL);
    state.version > 0 && state.version.is_multiple_of(interval) && !state.has_foreign_tags
}

/// Writes the checkpoint of the state's version, and names it as the last one. `now` is in milliseconds since 1970.
///
/// # Errors
/// When the files cannot be written; the table is as good as before.
pub(crate) fn write(folder: &Path, state: &TableState, now: i64) -> Result<(), ConnectorError> {
    let (content, size) = content(state, now)?;
    let log = folder.join("_delta_log");
    if create_if_absent(&log.join(format!("{:020}.checkpoint.parquet", state.version)), &content)? {
        replace_file(&log.join("_last_checkpoint"), json!({"version": state.version, "size": size}).to_string().as_bytes())?;
    }
    Ok(())
}

/// The Parquet file, and how many actions it holds.
fn content(state: &TableState, now: i64) -> Result<(Vec<u8>, usize), ConnectorError> {
    let schema = schema();
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::new(ErrorKind::Bug, "a checkpoint cannot be written as Parquet").with_source(error);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).map_err(|error| failed(error.into()))?;
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(BATCH_ACTIONS).build_decoder().map_err(|error| failed(error.into()))?;
    let mut size = 0;
    for action in actions(state, now) {
        decoder.serialize(&[action?]).map_err(|error| failed(error.into()))?;
        size += 1;
        if decoder.len() == BATCH_ACTIONS
            && let Some(batch) = decoder.flush().map_err(|error| failed(error.into()))?
        {
            writer.write(&batch).map_err(|error| failed(error.into()))?;
        }
    }
    if let Some(batch) = decoder.flush().map_err(|error| failed(error.into()))? {
        writer.write(&batch).map_err(|error| failed(error.into()))?;
    }
    Ok((writer.into_inner().map_err(|error| failed(error.into()))?, size))
}

fn actions(state: &TableState, now: i64) -> impl Iterator<Item = Result<Action, ConnectorError>> {
    // Nobody knows how long another program wants them kept, so all are.
    let keeps_all = state.meta_data.configuration.contains_key("delta.deletedFileRetentionDuration");
    let is_kept = move |remove: &&Remove| keeps_all || remove.deletion_timestamp.is_none_or(|at| at > now - KEEP_REMOVED_MS);
    let head = [Action { protocol: Some(state.protocol.clone()), ..Action::default() }, Action { meta_data: Some(state.meta_data.clone()), ..Action::default() }];
    let txns = state.txns.values().cloned().map(|txn: Txn| Action { txn: Some(txn), ..Action::default() });
    let removes = state.removed.iter().filter(move |(_, remove)| is_kept(remove)).map(|(path, remove)| {
        let remove = Remove { path: url_path::encode(path), data_change: false, ..remove.clone() };
        Action { remove: Some(remove), ..Action::default() }
    });
    let adds = state.files.values().map(|file| {
        let mut add = add_action(file, &state.schema)?;
        add.data_change = false;
        Ok(Action { add: Some(add), ..Action::default() })
    });
    head.into_iter().chain(txns).chain(removes).map(Ok).chain(adds)
}

/// The columns of a checkpoint.
fn schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let text = |name: &str| field(name, DataType::Utf8);
    let long = |name: &str| field(name, DataType::Int64);
    let flag = |name: &str| field(name, DataType::Boolean);
    let group = |name: &str, fields: Vec<Field>| field(name, DataType::Struct(Fields::from(fields)));
    let texts = |name: &str| field(name, DataType::List(Arc::new(field("element", DataType::Utf8))));
    let map = |name: &str| {
        let entry = DataType::Struct(Fields::from(vec![Field::new("key", DataType::Utf8, false), text("value")]));
        field(name, DataType::Map(Arc::new(Field::new("key_value", entry, false)), false))
    };
    Arc::new(Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group("add", vec![text("path"), map("partitionValues"), long("size"), long("modificationTime"), flag("dataChange"), map("tags"), text("stats")]),
        group("remove", vec![text("path"), long("deletionTimestamp"), flag("dataChange"), flag("extendedFileMetadata"), map("partitionValues"), long("size")]),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                group("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                texts("partitionColumns"),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        group("protocol", vec![field("minReaderVersion", DataType::Int32), field("minWriterVersion", DataType::Int32), texts("readerFeatures"), texts("writerFeatures")]),
    ]))
}
