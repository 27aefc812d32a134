//! Splitting rows by partition: which folder a row belongs to, and what the log says of it.

use crate::value_text::value_to_text;
use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Date32Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use chrono::{Datelike, NaiveDate};
use datafusion::common::ScalarValue;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::PartitionTransform;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use xxhash_rust::xxh3::xxh3_64;

const EPOCH_DAYS: i32 = 719_163;
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// What Hive calls the folder of NULL.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";
/// Folder names stay below what file systems take, also after escaping.
const MAX_FOLDER_VALUE: usize = 120;

/// Where rows of one partition go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Partition {
    /// Folder relative to the data prefix, with `/` at its end; empty without partitions.
    pub(crate) folder: String,
    /// Values that the log holds instead of the files.
    pub(crate) declared: BTreeMap<String, Option<String>>,
}

/// Splits batches by the partition of their rows.
pub(crate) struct Partitioner {
    transforms: Vec<PartitionTransform>,
    declared: Vec<String>,
    converter: Option<RowConverter>,
    known: HashMap<Box<[u8]>, Partition>,
}

impl Partitioner {
    /// A partitioner of rows of `schema`; `declares` tells whether identity columns live in the log.
    ///
    /// # Errors
    /// When a column is missing or of a type that cannot be partitioned by.
    pub(crate) fn new(transforms: &[PartitionTransform], schema: &SchemaRef, declares: bool) -> Result<Self, ConnectorError> {
        let mut fields = Vec::new();
        for transform in transforms {
            let column = transform.column();
            let field = schema.field_with_name(column).map_err(|_| {
                ConnectorError::new(ErrorKind::SchemaMismatch, format!("partition column `{column}` is not a column of the table")).with_help("change `layout.partition_by`")
            })?;
            let data_type = field.data_type();
            let fits = match transform {
                PartitionTransform::Identity(_) => is_identity_type(data_type),
                PartitionTransform::Day(_) | PartitionTransform::Month(_) | PartitionTransform::Year(_) => matches!(data_type, DataType::Date32 | DataType::Timestamp(..)),
            };
            if !fits {
                return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{column}` of type `{data_type}` cannot be partitioned by `{transform}`"))
                    .with_help("partition by a date or timestamp, or by the column's own value"));
            }
            fields.push(SortField::new(if matches!(transform, PartitionTransform::Identity(_)) { data_type.clone() } else { DataType::Date32 }));
        }
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields).map_err(|error| split_error(&error))?) };
        let declared = if declares { declared_columns(transforms) } else { Vec::new() };
        Ok(Self { transforms: transforms.to_vec(), declared, converter, known: HashMap::new() })
    }

    /// The rows of each partition, without the declared columns; partitions in the order of their first row.
    pub(crate) fn split(&mut self, batch: &RecordBatch) -> Result<Vec<(Partition, RecordBatch)>, ConnectorError> {
        let Some(converter) = &self.converter else { return Ok(vec![(Partition::default(), batch.clone())]) };
        let values = self.transforms.iter().map(|transform| partition_values(transform, batch)).collect::<Result<Vec<ArrayRef>, _>>()?;
        let rows = converter.convert_columns(&values).map_err(|error| split_error(&error))?;
        let mut groups: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut index: HashMap<&[u8], usize> = HashMap::new();
        let mut last: Option<(&[u8], usize)> = None;
        for at in 0..batch.num_rows() {
            let key = rows.row(at).data();
            let group = match last {
                Some((previous, group)) if previous == key => group,
                _ => *index.entry(key).or_insert_with(|| {
                    groups.push((at, Vec::new()));
                    groups.len() - 1
                }),
            };
            last = Some((key, group));
            groups[group].1.push(u32::try_from(at).map_err(|_| ConnectorError::new(ErrorKind::Bug, "a batch holds more than 2^32 rows"))?);
        }
        let mut parts = Vec::with_capacity(groups.len());
        for (first, members) in groups {
            let key = rows.row(first).data();
            let partition = match self.known.get(key) {
                Some(partition) => partition.clone(),
                None => {
                    let partition = self.partition_of(&values, first)?;
                    self.known.insert(key.into(), partition.clone());
                    partition
                }
            };
            let part = if members.len() == batch.num_rows() { batch.clone() } else { take_rows(batch, members)? };
            parts.push((partition, without_columns(&part, &self.declared)?));
        }
        Ok(parts)
    }

    fn partition_of(&self, values: &[ArrayRef], row: usize) -> Result<Partition, ConnectorError> {
        let mut partition = Partition::default();
        for (transform, column) in self.transforms.iter().zip(values) {
            let name = transform.column();
            let value =
                ScalarValue::try_from_array(column, row).map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("no partition value of `{name}`")).with_source(error))?;
            let text = if value.is_null() {
                None
            } else {
                let text = value_to_text(&value);
                Some(
                    text.ok_or_else(|| ConnectorError::new(ErrorKind::BadData, format!("column `{name}` holds a value outside the years 0 to 9999, which no partition can have")))?,
                )
            };
            let suffix = match transform {
                PartitionTransform::Identity(_) => "",
                PartitionTransform::Day(_) => "_day",
                PartitionTransform::Month(_) => "_month",
                PartitionTransform::Year(_) => "_year",
            };
            let cut = text.as_deref().map(|text| match transform {
                PartitionTransform::Identity(_) | PartitionTransform::Day(_) => text,
                PartitionTransform::Month(_) => &text[..7],
                PartitionTransform::Year(_) => &text[..4],
            });
            partition.folder.push_str(&escape(name));
            partition.folder.push_str(suffix);
            partition.folder.push('=');
            partition.folder.push_str(&cut.map_or_else(|| NULL_FOLDER.to_owned(), escape));
            partition.folder.push('/');
            if self.declared.iter().any(|declared| declared == name) && matches!(transform, PartitionTransform::Identity(_)) {
                if text.as_deref() == Some("") {
                    return Err(ConnectorError::new(ErrorKind::BadData, format!("partition column `{name}` holds an empty text, which readers of this table would take for NULL"))
                        .with_help("partition by another column, or map the empty text to a value in a query"));
                }
                partition.declared.insert(name.to_owned(), text);
            }
        }
        Ok(partition)
    }
}

/// Columns whose values live in the log, for logs that declare partition columns.
pub(crate) fn declared_columns(transforms: &[PartitionTransform]) -> Vec<String> {
    transforms.iter().filter(|transform| matches!(transform, PartitionTransform::Identity(_))).map(|transform| transform.column().to_owned()).collect()
}

/// The batch without the named columns.
pub(crate) fn without_columns(batch: &RecordBatch, names: &[String]) -> Result<RecordBatch, ConnectorError> {
    if names.is_empty() {
        return Ok(batch.clone());
    }
    let kept: Vec<usize> = (0..batch.num_columns()).filter(|at| !names.contains(batch.schema_ref().field(*at).name())).collect();
    batch.project(&kept).map_err(|error| split_error(&error))
}

fn take_rows(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch, ConnectorError> {
    let is_run = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
    match (rows.first(), is_run) {
        (Some(first), true) => Ok(batch.slice(*first as usize, rows.len())),
        _ => take_record_batch(batch, &UInt32Array::from(rows)).map_err(|error| split_error(&error)),
    }
}

fn is_identity_type(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Utf8 | DataType::Boolean | DataType::Date32 | DataType::Decimal128(..) | DataType::Timestamp(TimeUnit::Microsecond, _))
}

fn partition_values(transform: &PartitionTransform, batch: &RecordBatch) -> Result<ArrayRef, ConnectorError> {
    let name = transform.column();
    let column = batch.column_by_name(name).ok_or_else(|| ConnectorError::new(ErrorKind::SchemaMismatch, format!("partition column `{name}` is missing in the rows")))?;
    let start = match transform {
        PartitionTransform::Identity(_) => return Ok(column.clone()),
        PartitionTransform::Day(_) => |days: i32| Some(days),
        PartitionTransform::Month(_) => |days: i32| first_day(days, |date| date.with_day(1)),
        PartitionTransform::Year(_) => |days: i32| first_day(days, |date| date.with_ordinal(1)),
    };
    let mut last: Option<(i32, Option<i32>)> = None;
    let mut cached = |days: i32| match last {
        Some((seen, result)) if seen == days => result,
        _ => {
            let result = start(days);
            last = Some((days, result));
            result
        }
    };
    let days: Vec<Option<i32>> = if let Some(dates) = column.as_primitive_opt::<Date32Type>() {
        dates.iter().map(|days| days.map(&mut cached)).map(Option::flatten).collect()
    } else {
        let micros = arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(|error| split_error(&error))?;
        micros.as_primitive::<TimestampMicrosecondType>().iter().map(|at| at.and_then(|at| cached(i32::try_from(at.div_euclid(MICROS_PER_DAY)).ok()?))).collect()
    };
    Ok(std::sync::Arc::new(Date32Array::from(days)))
}

fn first_day(days: i32, start: impl Fn(NaiveDate) -> Option<NaiveDate>) -> Option<i32> {
    let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS)?)?;
    Some(start(date)?.num_days_from_ce() - EPOCH_DAYS)
}

/// A name that every file system takes; long ones are cut and made unique by a hash. People read it, the log has the value.
fn escape(value: &str) -> String {
    let mut name = String::new();
    for c in value.chars() {
        if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ') {
            name.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a String does not fail.
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if name.len() > MAX_FOLDER_VALUE {
        let cut = (0..=MAX_FOLDER_VALUE).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        return format!("{}~{:016x}", &name[..cut], xxh3_64(value.as_bytes()));
    }
    name
}

fn split_error(error: &arrow::error::ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadData, format!("rows cannot be split by partition: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true), Field::new("who", DataType::Utf8, true)]));
        let at = TimestampMicrosecondArray::from(vec![Some(-1), Some(0), None, Some(MICROS_PER_DAY * 40)]);
        RecordBatch::try_new(schema, vec![Arc::new(at), Arc::new(StringArray::from(vec![Some("a/b"), None, Some("a/b"), Some("ä")]))]).unwrap()
    }

    fn folders(transforms: &[PartitionTransform]) -> Vec<String> {
        let batch = batch();
        let mut partitioner = Partitioner::new(transforms, batch.schema_ref(), true).unwrap();
        partitioner.split(&batch).unwrap().into_iter().map(|(partition, rows)| format!("{}{}x{}", partition.folder, rows.num_rows(), rows.num_columns())).collect()
    }

    #[test]
    fn rows_before_1970_and_null_have_their_own_partitions() {
        assert_eq!(
            folders(&[PartitionTransform::Day("at".into())]),
            ["at_day=1969-12-31/1x2", "at_day=1970-01-01/1x2", "at_day=__HIVE_DEFAULT_PARTITION__/1x2", "at_day=1970-02-10/1x2"]
        );
        assert_eq!(folders(&[PartitionTransform::Month("at".into())])[3], "at_month=1970-02/1x2");
        assert_eq!(folders(&[PartitionTransform::Year("at".into())])[0], "at_year=1969/1x2");
    }

    #[test]
    fn declared_columns_leave_the_files_and_names_are_escaped() {
        assert_eq!(folders(&[PartitionTransform::Identity("who".into())]), ["who=a%2Fb/2x1", "who=__HIVE_DEFAULT_PARTITION__/1x1", "who=ä/1x1"]);
    }
}
