//! Statistics of one data file for the log, from Parquet's own footer and, for floating point, from the rows.

use crate::ColumnStats;
use crate::value_text::bound_to_json;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use datafusion::common::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What the rows themselves must tell, gathered while they are written.
#[derive(Debug, Default)]
pub(crate) struct RowStatistics {
    null_counts: BTreeMap<String, u64>,
    floats: BTreeMap<String, FloatRange>,
}

#[derive(Debug, Default, Clone, Copy)]
struct FloatRange {
    range: Option<(f64, f64)>,
    has_nan: bool,
}

impl FloatRange {
    fn add(&mut self, value: f64) {
        if value.is_nan() {
            self.has_nan = true;
            return;
        }
        self.range = Some(self.range.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
    }
}

impl RowStatistics {
    /// Takes the rows of one batch into account.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            *self.null_counts.entry(field.name().clone()).or_default() += column.null_count() as u64;
            match field.data_type() {
                DataType::Float64 => {
                    let range = self.floats.entry(field.name().clone()).or_default();
                    column.as_primitive::<Float64Type>().iter().flatten().for_each(|value| range.add(value));
                }
                DataType::Float32 => {
                    let range = self.floats.entry(field.name().clone()).or_default();
                    column.as_primitive::<Float32Type>().iter().flatten().for_each(|value| range.add(f64::from(value)));
                }
                _ => {}
            }
        }
    }

    /// The statistics of the finished file.
    pub(crate) fn finish(self, schema: &Schema, footer: &ParquetMetaData) -> BTreeMap<String, ColumnStats> {
        let mut stats = BTreeMap::new();
        for field in schema.fields() {
            let (min, max) = match self.floats.get(field.name()) {
                Some(range) => float_bounds(*range),
                None => footer_bounds(field.name(), schema, footer),
            };
            let null_count = self.null_counts.get(field.name()).copied();
            let bound = |value: Option<ScalarValue>| value.as_ref().and_then(bound_to_json);
            stats.insert(field.name().clone(), ColumnStats { min: bound(min), max: bound(max), null_count });
        }
        stats
    }
}

/// A column that holds NaN has no bounds: systems disagree on where NaN sorts.
fn float_bounds(range: FloatRange) -> (Option<ScalarValue>, Option<ScalarValue>) {
    match range.range {
        Some((min, max)) if !range.has_nan => (Some(ScalarValue::Float64(Some(min))), Some(ScalarValue::Float64(Some(max)))),
        _ => (None, None),
    }
}

fn footer_bounds(column: &str, schema: &Schema, footer: &ParquetMetaData) -> (Option<ScalarValue>, Option<ScalarValue>) {
    let groups = footer.row_groups();
    let Ok(converter) = StatisticsConverter::try_new(column, schema, footer.file_metadata().schema_descr()) else { return (None, None) };
    let (Ok(mins), Ok(maxes), Ok(nulls)) = (converter.row_group_mins(groups), converter.row_group_maxes(groups), converter.row_group_null_counts(groups)) else {
        return (None, None);
    };
    let holds_only_nulls = |group: usize| nulls.is_valid(group) && i64::try_from(nulls.value(group)).is_ok_and(|nulls| nulls == groups[group].num_rows());
    let present: Vec<usize> = (0..groups.len()).filter(|group| !holds_only_nulls(*group)).collect();
    (fold(&mins, &present, Ordering::Less), fold(&maxes, &present, Ordering::Greater))
}

/// The most extreme of the row groups' values; `None` as soon as one group has none.
fn fold(values: &dyn Array, groups: &[usize], wanted: Ordering) -> Option<ScalarValue> {
    let mut best: Option<ScalarValue> = None;
    for group in groups {
        if values.is_null(*group) {
            return None;
        }
        let value = ScalarValue::try_from_array(values, *group).ok()?;
        best = match best {
            Some(best) if value.partial_cmp(&best)? != wanted => Some(best),
            _ => Some(value),
        };
    }
    best
}
