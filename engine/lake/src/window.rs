//! Windows: which rows of a table a window takes the place of, file by file.
//!
//! A file that lies wholly inside goes unread, one that lies wholly outside and cannot hold a key of the new rows stays untouched; only of the others
//! the window's column and the key are read. A bit per row of these stays in memory, and of keys no more than the memory limit allows.

use crate::DataFile;
use crate::existing::{FileRows, pick_schema, row_error};
use crate::file_column::FileColumn;
use crate::rewrite::Rewrite;
use crate::row_hash::{HashIndex, RowHasher};
use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, WindowBounds};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const NANOS_PER_MICRO: i128 = 1_000;
/// Bytes that one key takes in an index: its hash, and its share of what finds it.
const KEY_BYTES: u64 = 24;

/// The rows that one window is made of, in the column's own unit.
pub(crate) struct WindowRows {
    field: Field,
    /// Empty when no value of the column's type lies inside.
    values: RangeInclusive<i64>,
    with_null: bool,
}

/// How many rows of a file lie in a window.
#[derive(Debug, PartialEq, Eq)]
enum Share {
    All,
    None,
    /// Only the rows can tell.
    Some,
}

/// What a window clears.
pub(crate) struct Clearing {
    pub(crate) window: WindowRows,
    /// Columns that identify a row; empty when only the window counts.
    pub(crate) key: Vec<String>,
    pub(crate) folder: PathBuf,
    pub(crate) schema: SchemaRef,
    pub(crate) memory_bytes: u64,
}

/// A file that may hold rows to clear, and which: a bit per row.
struct Suspect {
    file: Arc<DataFile>,
    cleared: BooleanBufferBuilder,
}

impl WindowRows {
    /// The rows of a table of these columns whose `column` lies in `bounds`.
    ///
    /// # Errors
    /// When the column is missing or neither date nor timestamp.
    pub(crate) fn new(schema: &Schema, column: &str, bounds: &WindowBounds) -> Result<Self, ConnectorError> {
        let field = schema
            .field_with_name(column)
            .map_err(|_| ConnectorError::new(ErrorKind::SchemaMismatch, format!("window column `{column}` is not a column of the table")).with_help("name it in `select`"))?;
        let unit = unit_nanos(field.data_type()).ok_or_else(|| {
            ConnectorError::new(ErrorKind::SchemaMismatch, format!("window column `{column}` is `{}`, neither date nor timestamp", field.data_type()))
                .with_help("choose a column that is, or set its type in `types`")
        })?;
        let whole = |bound: &CursorValue| nanos_of(bound).map(|nanos| ceiling(nanos, unit)).ok_or_else(|| not_a_time(column));
        let from = bounds.from.as_ref().map_or(Ok(i128::from(i64::MIN)), whole)?.max(i128::from(i64::MIN));
        let last = bounds.until.as_ref().map_or(Ok(i128::from(i64::MAX)), |bound| whole(bound).map(|until| until - 1))?.min(i128::from(i64::MAX));
        let values = match (i64::try_from(from), i64::try_from(last)) {
            (Ok(from), Ok(last)) => from..=last,
            // What lies beyond all values of the column's type.
            _ => RangeInclusive::new(1, 0),
        };
        Ok(Self { field: field.clone(), values, with_null: bounds.with_null })
    }

    /// What the log knows of a file.
    fn share(&self, file: &DataFile) -> Share {
        let held = FileColumn::of(file, &self.field);
        let nulls = (held.null_count != Some(0)).then_some(if self.with_null { Share::All } else { Share::None });
        let values = (held.null_count != Some(file.rows)).then(|| self.share_of_values(&held));
        match (nulls, values) {
            (Some(share), None) | (None, Some(share)) => share,
            (Some(nulls), Some(values)) if nulls == values => values,
            (Some(_), Some(_)) => Share::Some,
            (None, None) => Share::None,
        }
    }

    fn share_of_values(&self, held: &FileColumn) -> Share {
        if self.values == (i64::MIN..=i64::MAX) {
            return Share::All;
        }
        let bound = |value: &Option<ScalarValue>| value.as_ref().and_then(|value| whole_numbers(&value.to_array().ok()?).ok()?.as_primitive::<Int64Type>().iter().next()?);
        match (bound(&held.min), bound(&held.max)) {
            _ if self.values.is_empty() => Share::None,
            (Some(min), _) if min > *self.values.end() => Share::None,
            (_, Some(max)) if max < *self.values.start() => Share::None,
            (Some(min), Some(max)) if self.values.contains(&min) && self.values.contains(&max) => Share::All,
            _ => Share::Some,
        }
    }

    /// Which of these values lie inside.
    fn mask(&self, column: &ArrayRef) -> Result<BooleanBuffer, ConnectorError> {
        let numbers = whole_numbers(column)?;
        let values = numbers.as_primitive::<Int64Type>().values();
        let (first, last) = (*self.values.start(), *self.values.end());
        let inside = BooleanBuffer::collect_bool(values.len(), |row| first <= values[row] && values[row] <= last);
        Ok(match numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => inside,
            Some(valid) if self.with_null => &inside | &!valid.inner(),
            Some(valid) => &inside & valid.inner(),
        })
    }
}

impl Clearing {
    /// The files that lose rows to the window whose new rows lie in `staged`.
    pub(crate) fn plan(&self, files: Vec<Arc<DataFile>>, staged: &[Arc<DataFile>]) -> Result<Vec<Rewrite>, ConnectorError> {
        let mut rewrites = Vec::new();
        let mut suspects = Vec::new();
        for file in files {
            match self.window.share(&file) {
                Share::All => rewrites.push(Rewrite::gone(file)),
                Share::Some => suspects.push(Suspect { cleared: self.in_window(&file)?, file }),
                Share::None if self.may_hold_key(&file, staged) => suspects.push(Suspect { cleared: BooleanBufferBuilder::new(0), file }),
                Share::None => {}
            }
        }
        if !self.key.is_empty() {
            self.mark_keys(&mut suspects, staged)?;
        }
        for suspect in suspects {
            let cleared = suspect.cleared.build();
            if cleared.count_set_bits() > 0 {
                rewrites.push(Rewrite::without(suspect.file, &cleared));
            }
        }
        Ok(rewrites)
    }

    fn in_window(&self, file: &DataFile) -> Result<BooleanBufferBuilder, ConnectorError> {
        let mut inside = BooleanBufferBuilder::new(0);
        for batch in FileRows::open(&self.folder, file, &Arc::new(Schema::new(vec![self.window.field.clone()])), None)? {
            inside.append_buffer(&self.window.mask(batch?.column(0))?);
        }
        Ok(inside)
    }

    /// False when no row of `file` can have the key of a row of `staged`.
    fn may_hold_key(&self, file: &DataFile, staged: &[Arc<DataFile>]) -> bool {
        let fields: Vec<&Field> = self.key.iter().filter_map(|name| self.schema.field_with_name(name).ok()).collect();
        let held: Vec<FileColumn> = fields.iter().map(|field| FileColumn::of(file, field)).collect();
        !held.is_empty() && staged.iter().any(|new| fields.iter().zip(&held).all(|(field, held)| held.may_meet(&FileColumn::of(new, field))))
    }

    /// Marks rows whose keys are among the new rows: as many keys at a time as memory allows.
    fn mark_keys(&self, suspects: &mut [Suspect], staged: &[Arc<DataFile>]) -> Result<(), ConnectorError> {
        let mut near: Vec<&mut Suspect> = suspects.iter_mut().filter(|suspect| self.may_hold_key(&suspect.file, staged)).collect();
        if near.is_empty() {
            return Ok(());
        }
        let key_schema = pick_schema(&self.schema, &self.key)?;
        let hasher = RowHasher::new(&self.schema, &self.key)?;
        let limit = usize::try_from(self.memory_bytes / KEY_BYTES).unwrap_or(usize::MAX).max(1);
        let mut keys: Vec<u128> = Vec::new();
        for file in staged {
            for batch in FileRows::open(&self.folder, file, &key_schema, None)? {
                keys.extend(hasher.hashes(&batch?)?);
                if keys.len() >= limit {
                    self.mark(&mut near, std::mem::take(&mut keys), &hasher)?;
                }
            }
        }
        if keys.is_empty() { Ok(()) } else { self.mark(&mut near, keys, &hasher) }
    }

    fn mark(&self, suspects: &mut [&mut Suspect], keys: Vec<u128>, hasher: &RowHasher) -> Result<(), ConnectorError> {
        let key_schema = pick_schema(&self.schema, &self.key)?;
        let keys = HashIndex::new(keys)?;
        for suspect in suspects {
            let mut row = 0;
            for batch in FileRows::open(&self.folder, &suspect.file, &key_schema, None)? {
                let hashes = hasher.hashes(&batch?)?;
                let missing = (row + hashes.len()).saturating_sub(suspect.cleared.len());
                suspect.cleared.append_n(missing, false);
                for found in keys.get_all(&hashes) {
                    if !found.is_empty() {
                        suspect.cleared.set_bit(row, true);
                    }
                    row += 1;
                }
            }
        }
        Ok(())
    }
}

/// Nanoseconds of one step of a column's values; `None` for what is neither date nor timestamp.
fn unit_nanos(data_type: &DataType) -> Option<i128> {
    match data_type {
        DataType::Date32 => Some(NANOS_PER_DAY),
        DataType::Timestamp(TimeUnit::Second, _) => Some(1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(NANOS_PER_MICRO),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(1),
        _ => None,
    }
}

fn nanos_of(bound: &CursorValue) -> Option<i128> {
    match bound {
        CursorValue::Date(days) => Some(i128::from(*days) * NANOS_PER_DAY),
        CursorValue::Timestamp(micros) => Some(i128::from(*micros) * NANOS_PER_MICRO),
        CursorValue::Null | CursorValue::Int(_) | CursorValue::UInt(_) | CursorValue::Float(_) | CursorValue::Decimal(..) | CursorValue::Text(_) | CursorValue::Bytes(_) => None,
    }
}

/// The first whole step at or after `nanos`: of values in whole steps the same ones are below both.
fn ceiling(nanos: i128, unit: i128) -> i128 {
    -(-nanos).div_euclid(unit)
}

/// Dates as days, timestamps in their own unit.
fn whole_numbers(column: &ArrayRef) -> Result<ArrayRef, ConnectorError> {
    cast(column, &DataType::Int64).map_err(row_error)
}

fn not_a_time(column: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Bug, format!("a bound of the window over `{column}` is neither date nor timestamp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColumnStats;
    use arrow::array::{Date32Array, TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray};
    use serde_json::json;
    use std::collections::BTreeMap;

    const DAY: i64 = 86_400_000_000;

    fn window(data_type: &DataType, from: Option<CursorValue>, until: Option<CursorValue>) -> WindowRows {
        let schema = Schema::new(vec![Field::new("at", data_type.clone(), true)]);
        WindowRows::new(&schema, "at", &WindowBounds { from, until, with_null: false }).unwrap()
    }

    fn inside(column: ArrayRef, from: Option<CursorValue>, until: Option<CursorValue>) -> Vec<bool> {
        window(column.data_type(), from, until).mask(&column).unwrap().iter().collect()
    }

    #[test]
    fn bounds_are_compared_in_the_columns_own_unit() {
        let (from, until) = (Some(CursorValue::Timestamp(-1)), Some(CursorValue::Timestamp(DAY + 1)));

        assert_eq!(inside(Arc::new(TimestampMicrosecondArray::from(vec![-2, -1, DAY, DAY + 1])), from.clone(), until.clone()), [false, true, true, false]);
        let nanos = TimestampNanosecondArray::from(vec![-1_001, -1_000, DAY * 1_000 + 999, DAY * 1_000 + 1_000]).with_timezone("UTC");
        assert_eq!(inside(Arc::new(nanos), from.clone(), until.clone()), [false, true, true, false]);
        assert_eq!(inside(Arc::new(TimestampSecondArray::from(vec![-1, 0, 86_400, 86_401])), from.clone(), until.clone()), [false, true, true, false]);
        assert_eq!(inside(Arc::new(Date32Array::from(vec![-1, 0, 1, 2])), from, until), [false, true, true, false]);
        assert_eq!(inside(Arc::new(Date32Array::from(vec![0, 1, 2])), Some(CursorValue::Date(1)), Some(CursorValue::Date(2))), [false, true, false]);
        assert_eq!(inside(Arc::new(TimestampMicrosecondArray::from(vec![DAY - 1, DAY])), Some(CursorValue::Date(1)), None), [false, true]);
    }

    #[test]
    fn bounds_beyond_the_columns_range_hold_all_or_nothing() {
        let ends = || -> ArrayRef { Arc::new(TimestampNanosecondArray::from(vec![i64::MIN, 0, i64::MAX])) };
        let far = CursorValue::Timestamp(i64::MAX);

        assert_eq!(inside(ends(), None, Some(far.clone())), [true; 3]);
        assert_eq!(inside(ends(), Some(far), None), [false; 3]);
        assert_eq!(inside(ends(), None, Some(CursorValue::Timestamp(i64::MIN))), [false; 3]);
        assert_eq!(inside(ends(), None, None), [true; 3]);
    }

    #[test]
    fn null_belongs_to_the_window_that_says_so() {
        let column: ArrayRef = Arc::new(Date32Array::from(vec![None, Some(3), Some(9), None]));
        let schema = Schema::new(vec![Field::new("at", DataType::Date32, true)]);
        let with_null = WindowBounds { from: None, until: Some(CursorValue::Date(5)), with_null: true };

        assert_eq!(WindowRows::new(&schema, "at", &with_null).unwrap().mask(&column).unwrap().iter().collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(inside(column, None, Some(CursorValue::Date(5))), [false, true, false, false]);
    }

    #[test]
    fn only_a_date_or_a_timestamp_has_windows() {
        let schema = Schema::new(vec![Field::new("at", DataType::Utf8, true)]);
        let all = WindowBounds { from: None, until: None, with_null: true };

        for column in ["at", "other"] {
            assert_eq!(WindowRows::new(&schema, column, &all).err().unwrap().kind(), ErrorKind::SchemaMismatch);
        }
    }

    #[test]
    fn the_log_tells_what_need_not_be_read() {
        let file = |min: Option<&str>, max: Option<&str>, nulls: Option<u64>| {
            let stats = ColumnStats { min: min.map(Into::into), max: max.map(Into::into), null_count: nulls };
            let stats = BTreeMap::from([("at".to_owned(), stats)]);
            DataFile { path: "f".into(), size: 1, rows: 4, xxh3: None, modified_ms: 0, partition_values: BTreeMap::new(), stats }
        };
        let may = window(&DataType::Date32, Some(CursorValue::Date(10)), Some(CursorValue::Date(20)));

        assert_eq!(may.share(&file(Some("1970-01-11"), Some("1970-01-20"), Some(0))), Share::All);
        assert_eq!(may.share(&file(Some("1970-01-11"), Some("1970-01-20"), Some(1))), Share::Some);
        assert_eq!(may.share(&file(Some("1970-01-11"), Some("1970-01-21"), Some(0))), Share::Some);
        assert_eq!(may.share(&file(Some("1970-01-21"), None, None)), Share::None);
        assert_eq!(may.share(&file(None, None, Some(4))), Share::None);
        assert_eq!(may.share(&file(None, None, None)), Share::Some);
        let all = window(&DataType::Date32, None, None);
        assert_eq!(all.share(&file(None, None, Some(0))), Share::All);
        assert_eq!(all.share(&file(None, None, None)), Share::Some);
        let mut partitioned = file(None, None, None);
        partitioned.partition_values = serde_json::from_value(json!({"at": "1970-01-12"})).unwrap();
        assert_eq!(may.share(&partitioned), Share::All);
    }
}
