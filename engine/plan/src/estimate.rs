//! About how much a run will read and write.

use karat_plugin_api::SourceSchema;

/// About how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) files: Option<u64>,
}

/// What a copy reads, when `delivered` rows of an incremental read are there already, into files of `file_rows` rows in one partition.
pub(crate) fn of_copy(schema: Option<&SourceSchema>, delivered: Option<u64>, file_rows: Option<u64>) -> Estimate {
    let Some(total) = schema.and_then(|schema| schema.estimated_rows) else { return Estimate::default() };
    let rows = total.saturating_sub(delivered.unwrap_or(0));
    let bytes = schema.and_then(|schema| schema.estimated_bytes).and_then(|bytes| {
        let share = u128::from(bytes) * u128::from(rows) / u128::from(total.max(1));
        u64::try_from(share).ok()
    });
    Estimate { rows: Some(rows), bytes, files: file_rows.map(|file_rows| rows.div_ceil(file_rows.max(1))) }
}
