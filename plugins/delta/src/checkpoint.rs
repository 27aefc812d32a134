//! What lies in `_delta_log`, and checkpoints: versions summed up as Parquet.

use crate::action::Action;
use arrow::json::LineDelimitedWriter;
use karat_plugin_api::{ConnectorError, ErrorKind};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The names in `_delta_log`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) versions: BTreeSet<u64>,
    /// Complete checkpoints.
    checkpoints: BTreeMap<u64, Vec<String>>,
}

/// One complete checkpoint.
pub(crate) struct Checkpoint<'a> {
    pub(crate) version: u64,
    pub(crate) parts: &'a [String],
}

impl Listing {
    /// What `log` holds; `None` when it does not exist.
    pub(crate) fn read(log: &Path) -> Result<Option<Self>, ConnectorError> {
        let entries = match fs::read_dir(log) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ConnectorError::io("read folder", log, error)),
        };
        let mut listing = Self::default();
        let mut parts: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(|error| ConnectorError::io("read folder", log, error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some((version, rest)) = name.split_once('.') else { continue };
            let (20, Ok(version)) = (version.len(), version.parse::<u64>()) else { continue };
            match rest.split('.').collect::<Vec<_>>().as_slice() {
                ["json"] => {
                    listing.versions.insert(version);
                }
                ["checkpoint", "parquet"] => {
                    listing.checkpoints.insert(version, vec![name]);
                }
                ["checkpoint", _, count, "parquet"] => {
                    if let Ok(count) = count.parse() {
                        parts.entry((version, count)).or_default().push(name);
                    }
                }
                _ => {}
            }
        }
        for ((version, count), mut names) in parts {
            if names.len() as u64 == count {
                names.sort();
                listing.checkpoints.entry(version).or_insert(names);
            }
        }
        Ok(Some(listing))
    }

    /// The newest version.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.versions.last().max(self.checkpoints.keys().last()).copied()
    }

    /// The newest checkpoint that is not newer than `version`.
    pub(crate) fn newest_checkpoint(&self, version: u64) -> Option<Checkpoint<'_>> {
        self.checkpoints.range(..=version).next_back().map(|(version, parts)| Checkpoint { version: *version, parts })
    }
}

/// Hands every action of one part to `take`.
pub(crate) fn read(path: &Path, take: &mut dyn FnMut(Action) -> Result<(), ConnectorError>) -> Result<(), ConnectorError> {
    let file = File::open(path).map_err(|error| ConnectorError::io("open", path, error))?;
    let damaged =
        |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::new(ErrorKind::Corrupt, format!("checkpoint `{}` is damaged", path.display())).with_source(error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(error.into()))?;
    let known = ["add", "remove", "metaData", "protocol", "txn"];
    let roots: Vec<usize> = builder.schema().fields().iter().enumerate().filter(|(_, field)| known.contains(&field.name().as_str())).map(|(at, _)| at).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).build().map_err(|error| damaged(error.into()))?;
    for batch in reader {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        let mut lines = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| damaged(error.into()))?;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            take(serde_json::from_slice(line).map_err(|error| damaged(error.into()))?)?;
        }
    }
    Ok(())
}
