//! From what a catalogue says to an entry of `karat.lock` that is the same as long as nothing worth a review changed.

use super::type_text;
use karat_plugin_api::{ColumnChoice, SourceSchema};
use karat_spec::model::{From, LockedColumn, LockedFrom, LockedTable};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What of an estimate is kept.
const SIGNIFICANT_DIGITS: u32 = 2;
/// Characters of a hash: enough to tell sources of one project from each other.
const HASH_CHARACTERS: usize = 16;

/// What is read, as the pipeline says it; values of the environment are not in `written`, which was read without it.
#[must_use]
pub fn origin(written: &From) -> LockedFrom {
    let query = written.query.as_ref().map(|query| hash(query.trim()));
    LockedFrom { connection: written.connection.clone().unwrap_or_default(), table: written.table.clone(), query, path: written.path.clone() }
}

/// The entry of a source. `before` is what the lock said of it, so that an estimate stays while it is about right.
#[must_use]
pub fn capture(from: LockedFrom, schema: &SourceSchema, before: Option<&LockedTable>) -> LockedTable {
    let column = |column: &karat_plugin_api::Column| LockedColumn {
        name: column.name.clone(),
        data_type: type_text::write(&column.data_type),
        declared: column.declared.clone(),
        nullable: column.nullable,
    };
    let mut indexes = schema.indexes.clone();
    indexes.sort();
    indexes.dedup();
    LockedTable {
        from,
        identity: hash(&schema.identity),
        rows: estimate(schema.estimated_rows, before.and_then(|before| before.rows)),
        bytes: estimate(schema.estimated_bytes, before.and_then(|before| before.bytes)),
        primary_key: schema.primary_key.clone(),
        indexes,
        columns: schema.columns.iter().map(column).collect(),
    }
}

/// Columns as a table reads them: those it takes, as the types it gives them.
pub(crate) fn chosen_columns(columns: &[ColumnChoice], schema: Option<&SourceSchema>) -> Vec<LockedColumn> {
    let column = |choice: &ColumnChoice| {
        let at_source = schema.and_then(|schema| schema.column(&choice.name)).filter(|column| column.data_type == choice.data_type);
        let declared = at_source.map(|column| column.declared.clone()).unwrap_or_default();
        LockedColumn { name: choice.name.clone(), data_type: type_text::write(&choice.data_type), declared, nullable: choice.nullable }
    };
    columns.iter().map(column).collect()
}

/// The estimate of before, while the truth is between half and twice of it.
fn estimate(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    match (now, before) {
        (Some(now), Some(before)) if now <= before.saturating_mul(2) && before <= now.saturating_mul(2) => Some(before),
        (Some(now), _) => Some(rounded(now)),
        // A catalogue that lost its statistics says nothing new.
        (None, before) => before,
    }
}

fn rounded(number: u64) -> u64 {
    let unit = 10_u64.pow(number.checked_ilog10().unwrap_or(0).saturating_sub(SIGNIFICANT_DIGITS - 1));
    number / unit * unit
}

fn hash(text: &str) -> String {
    let mut hex = String::with_capacity(2 * HASH_CHARACTERS);
    for byte in Sha256::digest(text.as_bytes()).iter().take(HASH_CHARACTERS / 2) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_rounded_and_stay_while_they_are_about_right() {
        for (now, before, expected) in [
            (Some(0), None, Some(0)),
            (Some(7), None, Some(7)),
            (Some(3_868_696), None, Some(3_800_000)),
            (Some(u64::MAX), None, Some(18_000_000_000_000_000_000)),
            (Some(5_000_000), Some(3_800_000), Some(3_800_000)),
            (Some(2_000_000), Some(3_800_000), Some(3_800_000)),
            (Some(8_000_001), Some(3_800_000), Some(8_000_000)),
            (Some(0), Some(10), Some(0)),
            (None, Some(10), Some(10)),
            (None, None, None),
        ] {
            assert_eq!(estimate(now, before), expected, "{now:?} {before:?}");
        }
    }
}
