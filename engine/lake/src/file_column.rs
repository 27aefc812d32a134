//! What the log says of one column in one file.

use crate::DataFile;
use crate::value_text::{bounds, text_to_value};
use arrow::datatypes::Field;
use datafusion::common::ScalarValue;

/// The values that a column can have in a file: never narrower than what the file holds.
#[derive(Debug, Clone)]
pub(crate) struct FileColumn {
    /// No value is below.
    pub(crate) min: Option<ScalarValue>,
    /// No value is above.
    pub(crate) max: Option<ScalarValue>,
    /// NULLs.
    pub(crate) null_count: Option<u64>,
}

impl FileColumn {
    /// From the partition's value where the log holds it, else from statistics.
    pub(crate) fn of(file: &DataFile, field: &Field) -> Self {
        if let Some(value) = partition_value(file, field) {
            let null_count = Some(if value.is_null() { file.rows } else { 0 });
            let bound = (!value.is_null()).then_some(value);
            return Self { min: bound.clone(), max: bound, null_count };
        }
        let stats = file.stats.get(field.name());
        let (min, max) = bounds(stats, field.data_type());
        Self { min, max, null_count: stats.and_then(|stats| stats.null_count) }
    }

    /// True when both may hold one value, or both NULL.
    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        let may_hold_null = |column: &Self| column.null_count != Some(0);
        if may_hold_null(self) && may_hold_null(other) {
            return true;
        }
        let (Some(min), Some(max), Some(other_min), Some(other_max)) = (&self.min, &self.max, &other.min, &other.max) else { return true };
        let is_below = |a: &ScalarValue, b: &ScalarValue| a.partial_cmp(b).is_some_and(|order| order.is_lt());
        !is_below(max, other_min) && !is_below(other_max, min)
    }
}

/// The value that the log holds for all rows of the file; `None` when it holds none, or one that is not of the column's type.
pub(crate) fn partition_value(file: &DataFile, field: &Field) -> Option<ScalarValue> {
    let text = file.partition_values.get(field.name())?;
    text_to_value(text.as_deref(), field.data_type())
}
